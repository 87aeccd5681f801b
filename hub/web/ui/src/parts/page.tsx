import { useEffect, type ReactNode } from "react";

/** Head is a view's heading with its path above and its actions beside. It names the tab. */
export function Head({ title, up, badge, children }: { title: string; up?: [string, string]; badge?: ReactNode; children?: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Skerry`;
  }, [title]);
  return (
    <div className="head">
      <div>
        {up && (
          <nav className="path" aria-label="Path">
            <a href={up[0]}>{up[1]}</a>
          </nav>
        )}
        <h1>
          {title} {badge}
        </h1>
      </div>
      {children && <div className="buttons">{children}</div>}
    </div>
  );
}

export function Filter({ value, onChange, label }: { value: string; onChange: (v: string) => void; label: string }) {
  return <input type="search" className="filter" value={value} onChange={(e) => onChange(e.target.value)} placeholder={label} aria-label={label} />;
}

export function Select({ label, value, options, onChange }: { label: string; value: string; options: [string, string][]; onChange: (v: string) => void }) {
  return (
    <label className="select">
      <span>{label}</span>
      <select value={value} onChange={(e) => onChange(e.target.value)}>
        {options.map(([v, text]) => (
          <option key={v} value={v}>{text}</option>
        ))}
      </select>
    </label>
  );
}
