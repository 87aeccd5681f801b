import { num, percent, signed, words } from "./format";
import type { Paired, RolloutState } from "./types";

export type Tone = "ok" | "warn" | "bad" | "info" | "mute";

export const phases: Record<string, { tone: Tone; text: string }> = {
  "": { tone: "mute", text: "nothing was ordered yet" },
  assigned: { tone: "info", text: "has accepted the order" },
  downloading: { tone: "info", text: "fetches the model" },
  verifying: { tone: "info", text: "checks signature, digest and self-test" },
  shadow: { tone: "info", text: "predicts beside the model in use; its output is not published" },
  probation: { tone: "info", text: "in use; the previous model runs beside it, ready to take over" },
  active: { tone: "ok", text: "in use" },
  reverted: { tone: "bad", text: "went back to the previous model" },
  vetoed: { tone: "bad", text: "the device refused it after its trial" },
  failed: { tone: "bad", text: "could not be fetched, verified or loaded" },
};

export const phaseOf = (p: string) => phases[p] ?? { tone: "mute" as Tone, text: words(p) };

export const rolloutTone: Record<RolloutState, Tone> = {
  draft: "mute",
  awaiting_approval: "warn",
  running: "info",
  paused: "warn",
  completed: "ok",
  rolling_back: "bad",
  rolled_back: "bad",
  aborted: "mute",
};

export const finalStates: RolloutState[] = ["completed", "rolled_back", "aborted"];

export const modelTone: Record<string, Tone> = { champion: "ok", candidate: "info", retired: "mute", tombstoned: "bad" };
export const jobTone: Record<string, Tone> = { queued: "mute", running: "info", done: "ok", failed: "bad", cancelled: "mute" };
export const verdictTone: Record<string, Tone> = { pass: "ok", fail: "bad", inconclusive: "warn" };

export interface RolloutAction {
  command: string;
  name: string;
  danger?: boolean;
  says: string;
}

/** rolloutActions are the commands that a rollout in a state accepts, as in the hub's controller. Retrying is offered only when there is something to retry. */
export function rolloutActions(state: RolloutState, failed: number): RolloutAction[] {
  const all: (RolloutAction & { in: RolloutState[] })[] = [
    { command: "approve", name: "Approve", in: ["awaiting_approval", "draft"], says: "Devices start to run the model in shadow." },
    { command: "resume", name: "Resume", in: ["paused"], says: "The present stage starts again with a fresh deadline." },
    { command: "pause", name: "Pause", in: ["running"], says: "Every device stays where it is: trials go on and measure, nobody activates the model." },
    { command: "skip", name: "Skip stage", in: ["running", "paused"], says: "The next stage begins although this one has not passed its gates. A device must have the model as far as this stage brings it." },
    { command: "retry", name: "Retry failed", in: failed > 0 ? ["running", "paused"] : [], says: "Devices that vetoed, reverted or failed are told again, and the stage's time begins anew." },
    { command: "abort", name: "Abort", in: ["running", "paused", "awaiting_approval", "draft"], danger: true, says: "The rollout ends, and every device goes back to its previous model. This one is not forbidden: it can be rolled out again." },
    { command: "rollback", name: "Roll back", in: ["running", "paused", "completed", "aborted"], danger: true, says: "The version is forbidden everywhere until an admin allows it again, and every device gets its previous model back." },
  ];
  return all.filter((a) => a.in.includes(state));
}

const kinds: Record<string, string> = {
  drift: "Drift: error changed",
  input_drift: "Drift: inputs changed",
  input_back: "Inputs are usual again",
  sensor_stuck: "A sensor is stuck",
  sensor_jump: "A sensor jumped far beyond what it ever gave",
  sensor_well: "A sensor looks well again",
  anomaly: "Anomaly",
  model: "Model changed",
  state_lost: "Learned state was lost",
  cache_damaged: "Local cache was damaged",
  replay_control: "Replay after a restart met a problem",
  quarantine: "A message could not be read",
  conflict: "Two chunks claim the same sequence numbers",
  bad_gap: "A declared loss could not be read",
  gap: "Records were lost and declared",
  given_up: "Predictions waited too long for their truth",
  chunk_damaged: "A staged chunk is damaged and was set aside",
  hub_clock_doubted: "The hub's clock may be wrong: nothing is deleted for its age",
  lake_files_unknown: "The lake has files that the database does not know",
  input_silent: "An input is silent",
  input_without_values: "An input's messages hold no value for it",
  input_refused: "An input's values are refused",
  input_out_of_range: "An input's readings are out of its range",
  state_read_only: "The state directory cannot be written",
  input_well: "An input gives readings again",
  topics_merged: "Several topics feed one series",
  readings_from_the_future: "Readings lie in the future",
  clock_wrong: "The device's clock is wrong",
  clock_back: "The device's clock was set back",
  clock_well: "The device's clock is right again",
  client_id_twice: "Another client has the agent's client id",
  labels_unmatched: "Labels match no row",
  readings_bunched: "A backlog came without times",
  readings_of_one_time: "Readings have the time of others",
  task_reset: "A task starts learning anew",
  task_gone: "A task is in no file any more",
  model_gone: "The model in use cannot be loaded any more",
};

export const kindWords = (k: string) => kinds[k] ?? words(k.charAt(0).toUpperCase() + k.slice(1));

/** detailWords turns an event's detail into "key value" pairs, without what is empty. */
export function detailWords(detail: unknown): [string, string][] {
  if (detail === null || typeof detail !== "object") return detail === null || detail === undefined || detail === "" ? [] : [["text", String(detail)]];
  return Object.entries(detail).flatMap(([k, v]): [string, string][] => {
    if (v === "" || v === null) return [];
    if (typeof v === "number") return [[words(k), Number.isInteger(v) ? String(v) : num(v)]];
    if (Array.isArray(v) && v.every((x) => x === null || typeof x !== "object")) return v.length ? [[words(k), v.map((x) => (typeof x === "number" && !Number.isInteger(x) ? num(x) : words(String(x)))).join(", ")]] : [];
    if (Array.isArray(v)) return v.flatMap((x, i) => detailWords(x).map(([inner, text]): [string, string] => [`${words(k)} ${i + 1}, ${inner}`, text]));
    if (typeof v === "object") return detailWords(v).map(([inner, text]): [string, string] => [`${words(k)}, ${inner}`, text]);
    const s = String(v);
    return [[words(k), /^[0-9a-f]{64}$/.test(s) ? s.slice(0, 12) : words(s)]];
  });
}

/** errorName and baselineName are what a task's quality is measured in. */
export const errorName = (kind: string) => (kind === "classification" ? "wrong classes" : "mean error");
export const baselineName = (kind: string) => (kind === "forecast" || kind === "" ? "last value" : kind === "classification" ? "baseline" : "running mean");

/** errorText shows an error: of a classification the share of wrong classes. */
export const errorText = (kind: string, v: number | null | undefined, unit = "") => (kind === "classification" ? percent(v) : num(v, unit));

/** within says what coverage counts. */
export const within = (kind: string) => (kind === "classification" ? "of truths in the set of classes" : "of truths inside the interval");

/** skill is how much smaller an error is than the baseline's: 0.2 is 20 % better. */
export const skill = (error: number | undefined, baseline: number | undefined) => (error !== undefined && baseline !== undefined && baseline > 0 ? 1 - error / baseline : NaN);

export const meanDiff = (p: Paired) => (p.labelled > 0 ? p.sum_diff / p.labelled : NaN);

const stages = ["rows", "features", "search", "origins", "refit", "interval", "holdout", "judge"];

/** stageWords says what a running training does. */
export const stageWords: Record<string, string> = {
  rows: "collecting rows",
  features: "building features",
  search: "trying models",
  origins: "judging by newer and newer rows",
  refit: "fitting the best again",
  interval: "fitting the interval",
  holdout: "testing on held-out rows",
  judge: "comparing with the champion",
};

/** progress of a running training, 0 to 1; the search is most of the work. */
export function progress(stage: string | undefined, done = 0, trials = 0): number {
  const at = stages.indexOf(stage ?? "");
  if (at < 0) return 0;
  const starts = [0, 0.05, 0.12, 0.75, 0.82, 0.88, 0.94, 1];
  const from = starts[at]!;
  const part = stage === "search" && trials > 0 ? Math.min(1, done / trials) : 0;
  return from + (starts[at + 1]! - from) * part;
}

/** signedSkill is skill as a change of the error: 0.2 is "−20 %". */
export const signedSkill = (v: number) => signed(-v);
