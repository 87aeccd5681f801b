import { useMemo, useState } from "react";
import { call, may, query } from "../api";
import { cap, count, duration, num, percent, version } from "../format";
import { Age, Ask, Badge, Card, DeviceLink, Empty, Loading, ModelLink, Skill, Stat, Stats, Table, TaskLink, Time, Trouble } from "../parts/bits";
import { Chart, Legend, type Line, type Mark } from "../parts/chart";
import { Head, Select } from "../parts/page";
import { link, useLabels, usePoll, useSession } from "../poll";
import { align, byClass, errorCurves, quality, spacing } from "../stats";
import type { EventItem, Fleet, FleetTask, Job, LabelPoint, List } from "../types";
import { baselineName, errorName, errorText, skill } from "../words";
import { Explained } from "./prediction";

export function TasksView() {
  const { data, error } = usePoll<Fleet>("/v1/fleet");
  return (
    <>
      <Head title="Tasks" />
      <Trouble error={error} stale={!!data} />
      <Card flush className="tall">
        {!data ? (
          !error && <Loading />
        ) : data.tasks.length === 0 ? (
          <Empty title="No task is known yet">
            <p>A task file says what to predict from which series. Put one into a device's <code>tasks</code> folder; it appears here when the device reports it.</p>
          </Empty>
        ) : (
          <Table label="Tasks" head={["Task", "Predicts", ["Devices", "n"], "Champion", ["Error", "n"], ["vs. baseline", "n"], ["Coverage", "n"], "Last report"]}>
            {data.tasks.map((t) => {
              const q = pooled(data, t);
              return (
                <tr key={t.name}>
                  <th scope="row"><TaskLink name={t.name} /><small>{t.kind}</small></th>
                  <td>{predicts(t)}</td>
                  <td className="n">{t.devices}</td>
                  <td><ModelLink digest={t.champion} name={t.model} /></td>
                  <td className="n">{errorText(t.kind, q.mae, t.unit)}</td>
                  <td className="n"><Skill value={skill(q.mae, q.baseline)} baseline={baselineName(t.kind)} /></td>
                  <td className="n">{percent(q.coverage)}</td>
                  <td><Age us={t.last_seen} /></td>
                </tr>
              );
            })}
          </Table>
        )}
      </Card>
    </>
  );
}

const predicts = (t: FleetTask) => (t.target ? `${t.target}${t.horizon_s ? `, ${duration(t.horizon_s)} ahead` : ""}` : "–");

/** pooled is the mean over devices that have labels. */
function pooled(f: Fleet, t: FleetTask) {
  const parts = f.devices.flatMap((d) => d.tasks.filter((x) => x.task === t.name && x.labels > 0));
  const mean = (g: (x: (typeof parts)[number]) => number) => parts.reduce((s, x) => s + g(x), 0) / parts.length;
  return { mae: mean((x) => x.mae), baseline: mean((x) => x.mae_persistence), coverage: mean((x) => x.coverage) };
}

const palette = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
const windows: [string, string][] = [["24", "24 rows"], ["72", "72 rows"], ["168", "168 rows"], ["720", "720 rows"]];
const spans: [string, string][] = [["1", "1 day"], ["3", "3 days"], ["7", "7 days"], ["14", "14 days"], ["30", "30 days"]];

export function TaskView({ name }: { name: string }) {
  const fleet = usePoll<Fleet>("/v1/fleet");
  const task = fleet.data?.tasks.find((t) => t.name === name);
  const jobs = usePoll<List<Job>>(`/v1/jobs${query({ task: name, limit: 1 })}`);
  const me = useSession();
  const [asked, setAsked] = useState(false);
  const job = jobs.data?.items?.[0];
  const training = job && (job.state === "queued" || job.state === "running");
  return (
    <>
      <Head title={name} up={[link("tasks"), "Tasks"]} badge={task && <Badge tone="mute">{task.kind}</Badge>}>
        {may(me?.role, "engineer") && (
          <button type="button" className="primary" disabled={!!training} onClick={() => setAsked(true)}>
            {training ? "Training…" : "Train now…"}
          </button>
        )}
      </Head>
      <Trouble error={fleet.error ?? jobs.error} stale={!!fleet.data} />
      {!fleet.data && !fleet.error && <Loading />}
      {fleet.data && !task && <Card><Empty title={`No device reports a task “${name}”`}><p><a href={link("tasks")}>All tasks</a></p></Empty></Card>}
      {fleet.data && task && <TaskBody task={task} fleet={fleet.data} job={job} />}
      {asked && (
        <Ask
          title={`Train ${name} now?`}
          says="The hub collects the newest rows of every device, searches for a better model and compares it with the champion on rows neither has seen. A model that passes is rolled out."
          action="Train"
          reason="optional"
          onClose={() => setAsked(false)}
          onDo={async (reason) => {
            const j = await call<Job>("POST", `/v1/tasks/${encodeURIComponent(name)}/train`, reason ? { reason } : {});
            window.location.hash = link("job", j.id);
          }}
        />
      )}
    </>
  );
}

function TaskBody({ task, fleet, job }: { task: FleetTask; fleet: Fleet; job: Job | undefined }) {
  const labels = useLabels(task.name, "", 10_000);
  const drifts = usePoll<List<EventItem>>(`/v1/events${query({ task: task.name, kind: "drift", limit: 200 })}`, 4000).data?.items;
  const inputs = usePoll<List<EventItem>>(`/v1/events${query({ task: task.name, kind: "input_drift", limit: 200 })}`, 4000).data?.items;
  const [window_, setWindow] = useState("72");
  const points = labels.data ?? none;
  const q = useMemo(() => quality(points, task.kind), [points, task.kind]);
  const devices = fleet.devices.filter((d) => d.tasks.some((t) => t.task === task.name));
  const error = cap(errorName(task.kind));
  const base = baselineName(task.kind);
  const marks = useMemo(() => [...(drifts ?? []).map((e): Mark => ({ at: e.time / 1e6, color: "--bad", label: e.device })), ...(inputs ?? []).map((e): Mark => ({ at: e.time / 1e6, color: "--warn", label: e.device }))], [drifts, inputs]);
  return (
    <>
      <Stats>
        <Stat name="Predicts" value={predicts(task)} note={`${task.unit ? `in ${task.unit}, ` : ""}defined by ${task.source || "a device"}`} />
        <Stat name="Champion" value={<ModelLink digest={task.champion} name={version(task.model)} />} note={task.champion ? <>since <Age us={task.since} /></> : "devices predict by their baselines"} />
        <Stat name={`${error}, shown rows`} value={errorText(task.kind, q.mae, task.unit)} note={<>{task.kind === "classification" && <>log loss {num(q.logLoss)}; </>}{base} {errorText(task.kind, q.baseline, task.unit)} <Skill value={skill(q.mae, q.baseline)} baseline={base} /></>} />
        <Stat name="Coverage" value={percent(q.coverage)} note={task.interval ? `nominal ${percent(task.interval, 0)}` : `of ${count(q.labels)} truths`} />
        <Stat name="Training" value={job ? <a href={link("job", job.id)}>{job.state}</a> : "none yet"} note={job ? (job.result.model ?? job.spec.trigger) : "starts by itself when there are labels enough"} />
      </Stats>
      <Trouble error={labels.error} stale={points.length > 0} />
      {task.differing.length > 0 && (
        <p className="notice warn">
          {task.differing.length === 1 ? "One device runs" : `${task.differing.length} devices run`} another task file under this name and {task.differing.length === 1 ? "gets" : "get"} no models of it:{" "}
          {task.differing.map((d, i) => <span key={d}>{i > 0 && ", "}<DeviceLink name={d} /></span>)}. Compare with <code>skerry-hub task show {task.name}</code>.
        </p>
      )}
      <Card
        title="Live error"
        aside={<Select label="Mean over" value={window_} options={windows} onChange={setWindow} />}
      >
        {labels.data === undefined ? (
          <div className="chart-space"><Loading /></div>
        ) : points.length === 0 ? (
          <NoLabels />
        ) : (
          <ErrorChart points={points} window={Number(window_)} kind={task.kind} unit={task.unit} marks={marks} base={base} drifted={!!drifts?.length} inputDrifted={!!inputs?.length} />
        )}
      </Card>
      {task.kind === "classification" ? <Classes task={task} points={points} /> : <Truth task={task} devices={devices.map((d) => d.name)} />}
      <div className="cols wide">
        <Card title="Devices" flush>
          <Table label="Devices of the task" head={["Device", "Model", ["Error", "n"], ["vs. baseline", "n"], ["Coverage", "n"], ["Drifts", "n"]]}>
            {devices.map((d) => {
              const t = d.tasks.find((x) => x.task === task.name)!;
              return (
                <tr key={d.name}>
                  <th scope="row"><DeviceLink name={d.name} /></th>
                  <td><ModelLink digest={t.champion} name={version(t.version)} /></td>
                  <td className="n">{t.labels ? errorText(task.kind, t.mae, task.unit) : "–"}</td>
                  <td className="n"><Skill value={t.labels ? skill(t.mae, t.mae_persistence) : NaN} baseline={base} /></td>
                  <td className="n">{t.labels ? percent(t.coverage) : "–"}</td>
                  <td className="n">{count(t.drifts)}</td>
                </tr>
              );
            })}
          </Table>
        </Card>
        <Card title="Drift" flush>
          <Drifts items={[...(drifts ?? []), ...(inputs ?? [])].sort((a, b) => b.time - a.time).slice(0, 20)} />
        </Card>
      </div>
    </>
  );
}

const none: LabelPoint[] = [];

function NoLabels() {
  return (
    <Empty title="No prediction has met its truth yet">
      <p className="mute">A point appears for every prediction once its truth has arrived: for a forecast, one horizon after the first reading.</p>
    </Empty>
  );
}

function ErrorChart({ points, window, kind, unit, marks, base, drifted, inputDrifted }: { points: LabelPoint[]; window: number; kind: string; unit: string; marks: Mark[]; base: string; drifted: boolean; inputDrifted: boolean }) {
  const curves = useMemo(() => errorCurves(points, window, kind), [points, window, kind]);
  const shown = curves.slice(0, palette.length);
  const [times, rows] = useMemo(() => align(shown.map((c) => ({ times: c.times, values: [c.error, c.baseline] })), 1500), [curves]);
  const lines = useMemo(
    () => shown.flatMap((c, i): Line[] => [{ label: c.device, color: palette[i]!, width: 2 }, { label: `${c.device}, ${base}`, color: palette[i]!, width: 1.25, dash: [4, 4] }]),
    [shown.map((c) => c.device).join(), base],
  );
  const last = shown.map((c) => `${c.device} ${errorText(kind, c.error.at(-1), unit)}, ${base} ${errorText(kind, c.baseline.at(-1), unit)}`).join("; ");
  return (
    <>
      <Chart times={times} rows={rows} lines={lines} marks={marks} unit={unit} height={300} zero label={`${kind === "classification" ? "Rolling share of wrong classes" : "Rolling mean absolute error"} over event time. Latest: ${last}.`} />
      <Legend
        items={[
          ...shown.map((c, i) => ({ label: c.device, color: palette[i]! })),
          { label: base, color: "--faint", kind: "dash" as const },
          ...(drifted ? [{ label: "drift", color: "--bad", kind: "mark" as const }] : []),
          ...(inputDrifted ? [{ label: "input drift", color: "--warn", kind: "mark" as const }] : []),
        ]}
      />
      {curves.length > shown.length && <p className="mute below">The first {shown.length} of {curves.length} devices are drawn.</p>}
    </>
  );
}

const mostClasses = 40;

/** Classes tells how each class was predicted. */
function Classes({ task, points }: { task: FleetTask; points: LabelPoint[] }) {
  const rows = useMemo(() => byClass(points, task.classes ?? []), [points, task.classes]);
  return (
    <Card title="Classes" flush>
      {rows.length === 0 ? (
        <NoLabels />
      ) : (
        <Table label="How each class was predicted" wraps head={["True class", ["Truths", "n"], ["Right", "n"], ["Mean probability", "n"], "Else taken for"]}>
          {rows.slice(0, mostClasses).map((r) => (
            <tr key={r.name}>
              <th scope="row">{r.name}</th>
              <td className="n">{count(r.truths)}</td>
              <td className="n">{percent(r.right / r.truths)}</td>
              <td className="n">{percent(r.chance)}</td>
              <td>{r.taken.slice(0, 3).map(([name, n]) => `${name} ${count(n)}`).join(", ") || "–"}</td>
            </tr>
          ))}
        </Table>
      )}
      {rows.length > mostClasses && <p className="mute below">The {mostClasses} most frequent of {rows.length} classes are shown.</p>}
    </Card>
  );
}

/** Truth draws predictions with their interval against what came true. */
function Truth({ task, devices }: { task: FleetTask; devices: string[] }) {
  const [picked, setPicked] = useState("");
  const [span, setSpan] = useState("7");
  const [row, setRow] = useState<number>();
  const device = picked || devices[0] || "";
  const labels = useLabels(task.name, device, 3000);
  const all = labels.data ?? none;
  const shown = useMemo(() => {
    const end = all.at(-1)?.row_time ?? 0;
    return all.filter((p) => p.row_time >= end - Number(span) * 86400e6);
  }, [all, span]);
  const q = useMemo(() => quality(shown), [shown]);
  const [times, rows] = useMemo((): [number[], (number | null)[][]] => {
    const times: number[] = [];
    const rows: (number | null)[][] = [[], [], [], []];
    const gap = 3 * (spacing(shown.map((p) => p.at)) || Infinity);
    shown.forEach((p, i) => {
      const before = shown[i - 1];
      if (before && p.at <= before.at) return; // one truth per instant
      if (before && p.at - before.at > gap) {
        times.push(before.at / 1e6 + 1); // breaks lines and band where nothing was measured
        rows.forEach((r) => r.push(null));
      }
      times.push(p.at / 1e6);
      [p.upper, p.lower, p.predicted, p.truth].forEach((v, j) => rows[j]!.push(v));
    });
    return [times, rows];
  }, [shown]);
  const truncated = all.length >= 3000 && shown.length === all.length;
  return (
    <Card
      title="Truth and prediction"
      aside={
        <>
          <Select label="Device" value={device} options={devices.map((d) => [d, d])} onChange={setPicked} />
          <Select label="Last" value={span} options={spans} onChange={setSpan} />
        </>
      }
    >
      <Trouble error={labels.error} stale={all.length > 0} />
      {labels.data === undefined && device ? (
        <div className="chart-space"><Loading /></div>
      ) : times.length === 0 ? (
        <NoLabels />
      ) : (
        <>
          <Chart
            times={times}
            rows={rows}
            lines={truthLines}
            band={truthBand}
            unit={task.unit}
            height={260}
            onPick={(i) => setRow(shown.find((p) => p.at / 1e6 === times[i])?.row_time)}
            label={`Truth and prediction of ${device} over the last ${span} days: mean absolute error ${num(q.mae, task.unit)}, coverage ${percent(q.coverage)}.`}
          />
          <Legend items={[{ label: "truth", color: "--text" }, { label: "prediction", color: "--c1" }, { label: `interval, ${percent(task.interval || 0.9, 0)}`, color: "--band", kind: "band" }]} />
          <p className="mute below">
            {count(q.labels)} predictions: error {num(q.mae, task.unit)}, {baselineName(task.kind)} {num(q.baseline, task.unit)}, {percent(q.coverage)} of truths inside the interval.
            {truncated && " Older rows of this span are not loaded."}
          </p>
          <p className="below"><button type="button" onClick={() => setRow(shown.at(-1)?.row_time)}>Explain the newest…</button> <span className="mute">or click a point of the chart.</span></p>
          {row !== undefined && <Explained device={device} task={task.name} row={row} unit={task.unit} onClose={() => setRow(undefined)} />}
        </>
      )}
    </Card>
  );
}

const truthLines: Line[] = [
  { label: "upper", color: "--band", hidden: true },
  { label: "lower", color: "--band", hidden: true },
  { label: "prediction", color: "--c1", width: 2 },
  { label: "truth", color: "--text", width: 1.25 },
];
const truthBand: { series: [number, number]; color: string } = { series: [1, 2], color: "--band" };

function Drifts({ items }: { items: EventItem[] }) {
  if (!items.length) return <Empty title="No drift was seen"><p className="mute">Every device watches its own error and inputs.</p></Empty>;
  return (
    <Table label="Drift events" wraps head={["Event time (UTC)", "Device", "What", "Received"]}>
      {items.map((e) => {
        const d = (e.detail ?? {}) as { detector?: string; series?: string; others?: string[] };
        return (
          <tr key={e.id}>
            <td><Time us={e.time} seconds={false} bare /></td>
            <td><DeviceLink name={e.device} /></td>
            <td>{e.kind === "input_drift" ? <Badge tone="warn">input {[d.series, ...(d.others ?? [])].join(", ")}</Badge> : <Badge tone="bad">error, {(d.detector ?? "").replace("_", "–")}</Badge>}</td>
            <td><Age us={e.received_at} /></td>
          </tr>
        );
      })}
    </Table>
  );
}
