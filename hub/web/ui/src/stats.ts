import type { LabelPoint } from "./types";

/** rollingMean is the mean of the last n values at each position; NaN values are left out, and a window of them alone is NaN. */
export function rollingMean(values: ArrayLike<number>, n: number): Float64Array {
  const out = new Float64Array(values.length);
  let sum = 0;
  let count = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    if (!Number.isNaN(v)) {
      sum += v;
      count++;
    }
    const old = i >= n ? values[i - n]! : NaN;
    if (!Number.isNaN(old)) {
      sum -= old;
      count--;
    }
    if (count === 0) sum = 0; // drops what rounding left
    out[i] = count ? sum / count : NaN;
  }
  return out;
}

export interface ErrorCurve {
  device: string;
  times: number[]; // seconds, ascending
  error: Float64Array; // rolling mean absolute error of what was published
  baseline: Float64Array; // of the last value
}

export const finite = (p: LabelPoint) => p.truth !== null && p.predicted !== null;

/** missed is the error of a prediction; of a classification 1 for a wrong class. */
export const missed = (truth: number, said: number, kind: string) => (kind === "classification" ? Number(Math.round(said) !== Math.round(truth)) : Math.abs(truth - said));

/** nats is the log loss of a truth that was given a probability, as devices count it. */
const nats = (p: number) => -Math.log(Math.min(Math.max(p, 1e-4), 1));

/** logLoss of a point of a classification; NaN without a prediction. */
export function logLoss(p: LabelPoint): number {
  if (p.classes) return nats(p.chance ?? NaN);
  return p.truth === null || p.predicted === null ? NaN : nats(p.truth >= 0.5 ? p.predicted : 1 - p.predicted);
}

/** covered reports whether the truth was in the interval or set, undefined when none was given. */
function covered(p: LabelPoint): boolean | undefined {
  if (p.classes) return p.covered ?? false;
  return p.lower === null || p.upper === null ? undefined : p.truth! >= p.lower && p.truth! <= p.upper;
}

/** errorCurves makes one curve per device from points in order of time. */
export function errorCurves(points: LabelPoint[], window: number, kind = ""): ErrorCurve[] {
  const by = new Map<string, LabelPoint[]>();
  for (const p of points) if (finite(p)) (by.get(p.device) ?? by.set(p.device, []).get(p.device)!).push(p);
  return [...by.keys()].sort().map((device) => {
    const list = by.get(device)!;
    return {
      device,
      times: list.map((p) => p.row_time / 1e6),
      error: settle(rollingMean(list.map((p) => missed(p.truth!, p.predicted!, kind)), window), window),
      baseline: settle(rollingMean(list.map((p) => (p.persistence === null ? NaN : missed(p.truth!, p.persistence, kind))), window), window),
    };
  });
}

/** settle blanks the first third of the first window, where a mean of few values would only show noise, unless there is little more than that. */
function settle(mean: Float64Array, window: number): Float64Array {
  return mean.length > 2 * window ? mean.fill(NaN, 0, Math.floor(window / 3)) : mean;
}

/** align puts curves on one time axis, thinned to about max positions; where a curve has no point the value is null. */
export function align(curves: { times: number[]; values: ArrayLike<number>[] }[], max: number): [number[], (number | null)[][]] {
  const all = [...new Set(curves.flatMap((c) => c.times))].sort((a, b) => a - b);
  const step = Math.max(1, Math.ceil(all.length / max));
  const times = all.filter((_, i) => (all.length - 1 - i) % step === 0);
  const rows: (number | null)[][] = [];
  for (const c of curves) {
    for (const v of c.values) {
      const row: (number | null)[] = new Array<number | null>(times.length).fill(null);
      let j = 0;
      for (let i = 0; i < times.length; i++) {
        // the newest value up to this time and after the one before, so that thinning never hides a curve that misses the exact instants
        let at = -1;
        while (j < c.times.length && c.times[j]! <= times[i]!) at = j++;
        const x = at >= 0 ? v[at]! : NaN;
        row[i] = Number.isFinite(x) ? x : null;
      }
      rows.push(row);
    }
  }
  return [times, rows];
}

export interface Quality {
  labels: number;
  mae: number;
  baseline: number;
  coverage: number;
  logLoss: number; // of a classification, nats
}

/** quality sums up matured predictions; without any the means are NaN. */
export function quality(points: LabelPoint[], kind = ""): Quality {
  let labels = 0, mae = 0, based = 0, baseline = 0, bounded = 0, hits = 0, loss = 0;
  for (const p of points) {
    if (!finite(p)) continue;
    labels++;
    mae += missed(p.truth!, p.predicted!, kind);
    if (kind === "classification") loss += logLoss(p);
    if (p.persistence !== null) {
      based++;
      baseline += missed(p.truth!, p.persistence, kind);
    }
    const hit = covered(p);
    if (hit !== undefined) {
      bounded++;
      if (hit) hits++;
    }
  }
  return { labels, mae: mae / labels, baseline: baseline / based, coverage: hits / bounded, logLoss: kind === "classification" ? loss / labels : NaN };
}

/** ClassRow is how predictions of one true class did. */
export interface ClassRow {
  name: string;
  truths: number;
  right: number;
  chance: number; // mean probability that it was given
  taken: [string, number][]; // for which others, the most frequent first
}

/** byClass sums up matured predictions of a classification by the true class, the most frequent first. */
export function byClass(points: LabelPoint[], names: string[]): ClassRow[] {
  const rows = names.map((name) => ({ name, truths: 0, right: 0, chance: 0, wrong: new Map<string, number>() }));
  for (const p of points) {
    if (!finite(p)) continue;
    const row = rows[Math.round(p.truth!)];
    if (!row) continue;
    const said = Math.round(p.predicted!);
    row.truths++;
    row.chance += p.classes ? (p.chance ?? 0) : p.truth! >= 0.5 ? p.predicted! : 1 - p.predicted!;
    if (said === Math.round(p.truth!)) row.right++;
    else row.wrong.set(names[said] ?? String(said), (row.wrong.get(names[said] ?? String(said)) ?? 0) + 1);
  }
  return rows
    .filter((r) => r.truths > 0)
    .map((r) => ({ name: r.name, truths: r.truths, right: r.right, chance: r.chance / r.truths, taken: [...r.wrong].sort((a, b) => b[1] - a[1]) }))
    .sort((a, b) => b.truths - a.truths);
}

/** spacing is the usual distance of neighbouring times, the median, in the unit of times; NaN without two. */
export function spacing(times: ArrayLike<number>): number {
  const d: number[] = [];
  for (let i = 1; i < times.length; i++) d.push(times[i]! - times[i - 1]!);
  return d.sort((a, b) => a - b)[d.length >> 1] ?? NaN;
}
