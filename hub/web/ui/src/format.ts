// Numbers, sizes and times for people. A value that is missing or not a number is shown as a dash.

export const dash = "–";

const ok = (v: number | null | undefined): v is number => typeof v === "number" && Number.isFinite(v);

/** num shows about three significant digits: 1234, 56.7, 8.90, 0.0123. */
export function num(v: number | null | undefined, unit = ""): string {
  if (!ok(v)) return dash;
  const a = Math.abs(v);
  const s = a === 0 ? "0" : a >= 1000 ? group(Math.round(v)) : a >= 100 ? v.toFixed(0) : a >= 10 ? v.toFixed(1) : a >= 0.1 ? v.toFixed(2) : a >= 0.001 ? v.toFixed(4) : v.toExponential(1);
  return s.replace("-", "−") + (unit ? ` ${unit}` : "");
}

/** count shows a whole number with thin spaces between thousands. */
export const count = (v: number | null | undefined) => (ok(v) ? group(Math.round(v)).replace("-", "−") : dash);

const group = (v: number) => String(v).replace(/\B(?=(\d{3})+$)/g, "\u2009");

/** percent shows a share: 0.934 is "93.4 %". */
export const percent = (v: number | null | undefined, digits = 1) => (ok(v) ? `${(v * 100).toFixed(digits).replace("-", "−")} %` : dash);

/** signed is percent with its sign: −0.12 is "−12 %". */
export const signed = (v: number | null | undefined) => (ok(v) ? `${v > 0 ? "+" : v < 0 ? "−" : "±"}${Math.abs(v * 100).toFixed(Math.abs(v) < 0.1 ? 1 : 0)} %` : dash);

export function bytes(v: number | null | undefined): string {
  if (!ok(v)) return dash;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  let x = v;
  while (Math.abs(x) >= 1024 && i < units.length - 1) {
    x /= 1024;
    i++;
  }
  return `${i === 0 || x >= 100 ? x.toFixed(0) : x.toFixed(1)} ${units[i]}`;
}

/** duration shows seconds by their two largest units: 93784 is "1 d 2 h". */
export function duration(seconds: number | null | undefined): string {
  if (!ok(seconds)) return dash;
  const s = Math.max(0, seconds);
  if (s < 1) return s === 0 ? "0 s" : `${(s * 1000).toFixed(0)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  const r = Math.round(s);
  const parts: [number, string][] = [
    [Math.floor(r / 86400), "d"],
    [Math.floor((r % 86400) / 3600), "h"],
    [Math.floor((r % 3600) / 60), "min"],
    [r % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, u]) => `${n} ${u}`).join(" ");
}

/** utc shows microseconds as "2026-11-23 12:05:07" in UTC. */
export function utc(us: number, seconds = true): string {
  if (!ok(us) || us === 0) return dash;
  const d = new Date(us / 1000);
  return Number.isNaN(d.getTime()) ? dash : d.toISOString().replace("T", " ").slice(0, seconds ? 19 : 16);
}

/** local is the same instant on this computer's clock, with its zone. */
export function local(us: number): string {
  if (!ok(us) || us === 0) return "";
  return new Date(us / 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
}

/** ago shows how long before now (both microseconds) something was. */
export function ago(us: number, now: number): string {
  if (!ok(us) || us === 0) return "never";
  const s = (now - us) / 1e6;
  if (s < -5) return `in ${short(-s)}`;
  return s < 2 ? "just now" : `${short(s)} ago`;
}

function short(s: number): string {
  const steps: [number, string][] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  for (const [n, u] of steps) if (s >= n) return `${Math.floor(s / n)} ${u}`;
  return "1 s";
}

/** days shows how long a device can stay offline; negative means unknown. */
export function offline(d: number | null | undefined): string {
  if (!ok(d) || d < 0) return "unknown";
  if (d >= 730) return `${(d / 365).toFixed(0)} years`;
  if (d >= 10) return `${d.toFixed(0)} days`;
  if (d >= 1) return `${d.toFixed(1)} days`;
  return duration(d * 86400);
}

export const shortDigest = (d: string) => (d ? d.slice(0, 12) : dash);

/** plain shows a number as it was set: 31, 0.05. */
export const plain = (v: number) => (ok(v) ? String(Number(v.toPrecision(4))).replace("-", "−") : dash);

export const cap = (s: string) => s.charAt(0).toUpperCase() + s.slice(1);

/** version shortens "pm25@3" to "version 3" where the task is known. */
export const version = (name: string | undefined) => (name ? name.replace(/^.*@/, "version ") : "");

/** words turns "page_hinkley" into "page hinkley". */
export const words = (s: string) => s.replace(/_/g, " ");
