import { useState } from "react";
import { call, may } from "../api";
import { bytes, count, offline, percent, words } from "../format";
import { Age, Badge, Card, Command, DeviceLink, Dialog, Empty, Loading, ModelLink, PhaseBadge, Skill, Stat, Stats, Table, TaskLink, Trouble } from "../parts/bits";
import { Filter, Head } from "../parts/page";
import { link, usePoll, useSession } from "../poll";
import type { EnrollToken, Fleet, FleetDevice, FleetTask } from "../types";
import { baselineName, errorText, finalStates, skill, type Tone } from "../words";
import type { List, Rollout } from "../types";

export const healthTone = (h: string): Tone => (h === "ok" ? "ok" : h === "degraded" ? "warn" : "mute");

export function FleetView() {
  const { data, error } = usePoll<Fleet>("/v1/fleet");
  const rollouts = usePoll<List<Rollout>>("/v1/rollouts?limit=50", 5000).data?.items ?? [];
  const me = useSession();
  const [filter, setFilter] = useState("");
  const [enrol, setEnrol] = useState(false);
  const canEnrol = may(me?.role, "operator");
  if (!data) {
    return (
      <>
        <Head title="Fleet" />
        <Trouble error={error} stale={false} />
        {!error && <Loading />}
      </>
    );
  }
  const needle = filter.trim().toLowerCase();
  const shown = data.devices.filter((d) => !needle || text(d).includes(needle));
  const linked = data.devices.filter((d) => d.connected).length;
  const troubled = data.devices.filter((d) => !d.revoked_at && (d.health === "degraded" || d.suspect)).length;
  const open = rollouts.filter((r) => !finalStates.includes(r.state));
  const pending = data.devices.reduce((n, d) => n + (d.outbox?.pending_records ?? 0), 0);
  return (
    <>
      <Head title="Fleet">
        {data.devices.length > 0 && <Filter value={filter} onChange={setFilter} label="Filter by device, site, task, model" />}
        {canEnrol && <button type="button" className="primary" onClick={() => setEnrol(true)}>Enrol a device</button>}
      </Head>
      <Trouble error={error} stale />
      <Stats>
        <Stat name="Devices linked" value={`${linked} of ${data.devices.length}`} tone={linked < data.devices.length ? "warn" : "ok"} note={!data.devices.length ? "none is enrolled" : linked < data.devices.length ? `${data.devices.length - linked} without a link` : "all have a link"} />
        <Stat name="Need attention" value={troubled} tone={troubled ? "warn" : "ok"} note={troubled ? "degraded or suspect" : data.devices.length ? "every device is well" : "nothing to watch yet"} />
        <Stat name="Rollouts under way" value={open.length} note={open[0] ? <a href={link("rollout", open[0].id)}>{open[0].model || open[0].task}, {words(open[0].state)}</a> : "none"} />
        <Stat name="Waiting on devices" value={count(pending)} note="records not yet at the hub" />
        <Stat name="Alarms, 24 h" value={data.alarms} tone={data.alarms ? "bad" : "ok"} note={<a href={link("events", "alarm")}>{data.alarms ? "look at them" : "all events"}</a>} />
      </Stats>
      <Card flush className="tall">
        {data.devices.length === 0 ? (
          <NoDevices />
        ) : (
          <Table
            label="Devices"
            stack
            head={["Device", "Link, last report", "Health", "Task", "Active model", ["Error", "n"], ["vs. baseline", "n"], ["Coverage", "n"], ["Outbox", "n"], ["Can stay offline", "n"]]}
            empty={shown.length === 0 && <Empty title={`Nothing matches “${filter}”`} />}
          >
            {shown.map((d) => (
              <Row key={d.name} d={d} tasks={data.tasks} />
            ))}
          </Table>
        )}
      </Card>
      {enrol && <Enrol onClose={() => setEnrol(false)} />}
    </>
  );
}

const text = (d: FleetDevice) => [d.name, d.site, d.cohort, d.class, d.health, d.connected ? "linked" : "no link", ...d.tasks.flatMap((t) => [t.task, t.version])].join(" ").toLowerCase();

function Row({ d, tasks }: { d: FleetDevice; tasks: FleetTask[] }) {
  const rows = d.tasks.length ? d.tasks : [undefined];
  return rows.map((t, i) => {
    const kind = t?.kind ?? "";
    const unit = tasks.find((x) => x.name === t?.task)?.unit ?? "";
    const first = i === 0;
    const moving = t && t.phase && t.phase !== "active";
    return (
      <tr key={t?.task ?? ""} className={first ? "" : "more"}>
        {first ? (
          <th scope="row" rowSpan={rows.length}>
            <DeviceLink name={d.name} />
            <small>{d.site}{d.cohort && ` · ${d.cohort}`}</small>
          </th>
        ) : null}
        {first ? <td rowSpan={rows.length} data-l="Link"><LinkBadge d={d} /><small><Age us={d.reported_at} /></small></td> : null}
        {first ? (
          <td rowSpan={rows.length} data-l="Health">
            <Badge tone={d.suspect ? "bad" : healthTone(d.health)} title={d.reasons.join("; ")}>{d.suspect ? "suspect" : d.health}</Badge>
            {(d.suspect || d.reasons.length > 0) && <small className="clip" title={d.suspect || d.reasons.join("; ")}>{d.suspect || d.reasons.join("; ")}</small>}
          </td>
        ) : null}
        <td data-l="Task">{t ? <TaskLink name={t.task} /> : <span className="mute">no report yet</span>}</td>
        <td data-l="Active model">
          {t && <ModelLink digest={t.champion} name={t.version} />}
          {moving && <small><PhaseBadge phase={t.phase} /></small>}
        </td>
        <td className="n" data-l="Error">{t && t.labels > 0 ? errorText(kind, t.mae, unit) : "–"}</td>
        <td className="n" data-l="vs. baseline">{t && <Skill value={t.labels > 0 ? skill(t.mae, t.mae_persistence) : NaN} baseline={baselineName(kind)} />}</td>
        <td className="n" data-l="Coverage">{t && t.labels > 0 ? percent(t.coverage) : "–"}</td>
        {first ? (
          <td className="n" rowSpan={rows.length} data-l="Outbox">
            {d.outbox ? count(d.outbox.pending_records) : "–"}
            {d.outbox && <small>{bytes(d.outbox.pending_bytes)}</small>}
          </td>
        ) : null}
        {first ? <td className="n" rowSpan={rows.length} data-l="Can stay offline" title="How long it can stay offline before it must thin out what it stores">{d.outbox ? offline(d.outbox.offline_days) : "–"}</td> : null}
      </tr>
    );
  });
}

export function LinkBadge({ d }: { d: { connected: boolean; revoked_at: number; seen_at: number } }) {
  if (d.revoked_at) return <Badge tone="bad">revoked</Badge>;
  return <Badge tone={d.connected ? "ok" : "mute"}>{d.connected ? "linked" : "no link"}</Badge>;
}

function NoDevices() {
  return (
    <Empty title="No device is enrolled yet">
      <p>Create a one-time token at the hub, then use it on the device:</p>
      <Command text="skerry-hub token device pump-7 --site north" />
      <Command text={`skerry-agent enroll --hub ${window.location.origin} --token <token>`} />
      <Command text="skerry-agent run" />
      <p className="mute">The device appears here as soon as it has enrolled.</p>
    </Empty>
  );
}

/** Enrol makes a one-time token and shows the command that uses it. */
function Enrol({ onClose }: { onClose: () => void }) {
  const [device, setDevice] = useState("");
  const [site, setSite] = useState("default");
  const [made, setMade] = useState<EnrollToken>();
  const [error, setError] = useState("");
  const submit = async () => {
    setError("");
    try {
      setMade(await call<EnrollToken>("POST", "/v1/enroll-tokens", { device: device.trim(), site: site.trim() }));
    } catch (e) {
      setError(e instanceof Error ? e.message : String(e));
    }
  };
  return (
    <Dialog title={made ? `Enrol ${made.device}` : "Enrol a device"} onClose={onClose}>
      {made ? (
        <>
          <p>Run this on the device within the hour. The token is shown only now and works once.</p>
          <Command text={`skerry-agent enroll --hub ${window.location.origin} --token ${made.token}`} />
          <div className="buttons"><button type="button" className="primary" onClick={onClose}>Done</button></div>
        </>
      ) : (
        <form onSubmit={(e) => { e.preventDefault(); void submit(); }}>
          <label>
            Device
            <input value={device} onChange={(e) => setDevice(e.target.value)} required autoFocus maxLength={63} pattern="[a-z0-9][a-z0-9_\-]*" placeholder="pump-7" title="a to z, 0 to 9, - and _" />
          </label>
          <label>
            Site
            <input value={site} onChange={(e) => setSite(e.target.value)} required maxLength={63} pattern="[a-z0-9][a-z0-9_\-]*" title="a to z, 0 to 9, - and _" />
          </label>
          {error && <p className="trouble" role="alert">{error}</p>}
          <div className="buttons">
            <button type="button" onClick={onClose}>Cancel</button>
            <button type="submit" className="primary">Create the token</button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
