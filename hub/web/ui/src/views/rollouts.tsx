import { Fragment, useState } from "react";
import { call, may } from "../api";
import { cap, count, duration, num, percent, words } from "../format";
import { Age, Ask, Badge, Card, DeviceLink, Empty, Facts, Loading, ModelLink, PhaseBadge, Table, TaskLink, Time, Trouble } from "../parts/bits";
import { Interval } from "../parts/chart";
import { Head } from "../parts/page";
import { link, usePoll, useSession } from "../poll";
import type { Counts, Freeze, List, Part, Rollout, RolloutDetail, RolloutSpec } from "../types";
import { finalStates, meanDiff, phaseOf, rolloutActions, rolloutTone, type RolloutAction, type Tone } from "../words";

const StateBadge = ({ r }: { r: Rollout }) => <Badge tone={rolloutTone[r.state] ?? "mute"}>{words(r.state)}</Badge>;

const groups: [keyof Counts, string, Tone | "prob", string][] = [
  ["active", "active", "ok", "run it and have passed their own trial"],
  ["probation", "probation", "prob", "run it with the previous model beside it"],
  ["shadow", "shadow", "info", "run it beside the present model, unpublished"],
  ["waiting", "waiting", "mute", "have a link and are not there yet"],
  ["penalty", "to be told again", "warn", "failed for no fault of the model"],
  ["failed", "failed", "bad", "vetoed, reverted, failed or silent"],
  ["unknown", "no link", "warn", "cannot report; they join the present stage when they return"],
];

/** CountBar shows how many targets are where; those without a link stand apart. */
function CountBar({ c, small }: { c: Counts; small?: boolean }) {
  const total = Math.max(1, c.targets);
  const text = groups.filter(([k]) => c[k] > 0).map(([k, name]) => `${c[k]} ${name}`).join(", ") || "no device";
  return (
    <div className={`counts ${small ? "small" : ""}`}>
      <div className="stack" role="img" aria-label={text}>
        {groups.map(([k, , tone]) => c[k] > 0 && <i key={k} className={tone} style={{ width: `${(c[k] / total) * 100}%` }} />)}
      </div>
      {small ? (
        <small>{text}</small>
      ) : (
        <ul>
          {groups.map(([k, name, tone, title]) => (
            <li key={k} title={title} className={c[k] ? "" : "none"}>
              <i className={tone} />
              <b>{c[k]}</b> {name}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

export function RolloutsView() {
  const { data, error } = usePoll<List<Rollout>>("/v1/rollouts?limit=100");
  const { data: frozen, reload } = usePoll<List<Freeze>>("/v1/freezes");
  const me = useSession();
  const [asked, setAsked] = useState<"freeze" | Freeze>();
  const items = data?.items ?? [];
  const freezes = frozen?.items ?? [];
  const operator = may(me?.role, "operator");
  return (
    <>
      <Head title="Rollouts">
        {operator && !freezes.some((f) => !f.task) && <button type="button" className="danger" onClick={() => setAsked("freeze")}>Freeze all…</button>}
      </Head>
      <Trouble error={error} stale={!!data} />
      {freezes.map((f) => (
        <p key={f.task} className="notice warn" role="status">
          {f.task ? <>Task <TaskLink name={f.task} /> is</> : "All tasks are"} frozen since <Time us={f.at} /> by {f.actor}: {f.reason}. No device is told to run another model.{" "}
          {operator && <button type="button" onClick={() => setAsked(f)}>Let it go on…</button>}
        </p>
      ))}
      {asked && (
        <Ask
          title={asked === "freeze" ? "Freeze all rollouts?" : "Let rollouts go on?"}
          says={asked === "freeze" ? "Every device stays where it is, of all tasks, until somebody lets it go on. Trials go on and measure; what is forbidden stays forbidden." : "Rollouts go on, and the stages that were held begin their time anew."}
          action={asked === "freeze" ? "Freeze" : "Go on"}
          danger={asked === "freeze"}
          reason={asked === "freeze" ? "required" : "optional"}
          onClose={() => setAsked(undefined)}
          onDo={async (reason) => {
            if (asked === "freeze") await call("POST", "/v1/freezes", { reason });
            else await call("POST", "/v1/freezes/end", { task: asked.task, reason });
            reload();
          }}
        />
      )}
      <Card flush className="tall">
        {!data ? (
          !error && <Loading />
        ) : items.length === 0 ? (
          <Empty title="Nothing was rolled out yet">
            <p className="mute">A trained model that passes its comparison is rolled out by itself. To roll one out by hand, open it under <a href={link("models")}>Models</a>.</p>
          </Empty>
        ) : (
          <Table label="Rollouts" head={["Rollout", "Model", "State", "Stage", "Devices", "Why", "Started by", "Created"]}>
            {items.map((r) => (
              <tr key={r.id}>
                <th scope="row"><a href={link("rollout", r.id)}>{r.id}</a></th>
                <td><ModelLink digest={r.spec.digest} name={r.model} /></td>
                <td><StateBadge r={r} /></td>
                <td>{r.status.stage_name}{!finalStates.includes(r.state) && r.status.step && <small>{r.status.step}</small>}</td>
                <td><CountBar c={r.status.counts} small /></td>
                <td className="fill"><span className="clip" title={r.status.reason}>{r.status.reason || "–"}</span></td>
                <td>{r.created_by}</td>
                <td><Age us={r.created_at} /></td>
              </tr>
            ))}
          </Table>
        )}
      </Card>
    </>
  );
}

export function RolloutView({ id }: { id: string }) {
  const { data: r, error, reload } = usePoll<RolloutDetail>(`/v1/rollouts/${encodeURIComponent(id)}`);
  const me = useSession();
  const [asked, setAsked] = useState<RolloutAction>();
  if (!r) {
    return (
      <>
        <Head title={id} up={[link("rollouts"), "Rollouts"]} />
        <Trouble error={error} stale={false} />
        {!error && <Loading />}
      </>
    );
  }
  const s = r.status;
  const p = s.pooled;
  const allowed = ((r.spec.max_regression ?? 0) * p.sum_incumbent) / Math.max(1, p.labelled);
  const diff = meanDiff(p);
  const actions = may(me?.role, "operator") ? rolloutActions(r.state, s.counts.failed) : [];
  return (
    <>
      <Head title={r.model || r.id} up={[link("rollouts"), "Rollouts"]} badge={<StateBadge r={r} />}>
        {actions.map((a) => (
          <button key={a.command} type="button" className={a.danger ? "danger" : a.command === "approve" || a.command === "resume" ? "primary" : ""} onClick={() => setAsked(a)}>
            {a.name}…
          </button>
        ))}
      </Head>
      <Trouble error={error} stale />
      {s.reason && <p className={`notice ${rolloutTone[r.state] ?? ""}`} role="status">{cap(s.reason)}.</p>}
      <Card>
        <Steps r={r} />
        <CountBar c={s.counts} />
      </Card>
      <div className="cols">
        <Card title="Loss against the model in use" aside={p.labelled > 0 && <Badge tone={s.verdict === "pass" ? "ok" : s.verdict === "fail" ? "bad" : "mute"}>{s.verdict || "no verdict"}</Badge>}>
          <Interval
            lo={s.bound[0]}
            hi={s.bound[1]}
            mean={diff}
            limit={allowed}
            label={`Mean loss difference ${num(diff)}, between ${num(s.bound[0])} and ${num(s.bound[1])}; allowed ${num(allowed)}`}
          />
          <Facts
            items={[
              ["Mean difference", p.labelled ? `${num(diff)}, between ${num(s.bound[0])} and ${num(s.bound[1])}` : "–"],
              ["Allowed", `${num(allowed)} (${percent(r.spec.max_regression, 0)} of the loss in use)`],
              ["Candidate, in use", p.labelled ? `${num(p.sum_candidate / p.labelled)}, ${num(p.sum_incumbent / p.labelled)}` : "–"],
              ["Labelled rows", `${count(p.labelled)}, of them ${count(p.warm)} from caches`],
              ["A verdict takes", s.verdict === "inconclusive" ? (s.needs < 1e9 ? `some ${count(Math.round(s.needs))} rows` : "nobody can say yet") : "–"],
              ["Shown before", r.spec.evidence ? `${num(r.spec.evidence.diff)} on ${count(r.spec.evidence.rows)} rows of the hub${r.spec.evidence.passed ? ": it passed there" : ""}` : "nothing"],
              ["Latency, p99", `${num(p.latency_p99_us, "µs")} of ${num(r.spec.max_latency_us, "µs")}`],
              ["Not finite, panics", `${count(p.non_finite)}, ${count(p.panics)}`],
            ]}
          />
        </Card>
        <Card title="Plan">
          <Facts
            items={[
              ["Task", <TaskLink name={r.task} />],
              ["Model", <ModelLink digest={r.spec.digest} name={r.model} />],
              ["Started", <><Time us={r.created_at} /> by {r.created_by}</>],
              ["Targets", targets(r.spec)],
              ["Trial", `${count(r.spec.min_shadow)} labelled rows in shadow, ${count(r.spec.probation)} on probation`],
              ["Failures allowed", `${percent(r.spec.max_failed, 0)} of the devices, one where there are three or more; ${count(r.spec.retries)} tries each`],
              ["Stage deadline", duration(r.spec.deadline_s)],
              ...(r.spec.window ? [["Window", `${r.spec.window.from} to ${r.spec.window.to} of each device's time${r.spec.window.days?.length ? ` on ${r.spec.window.days.join(", ")}` : ""}`] as [string, string]] : []),
              ["Id", <code>{r.id}</code>],
            ]}
          />
        </Card>
      </div>
      {!!s.apart?.length && (
        <Card title="Set apart: these devices do not decide for the others" flush>
          <Table label="Devices that are set apart" head={["Device", "Why"]}>
            {s.apart.map((a, i) => (
              <tr key={i}>
                <th scope="row"><DeviceLink name={a.device} /></th>
                <td className="fill">{a.reason}</td>
              </tr>
            ))}
          </Table>
        </Card>
      )}
      <Card title="Devices" flush>{r.devices?.length ? <Parts items={r.devices} /> : <Empty title="No device runs the task yet" />}</Card>
      <Card title="History" flush>
        <ol className="history">
          {[...(s.history ?? [])].reverse().map((h, i) => (
            <li key={i}>
              <Time us={h.at} />
              <Badge tone={rolloutTone[h.state] ?? "mute"}>{words(h.state)}</Badge>
              <span>{h.stage && <b>{h.stage}: </b>}{h.reason}</span>
              <span className="mute">{h.actor}</span>
            </li>
          ))}
        </ol>
      </Card>
      {asked && (
        <Ask
          title={`${asked.name}: ${r.model}?`}
          says={asked.says}
          action={asked.name}
          danger={asked.danger}
          reason={asked.danger ? "required" : "optional"}
          onClose={() => setAsked(undefined)}
          onDo={async (reason) => {
            await call("POST", `/v1/rollouts/${encodeURIComponent(r.id)}/${asked.command}`, reason ? { reason } : {});
            reload();
          }}
        />
      )}
    </>
  );
}

/** targets says in words whom a rollout is for. */
function targets(s: RolloutSpec) {
  const some = [
    s.devices?.length ? s.devices.join(", ") : "",
    s.sites?.length ? `sites ${s.sites.join(", ")}` : "",
    s.classes?.length ? `classes ${s.classes.join(", ")}` : "",
    s.cohort ? `cohort ${s.cohort}` : "",
  ].filter(Boolean);
  return some.length ? some.join("; ") : "every device of the task";
}

/** Steps shows the stages in order with the present one marked. */
function Steps({ r }: { r: Rollout }) {
  const stages = [{ name: "shadow", share: "every device, unpublished" }, ...(r.spec.stages ?? []).map((x) => ({ name: x.name, share: x.percent === 100 ? "every device" : [x.percent ? `${x.percent} %` : "", x.count ? `at least ${x.count}` : ""].filter(Boolean).join(", ") }))];
  const done = r.state === "completed";
  return (
    <ol className={`steps ${rolloutTone[r.state] ?? ""}`}>
      {stages.map((x, i) => {
        const state = done || i < r.status.stage ? "done" : i === r.status.stage ? "here" : "";
        return (
          <Fragment key={x.name}>
            <li className={state} aria-current={state === "here" ? "step" : undefined}>
              <i aria-hidden="true">{state === "done" ? "✓" : i + 1}</i>
              <span>
                <b>{x.name}</b>
                <small>{state === "here" && r.state === "running" ? <>{r.status.step || "running"} since <Age us={r.status.since} /></> : state === "here" ? words(r.state) : x.share}</small>
              </span>
            </li>
          </Fragment>
        );
      })}
    </ol>
  );
}

/** faults names whose fault it is that a device does not run the model. */
const faults: Record<NonNullable<Part["cause"]>, string> = { model: "the model", device: "the device", hub: "the hub", network: "the network", order: "as ordered" };

/** why explains a device's phase in words. */
const why = (d: Part) => (d.reason && (d.cause ? `${faults[d.cause]}: ${d.reason}` : d.reason)) || (!d.phase && d.wanted ? `told to go to ${d.wanted}, has not answered` : phaseOf(d.phase).text);

function Parts({ items }: { items: Part[] }) {
  return (
    <Table label="Devices of the rollout" head={["Device", "Link", "Wanted", "Phase", "Why", ["Labelled", "n"], ["Loss difference", "n"], ["p99", "n"], "Told"]}>
      {items.map((d) => (
        <tr key={d.device}>
          <th scope="row"><DeviceLink name={d.device} /></th>
          <td><Badge tone={d.connected ? "ok" : "warn"}>{d.connected ? "linked" : "no link"}</Badge></td>
          <td>{d.wanted || "–"}</td>
          <td>{d.phase ? <PhaseBadge phase={d.phase} /> : <span className="mute">not reported</span>}</td>
          <td className="fill"><span className="clip" title={why(d)}>{why(d)}</span></td>
          <td className="n">{count(d.stats.labelled)}</td>
          <td className={`n ${meanDiff(d.stats) > 0 ? "worse" : meanDiff(d.stats) < 0 ? "better" : ""}`}>{num(meanDiff(d.stats))}</td>
          <td className="n">{d.stats.latency_p99_us ? num(d.stats.latency_p99_us, "µs") : "–"}</td>
          <td><Age us={d.assigned_at} /></td>
        </tr>
      ))}
    </Table>
  );
}
