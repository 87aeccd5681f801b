import { useState } from "react";
import { call, may, query } from "../api";
import { bytes, cap, count, duration, num, percent, plain, shortDigest, words } from "../format";
import { Age, Ask, Badge, Card, Copy, Empty, Facts, Loading, ModelLink, Skill, Stat, Stats, Table, TaskLink, Time, Trouble } from "../parts/bits";
import { Head, Select } from "../parts/page";
import { link, usePoll, useSession } from "../poll";
import type { Fleet, Holdout, LeaderEntry, List, Model, Rollout, Verdict } from "../types";
import { modelTone, skill, verdictTone } from "../words";

/** scores are what a held-out test measured: the error and the baseline's, in words. */
function scores(h: Holdout | null | undefined, unit: string) {
  if (h?.mae) return { name: "mean error", value: num(h.mae, unit), base: num(h.mae_persistence, unit), skill: skill(h.mae, h.mae_persistence) };
  if (h?.log_loss) return { name: "log loss", value: num(h.log_loss), base: num(h.log_loss_prior), skill: skill(h.log_loss, h.log_loss_prior) };
  return { name: "error", value: "–", base: "–", skill: NaN };
}

export function ModelsView() {
  const [task, setTask] = useState("");
  const { data, error } = usePoll<List<Model>>(`/v1/models${query({ task, limit: 200 })}`, 4000);
  const fleet = usePoll<Fleet>("/v1/fleet", 10_000).data;
  const items = data?.items ?? [];
  return (
    <>
      <Head title="Models">
        {fleet && fleet.tasks.length > 1 && <Select label="Task" value={task} options={[["", "all"], ...fleet.tasks.map((t): [string, string] => [t.name, t.name])]} onChange={setTask} />}
      </Head>
      <Trouble error={error} stale={!!data} />
      <Card flush className="tall">
        {!data ? (
          !error && <Loading />
        ) : items.length === 0 ? (
          <Empty title="No model is registered yet">
            <p className="mute">The hub trains the first one by itself when a task has labels enough. Open the <a href={link("tasks")}>task</a> and choose “Train now”, or import one:</p>
            <p><code>skerry-hub model --help</code></p>
          </Empty>
        ) : (
          <Table label="Models" stack head={["Model", "State", "Learner", ["Held-out error", "n"], ["Last value", "n"], ["Change", "n"], ["Rows", "n"], ["Size", "n"], "Trained because of", "Created"]}>
            {items.map((m) => {
              const s = scores(m.metrics, fleet?.tasks.find((t) => t.name === m.task)?.unit ?? "");
              return (
                <tr key={m.digest}>
                  <th scope="row"><ModelLink digest={m.digest} name={m.name} /><small className="mono">{shortDigest(m.digest)}</small></th>
                  <td data-l="State">
                    <Badge tone={modelTone[m.state] ?? "mute"} title={m.tombstone}>{m.state}</Badge>
                    {m.tombstone && <small className="clip" title={m.tombstone}>{m.tombstone}</small>}
                  </td>
                  <td data-l="Learner">{m.kind}</td>
                  <td className="n" data-l="Held-out error">{s.value}</td>
                  <td className="n" data-l="Last value">{s.base}</td>
                  <td className="n" data-l="Change"><Skill value={s.skill} baseline="baseline" /></td>
                  <td className="n" data-l="Rows">{count(m.lineage?.rows)}</td>
                  <td className="n" data-l="Size">{bytes(m.size)}</td>
                  <td className="fill" data-l="Trained because of"><span className="clip" title={m.lineage?.trigger}>{m.lineage?.trigger ?? "–"}</span></td>
                  <td data-l="Created"><Age us={m.created_at} /></td>
                </tr>
              );
            })}
          </Table>
        )}
      </Card>
    </>
  );
}

export function ModelView({ digest }: { digest: string }) {
  const { data: m, error, reload } = usePoll<Model>(`/v1/models/${encodeURIComponent(digest)}`, 4000);
  const fleet = usePoll<Fleet>("/v1/fleet", 10_000).data;
  const rollouts = usePoll<List<Rollout>>(m ? `/v1/rollouts${query({ task: m.task, limit: 100 })}` : null, 4000).data?.items ?? [];
  const all = usePoll<List<Model>>(m ? `/v1/models${query({ task: m.task, limit: 200 })}` : null, 10_000).data?.items ?? [];
  const me = useSession();
  const [asked, setAsked] = useState<"rollout" | "tombstone" | "lift">();
  if (!m) {
    return (
      <>
        <Head title={shortDigest(digest)} up={[link("models"), "Models"]} />
        <Trouble error={error} stale={false} />
        {!error && <Loading />}
      </>
    );
  }
  const unit = fleet?.tasks.find((t) => t.name === m.task)?.unit ?? "";
  const s = scores(m.metrics, unit);
  const l = m.lineage ?? {};
  const running = fleet?.devices.filter((d) => d.tasks.some((t) => t.champion === m.digest)) ?? [];
  const operator = may(me?.role, "operator") && !m.tombstoned_at;
  const parent = all.find((x) => x.digest === l.champion);
  return (
    <>
      <Head title={m.name} up={[link("models"), "Models"]} badge={<Badge tone={modelTone[m.state] ?? "mute"}>{m.state}</Badge>}>
        {operator && <button type="button" className="primary" onClick={() => setAsked("rollout")}>Roll out…</button>}
        {operator && <button type="button" className="danger" onClick={() => setAsked("tombstone")}>Forbid…</button>}
        {m.tombstoned_at > 0 && may(me?.role, "admin") && <button type="button" onClick={() => setAsked("lift")}>Allow again…</button>}
      </Head>
      <Trouble error={error} stale />
      {m.tombstoned_at > 0 && <p className="trouble">Forbidden everywhere since <Time us={m.tombstoned_at} />: {m.tombstone}. A device that was offline refuses it too.</p>}
      <Stats>
        <Stat name={`Held-out ${s.name}`} value={s.value} note={<>baseline {s.base} <Skill value={s.skill} baseline="baseline" /></>} />
        <Stat name="Learner" value={m.kind} note={bytes(m.size)} />
        <Stat name="Interval coverage" value={m.metrics?.coverage ? percent(m.metrics.coverage) : "–"} note="before a device calibrates it" />
        <Stat name="Held-out rows" value={count(m.metrics?.rows)} note="newer than every training row" />
        <Stat name="Runs on" value={`${running.length} ${running.length === 1 ? "device" : "devices"}`} note={running.slice(0, 3).map((d) => d.name).join(", ") || "none at present"} />
      </Stats>
      <div className="cols">
        <Card title="Where it comes from">
          <Facts
            items={[
              ["Task", <TaskLink name={m.task} />],
              ["Registered", <><Time us={m.created_at} /> by {m.created_by}</>],
              ["Why", l.trigger ?? "–"],
              ["Training", l.job ? <a href={link("job", l.job)}>{l.job}</a> : "–"],
              ["Replaces", l.champion ? <ModelLink digest={l.champion} name={parent?.name} /> : "nothing: the first of its task"],
              ["Rows", count(l.rows)],
              ["Trained on", l.train_from ? <><Time us={l.train_from} seconds={false} bare /> to <Time us={l.train_to ?? 0} seconds={false} /></> : "–"],
              ["Devices", l.devices?.join(", ") ?? "–"],
              ...(l.source ? [["Source", l.source] as [string, string]] : []),
              ["Digest", <span className="digest"><code>{m.digest}</code> <Copy text={m.digest} label="Copy the digest" /></span>],
            ]}
          />
        </Card>
        <Card title={`Judged against ${l.verdict?.against ?? "the champion"}`}>
          {l.verdict ? <VerdictBox v={l.verdict} /> : <p className="mute">It was imported: nobody has compared it yet.</p>}
        </Card>
      </div>
      <Card title="Rollouts" flush>
        {rollouts.some((r) => r.spec.digest === m.digest) ? (
          <ul className="rows">
            {rollouts.filter((r) => r.spec.digest === m.digest).map((r) => (
              <li key={r.id}><a href={link("rollout", r.id)}>{r.id}</a> <span>{words(r.state)}</span> <Age us={r.created_at} /></li>
            ))}
          </ul>
        ) : (
          <Empty title="It was never rolled out" />
        )}
      </Card>
      {l.leaderboard && l.leaderboard.length > 0 && <Card title="What else was tried" flush><Leaderboard items={l.leaderboard} unit={unit} /></Card>}
      {asked === "rollout" && (
        <Ask
          title={`Roll out ${m.name}?`}
          says="Every device of the task runs it in shadow first. A fifth of them, at least one, may activate it next, then all. Each stage passes only when its gates do, and a failure takes it back by itself."
          action="Start the rollout"
          onClose={() => setAsked(undefined)}
          onDo={async () => {
            const r = await call<Rollout>("POST", "/v1/rollouts", { task: m.task, digest: m.digest });
            window.location.hash = link("rollout", r.id);
          }}
        />
      )}
      {asked === "tombstone" && (
        <Ask
          title={`Forbid ${m.name}?`}
          says="It must not run anywhere until an admin allows it again. Devices that run it go back to their previous model."
          action="Forbid it"
          danger
          reason="required"
          onClose={() => setAsked(undefined)}
          onDo={async (reason) => {
            await call("POST", `/v1/models/${m.digest}/tombstone`, { reason });
            reload();
          }}
        />
      )}
      {asked === "lift" && (
        <Ask
          title={`Allow ${m.name} again?`}
          says="Devices may run it again when it is rolled out anew."
          action="Allow it"
          reason="required"
          onClose={() => setAsked(undefined)}
          onDo={async (reason) => {
            await call("POST", `/v1/models/${m.digest}/lift`, { reason });
            reload();
          }}
        />
      )}
    </>
  );
}

export function VerdictBox({ v }: { v: Verdict }) {
  return (
    <>
      <p className="verdict"><Badge tone={verdictTone[v.outcome] ?? "mute"}>{v.outcome || "none"}</Badge> <span>{v.reason}</span></p>
      <Facts
        items={[
          ["Challenger's mean loss", num(v.challenger)],
          [`${cap(v.against ?? "the champion")}: mean loss`, num(v.champion)],
          ...(v.lo || v.hi ? [["Difference", `between ${num(v.lo)} and ${num(v.hi)}`] as [string, string]] : []),
          ["Compared on", `${count(v.n)} instants, ${count(v.rows)} rows`],
          ...(v.floors ?? []).map((f): [string, string] => [`${cap(f.name)}, newest ${count(f.rows)} rows`, `${num(f.loss)} against ${num(f.challenger)} of the challenger`]),
          ...(v.needed ? [["It would take", `${count(v.needed)} more rows`] as [string, string]] : []),
          ...(v.interval_challenger ? [["Interval score", `${num(v.interval_challenger)} against ${num(v.interval_champion ?? 0)}`] as [string, string]] : []),
        ]}
      />
      <p className="mute below">Losses of numbers are scaled by the target's usual change and clipped at 4; those of classes are log losses. The difference holds with 95 % confidence, by how blocks of time vary.</p>
    </>
  );
}

export function Leaderboard({ items, unit }: { items: LeaderEntry[]; unit: string }) {
  const seen = items.slice(0, 20);
  return (
    <Table label="Leaderboard" head={[["Rank", "n"], "Learner", ["Validation error", "n"], ["Change", "n"], ["Folds", "n"], ["Latency", "n"], ["Size", "n"], ["Spent", "n"], "Settings"]}>
      {seen.map((e, i) => (
        <tr key={i}>
          <td className="n">{i + 1}</td>
          <th scope="row">{e.learner} {e.over_budget && <Badge tone="warn">over budget</Badge>}</th>
          <td className="n">{num(e.score, unit)}</td>
          <td className="n"><Skill value={1 - e.relative} baseline="baseline" /></td>
          <td className="n">{e.folds}</td>
          <td className="n">{num(e.latency_us, "µs")}</td>
          <td className="n">{bytes(e.bytes)}</td>
          <td className="n">{duration(e.seconds)}</td>
          <td className="detail fill">{Object.entries(e.params ?? {}).map(([k, v]) => <span key={k}><i>{words(k)}</i> {plain(v)}</span>)}</td>
        </tr>
      ))}
    </Table>
  );
}
