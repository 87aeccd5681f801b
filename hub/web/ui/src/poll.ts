import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { ApiError, query, raw, session } from "./api";
import type { LabelPoint, List } from "./types";

export interface Polled<T> {
  data: T | undefined;
  error: ApiError | undefined;
  reload: () => void;
}

/**
 * usePoll asks for path at once and then every interval, keeps the last good answer when one fails, and rests while the tab is hidden. An answer equal to the one before
 * keeps its identity, so that nothing is drawn again. A null path asks for nothing.
 */
export function usePoll<T>(path: string | null, interval = 2000): Polled<T> {
  const [state, setState] = useState<{ path: string | null; data?: T; error?: ApiError | undefined }>({ path: null });
  const [turn, setTurn] = useState(0);
  const last = useRef("");
  useEffect(() => {
    if (path === null) return;
    return repeat(async (signal) => {
      try {
        const text = await raw("GET", path, undefined, signal);
        const key = path + "\n" + text;
        if (key !== last.current) {
          last.current = key;
          setState({ path, data: JSON.parse(text) as T });
        } else {
          setState((s) => (s.error ? { ...s, error: undefined } : s));
        }
      } catch (e) {
        if (!signal.aborted) setState((s) => ({ ...(s.path === path ? s : { path }), error: asError(e) }));
      }
    }, interval);
  }, [path, interval, turn]);
  const mine = state.path === path;
  return { data: mine ? state.data : undefined, error: mine ? state.error : undefined, reload: useCallback(() => setTurn((t) => t + 1), []) };
}

/** repeat runs fn at once and then after every interval in which the tab is visible, until the returned function is called. */
function repeat(fn: (signal: AbortSignal) => Promise<void>, interval: number): () => void {
  const stop = new AbortController();
  let timer = 0;
  let busy = false;
  const run = async () => {
    window.clearTimeout(timer);
    if (busy || stop.signal.aborted) return;
    busy = true;
    await fn(stop.signal);
    busy = false;
    if (!stop.signal.aborted && !document.hidden) timer = window.setTimeout(() => void run(), interval);
  };
  const wake = () => {
    if (!document.hidden) void run();
  };
  document.addEventListener("visibilitychange", wake);
  void run();
  return () => {
    stop.abort();
    window.clearTimeout(timer);
    document.removeEventListener("visibilitychange", wake);
  };
}

const asError = (e: unknown) => (e instanceof ApiError ? e : new ApiError(0, "unexpected", e instanceof Error ? e.message : String(e)));

const keepPoints = 20_000;
const fullEvery = 60_000; // milliseconds

/**
 * useLabels follows the matured predictions of a task, of one device unless "". It loads the newest once, then asks only for what is newer than the last it has less an
 * overlap, and everything again each minute, because devices that come back send old rows late.
 */
export function useLabels(task: string, device: string, limit: number): Polled<LabelPoint[]> {
  const [state, setState] = useState<{ data?: LabelPoint[]; error?: ApiError | undefined }>({});
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let points = new Map<string, LabelPoint>();
    let newest = 0;
    let full = 0;
    setState({});
    return repeat(async (signal) => {
      const whole = Date.now() - full > fullEvery;
      const overlap = 48 * 3600 * 1e6;
      try {
        const path = `/v1/tasks/${encodeURIComponent(task)}/labels${query({ device, limit, from: whole ? undefined : newest - overlap })}`;
        const items = (JSON.parse(await raw("GET", path, undefined, signal)) as List<LabelPoint>).items ?? [];
        const before = points.size;
        let changed = false;
        if (whole) {
          changed = full === 0;
          full = Date.now();
        }
        for (const p of items) {
          const key = `${p.row_time}/${p.device}`;
          if (!points.has(key)) {
            points.set(key, p);
            changed = true;
          }
          newest = Math.max(newest, p.row_time);
        }
        if (changed || points.size !== before) {
          const data = [...points.values()].sort((a, b) => a.row_time - b.row_time || a.device.localeCompare(b.device)).slice(-keepPoints);
          if (points.size > keepPoints) points = new Map(data.map((p) => [`${p.row_time}/${p.device}`, p]));
          setState({ data });
        } else {
          setState((s) => (s.error ? { ...s, error: undefined } : s));
        }
      } catch (e) {
        if (!signal.aborted) setState((s) => ({ ...s, error: asError(e) }));
      }
    }, 2000);
  }, [task, device, limit, turn]);
  return { data: state.data, error: state.error, reload: useCallback(() => setTurn((t) => t + 1), []) };
}

export const useSession = () => useSyncExternalStore(session.watch, session.get);

/** useRoute is the address's fragment as parts: "#/task/pm25" is ["task", "pm25"]. */
export function useRoute(): string[] {
  const hash = useSyncExternalStore(
    (fn) => {
      window.addEventListener("hashchange", fn);
      return () => window.removeEventListener("hashchange", fn);
    },
    () => window.location.hash,
  );
  return parseRoute(hash);
}

export function parseRoute(hash: string): string[] {
  return hash.replace(/^#?\/?/, "").split("/").filter(Boolean).map((p) => {
    try {
      return decodeURIComponent(p);
    } catch {
      return p;
    }
  });
}

export const link = (...parts: string[]) => "#/" + parts.map(encodeURIComponent).join("/");

/** useTick draws again every interval, for ages that grow by themselves. */
export function useTick(interval: number) {
  const [, set] = useState(0);
  useEffect(() => {
    const t = window.setInterval(() => document.hidden || set((n) => n + 1), interval);
    return () => window.clearInterval(t);
  }, [interval]);
}
