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

/** errorCurves makes one curve per device from points in order of time. */
export function errorCurves(points: LabelPoint[], window: number): ErrorCurve[] {
  const by = new Map<string, LabelPoint[]>();
  for (const p of points) if (finite(p)) (by.get(p.device) ?? by.set(p.device, []).get(p.device)!).push(p);
  return [...by.keys()].sort().map((device) => {
    const list = by.get(device)!;
    return {
      device,
      times: list.map((p) => p.row_time / 1e6),
      error: settle(rollingMean(list.map((p) => Math.abs(p.truth! - p.predicted!)), window), window),
      baseline: settle(rollingMean(list.map((p) => (p.persistence === null ? NaN : Math.abs(p.truth! - p.persistence))), window), window),
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
}

/** quality sums up matured predictions; without any the means are NaN. */
export function quality(points: LabelPoint[]): Quality {
  let labels = 0, mae = 0, based = 0, baseline = 0, bounded = 0, covered = 0;
  for (const p of points) {
    if (!finite(p)) continue;
    labels++;
    mae += Math.abs(p.truth! - p.predicted!);
    if (p.persistence !== null) {
      based++;
      baseline += Math.abs(p.truth! - p.persistence);
    }
    if (p.lower !== null && p.upper !== null) {
      bounded++;
      if (p.truth! >= p.lower && p.truth! <= p.upper) covered++;
    }
  }
  return { labels, mae: mae / labels, baseline: baseline / based, coverage: covered / bounded };
}

/** spacing is the usual distance of neighbouring times, the median, in the unit of times; NaN without two. */
export function spacing(times: ArrayLike<number>): number {
  const d: number[] = [];
  for (let i = 1; i < times.length; i++) d.push(times[i]! - times[i - 1]!);
  return d.sort((a, b) => a - b)[d.length >> 1] ?? NaN;
}
