import type { Login, Role } from "./types";

/** ApiError is a request the hub refused or did not answer. status 0 means no answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** errorFrom reads the hub's {"error": {"code", "message"}}; anything else is told by its status. */
export function errorFrom(status: number, body: string): ApiError {
  try {
    const e = (JSON.parse(body) as { error?: { code?: unknown; message?: unknown } }).error;
    if (e && typeof e.code === "string" && typeof e.message === "string") return new ApiError(status, e.code, e.message);
  } catch {
    // not the hub's form: a proxy may have answered
  }
  if (status === 0) return new ApiError(0, "unreachable", "The hub does not answer. Check that it runs and that this computer can reach it.");
  if (status >= 500) return new ApiError(status, "internal", `The hub failed with status ${status}. Its log has the details.`);
  return new ApiError(status, "http", `The request was refused with status ${status}.`);
}

const tokenKey = "skerry.session";

export interface Session {
  token: string;
  user: string;
  role: Role;
  expires: number; // microseconds
}

let current: Session | null = restore();
const watchers = new Set<() => void>();

function restore(): Session | null {
  try {
    const s = JSON.parse(localStorage.getItem(tokenKey) ?? "null") as Session | null;
    return s && s.expires > Date.now() * 1000 ? s : null;
  } catch {
    return null;
  }
}

function set(s: Session | null) {
  current = s;
  if (s) localStorage.setItem(tokenKey, JSON.stringify(s));
  else localStorage.removeItem(tokenKey);
  watchers.forEach((w) => w());
}

// One login is for all tabs, and so is its end. A cleared store has no key.
if (typeof window !== "undefined") {
  window.addEventListener("storage", (e) => {
    if (e.key !== tokenKey && e.key !== null) return;
    current = restore();
    watchers.forEach((w) => w());
  });
}

export const session = {
  get: () => current,
  watch(fn: () => void) {
    watchers.add(fn);
    return () => void watchers.delete(fn);
  },
  end: () => set(null),
};

let skew = 0; // hub's clock less ours, milliseconds

/** now is the hub's clock in microseconds, so that ages are right on a computer whose clock is not. */
export const now = () => (Date.now() + skew) * 1000;

function noteClock(res: Response) {
  const at = Date.parse(res.headers.get("Date") ?? "");
  const d = at + 500 - Date.now(); // the header has whole seconds
  if (Number.isFinite(d)) skew = Math.abs(d) > 3000 ? d : 0;
}

/** raw asks the hub and returns the answer's text. A 401 ends the session. */
export async function raw(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<string> {
  const headers: Record<string, string> = {};
  if (current) headers["Authorization"] = `Bearer ${current.token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let res: Response;
  let text: string;
  try {
    res = await fetch(path.replace(/^\//, ""), { method, headers, cache: "no-store", ...(body !== undefined && { body: JSON.stringify(body) }), ...(signal && { signal }) });
    text = await res.text();
  } catch (e) {
    if (signal?.aborted) throw e;
    throw errorFrom(0, "");
  }
  noteClock(res);
  if (res.ok) return text;
  if (res.status === 401 && current && path !== "/v1/login") session.end();
  throw errorFrom(res.status, text);
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const text = await raw(method, path, body);
  return (text ? JSON.parse(text) : undefined) as T;
}

export async function login(user: string, password: string) {
  const l = await call<Login>("POST", "/v1/login", { user, password });
  set({ token: l.token, user, role: l.role, expires: l.expires_at });
}

const ranks: Role[] = ["viewer", "operator", "engineer", "admin"];

/** may reports whether a role includes another. */
export const may = (have: Role | undefined, need: Role) => have !== undefined && ranks.indexOf(have) >= ranks.indexOf(need);

/** query builds "?a=1&b=2" from what is set. */
export function query(params: Record<string, string | number | undefined>): string {
  const q = Object.entries(params).flatMap(([k, v]) => (v === undefined || v === "" ? [] : [`${k}=${encodeURIComponent(v)}`]));
  return q.length ? `?${q.join("&")}` : "";
}
