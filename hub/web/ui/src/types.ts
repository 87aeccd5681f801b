// The hub's answers, as far as the UI reads them. Times are microseconds since 1970, UTC; 0 means never.

export type Role = "viewer" | "operator" | "engineer" | "admin";
export interface List<T> {
  items: T[] | null;
}
export interface Login {
  token: string;
  expires_at: number;
  role: Role;
}
export interface Me {
  name: string;
  role: Role;
}

export interface Outbox {
  pending_records: number;
  pending_bytes: number;
  cap_bytes: number;
  bytes_per_day: number;
  offline_days: number;
  stored?: Record<string, number>;
}
/** ReportedClasses is how a classification does lately: shares of wrong classes and log losses in nats. */
export interface ReportedClasses {
  error_rate: number;
  error_rate_persistence: number;
  log_loss: number;
  log_loss_persistence: number;
  set_size: number;
}
export interface FleetDeviceTask {
  task: string;
  kind: string;
  champion: string;
  version: string;
  mae: number;
  mae_persistence: number;
  coverage: number;
  classes?: ReportedClasses;
  labels: number;
  drifts: number;
  watermark: number;
  phase: string;
  digest: string;
  reason: string;
}
export interface FleetDevice {
  name: string;
  site: string;
  cohort: string;
  class: string;
  version: string;
  connected: boolean;
  seen_at: number;
  reported_at: number;
  suspect: string;
  revoked_at: number;
  health: string;
  reasons: string[];
  outbox?: Outbox;
  tasks: FleetDeviceTask[];
}
export interface FleetTask {
  name: string;
  kind: string;
  target: string;
  classes?: string[]; // names, of a classification
  unit: string;
  horizon_s: number;
  interval: number;
  devices: number;
  source: string;
  differing: string[];
  champion: string;
  model: string;
  since: number;
  last_seen: number;
}
export interface Fleet {
  time: number;
  devices: FleetDevice[];
  tasks: FleetTask[];
  alarms: number;
}

export interface Paired {
  rows: number;
  labelled: number;
  warm: number;
  sum_incumbent: number;
  sum_candidate: number;
  sum_diff: number;
  non_finite: number;
  panics: number;
  latency_p99_us: number;
  disagreement: number;
}
export interface ReportedTask {
  kind: string;
  watermark: number;
  rows: number;
  labels: number;
  drifts: number;
  champion: string;
  version: string;
  mae: number;
  mae_persistence: number;
  coverage: number;
  classes?: ReportedClasses;
  interval_score?: number;
  interval_plain?: number;
  assignment?: { generation: number; rollout: string; digest: string; phase: string; reason?: string; stats: Paired };
}
export interface Reported {
  version: string;
  run: string;
  generation: number;
  time: number;
  class: string;
  cohort?: string;
  tasks: Record<string, ReportedTask> | null;
  outbox: Outbox;
  health: string;
  latency_us?: Record<string, number>;
  reasons?: string[];
  inputs?: ReportedInput[];
  left_out?: string;
}
/** ReportedInput is what has arrived for one input since the agent started. */
export interface ReportedInput {
  series: string;
  topic: string;
  path?: string;
  tasks?: string[];
  readings: number;
  refused?: number;
  missing?: number;
  last_seen?: number;
  last_value?: number;
  last_text?: string;
  every_s?: number;
  last_refused?: string;
  wrong?: string[];
}
/** Usage is what a device sent on one day (UTC). */
export interface Usage {
  day: string;
  bytes: number;
  chunks: number;
  refused: number;
  conflicts: number;
  kept: number;
  runs: number;
  odd_times: number;
  non_finite: number;
}

export interface DeviceDetail {
  name: string;
  site: string;
  cohort: string;
  fingerprint: string;
  class: string;
  version: string;
  join_counter: number;
  created_at: number;
  seen_at: number;
  connected: boolean;
  suspect: string;
  revoked_at: number;
  health: string;
  reasons?: string[];
  reported_at: number;
  runs: { run: string; ordinal: number; boot_id: string; started_at: number; first_seen: number }[] | null;
  host: { metric: string; time: number; value: number | null }[] | null;
  desired: {
    generation: number;
    suspect?: boolean;
    assignments?: Record<string, { generation: number; digest: string; version: string; phase: string; rollout: string; trial: { min_shadow: number; probation: number } }>;
  };
  reported?: Reported;
  run_count: number;
  usage: Usage[] | null;
  quota: number;
  why: Record<string, { desired: string; running: string; reason: string }>;
  applied: Record<string, number>;
}
export interface Gap {
  device: string;
  run: string;
  class: number;
  from: number;
  to: number;
  reason: string;
  declared_at: number;
}

export interface EventItem {
  id: string;
  device: string;
  class: "alarm" | "event";
  time: number;
  kind: string;
  task: string;
  detail: unknown;
  received_at: number;
}

/** Prediction is one that the hub has recomputed, GET /v1/predictions/{device}/{task}. */
export interface Prediction {
  row: number;
  for: number;
  status: "equal" | "unknown" | "computed" | "differs";
  reason?: string;
  computed: PredictionValues;
  published?: PredictionValues;
  missing?: PredictionMissing[];
  explained: {
    inputs: { series: string; unit?: string; value: number | null; category?: string }[];
    experts?: { name: string; weight: number; value: number | null }[];
    labels: number;
    shares?: { class?: string; expected: number; score: number; features: { feature: string; value: number | null; share: number }[] };
    no_shares?: string;
  };
}

export interface PredictionValues {
  value: number | null;
  lower: number | null;
  upper: number | null;
  model?: string;
}

export interface PredictionMissing {
  what: string;
  run?: string;
  from?: number;
  to?: number;
  why: string;
}

export interface LabelPoint {
  task: string;
  device: string;
  row_time: number;
  at: number;
  truth: number | null;
  predicted: number | null;
  lower: number | null;
  upper: number | null;
  persistence: number | null;
  // of more than two classes, whose truth and predictions are their numbers; of two they are probabilities of the second
  classes?: number;
  chance?: number | null; // probability that was given to the truth
  baseline_chance?: number | null;
  set_size?: number;
  covered?: boolean;
}

export interface Holdout {
  rows?: number;
  mae?: number;
  rmse?: number;
  mae_persistence?: number;
  coverage?: number;
  interval_score?: number;
  log_loss?: number;
  log_loss_prior?: number;
  accuracy?: number;
}
export interface LeaderEntry {
  learner: string;
  params?: Record<string, number>;
  score: number;
  relative: number;
  folds: number;
  seconds: number;
  latency_us: number;
  bytes: number;
  over_budget?: boolean;
}
export interface Verdict {
  outcome: string;
  champion: number;
  challenger: number;
  n: number;
  rows: number;
  lo: number;
  hi: number;
  reason: string;
  against?: string;
  needed?: number;
  floors?: { name: string; loss: number; challenger: number; rows: number }[];
  interval_champion?: number;
  interval_challenger?: number;
}
export interface Lineage {
  id?: string;
  job?: string;
  trigger?: string;
  champion?: string;
  rows?: number;
  devices?: string[];
  train_from?: number;
  train_to?: number;
  verdict?: Verdict;
  leaderboard?: LeaderEntry[];
  source?: string;
}
export interface Model {
  digest: string;
  name: string;
  task: string;
  version: number;
  kind: string;
  state: string;
  size: number;
  metrics: Holdout | null;
  lineage: Lineage | null;
  created_by: string;
  created_at: number;
  tombstoned_at: number;
  tombstone: string;
}

export interface Counts {
  targets: number;
  started: number;
  waiting: number;
  shadow: number;
  probation: number;
  active: number;
  failed: number;
  penalty: number;
  unknown: number;
}
export interface RolloutSpec {
  task: string;
  digest: string;
  cohort?: string;
  devices?: string[];
  sites?: string[];
  classes?: string[];
  window?: { from: string; to: string; days?: string[] };
  stages?: { name: string; percent?: number; count?: number }[];
  min_shadow?: number;
  probation?: number;
  max_regression?: number;
  alpha?: number;
  max_latency_us?: number;
  max_failed?: number;
  retries?: number;
  evidence?: { rows: number; incumbent: number; diff: number; passed?: boolean };
  deadline_s?: number;
  approval?: boolean;
}
export interface Freeze {
  task: string;
  at: number;
  actor: string;
  reason: string;
}
export type RolloutState = "draft" | "awaiting_approval" | "running" | "paused" | "completed" | "rolling_back" | "rolled_back" | "aborted";
export interface Rollout {
  id: string;
  task: string;
  model: string;
  state: RolloutState;
  spec: RolloutSpec;
  status: {
    stage: number;
    stage_name: string;
    step: string;
    since: number;
    reason?: string;
    verdict?: string;
    counts: Counts;
    pooled: Paired;
    bound: [number, number];
    needs: number;
    apart?: { device: string; reason: string }[];
    history?: { at: number; state: RolloutState; stage: string; reason?: string; actor?: string }[];
  };
  created_by: string;
  created_at: number;
  updated_at: number;
}
export interface Part {
  device: string;
  connected: boolean;
  wanted: string;
  phase: string;
  cause?: "model" | "device" | "hub" | "network" | "order";
  reason?: string;
  stats: Paired;
  tries?: number;
  again_at?: number;
  assigned_at: number;
}
export type RolloutDetail = Rollout & { devices: Part[] | null };

export interface Job {
  id: string;
  task: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  spec: { task: string; trigger: string; lineage: string; force?: boolean; compare?: string };
  result: {
    stage?: string;
    done?: number;
    trials?: number;
    rows?: number;
    digest?: string;
    model?: string;
    learner?: string;
    holdout?: Holdout;
    leaderboard?: LeaderEntry[];
    verdict?: Verdict;
    rollout?: string;
    outcome?: string;
    seconds?: number;
    gone_why?: string;
  };
  error?: string;
  created_by: string;
  created_at: number;
  started_at: number;
  finished_at: number;
}
export interface EnrollToken {
  token: string;
  device: string;
  site: string;
  expires_at: number;
}
