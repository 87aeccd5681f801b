import { useState } from "react";
import { query } from "../api";
import { Badge, Card, DeviceLink, Empty, Loading, Pages, Table, TaskLink, Time, Trouble, type Heading } from "../parts/bits";
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

type Order = "received" | "device" | "what" | "task" | "time";

const keyOf: Record<Order, (e: EventItem) => string | number> = {
  received: (e) => e.received_at,
  device: (e) => e.device,
  what: (e) => kindWords(e.kind),
  task: (e) => e.task,
  time: (e) => e.time,
};

/** sorted orders events by one of their columns; equal ones keep the newest first. */
function sorted(items: EventItem[], by: Order, up: boolean): EventItem[] {
  const key = keyOf[by];
  const sign = up ? 1 : -1;
  return [...items].sort((a, b) => {
    const x = key(a), y = key(b);
    return x === y ? 0 : (x < y ? -1 : 1) * sign;
  });
}

const pageSize = 20;

/** EventTable lists events by pages, sorted by any column; a device's own page leaves its name out. */
export function EventTable({ items, bare }: { items: EventItem[]; bare?: boolean }) {
  const [by, setBy] = useState<Order>("received");
  const [up, setUp] = useState(false);
  const [wanted, setPage] = useState(0);
  const page = Math.min(wanted, Math.max(0, Math.ceil(items.length / pageSize) - 1));
  const head = (text: string, order: Order): Heading => [
    text + (by === order ? (up ? " ↑" : " ↓") : ""),
    "",
    () => {
      setUp(by === order ? !up : order !== "received" && order !== "time");
      setBy(order);
      setPage(0);
    },
  ];
  if (!items.length) {
    return (
      <Empty title="Nothing has happened">
        <p className="mute">Drift, changes of models, losses and alarms appear here as devices report them.</p>
      </Empty>
    );
  }
  return (
    <>
    <Table label="Events" head={[head("Received (UTC)", "received"), ...(bare ? [] : [head("Device", "device")]), head("What", "what"), head("Task", "task"), "Detail", head("Event time (UTC)", "time")]}>
      {sorted(items, by, up).slice(page * pageSize, (page + 1) * pageSize).map((e) => (
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
    <Pages page={page} size={pageSize} total={items.length} onChange={setPage} />
    </>
  );
}
