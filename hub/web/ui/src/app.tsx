import { useEffect, useRef, type ReactNode } from "react";
import { session } from "./api";
import { Logo } from "./parts/bits";
import { link, useRoute, useSession } from "./poll";
import { DeviceView } from "./views/device";
import { EventsView } from "./views/events";
import { FleetView } from "./views/fleet";
import { JobView, JobsView } from "./views/jobs";
import { LoginView } from "./views/login";
import { ModelView, ModelsView } from "./views/models";
import { RolloutView, RolloutsView } from "./views/rollouts";
import { TaskView, TasksView } from "./views/tasks";

const places: { path: string; name: string; also: string[]; icon: ReactNode }[] = [
  { path: "fleet", name: "Fleet", also: ["device"], icon: <path d="M3 4h10v4H3zM3 11h10v2H3zM5.5 6h.01" /> },
  { path: "tasks", name: "Tasks", also: ["task"], icon: <path d="M2 12.5 6 7l3 3 5-6.5M14 7V3.5h-3.5" /> },
  { path: "models", name: "Models", also: ["model"], icon: <path d="m8 2 5.5 3v6L8 14l-5.5-3V5zM2.5 5 8 8l5.5-3M8 8v6" /> },
  { path: "rollouts", name: "Rollouts", also: ["rollout"], icon: <path d="M3 13V9M8 13V6M13 13V3" /> },
  { path: "jobs", name: "Training", also: ["job"], icon: <path d="M8 2v2M8 12v2M2 8h2M12 8h2M4 4l1.3 1.3M10.7 10.7 12 12M12 4l-1.3 1.3M5.3 10.7 4 12M8 6.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3" /> },
  { path: "events", name: "Events", also: [], icon: <path d="M8 2a4 4 0 0 1 4 4v3l1.5 2.5h-11L4 9V6a4 4 0 0 1 4-4M6.5 14h3" /> },
];

export function App() {
  const me = useSession();
  const route = useRoute();
  if (!me) return <LoginView />;
  return (
    <div className="shell">
      <a className="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>
        Skip to the content
      </a>
      <nav className="side" aria-label="Views">
        <a className="brand" href={link("fleet")} aria-label="Skerry, fleet">
          <Logo />
          <span>Skerry</span>
        </a>
        <ul>
          {places.map((p) => {
            const here = route[0] === p.path || p.also.includes(route[0] ?? "") || (!route[0] && p.path === "fleet");
            return (
              <li key={p.path}>
                <a href={link(p.path)} aria-current={here ? "page" : undefined}>
                  <svg viewBox="0 0 16 16" aria-hidden="true">{p.icon}</svg>
                  <span>{p.name}</span>
                </a>
              </li>
            );
          })}
        </ul>
        <div className="who">
          <span title={`signed in as ${me.user}`}>
            <b>{me.user}</b>
            <small>{me.role}</small>
          </span>
          <button type="button" className="plain" onClick={session.end}>Sign out</button>
        </div>
      </nav>
      <Main key={route.join("/")}>{view(route)}</Main>
    </div>
  );
}

function view([kind = "fleet", name = ""]: string[]): ReactNode {
  switch (kind) {
    case "fleet":
      return <FleetView />;
    case "device":
      return <DeviceView name={name} />;
    case "tasks":
      return <TasksView />;
    case "task":
      return <TaskView name={name} />;
    case "models":
      return <ModelsView />;
    case "model":
      return <ModelView digest={name} />;
    case "rollouts":
      return <RolloutsView />;
    case "rollout":
      return <RolloutView id={name} />;
    case "jobs":
      return <JobsView />;
    case "job":
      return <JobView id={name} />;
    case "events":
      return <EventsView />;
  }
  return (
    <>
      <h1>There is no such view</h1>
      <p>Go to the <a href={link("fleet")}>fleet</a>.</p>
    </>
  );
}

/** Main takes the focus after a change of view, so that a screen reader starts at the new content. */
function Main({ children }: { children: ReactNode }) {
  const ref = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    if (document.activeElement !== document.body || !first.current) ref.current?.focus({ preventScroll: true });
    first.current = false;
    window.scrollTo(0, 0);
  }, []);
  return (
    <main id="main" ref={ref} tabIndex={-1}>
      {children}
    </main>
  );
}
