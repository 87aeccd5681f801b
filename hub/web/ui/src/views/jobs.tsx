import { useState } from "react";
import { cap, count, duration, num, version } from "../format";
import { call, may, now } from "../api";
import { Age, Ask, Badge, Bar, Card, Empty, Facts, Loading, ModelLink, Skill, Stat, Stats, Table, TaskLink, Time, Trouble } from "../parts/bits";
import { Head } from "../parts/page";
import { link, usePoll, useSession } from "../poll";
import type { Fleet, Job, List } from "../types";
import { jobTone, progress, skill, stageWords, verdictTone } from "../words";
import { Leaderboard, VerdictBox } from "./models";

function Progress({ j }: { j: Job }) {
  if (j.state !== "running") return null;
  const r = j.result;
  const text = `${cap(stageWords[r.stage ?? ""] ?? (r.stage || "starting"))}${r.stage === "search" && r.trials ? `, ${r.done ?? 0} of ${r.trials}` : ""}`;
  return (
    <div className="trial">
      <Bar share={progress(r.stage, r.done, r.trials)} label={text} />
      <small>{text}{r.stage === "search" && r.learner ? `; best so far ${r.learner}` : ""}</small>
    </div>
  );
}

export function JobsView() {
  const { data, error } = usePoll<List<Job>>("/v1/jobs?limit=100");
  const items = data?.items ?? [];
  return (
    <>
      <Head title="Training" />
      <Trouble error={error} stale={!!data} />
      <Card flush className="tall">
        {!data ? (
          !error && <Loading />
        ) : items.length === 0 ? (
          <Empty title="Nothing was trained yet">
            <p className="mute">Trainings start by themselves: when a task has labels enough for a first model, when devices report drift, when the loss grows. An engineer can start one from the <a href={link("tasks")}>task</a>.</p>
          </Empty>
        ) : (
          <Table label="Trainings" wraps head={["Training", "Task", "State", "Why", "Result", "Outcome", ["Took", "n"], "Queued"]}>
            {items.map((j) => (
              <tr key={j.id}>
                <th scope="row"><a href={link("job", j.id)}>{j.id}</a></th>
                <td><TaskLink name={j.task} /></td>
                <td><Badge tone={jobTone[j.state] ?? "mute"}>{j.state}</Badge></td>
                <td><span className="clip" title={j.spec.trigger}>{j.spec.trigger}</span></td>
                <td>
                  {j.state === "running" ? <Progress j={j} /> : j.result.digest ? <><ModelLink digest={j.result.digest} name={j.result.model} /> {j.result.verdict && <Badge tone={verdictTone[j.result.verdict.outcome] ?? "mute"}>{j.result.verdict.outcome}</Badge>}</> : "–"}
                </td>
                <td className="fill"><span className="clip" title={j.error || j.result.outcome}>{j.error || j.result.outcome || "–"}</span></td>
                <td className="n">{j.state === "running" ? duration((now() - j.started_at) / 1e6) : duration(j.result.seconds)}</td>
                <td><Age us={j.created_at} /></td>
              </tr>
            ))}
          </Table>
        )}
      </Card>
    </>
  );
}

export function JobView({ id }: { id: string }) {
  const { data: j, error, reload } = usePoll<Job>(`/v1/jobs/${encodeURIComponent(id)}`);
  const me = useSession();
  const [asked, setAsked] = useState(false);
  const fleet = usePoll<Fleet>("/v1/fleet", 10_000).data;
  if (!j) {
    return (
      <>
        <Head title={id} up={[link("jobs"), "Training"]} />
        <Trouble error={error} stale={false} />
        {!error && <Loading />}
      </>
    );
  }
  const r = j.result;
  const unit = fleet?.tasks.find((t) => t.name === j.task)?.unit ?? "";
  const h = r.holdout;
  return (
    <>
      <Head title={j.id} up={[link("jobs"), "Training"]} badge={<Badge tone={jobTone[j.state] ?? "mute"}>{j.state}</Badge>}>
        {may(me?.role, "engineer") && (j.state === "queued" || j.state === "running") && <button type="button" onClick={() => setAsked(true)}>Cancel…</button>}
      </Head>
      <Trouble error={error} stale />
      {j.error && <p className="trouble" role="alert">{cap(j.error)}</p>}
      {j.state === "running" && <Card><Progress j={j} /></Card>}
      <Stats>
        <Stat name="Task" value={<TaskLink name={j.task} />} note={<span title={j.spec.trigger}>{j.spec.trigger}</span>} />
        <Stat name="Rows" value={count(r.rows)} note="with truth, of all devices" />
        <Stat name="Model" value={r.digest ? <ModelLink digest={r.digest} name={version(r.model)} /> : "–"} note={r.learner ?? "not chosen yet"} />
        <Stat name="Held-out error" value={h?.mae ? num(h.mae, unit) : h?.log_loss ? num(h.log_loss) : "–"} note={h?.mae ? <>last value {num(h.mae_persistence, unit)} <Skill value={skill(h.mae, h.mae_persistence)} baseline="last value" /></> : "measured at the end"} />
        <Stat name="Took" value={j.state === "running" ? duration((now() - j.started_at) / 1e6) : duration(r.seconds)} note={r.trials ? `${r.done ?? 0} of ${r.trials} trials` : "no trial yet"} />
      </Stats>
      <div className="cols">
        <Card title="Outcome">
          <p>{r.outcome ? `${cap(r.outcome)}.` : j.state === "failed" ? "It failed." : "Not decided yet."} {r.rollout && <a href={link("rollout", r.rollout)}>Rollout {r.rollout}</a>}</p>
          <Facts items={[["Because of", j.spec.trigger], ["Queued", <><Time us={j.created_at} /> by {j.created_by}</>], ["Started", <Time us={j.started_at} />], ["Finished", <Time us={j.finished_at} />], ["Lineage", <code>{j.spec.lineage}</code>], ...(r.gone_why ? [["Champion", `none: ${r.gone_why}`] as [string, string]] : [])]} />
        </Card>
        <Card title={`Judged against ${r.verdict?.against ?? "the champion"}`}>{r.verdict ? <VerdictBox v={r.verdict} /> : <p className="mute">The comparison comes last.</p>}</Card>
      </div>
      {asked && (
        <Ask
          title={`Cancel ${j.id}?`}
          says="The training ends and its result is dropped. What started it does not start it again."
          action="Cancel the training"
          danger
          onClose={() => setAsked(false)}
          onDo={async () => {
            await call("POST", `/v1/jobs/${encodeURIComponent(j.id)}/cancel`);
            setAsked(false);
            reload();
          }}
        />
      )}
      <Card title="Leaderboard" flush>{r.leaderboard?.length ? <Leaderboard items={r.leaderboard} unit={unit} /> : <Empty title="No candidate was measured yet" />}</Card>
    </>
  );
}
