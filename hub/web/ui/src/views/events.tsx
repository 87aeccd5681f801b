import { useState } from "react";
import { query } from "../api";
import { Badge, Card, DeviceLink, Empty, Loading, Table, TaskLink, Time, Trouble } from "../parts/bits";
import { Filter, Head, Select } from "../parts/page";
import { link, usePoll, useRoute } from "../poll";
import type { EventItem, List } from "../types";
import { detailWords, kindWords } from "../words";

export function EventsView() {
  const only = useRoute()[1] === "alarm" ? "alarm" : "";
  const [device, setDevice] = useState("");
  const { data, error } = usePoll<List<EventItem>>(`/v1/events${query({ class: only, limit: 300 })}`);
  const needle = device.trim().toLowerCase();
  const items = (data?.items ?? []).filter((e) => !needle || `${e.device} ${e.task} ${e.kind} ${kindWords(e.kind)}`.toLowerCase().includes(needle));
  return (
    <>
      <Head title="Events">
        <Filter value={device} onChange={setDevice} label="Filter by device, task, kind" />
        <Select label="Show" value={only} options={[["", "everything"], ["alarm", "alarms only"]]} onChange={(v) => (window.location.hash = v ? link("events", v) : link("events"))} />
      </Head>
      <Trouble error={error} stale={!!data} />
      <Card flush className="tall">{data ? <EventTable items={items} /> : !error && <Loading />}</Card>
    </>
  );
}

/** EventTable lists events; a device's own page leaves its name out. */
export function EventTable({ items, bare }: { items: EventItem[]; bare?: boolean }) {
  if (!items.length) {
    return (
      <Empty title="Nothing has happened">
        <p className="mute">Drift, changes of models, losses and alarms appear here as devices report them.</p>
      </Empty>
    );
  }
  return (
    <Table label="Events" head={["Received (UTC)", ...(bare ? [] : ["Device"]), "What", "Task", "Detail", "Event time (UTC)"]}>
      {items.map((e) => (
        <tr key={e.id}>
          <td><Time us={e.received_at} bare /></td>
          {!bare && <td>{e.device ? <DeviceLink name={e.device} /> : <span className="mute">hub</span>}</td>}
          <td><Badge tone={e.class === "alarm" ? "bad" : e.kind.endsWith("drift") ? "warn" : "info"} title={e.kind}>{kindWords(e.kind)}</Badge></td>
          <td>{e.task && <TaskLink name={e.task} />}</td>
          <td className="detail fill">
            {detailWords(e.detail).map(([k, v]) => (
              <span key={k} title={v}><i>{k}</i> {v}</span>
            ))}
          </td>
          <td><Time us={e.time} bare /></td>
        </tr>
      ))}
    </Table>
  );
}
