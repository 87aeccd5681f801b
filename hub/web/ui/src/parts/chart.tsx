import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { num, utc } from "../format";

export interface Line {
  label: string;
  color: string; // a CSS custom property, "--c1"
  width?: number;
  dash?: number[];
  hidden?: boolean; // drawn by a band only
}

export interface Mark {
  at: number; // seconds
  color: string;
  label: string;
}

/** Chart draws lines over event time (seconds, UTC). Data may change often; the plot is made anew only when its shape or the colour scheme changes. */
export function Chart({ times, rows, lines, band, marks = [], unit, height = 280, label, zero, onPick }: {
  times: number[];
  rows: (number | null)[][];
  lines: Line[];
  band?: { series: [number, number]; color: string }; // upper and lower, counted from 1
  marks?: Mark[];
  unit: string;
  height?: number;
  label: string;
  zero?: boolean;
  onPick?: (index: number) => void; // of times, under a click
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ marks, data: [times, ...rows] as uPlot.AlignedData, onPick });
  latest.current = { marks, data: [times, ...rows] as uPlot.AlignedData, onPick };
  const shape = useMemo(() => JSON.stringify([lines, band, unit, height, zero]), [lines, band, unit, height, zero]);

  useEffect(() => {
    const el = box.current!;
    const build = () => {
      plot.current?.destroy();
      const u = new uPlot(options(el.clientWidth || 600, height, lines, band, unit, zero ?? false, () => latest.current.marks), latest.current.data, el);
      u.over.addEventListener("click", () => {
        const { idx } = u.cursor;
        if (idx !== null && idx !== undefined && u.select.width === 0) latest.current.onPick?.(idx); // a drag zooms
      });
      plot.current = u;
    };
    build();
    const watch = new ResizeObserver(() => {
      if (plot.current && el.clientWidth && plot.current.width !== el.clientWidth) plot.current.setSize({ width: el.clientWidth, height });
    });
    watch.observe(el);
    const scheme = window.matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", build);
    return () => {
      watch.disconnect();
      scheme.removeEventListener("change", build);
      plot.current?.destroy();
      plot.current = null;
    };
    // shape stands for lines, band, unit, height and zero
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(latest.current.data);
  }, [times, rows, marks]);

  return (
    <figure className="chart" role="img" aria-label={label} style={{ minHeight: height }}>
      <div ref={box} />
    </figure>
  );
}

function options(width: number, height: number, lines: Line[], band: { series: [number, number]; color: string } | undefined, unit: string, zero: boolean, marks: () => Mark[]): uPlot.Options {
  const css = getComputedStyle(document.documentElement);
  const color = (name: string) => css.getPropertyValue(name).trim();
  const font = `12px ${css.getPropertyValue("--font").trim() || "system-ui"}`;
  const axis: uPlot.Axis = { stroke: color("--faint"), font, grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false }, gap: 8 };
  return {
    width,
    height,
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"),
    padding: [12, 22, 0, 0],
    legend: { show: false },
    cursor: { points: { size: 7 }, drag: { x: true, y: false }, focus: { prox: 24 } },
    scales: { x: { time: true }, y: { range: (_u, min, max) => range(min, max, zero) } },
    axes: [
      { ...axis, space: 84, size: 46, values: (_u, at, _i, _s, step) => dates(at, step) },
      { ...axis, size: 52, space: 44, values: (_u, v) => v.map((x) => num(x).replace(/\.0+$/, "").replace(/(\.\d*[1-9])0+$/, "$1")) },
    ],
    series: [
      {},
      ...lines.map((l): uPlot.Series => ({
        label: l.label,
        stroke: l.hidden ? "transparent" : color(l.color),
        width: l.hidden ? 0 : (l.width ?? 1.75),
        ...(l.dash && { dash: l.dash }),
        points: { show: false },
        spanGaps: true,
      })),
    ],
    ...(band && { bands: [{ series: band.series, fill: color(band.color) }] }),
    plugins: [{ hooks: { drawClear: (u) => drawMarks(u, marks(), color), setCursor: tip(lines, unit) } }],
  };
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** dates labels positions of the time axis in UTC: the time of day between dates, and the year below the first date and where it changes. */
export function dates(at: number[], step: number): string[] {
  let day = "";
  let year = 0;
  return at.map((s) => {
    const d = new Date(s * 1000);
    const date = step >= 28 * 86400 ? months[d.getUTCMonth()]! : `${d.getUTCDate()} ${months[d.getUTCMonth()]}`;
    const time = d.toISOString().slice(11, step < 60 ? 19 : 16);
    const below = d.getUTCFullYear() === year ? "" : `\n${(year = d.getUTCFullYear())}`;
    if (step >= 86400) return date + below;
    const changed = date !== day;
    day = date;
    return changed ? `${time}\n${date}${below.replace("\n", " ")}` : time;
  });
}

function range(min: number | null, max: number | null, zero: boolean): [number, number] {
  if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  const pad = (max - min || Math.abs(max) || 1) * 0.08;
  return [zero && min >= 0 ? 0 : min - pad, max + pad];
}

function drawMarks(u: uPlot, marks: Mark[], color: (name: string) => string) {
  const { ctx, bbox } = u;
  ctx.save();
  for (const m of marks) {
    const x = Math.round(u.valToPos(m.at, "x", true)) + 0.5;
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = ctx.fillStyle = color(m.color);
    ctx.globalAlpha = 0.8;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    const r = 4 * devicePixelRatio;
    ctx.moveTo(x - r, bbox.top);
    ctx.lineTo(x + r, bbox.top);
    ctx.lineTo(x, bbox.top + r * 1.4);
    ctx.fill();
  }
  ctx.restore();
}

/** tip shows the values under the cursor in a box that follows it. */
function tip(lines: Line[], unit: string) {
  let el: HTMLDivElement | null = null;
  return (u: uPlot) => {
    if (!el || !u.over.contains(el)) {
      el = document.createElement("div");
      el.className = "tip";
      u.over.appendChild(el);
    }
    const { idx, left = -1, top = 0 } = u.cursor;
    if (idx === null || idx === undefined || left < 0) {
      el.hidden = true;
      return;
    }
    el.hidden = false;
    const rows = lines.flatMap((l, i) => {
      const v = u.data[i + 1]?.[idx];
      if (v === null || v === undefined) return [];
      const row = document.createElement("div");
      const dot = document.createElement("i");
      dot.style.background = l.hidden ? "transparent" : `var(${l.color})`;
      const value = document.createElement("b");
      value.textContent = num(v, unit);
      row.append(dot, l.label, value);
      return [row];
    });
    const time = document.createElement("time");
    time.textContent = utc(u.data[0][idx]! * 1e6, false) + " UTC";
    el.replaceChildren(time, ...rows);
    const flip = left > u.over.clientWidth / 2;
    el.style.transform = `translate(${flip ? left - el.offsetWidth - 12 : left + 12}px, ${Math.min(Math.max(0, top - 20), Math.max(0, u.over.clientHeight - el.offsetHeight))}px)`;
  };
}

/** Legend names the lines of a chart in HTML, so that it is readable without seeing the canvas. */
export function Legend({ items }: { items: { label: string; color: string; kind?: "line" | "dash" | "band" | "mark" }[] }) {
  return (
    <ul className="legend">
      {items.map((i) => (
        <li key={i.label} className={i.kind ?? "line"}>
          <i style={{ color: `var(${i.color})` }} />
          {i.label}
        </li>
      ))}
    </ul>
  );
}

/** Interval draws a confidence interval of a difference against the limit that it must not pass. Left is better. */
export function Interval({ lo, hi, mean, limit, label }: { lo: number; hi: number; mean: number; limit: number; label: string }) {
  const bounded = Math.abs(lo) < 1e6 && Math.abs(hi) < 1e6 && Number.isFinite(mean);
  if (!bounded) return <p className="mute">Not enough labelled rows for a bound yet.</p>;
  const reach = Math.max(Math.abs(lo), Math.abs(hi), Math.abs(limit)) * 1.15 || 1;
  const x = (v: number) => `${((v + reach) / (2 * reach)) * 100}%`;
  const tone = hi <= limit ? "ok" : lo > limit ? "bad" : "warn";
  return (
    <figure className={`interval ${tone}`} role="img" aria-label={label}>
      <svg width="100%" height="58" aria-hidden="true">
        <rect className="refuse" x={x(limit)} y="12" width="100%" height="24" />
        <line className="axis" x1="0" x2="100%" y1="24" y2="24" />
        <line className="zero" x1={x(0)} x2={x(0)} y1="12" y2="36" />
        <line className="limit" x1={x(limit)} x2={x(limit)} y1="8" y2="40" />
        <line className="span" x1={x(lo)} x2={x(hi)} y1="24" y2="24" />
        <line className="end" x1={x(lo)} x2={x(lo)} y1="18" y2="30" />
        <line className="end" x1={x(hi)} x2={x(hi)} y1="18" y2="30" />
        <circle cx={x(mean)} cy="24" r="5" />
        <text x="0" y="54">← better</text>
        <text x="100%" y="54" textAnchor="end">worse →</text>
      </svg>
    </figure>
  );
}
