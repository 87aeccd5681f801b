import { useEffect, useRef, useState, type ReactNode } from "react";
import { now, type ApiError } from "../api";
import { ago, dash, local, percent, shortDigest, utc } from "../format";
import { link, useTick } from "../poll";
import { phaseOf, signedSkill, type Tone } from "../words";

export function Badge({ tone, children, title }: { tone: Tone; children: ReactNode; title?: string | undefined }) {
  return (
    <span className={`badge ${tone}`} title={title}>
      <i aria-hidden="true" />
      {children}
    </span>
  );
}

export const PhaseBadge = ({ phase }: { phase: string }) => (
  <Badge tone={phaseOf(phase).tone} title={phaseOf(phase).text}>
    {phase || "none"}
  </Badge>
);

/** Time shows an instant in UTC, with the local time in its title. bare leaves the zone to the column's heading. */
export function Time({ us, seconds = true, bare }: { us: number; seconds?: boolean; bare?: boolean }) {
  if (!us) return <span className="mute">{dash}</span>;
  return (
    <time className="num" dateTime={new Date(us / 1000).toISOString()} title={`${local(us)} here; ${utc(us)} UTC`}>
      {utc(us, seconds)}{!bare && " UTC"}
    </time>
  );
}

/** Age shows how long ago something was, and keeps counting. */
export function Age({ us }: { us: number }) {
  useTick(1000);
  if (!us) return <span className="mute">never</span>;
  return (
    <time className="num" dateTime={new Date(us / 1000).toISOString()} title={`${utc(us)} UTC; ${local(us)} here`}>
      {ago(us, now())}
    </time>
  );
}

export function Card({ title, aside, children, flush, className = "" }: { title?: ReactNode; aside?: ReactNode; children: ReactNode; flush?: boolean; className?: string }) {
  return (
    <section className={`card ${flush ? "flush" : ""} ${className}`}>
      {(title || aside) && (
        <header>
          <h2>{title}</h2>
          {aside && <div className="aside">{aside}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

export function Stat({ name, value, note, tone }: { name: string; value: ReactNode; note?: ReactNode; tone?: Tone }) {
  return (
    <div className={`stat ${tone ?? ""}`}>
      <dt>{name}</dt>
      <dd>
        <b>{value}</b>
        {note && <small>{note}</small>}
      </dd>
    </div>
  );
}

export const Stats = ({ children }: { children: ReactNode }) => <dl className="stats">{children}</dl>;

export function Facts({ items, wide }: { items: [string, ReactNode][]; wide?: boolean }) {
  return (
    <dl className={wide ? "facts two" : "facts"}>
      {items.map(([k, v]) => (
        <div key={k}>
          <dt>{k}</dt>
          <dd>{v}</dd>
        </div>
      ))}
    </dl>
  );
}

export type Heading = string | [string, string] | [string, string, () => void];

/** Pages shows one page of a list and how to reach the others; ways are the words for back and forth. */
export function Pages({ page, size, total, onChange, label = "Pages", ways = ["Newer", "Older"] }: { page: number; size: number; total: number; onChange: (p: number) => void; label?: string; ways?: [string, string] }) {
  if (total <= size) return null;
  const last = Math.ceil(total / size) - 1;
  return (
    <nav className="pages" aria-label={label}>
      <span className="num">{page * size + 1} to {Math.min((page + 1) * size, total)} of {total}</span>
      <button type="button" disabled={page <= 0} onClick={() => onChange(page - 1)}>{ways[0]}</button>
      <button type="button" disabled={page >= last} onClick={() => onChange(page + 1)}>{ways[1]}</button>
    </nav>
  );
}

/** Table scrolls sideways by itself when it does not fit, so that the page never does. With stack its rows become cards on a telephone; its cells then carry data-l. With wraps long cells break instead. A heading of three parts is a button: its text, its class and what it does. */
export function Table({ label, head, children, empty, stack, wraps }: { label: string; head: Heading[]; children: ReactNode; empty?: ReactNode; stack?: boolean; wraps?: boolean }) {
  return (
    <div className={`table ${stack ? "stack" : ""} ${wraps ? "wraps" : ""}`} role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {head.map((h, i) => (
              <th key={i} scope="col" className={Array.isArray(h) ? h[1] : undefined}>
                {typeof h === "object" && h[2] ? <button type="button" className="sort" onClick={h[2]}>{h[0]}</button> : Array.isArray(h) ? h[0] : h}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
      {empty}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <svg viewBox="0 0 64 40" aria-hidden="true">
        <path d="M10 26 26 6l8 12 6-6 14 14z" />
        <path d="M4 34q7-5 14 0t14 0 14 0 14 0" />
      </svg>
      <h3>{title}</h3>
      {children}
    </div>
  );
}

export const Loading = () => (
  <div className="loading" role="status">
    <span className="hidden">Loading…</span>
    <i />
    <i />
    <i />
  </div>
);

/** Trouble says that answers fail; what is on the page stays. */
export function Trouble({ error, stale }: { error: ApiError | undefined; stale: boolean }) {
  if (!error) return null;
  return (
    <p className="trouble" role="alert">
      {error.message}
      {stale && " What is shown here was true when it last answered."}
    </p>
  );
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const t = window.setTimeout(() => setDone(false), 1500);
    return () => window.clearTimeout(t);
  }, [done]);
  return (
    <button type="button" className="copy" aria-label={label} onClick={() => void navigator.clipboard?.writeText(text).then(() => setDone(true))}>
      {done ? "Copied" : "Copy"}
    </button>
  );
}

export function Command({ text }: { text: string }) {
  return (
    <div className="command">
      <code>{text}</code>
      <Copy text={text} label={`Copy the command ${text}`} />
    </div>
  );
}

export const DeviceLink = ({ name }: { name: string }) => <a href={link("device", name)}>{name}</a>;
export const TaskLink = ({ name }: { name: string }) => <a href={link("task", name)}>{name}</a>;

export function ModelLink({ digest, name }: { digest: string; name?: string | undefined }) {
  if (!digest) return <span className="mute">baselines</span>;
  return (
    <a href={link("model", digest)} title={`sha256:${digest}`} className={name ? "" : "mono"}>
      {name || shortDigest(digest)}
    </a>
  );
}

/** Skill shows how much better than the baseline something is. */
export function Skill({ value, baseline }: { value: number; baseline: string }) {
  if (!Number.isFinite(value)) return <span className="mute">{dash}</span>;
  const tone = value > 0.005 ? "ok" : value < -0.005 ? "bad" : "mute";
  return (
    <span className={`skill ${tone}`} title={`${percent(value)} smaller error than the ${baseline}`}>
      {signedSkill(value)}
    </span>
  );
}

export function Bar({ share, label, tone = "info" }: { share: number; label: string; tone?: Tone }) {
  const v = Math.round(Math.min(1, Math.max(0, share)) * 100);
  return (
    <div className={`bar ${tone}`} role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={v}>
      <i style={{ width: `${v}%` }} />
    </div>
  );
}

/** Ask is a modal question: an action, what it does, and a reason to be recorded. onDo resolves when it is done; a message it throws is shown. */
export function Ask({ title, says, action, danger, reason, onDo, onClose }: {
  title: string;
  says: ReactNode;
  action: string;
  danger?: boolean | undefined;
  reason?: "optional" | "required";
  onDo: (reason: string) => Promise<void>;
  onClose: () => void;
}) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const submit = async () => {
    setBusy(true);
    setError("");
    try {
      await onDo(text.trim());
      onClose();
    } catch (e) {
      setError(e instanceof Error ? e.message : String(e));
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          void submit();
        }}
      >
        <div className="says">{says}</div>
        {reason && (
          <label>
            <span>Reason {reason === "optional" && <span className="mute">(optional)</span>}</span>
            <input value={text} onChange={(e) => setText(e.target.value)} maxLength={200} required={reason === "required"} autoFocus placeholder="kept in the history and the audit log" />
          </label>
        )}
        {error && <p className="trouble" role="alert">{error}</p>}
        <div className="buttons">
          <button type="button" onClick={onClose}>Cancel</button>
          <button type="submit" className={danger ? "danger solid" : "primary"} disabled={busy} autoFocus={!reason}>
            {busy ? "Working…" : action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Dialog uses the browser's own modal, which keeps the focus inside and closes on Escape. */
export function Dialog({ title, children, onClose }: { title: string; children: ReactNode; onClose: () => void }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = ref.current;
    if (d && !d.open) d.showModal();
  }, []);
  return (
    <dialog ref={ref} onClose={onClose} aria-label={title}>
      <h2>{title}</h2>
      {children}
    </dialog>
  );
}

export const Logo = () => (
  <svg className="logo" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" />
    <path className="rock" d="M6 20 13 9l4 6 3-4 6 9z" />
    <path className="sea" d="M5 24q3-2.4 5.5 0t5.5 0 5.5 0 5.5 0" />
  </svg>
);
