import { useEffect, useState } from "react";
import { call, query } from "../api";
import { count, num, percent, shortDigest } from "../format";
import { Badge, Dialog, Facts, Loading, Table, Time } from "../parts/bits";
import type { Prediction, PredictionMissing, PredictionValues } from "../types";
import type { Tone } from "../words";

const outcomes: Record<Prediction["status"], [Tone, string]> = {
  equal: ["ok", "recomputed, equal bit for bit"],
  computed: ["info", "recomputed; the device did not send this one to compare with"],
  unknown: ["warn", "the hub lacks something that it follows from"],
  differs: ["bad", "recomputed, and not what was published"],
};

const featuresShown = 8;

/** Explained recomputes the prediction of a row and shows what it was made of. */
export function Explained({ device, task, row, unit, onClose }: { device: string; task: string; row: number; unit: string; onClose: () => void }) {
  const [p, setPrediction] = useState<Prediction>();
  const [error, setError] = useState("");
  useEffect(() => {
    let here = true;
    call<Prediction>("GET", `/v1/predictions/${encodeURIComponent(device)}/${encodeURIComponent(task)}${query({ time: row })}`)
      .then((x) => here && setPrediction(x))
      .catch((e: unknown) => here && setError(e instanceof Error ? e.message : String(e)));
    return () => {
      here = false;
    };
  }, [device, task, row]);
  return (
    <Dialog title={`What ${device} predicted`} onClose={onClose}>
      {error ? <p className="trouble" role="alert">{error}</p> : p ? <Made p={p} unit={unit} /> : <Loading />}
      <div className="buttons"><button type="button" onClick={onClose}>Close</button></div>
    </Dialog>
  );
}

const said = (v: PredictionValues, unit: string) => `${num(v.value, unit)}${v.lower === null || v.upper === null ? "" : ` (${num(v.lower, unit)} to ${num(v.upper, unit)})`}`;

const missing = (m: PredictionMissing) => (m.to ? `${m.what} ${count(m.from ?? 0)} to ${count(m.to)} of run ${m.run?.slice(0, 8)}: ${m.why}` : `${m.what}: ${m.why}`);

function Made({ p, unit }: { p: Prediction; unit: string }) {
  const [tone, text] = outcomes[p.status];
  const e = p.explained;
  return (
    <>
      <p><Badge tone={tone}>{p.status}</Badge> {text}</p>
      {p.reason && <p className="mute">{p.reason}</p>}
      {p.missing?.map((m, i) => <p key={i} className="notice warn">{missing(m)}</p>)}
      <Facts
        items={[
          ["Row", <Time us={p.row} />],
          ["About", <Time us={p.for} />],
          ["Computed", said(p.computed, unit)],
          ["Published", p.published ? said(p.published, unit) : "–"],
          ["Model", p.computed.model ? shortDigest(p.computed.model) : "baselines"],
          ["Labels learned", count(e.labels)],
        ]}
      />
      <Table label="Row" head={["Input", ["Value", "n"]]}>
        {e.inputs.map((x) => (
          <tr key={x.series}>
            <th scope="row">{x.series}</th>
            <td className="n">{x.category || num(x.value, x.unit ?? "")}</td>
          </tr>
        ))}
      </Table>
      {e.experts && (
        <Table label="Experts" head={["Expert", ["Predicted", "n"], ["Weight", "n"]]}>
          {e.experts.map((x) => (
            <tr key={x.name}>
              <th scope="row">{x.name}</th>
              <td className="n">{num(x.value, unit)}</td>
              <td className="n">{percent(x.weight)}</td>
            </tr>
          ))}
        </Table>
      )}
      {e.shares ? (
        <Table label="Shares of features" head={[`Share of the model's score${e.shares.class ? ` of ${e.shares.class}` : ""}`, ["Value", "n"], ["Share", "n"]]}>
          {e.shares.features.slice(0, featuresShown).map((f) => (
            <tr key={f.feature}>
              <th scope="row">{f.feature}</th>
              <td className="n">{num(f.value)}</td>
              <td className="n">{num(f.share)}</td>
            </tr>
          ))}
        </Table>
      ) : (
        <p className="mute">No shares of features: {e.no_shares}.</p>
      )}
    </>
  );
}
