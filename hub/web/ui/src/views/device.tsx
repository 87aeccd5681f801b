import { useState } from "react";
import { call, may } from "../api";
import { bytes, cap, count, duration, num, offline, percent, words } from "../format";
import { Age, Ask, Badge, Bar, Card, Empty, Facts, Loading, ModelLink, Pages, PhaseBadge, Skill, Stat, Stats, Table, TaskLink, Time, Trouble } from "../parts/bits";
import { Head } from "../parts/page";
import { link, usePoll, useSession } from "../poll";
import type { DeviceDetail, EventItem, Fleet, Gap, List, Reported, ReportedInput, ReportedTask } from "../types";
import { baselineName, errorName, errorText, phaseOf, skill, within } from "../words";
import { EventTable } from "./events";
import { healthTone, LinkBadge } from "./fleet";

const classes = ["", "alarm", "event", "label", "reading", "prediction", "host"];

export function DeviceView({ name }: { name: string }) {
  const { data: d, error, reload } = usePoll<DeviceDetail>(`/v1/devices/${encodeURIComponent(name)}`);
  const fleet = usePoll<Fleet>("/v1/fleet", 10_000).data;
  const events = usePoll<List<EventItem>>(`/v1/events?device=${encodeURIComponent(name)}&limit=50`, 4000).data?.items;
  const gaps = usePoll<List<Gap>>(`/v1/gaps?device=${encodeURIComponent(name)}&limit=50`, 10_000).data?.items;
  const me = useSession();
  const [asked, setAsked] = useState<"revoke" | "clear">();
  const [taskPage, setTaskPage] = useState(0);
  const operator = may(me?.role, "operator");
  if (!d) {
    return (
      <>
        <Head title={name} up={[link("fleet"), "Fleet"]} />
        <Trouble error={error} stale={false} />
        {!error && <Loading />}
      </>
    );
  }
  const r = d.reported;
  const today = d.usage?.find((u) => u.day === new Date().toISOString().slice(0, 10));
  const odd = ([
    [today?.refused, "messages could not be read"],
    [today?.conflicts, "chunks contradict stored ones"],
    [today?.odd_times, "readings have a time before the year 2000 or in the future"],
    [today?.non_finite, "readings are no number"],
  ] as const).filter(([n]) => n).map(([n, what]) => `${count(n!)} ${what}`);
  const box = r?.outbox;
  const tasks = Object.entries(r?.tasks ?? {}).sort(([a], [b]) => a.localeCompare(b));
  const page = Math.min(taskPage, Math.max(0, Math.ceil(tasks.length / tasksShown) - 1));
  return (
    <>
      <Head title={d.name} up={[link("fleet"), "Fleet"]} badge={<><LinkBadge d={d} /> <Badge tone={healthTone(d.health)}>{d.health}</Badge></>}>
        {operator && d.suspect && <button type="button" onClick={() => setAsked("clear")}>Clear suspicion…</button>}
        {operator && !d.revoked_at && <button type="button" className="danger" onClick={() => setAsked("revoke")}>Revoke…</button>}
      </Head>
      <Trouble error={error} stale />
      {d.suspect && <p className="trouble" role="alert">This device may be a clone: {d.suspect}. Telemetry goes on; nothing is pushed to it until an operator decides.</p>}
      {d.health === "degraded" && (d.reasons?.length ?? 0) > 0 && <Reasons all={d.reasons!} />}
      {odd.length > 0 && <p className="notice warn">Today {odd.join("; ")}: see the alarms below.</p>}
      <Stats>
        <Stat name="Last report" value={<Age us={d.reported_at} />} note={<>link seen <Age us={d.seen_at} /></>} />
        <Stat name="Can stay offline" value={box ? offline(box.offline_days) : "–"} note={box ? `at ${bytes(box.bytes_per_day)} a day` : "not reported"} />
        <Stat name="Waiting in the outbox" value={box ? count(box.pending_records) : "–"} note={box ? `${bytes(box.pending_bytes)} of ${bytes(box.cap_bytes)}` : "records"} />
        <Stat name="Reading to prediction" value={latency(r?.latency_us?.["mqtt_to_prediction_p99"])} note={`p99; the model alone ${latency(r?.latency_us?.["predict_p99"])}`} />
      </Stats>

      {tasks.slice(page * tasksShown, (page + 1) * tasksShown).map(([task, t]) => (
        <TaskCard key={task} task={task} t={t} d={d} unit={fleet?.tasks.find((x) => x.name === task)?.unit ?? ""} />
      ))}
      <Pages label="Pages of tasks" page={page} size={tasksShown} total={tasks.length} onChange={setTaskPage} ways={["Previous", "Next"]} />
      {tasks.length === 0 && (
        <Card><Empty title="This device has not reported a task"><p>Put a task file into the device's <code>tasks</code> folder and check it with</p><p><code>skerry-agent task check &lt;file&gt;</code></p></Empty></Card>
      )}

      {r && <Inputs r={r} />}
      <div className="cols">
        <Card title="Records">
          {box && box.cap_bytes > 0 && (
            <div className="trial">
              <Bar share={box.pending_bytes / box.cap_bytes} label="Outbox in use" tone={box.pending_bytes > 0.8 * box.cap_bytes ? "bad" : "info"} />
              <small>Outbox: {bytes(box.pending_bytes)} of {bytes(box.cap_bytes)} wait for the hub</small>
            </div>
          )}
          <Table label="Records by class" head={["Class", ["Stored on the device", "n"], ["At the hub", "n"]]}>
            {classes.slice(1).filter((c) => (box?.stored?.[c] ?? 0) > 0 || (d.applied[c] ?? 0) > 0).map((c) => (
              <tr key={c}>
                <th scope="row">{c}</th>
                <td className="n">{count(box?.stored?.[c] ?? 0)}</td>
                <td className="n">{count(d.applied[c] ?? 0)}</td>
              </tr>
            ))}
          </Table>
          {gaps === undefined ? null : !gaps?.length ? (
            <p className="mute below">No loss was declared: every record that was stored is at the hub or on its way.</p>
          ) : (
            <Table label="Declared losses" head={["Declared (UTC)", "Class", ["Records", "n"], "Reason"]}>
              {gaps.map((g) => (
                <tr key={`${g.run}/${g.class}/${g.from}`}>
                  <td><Time us={g.declared_at} bare /></td>
                  <td>{classes[g.class] ?? g.class}</td>
                  <td className="n">{count(g.to - g.from + 1)}</td>
                  <td>{words(g.reason)}</td>
                </tr>
              ))}
            </Table>
          )}
        </Card>
        <Card title="Device">
          <Facts
            items={[
              ["Site", d.site],
              ["Cohort", d.cohort || "–"],
              ["Class", d.class || "–"],
              ["Agent", r?.version || d.version || "–"],
              ["Enrolled", <Time us={d.created_at} />],
              ["Joins", String(d.join_counter)],
              ["Orders", `${r?.generation ?? 0} of ${d.desired.generation} accepted`],
              ["Runs", count(d.run_count)],
              ["Sent today (UTC)", `${bytes(today?.bytes ?? 0)} of ${bytes(d.quota)} a day`],
              ...(d.host ?? []).map((h) => hostFact(h.metric, h.value)),
            ]}
          />
        </Card>
      </div>
      <Card title="Events and alarms" flush>{events ? <EventTable items={events} bare /> : <Loading />}</Card>
      {asked && (
        <Ask
          title={asked === "revoke" ? `Revoke ${d.name}?` : `Is ${d.name} the only one of its name?`}
          says={asked === "revoke" ? "Its credential is void at once and its connection is closed. It goes on predicting by itself; to come back it must enrol again." : "Pushes to it start again."}
          action={asked === "revoke" ? "Revoke" : "Clear suspicion"}
          danger={asked === "revoke"}
          onClose={() => setAsked(undefined)}
          onDo={async () => {
            await call("POST", `/v1/devices/${encodeURIComponent(d.name)}/${asked === "revoke" ? "revoke" : "clear-suspect"}`);
            reload();
          }}
        />
      )}
    </>
  );
}

const reasonsShown = 4;
const tasksShown = 3;
const inputsShown = 8;

/** Reasons says what is wrong with a device and what to do; of very many the first. */
function Reasons({ all }: { all: string[] }) {
  const more = all.length - reasonsShown;
  return (
    <div className="notice warn" role="status">
      Degraded: {all.length === 1 ? all[0] : <ul>{all.slice(0, reasonsShown).map((x) => <li key={x}>{x}</li>)}</ul>}
      {more > 0 && <>and {count(more)} more{all.some((x) => /series|input/.test(x)) ? ": see the inputs below" : ""}</>}
    </div>
  );
}

/** Inputs lists what has arrived for each input of a device, those with something wrong first. */
function Inputs({ r }: { r: Reported }) {
  const [wanted, setPage] = useState(0);
  const all = r.inputs ?? [];
  const page = Math.min(wanted, Math.max(0, Math.ceil(all.length / inputsShown) - 1));
  if (!all.length && !r.left_out) return null; // the agent is older than this table
  const wrong = all.filter((x) => x.wrong?.length).length;
  return (
    <Card title="Inputs" aside={<span className="mute">{wrong ? `${count(wrong)} of ${count(all.length)} with something wrong` : `${count(all.length)}, nothing wrong`}</span>} flush>
      <Table stack wraps label="Inputs" head={["Series", "Topic and path", ["Readings", "n"], ["Every", "n"], "Last", ["Value", "n"], ["Refused", "n"], "State"]}>
        {all.slice(page * inputsShown, (page + 1) * inputsShown).map((x) => <InputRow key={x.series} x={x} />)}
      </Table>
      <Pages label="Pages of inputs" page={page} size={inputsShown} total={all.length} onChange={setPage} ways={["Previous", "Next"]} />
      {r.left_out && <p className="mute below">The device left out {r.left_out}.</p>}
    </Card>
  );
}

function InputRow({ x }: { x: ReportedInput }) {
  const why = x.wrong?.length ? x.wrong.join("; ") : x.last_refused;
  return (
    <tr>
      <th scope="row">{x.series}<small>{x.tasks?.join(", ")}</small></th>
      <td data-l="Topic and path" className="any"><small>{x.topic}</small>{x.path && <small>{x.path}</small>}</td>
      <td className="n" data-l="Readings">{count(x.readings)}</td>
      <td className="n" data-l="Every">{x.every_s ? duration(x.every_s) : "–"}</td>
      <td data-l="Last"><Age us={x.last_seen ?? 0} /></td>
      <td className="n" data-l="Value">{x.readings ? x.last_text || num(x.last_value ?? 0) : "–"}</td>
      <td className="n" data-l="Refused">{count(x.refused ?? 0)}</td>
      <td data-l="State" className="any fill">
        <Badge tone={x.wrong?.length ? "bad" : x.readings ? "ok" : "mute"}>{x.wrong?.length ? "wrong" : x.readings ? "ok" : "nothing yet"}</Badge>
        {why && <small>{why}</small>}
      </td>
    </tr>
  );
}

function latency(v: number | undefined): string {
  return v === undefined || v === 0 ? "–" : v >= 1000 ? num(v / 1000, "ms") : num(v, "µs");
}

/** hostFact tells a metric's unit by the end of its name, as the agent names them. */
function hostFact(metric: string, v: number | null): [string, string] {
  const [, name = metric, unit = ""] = /^(.*?)_?(percent|bytes|celsius|seconds)?$/.exec(metric) ?? [];
  const value = unit === "bytes" ? bytes(v) : unit === "seconds" ? duration(v) : num(v, unit === "percent" ? "%" : unit === "celsius" ? "°C" : "");
  const known: Record<string, string> = { cpu: "CPU", mem_used: "Memory used", mem_available: "Memory free", agent_rss: "Memory of the agent", load1: "Load, 1 min" };
  return [known[name] ?? cap(words(name)), value];
}

/** TaskCard shows how a task does on this device and how far its newest assignment has come. */
function TaskCard({ task, t, d, unit }: { task: string; t: ReportedTask; d: DeviceDetail; unit: string }) {
  const a = t.assignment;
  const why = d.why[task];
  const trial = d.desired.assignments?.[task]?.trial;
  const s = a?.stats;
  const need = a?.phase === "shadow" ? trial?.min_shadow : trial?.probation;
  return (
    <Card title={<TaskLink name={task} />} aside={<span className="mute">data up to <Time us={t.watermark} seconds={false} /></span>}>
      <Stats>
        <Stat name="Active model" value={<ModelLink digest={t.champion} name={t.version} />} note={!t.champion ? "no model runs yet" : why?.desired && why.desired !== t.champion ? "another is on its way" : "as ordered"} />
        <Stat name={cap(errorName(t.kind))} value={t.labels ? errorText(t.kind, t.mae, unit) : "–"} note={t.labels ? <>{t.classes && <>log loss {num(t.classes.log_loss)}; </>}{baselineName(t.kind)} {errorText(t.kind, t.mae_persistence, unit)} <Skill value={skill(t.mae, t.mae_persistence)} baseline={baselineName(t.kind)} /></> : "no truth has arrived yet"} />
        <Stat name="Coverage" value={t.labels ? percent(t.coverage) : "–"} note={t.interval_plain ? `interval score ${num(t.interval_score ?? 0, unit)}, with a constant width ${num(t.interval_plain, unit)}` : within(t.kind)} />
        <Stat name="Rows" value={count(t.rows)} note={`${count(t.labels)} with truth`} />
        <Stat name="Drifts" value={count(t.drifts)} note="since the task began" />
      </Stats>
      {(a || why) && (
        <div className="assignment">
          <h3>Assignment {a && <PhaseBadge phase={a.phase} />}</h3>
          <p>{a ? `${cap(phaseOf(a.phase).text)}.` : ""} {why?.reason && !(a && why.reason.startsWith(`${a.phase}, by rollout`)) && <span className="mute">{cap(why.reason)}.</span>}</p>
          {a && s && (
            <>
              {need && (a.phase === "shadow" || a.phase === "probation") ? (
                <div className="trial">
                  <Bar share={s.labelled / need} label="Labelled rows of the trial" />
                  <small>{count(s.labelled)} labelled rows, {count(s.warm)} of them from the local cache; {count(need)} are needed</small>
                </div>
              ) : null}
              <Facts
                wide
                items={[
                  ["Model", <ModelLink digest={a.digest} name={d.desired.assignments?.[task]?.version} />],
                  ["Rollout", a.rollout ? <a href={link("rollout", a.rollout)}>{a.rollout}</a> : "–"],
                  ["Rows", `${count(s.rows)} live, ${count(s.labelled)} labelled`],
                  ["Loss", s.labelled ? `${num(s.sum_candidate / s.labelled)} against ${num(s.sum_incumbent / s.labelled)}` : "–"],
                  ["Latency, p99", s.latency_p99_us ? num(s.latency_p99_us, "µs") : "–"],
                  ["Disagreement", num(s.disagreement)],
                  ["Not finite, panics", `${count(s.non_finite)}, ${count(s.panics)}`],
                ]}
              />
            </>
          )}
        </div>
      )}
    </Card>
  );
}
