package meta

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"skerry.dev/compute/metric"
)

// Event is something a device or the hub noticed. ReceivedAt is Clock in the transaction that stores
// it: transactions run one after another, so that later ones have later times unless the clock is
// set back. ID is "<device>/<run>/<class>/<seq>" for a
// device's own, unique text otherwise.
type Event struct {
	ID         string `json:"id"`
	Device     string `json:"device"`
	Class      int64  `json:"class"`
	Time       int64  `json:"time"`
	Kind       string `json:"kind"`
	Task       string `json:"task"`
	Detail     string `json:"detail"` // JSON object
	ReceivedAt int64  `json:"received_at"`
}

const eventCols = "id, device, class, time, kind, task, detail, received_at"

func (e *Event) dest() []any {
	return []any{&e.ID, &e.Device, &e.Class, &e.Time, &e.Kind, &e.Task, &e.Detail, &e.ReceivedAt}
}

// InsertEvent stores an event; a repeat is ignored.
func (q *Queries) InsertEvent(ctx context.Context, e Event) error {
	_, err := insert(ctx, q, "event", eventCols, "ON CONFLICT DO NOTHING", &e)
	return err
}

// EventCursor is a place between events, which are ordered by the time they were received and, when
// that is the same, by their IDs: just behind the event with this ID, or before every event of the
// time when ID is "".
type EventCursor struct {
	ReceivedAt int64 // microseconds
	ID         string
}

// Compare orders cursors as the events are.
func (c EventCursor) Compare(d EventCursor) int {
	return cmp.Or(cmp.Compare(c.ReceivedAt, d.ReceivedAt), cmp.Compare(c.ID, d.ID))
}

// EventFilter selects events; zero fields do not restrict.
type EventFilter struct {
	Device, Task, Kind string
	Class              int64
	After              EventCursor // received behind it
	Before             EventCursor // received before it: without the event of its ID
	Limit              int
}

// Events lists events, the last received first. Pages that go on before the last event of the page
// before have every event once.
func (q *Queries) Events(ctx context.Context, f EventFilter) ([]Event, error) {
	if f.Before == (EventCursor{}) {
		f.Before.ReceivedAt = 1<<63 - 1
	}
	return many[Event](ctx, q, "SELECT "+eventCols+` FROM event WHERE (received_at, id) > ($1, $2) AND (received_at, id) < ($3, $4)
		AND ($5 = '' OR device = $5) AND ($6 = '' OR task = $6) AND ($7 = '' OR kind = $7) AND ($8 = 0 OR class = $8)
		ORDER BY received_at DESC, id DESC LIMIT $9`,
		f.After.ReceivedAt, f.After.ID, f.Before.ReceivedAt, f.Before.ID, f.Device, f.Task, f.Kind, f.Class, orAll(f.Limit))
}

// Task is the hub's definition of a task; package tasks has the rules by which it comes about. Spec
// is the task file.
type Task struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Spec      string `json:"spec"`
	Hash      string `json:"hash"`
	FirstSeen int64  `json:"first_seen"`
	LastSeen  int64  `json:"last_seen"`
	Source    string `json:"source" doc:"who defined it: device/name, user/name, token/name"`
	Version   int64  `json:"version" doc:"of the definition, counted from 1"`
	RemovedAt int64  `json:"removed_at" doc:"microseconds, 0: in force"`
}

const taskCols = "name, kind, spec, hash, first_seen, last_seen, source, version, removed_at"

func (t *Task) dest() []any {
	return []any{&t.Name, &t.Kind, &t.Spec, &t.Hash, &t.FirstSeen, &t.LastSeen, &t.Source, &t.Version, &t.RemovedAt}
}

// TaskDevice is a device that reports a task.
type TaskDevice struct {
	Task     string `json:"-"`
	Device   string `json:"device"`
	Hash     string `json:"hash" doc:"of its task file"`
	LastSeen int64  `json:"last_seen"`
	Spec     string `json:"spec,omitempty" doc:"its task file, where that differs from the definition"`
	Differs  bool   `json:"differs" doc:"its task file means something else than the definition"`
	Version  int64  `json:"-"` // of the definition that it was compared with
}

const taskDeviceCols = "task, device, hash, last_seen, spec, differs, version"

func (t *TaskDevice) dest() []any {
	return []any{&t.Task, &t.Device, &t.Hash, &t.LastSeen, &t.Spec, &t.Differs, &t.Version}
}

// PutTask stores a definition and that the device runs it as defined.
func (q *Queries) PutTask(ctx context.Context, t Task, device string) error {
	t.Version = max(t.Version, 1)
	if err := q.DefineTask(ctx, t); err != nil {
		return err
	}
	return q.PutTaskDevice(ctx, TaskDevice{
		Task:     t.Name,
		Device:   device,
		Hash:     t.Hash,
		LastSeen: t.LastSeen,
		Version:  t.Version,
	})
}

// DefineTask stores a definition. When it was first seen stays.
func (q *Queries) DefineTask(ctx context.Context, t Task) error {
	_, err := insert(ctx, q, "task", taskCols, `ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, spec = excluded.spec,
		hash = excluded.hash, last_seen = excluded.last_seen, source = excluded.source, version = excluded.version,
		removed_at = excluded.removed_at`, &t)
	return err
}

// TouchTask records that a task was reported.
func (q *Queries) TouchTask(ctx context.Context, name string, at int64) error {
	_, err := q.exec(ctx, "UPDATE task SET last_seen = $2 WHERE name = $1", name, at)
	return err
}

// DeleteTask removes a definition and what devices report of it.
func (q *Queries) DeleteTask(ctx context.Context, name string) error {
	if _, err := q.exec(ctx, "DELETE FROM task_device WHERE task = $1", name); err != nil {
		return err
	}
	return must(q.exec(ctx, "DELETE FROM task WHERE name = $1", name))
}

// Task returns a task or ErrNotFound, which is also what a removed one gives.
func (q *Queries) Task(ctx context.Context, name string) (Task, error) {
	return one[Task](ctx, q, "SELECT "+taskCols+" FROM task WHERE name = $1 AND removed_at = 0", name)
}

// AnyTask is Task, removed ones included.
func (q *Queries) AnyTask(ctx context.Context, name string) (Task, error) {
	return one[Task](ctx, q, "SELECT "+taskCols+" FROM task WHERE name = $1", name)
}

// TasksNamed lists the tasks of some names, removed or not, by name.
func (q *Queries) TasksNamed(ctx context.Context, names []string) ([]Task, error) {
	if len(names) == 0 {
		return nil, nil
	}
	args, places := make([]any, len(names)), make([]string, len(names))
	for i, n := range names {
		args[i], places[i] = n, fmt.Sprintf("$%d", i+1)
	}
	tasks, err := many[Task](ctx, q, "SELECT "+taskCols+" FROM task WHERE name IN ("+strings.Join(places, ", ")+")", args...)
	slices.SortFunc(tasks, func(a, b Task) int { return strings.Compare(a.Name, b.Name) })
	return tasks, err
}

// Tasks lists every task that is not removed.
func (q *Queries) Tasks(ctx context.Context) ([]Task, error) {
	return many[Task](ctx, q, "SELECT "+taskCols+" FROM task WHERE removed_at = 0 ORDER BY name")
}

// RemovedTasks lists the tasks that were removed and are still remembered.
func (q *Queries) RemovedTasks(ctx context.Context) ([]Task, error) {
	return many[Task](ctx, q, "SELECT "+taskCols+" FROM task WHERE removed_at > 0 ORDER BY name")
}

// CountTasks returns how many definitions there are, removed ones included, and how many of them
// a source made.
func (q *Queries) CountTasks(ctx context.Context, source string) (all, own int64, err error) {
	if all, err = q.int64(ctx, "SELECT COUNT(*) FROM task"); err == nil {
		own, err = q.int64(ctx, "SELECT COUNT(*) FROM task WHERE source = $1", source)
	}
	return all, own, err
}

// PutTaskDevice stores what a device reports of a task.
func (q *Queries) PutTaskDevice(ctx context.Context, t TaskDevice) error {
	_, err := insert(ctx, q, "task_device", taskDeviceCols, `ON CONFLICT (task, device) DO UPDATE SET hash = excluded.hash,
		last_seen = excluded.last_seen, spec = excluded.spec, differs = excluded.differs, version = excluded.version`, &t)
	return err
}

// TaskDevice returns what a device reports of a task or ErrNotFound.
func (q *Queries) TaskDevice(ctx context.Context, task, device string) (TaskDevice, error) {
	return one[TaskDevice](ctx, q, "SELECT "+taskDeviceCols+" FROM task_device WHERE task = $1 AND device = $2", task, device)
}

// DeviceTasks lists what a device reports, by the task's name.
func (q *Queries) DeviceTasks(ctx context.Context, device string) ([]TaskDevice, error) {
	rows, err := many[TaskDevice](ctx, q, "SELECT "+taskDeviceCols+" FROM task_device WHERE device = $1", device)
	slices.SortFunc(rows, func(a, b TaskDevice) int { return strings.Compare(a.Task, b.Task) })
	return rows, err
}

// DeviceTaskNames lists the tasks that a device reports.
func (q *Queries) DeviceTaskNames(ctx context.Context, device string) ([]string, error) {
	rows, err := many[textRow](ctx, q, "SELECT task FROM task_device WHERE device = $1", device)
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.s
	}
	return out, err
}

// TaskReports lists the devices that report a task, as defined or not.
func (q *Queries) TaskReports(ctx context.Context, task string) ([]TaskDevice, error) {
	return many[TaskDevice](ctx, q, "SELECT "+taskDeviceCols+" FROM task_device WHERE task = $1 ORDER BY device", task)
}

// TaskDevices lists the devices that run a task as it is defined.
func (q *Queries) TaskDevices(ctx context.Context, task string) ([]string, error) {
	rows, err := many[textRow](ctx, q, "SELECT device FROM task_device WHERE task = $1 AND NOT differs ORDER BY device", task)
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.s
	}
	return out, err
}

// LabelPoint is a matured prediction for charts and error series.
type LabelPoint struct {
	Task        string `json:"task"`
	Device      string `json:"device"`
	RowTime     int64  `json:"row_time"`
	At          int64  `json:"at"`
	Truth       Float  `json:"truth"`
	Predicted   Float  `json:"predicted"`
	Lower       Float  `json:"lower"`
	Upper       Float  `json:"upper"`
	Persistence Float  `json:"persistence"`
	Champion    Float  `json:"champion"`
	Candidate   Float  `json:"candidate"`
	ChampionID  string `json:"champion_id"`
	CandidateID string `json:"candidate_id"`
	ReceivedAt  int64  `json:"received_at"`
	// of a task of more than two classes, see wire.Label; NaN and 0 otherwise
	Classes         int   `json:"classes,omitempty"`
	Chance          Float `json:"chance"`
	ChampionChance  Float `json:"champion_chance"`
	CandidateChance Float `json:"candidate_chance"`
	BaselineChance  Float `json:"baseline_chance"`
	SetSize         int   `json:"set_size,omitempty"`
	Covered         bool  `json:"covered,omitempty"`
}

const labelCols = "task, device, row_time, at, truth, predicted, lower_bound, upper_bound, persistence, champion, candidate, champion_id, candidate_id, received_at, " +
	"classes, chance, champion_chance, candidate_chance, baseline_chance, set_size, covered"

func (l *LabelPoint) dest() []any {
	return []any{&l.Task, &l.Device, &l.RowTime, &l.At, &l.Truth, &l.Predicted, &l.Lower, &l.Upper, &l.Persistence,
		&l.Champion, &l.Candidate, &l.ChampionID, &l.CandidateID, &l.ReceivedAt,
		&l.Classes, &l.Chance, &l.ChampionChance, &l.CandidateChance, &l.BaselineChance, &l.SetSize, &l.Covered}
}

// ClassScore is how one prediction of a classification did.
type ClassScore struct {
	Wrong, WrongBaseline     float64 // 1 when another class was the most probable
	LogLoss, LogLossBaseline float64 // nats
	SetSize                  int
	Covered                  bool
}

// Score scores a point of a classification. Of two classes the point holds probabilities of the
// second, where both may be true while there are no bounds. It is not ok without a truth or a
// prediction.
func (l *LabelPoint) Score() (s ClassScore, ok bool) {
	truth := math.Round(float64(l.Truth))
	wrong := func(v Float) float64 {
		if math.Round(float64(v)) == truth {
			return 0
		}
		return 1
	}
	s = ClassScore{wrong(l.Predicted), wrong(l.Persistence), metric.LogLossOf(float64(l.Chance)), metric.LogLossOf(float64(l.BaselineChance)), l.SetSize, l.Covered}
	if l.Classes == 0 {
		second := truth >= 1
		of := func(v Float) float64 {
			if second {
				return metric.LogLossOf(float64(v))
			}
			return metric.LogLossOf(1 - float64(v))
		}
		s.LogLoss, s.LogLossBaseline = of(l.Predicted), of(l.Persistence)
		s.SetSize, s.Covered = 0, false
		for c, in := range []bool{!(l.Lower > 0), !(l.Upper < 1)} {
			if in {
				s.SetSize++
				s.Covered = s.Covered || float64(c) == truth
			}
		}
	}
	return s, !math.IsNaN(truth + s.LogLoss + s.LogLossBaseline)
}

// InsertLabelPoint stores a matured prediction; a repeat is ignored.
func (q *Queries) InsertLabelPoint(ctx context.Context, l LabelPoint) error {
	_, err := insert(ctx, q, "label_point", labelCols, "ON CONFLICT DO NOTHING", &l)
	return err
}

// LabelPoints returns the newest limit points of a task (and device unless "") with row times in
// [from, to], oldest first.
func (q *Queries) LabelPoints(ctx context.Context, task, device string, from, to int64, limit int) ([]LabelPoint, error) {
	return many[LabelPoint](ctx, q, "SELECT "+labelCols+" FROM (SELECT "+labelCols+` FROM label_point WHERE task = $1 AND ($2 = '' OR device = $2)
		AND row_time >= $3 AND row_time <= $4 ORDER BY row_time DESC LIMIT $5) AS newest ORDER BY row_time, device`, task, device, from, to, orAll(limit))
}

// CountLabels counts the points of a task received after a time.
func (q *Queries) CountLabels(ctx context.Context, task string, since int64) (int64, error) {
	return q.int64(ctx, "SELECT COUNT(*) FROM label_point WHERE task = $1 AND received_at > $2", task, since)
}

// DeviceLabels counts the points of a task that a device has sent, and returns the newest time that
// their labels came, of those up to latest.
func (q *Queries) DeviceLabels(ctx context.Context, task, device string, latest int64) (n, newest int64, err error) {
	if n, err = q.int64(ctx, "SELECT COUNT(*) FROM label_point WHERE task = $1 AND device = $2 AND at <= $3", task, device, latest); n > 0 && err == nil {
		newest, err = q.int64(ctx, "SELECT MAX(at) FROM label_point WHERE task = $1 AND device = $2 AND at <= $3", task, device, latest)
	}
	return n, newest, err
}

// PruneLabelPoints deletes points received before a time, but none that came while the clock was not
// set.
func (q *Queries) PruneLabelPoints(ctx context.Context, before int64) (int64, error) {
	return q.exec(ctx, "DELETE FROM label_point WHERE received_at < $1 AND received_at >= $2", before, unknownBefore)
}

// Job is a piece of work for a worker. Spec and Result are JSON; the states are the caller's.
type Job struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	Task       string `json:"task"`
	State      string `json:"state"`
	Spec       string `json:"spec"`
	Result     string `json:"result"`
	Error      string `json:"error"`
	CreatedBy  string `json:"created_by"`
	CreatedAt  int64  `json:"created_at"`
	StartedAt  int64  `json:"started_at"`
	FinishedAt int64  `json:"finished_at"`
}

const jobCols = "id, kind, task, state, spec, result, error, created_by, created_at, started_at, finished_at"

func (j *Job) dest() []any {
	return []any{&j.ID, &j.Kind, &j.Task, &j.State, &j.Spec, &j.Result, &j.Error, &j.CreatedBy, &j.CreatedAt, &j.StartedAt, &j.FinishedAt}
}

// PutJob inserts or replaces a job.
func (q *Queries) PutJob(ctx context.Context, j Job) error {
	_, err := insert(ctx, q, "job", jobCols, `ON CONFLICT (id) DO UPDATE SET state = excluded.state, spec = excluded.spec, result = excluded.result,
		error = excluded.error, started_at = excluded.started_at, finished_at = excluded.finished_at`, &j)
	return err
}

// Job returns one or ErrNotFound.
func (q *Queries) Job(ctx context.Context, id string) (Job, error) {
	return one[Job](ctx, q, "SELECT "+jobCols+" FROM job WHERE id = $1", id)
}

// Jobs lists jobs, newest first; empty task or state do not restrict.
func (q *Queries) Jobs(ctx context.Context, task, state string, limit int) ([]Job, error) {
	return many[Job](ctx, q, "SELECT "+jobCols+" FROM job WHERE ($1 = '' OR task = $1) AND ($2 = '' OR state = $2) ORDER BY created_at DESC, id DESC LIMIT $3",
		task, state, orAll(limit))
}

// JobLease holds who works on a job. It is stored beside the job, which PutJob leaves alone.
type JobLease struct {
	ID          string
	Worker      string // "" while nobody works on it
	Token       int64  // grows with every worker
	Until       int64  // end of the lease, microseconds by the database's clock
	CancelledBy string // "" unless somebody cancelled the job
	Lost        int64  // how many workers ended without giving the job back
}

func (l *JobLease) dest() []any {
	return []any{&l.ID, &l.Worker, &l.Token, &l.Until, &l.CancelledBy, &l.Lost}
}

// JobLease returns who works on a job or ErrNotFound.
func (q *Queries) JobLease(ctx context.Context, id string) (JobLease, error) {
	return one[JobLease](ctx, q, "SELECT id, worker, token, lease_until, cancelled_by, lost FROM job WHERE id = $1", id)
}

// SetJobLease stores who works on a job, or ErrNotFound.
func (q *Queries) SetJobLease(ctx context.Context, l JobLease) error {
	return must(q.exec(ctx, "UPDATE job SET worker = $2, token = $3, lease_until = $4, cancelled_by = $5, lost = $6 WHERE id = $1",
		l.ID, l.Worker, l.Token, l.Until, l.CancelledBy, l.Lost))
}

// OldestJob returns the job of a kind and state that was created first, or ErrNotFound.
func (q *Queries) OldestJob(ctx context.Context, kind, state string) (Job, error) {
	return one[Job](ctx, q, "SELECT "+jobCols+" FROM job WHERE kind = $1 AND state = $2 ORDER BY created_at, id LIMIT 1", kind, state)
}

// JobsOf lists the jobs of a kind and state, the first created first.
func (q *Queries) JobsOf(ctx context.Context, kind, state string) ([]Job, error) {
	return many[Job](ctx, q, "SELECT "+jobCols+" FROM job WHERE kind = $1 AND state = $2 ORDER BY created_at, id", kind, state)
}

// TrainingProgress is what the triggers of training look at, of one task.
type TrainingProgress struct {
	Task     string
	Document string // JSON of the training package
}

func (p *TrainingProgress) dest() []any { return []any{&p.Task, &p.Document} }

// PutTrainingProgress inserts or replaces the progress of a task.
func (q *Queries) PutTrainingProgress(ctx context.Context, p TrainingProgress) error {
	_, err := insert(ctx, q, "training_progress", "task, document", "ON CONFLICT (task) DO UPDATE SET document = excluded.document", &p)
	return err
}

// TrainingProgress returns the progress of every task.
func (q *Queries) TrainingProgress(ctx context.Context) ([]TrainingProgress, error) {
	return many[TrainingProgress](ctx, q, "SELECT task, document FROM training_progress ORDER BY task")
}

// ClearTrainingProgress removes the progress of every task.
func (q *Queries) ClearTrainingProgress(ctx context.Context) error {
	_, err := q.exec(ctx, "DELETE FROM training_progress")
	return err
}

// Model is a registered artifact. Metrics and Lineage are JSON objects.
type Model struct {
	Digest       string `json:"digest"`
	Task         string `json:"task"`
	Version      int64  `json:"version"`
	Kind         string `json:"kind"`
	State        string `json:"state"`
	Size         int64  `json:"size"`
	Target       string `json:"target"`
	Metrics      string `json:"metrics"`
	Lineage      string `json:"lineage"`
	CreatedBy    string `json:"created_by"`
	CreatedAt    int64  `json:"created_at"`
	TombstonedAt int64  `json:"tombstoned_at"`
	Tombstone    string `json:"tombstone"`  // why
	RemovedAt    int64  `json:"removed_at"` // its artifact; 0: it is there
	LiftedAt     int64  `json:"lifted_at"`  // when an earlier tombstone was lifted
}

const modelCols = "digest, task, version, kind, state, size, target, metrics, lineage, created_by, created_at, tombstoned_at, tombstone, removed_at, lifted_at"

func (m *Model) dest() []any {
	return []any{&m.Digest, &m.Task, &m.Version, &m.Kind, &m.State, &m.Size, &m.Target, &m.Metrics, &m.Lineage, &m.CreatedBy,
		&m.CreatedAt, &m.TombstonedAt, &m.Tombstone, &m.RemovedAt, &m.LiftedAt}
}

// InsertModel stores a model under the next version number of its task and returns the stored row.
func (q *Queries) InsertModel(ctx context.Context, m Model) (Model, error) {
	v, err := q.int64(ctx, "SELECT COALESCE(MAX(version), 0) + 1 FROM model WHERE task = $1", m.Task)
	if err != nil {
		return m, err
	}
	m.Version = v
	_, err = insert(ctx, q, "model", modelCols, "", &m)
	return m, err
}

// Model returns a model by digest or ErrNotFound.
func (q *Queries) Model(ctx context.Context, digest string) (Model, error) {
	return one[Model](ctx, q, "SELECT "+modelCols+" FROM model WHERE digest = $1", digest)
}

// ModelVersion returns a task's model by version number or ErrNotFound.
func (q *Queries) ModelVersion(ctx context.Context, task string, version int64) (Model, error) {
	return one[Model](ctx, q, "SELECT "+modelCols+" FROM model WHERE task = $1 AND version = $2", task, version)
}

// Models lists models, newest first; task "" means all.
func (q *Queries) Models(ctx context.Context, task string, limit int) ([]Model, error) {
	return many[Model](ctx, q, "SELECT "+modelCols+" FROM model WHERE ($1 = '' OR task = $1) ORDER BY created_at DESC, task, version DESC LIMIT $2", task, orAll(limit))
}

// UpdateModel replaces a model's state and metrics.
func (q *Queries) UpdateModel(ctx context.Context, digest, state, metrics string) error {
	return must(q.exec(ctx, "UPDATE model SET state = $2, metrics = $3 WHERE digest = $1", digest, state, metrics))
}

// UnusedModels lists models whose artifacts nothing has needed since a time (microseconds), oldest
// first and at most PruneRows: made before it, champions of nobody, not among the newest keep of
// their task, in no rollout that is under way or changed since, and in no document that a device was
// sent or has sent. A time from while the clock was not set counts as new.
func (q *Queries) UnusedModels(ctx context.Context, before, keep int64) ([]Model, error) {
	return many[Model](ctx, q, fmt.Sprintf(`SELECT %s FROM model WHERE removed_at = 0 AND created_at < $1 AND created_at >= $3
		AND (SELECT COUNT(*) FROM model newer WHERE newer.task = model.task AND newer.version > model.version) >= $2
		AND NOT EXISTS (SELECT 1 FROM champion WHERE champion.digest = model.digest)
		AND NOT EXISTS (SELECT 1 FROM rollout WHERE (rollout.updated_at >= $1 OR rollout.updated_at < $3 OR rollout.state NOT IN ('completed', 'rolled_back', 'aborted'))
			AND (rollout.digest = model.digest OR rollout.spec LIKE '%%' || model.digest || '%%' OR rollout.status LIKE '%%' || model.digest || '%%'))
		AND NOT EXISTS (SELECT 1 FROM rollout JOIN rollout_device ON rollout_device.rollout = rollout.id
			WHERE (rollout.updated_at >= $1 OR rollout.updated_at < $3) AND rollout_device.stats LIKE '%%' || model.digest || '%%')
		AND NOT EXISTS (SELECT 1 FROM desired WHERE desired.document LIKE '%%' || model.digest || '%%')
		AND NOT EXISTS (SELECT 1 FROM reported WHERE reported.document LIKE '%%' || model.digest || '%%')
		ORDER BY created_at, digest LIMIT %d`, modelCols, PruneRows), before, keep, unknownBefore)
}

// SetModelRemoved notes when the artifact of a model was deleted, 0: it is there.
func (q *Queries) SetModelRemoved(ctx context.Context, digest string, at int64) error {
	return must(q.exec(ctx, "UPDATE model SET removed_at = $2 WHERE digest = $1", digest, at))
}

// TombstoneModel marks a model as never to run again. It fails with ErrNotFound when it is
// unknown or already marked.
func (q *Queries) TombstoneModel(ctx context.Context, digest, reason string, at int64) error {
	return must(q.exec(ctx, "UPDATE model SET tombstoned_at = $2, tombstone = $3, state = 'tombstoned' WHERE digest = $1 AND tombstoned_at = 0", digest, at, reason))
}

// LiftTombstone allows a model again. It fails with ErrNotFound when it is unknown or not marked.
func (q *Queries) LiftTombstone(ctx context.Context, digest, state string, at int64) error {
	return must(q.exec(ctx, "UPDATE model SET tombstoned_at = 0, tombstone = '', lifted_at = $3, state = $2 WHERE digest = $1 AND tombstoned_at > 0", digest, state, at))
}

// maxTombstones bounds the digests of one task that devices are told; they are the newest.
const maxTombstones = 1000

// Lifted lists the digests of a task whose tombstones were lifted.
func (q *Queries) Lifted(ctx context.Context, task string) ([]string, error) {
	return q.digests(ctx, "SELECT digest FROM model WHERE lifted_at > 0 AND tombstoned_at = 0 AND task = $1 ORDER BY lifted_at DESC", task)
}

// Tombstones lists the digests that must not run, of one task or ("") of all, oldest first.
func (q *Queries) Tombstones(ctx context.Context, task string) ([]string, error) {
	out, err := q.digests(ctx, "SELECT digest FROM model WHERE tombstoned_at > 0 AND ($1 = '' OR task = $1) ORDER BY tombstoned_at DESC, digest", task)
	slices.Reverse(out)
	return out, err
}

func (q *Queries) digests(ctx context.Context, query, task string) ([]string, error) {
	rows, err := many[textRow](ctx, q, fmt.Sprintf("%s LIMIT %d", query, maxTombstones), task)
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.s
	}
	return out, err
}

// Champion is the model a cohort's devices should run; cohort "" is the default.
type Champion struct {
	Task   string `json:"task"`
	Cohort string `json:"cohort"`
	Digest string `json:"digest"`
	Since  int64  `json:"since"`
}

func (c *Champion) dest() []any { return []any{&c.Task, &c.Cohort, &c.Digest, &c.Since} }

// SetChampion makes a model the champion of a task and cohort.
func (q *Queries) SetChampion(ctx context.Context, c Champion) error {
	_, err := insert(ctx, q, "champion", "task, cohort, digest, since", `ON CONFLICT (task, cohort) DO UPDATE SET digest = excluded.digest, since = excluded.since`, &c)
	return err
}

// Champion returns the champion of a cohort, or the task's default when the cohort has none, or
// ErrNotFound.
func (q *Queries) Champion(ctx context.Context, task, cohort string) (Champion, error) {
	c, err := one[Champion](ctx, q, "SELECT task, cohort, digest, since FROM champion WHERE task = $1 AND cohort = $2", task, cohort)
	if errors.Is(err, ErrNotFound) && cohort != "" {
		return q.Champion(ctx, task, "")
	}
	return c, err
}

// Champions lists all champions.
func (q *Queries) Champions(ctx context.Context) ([]Champion, error) {
	return many[Champion](ctx, q, "SELECT task, cohort, digest, since FROM champion ORDER BY task, cohort")
}

// Rollout is the stored form of a rollout. Spec and Status are JSON documents of the rollout
// package.
type Rollout struct {
	ID        string `json:"id"`
	Task      string `json:"task"`
	Digest    string `json:"digest"`
	State     string `json:"state"`
	Stage     int64  `json:"stage"`
	Spec      string `json:"spec"`
	Status    string `json:"status"`
	CreatedBy string `json:"created_by"`
	CreatedAt int64  `json:"created_at"`
	UpdatedAt int64  `json:"updated_at"`
}

const rolloutCols = "id, task, digest, state, stage, spec, status, created_by, created_at, updated_at"

func (r *Rollout) dest() []any {
	return []any{&r.ID, &r.Task, &r.Digest, &r.State, &r.Stage, &r.Spec, &r.Status, &r.CreatedBy, &r.CreatedAt, &r.UpdatedAt}
}

// PutRollout inserts or replaces a rollout.
func (q *Queries) PutRollout(ctx context.Context, r Rollout) error {
	_, err := insert(ctx, q, "rollout", rolloutCols, `ON CONFLICT (id) DO UPDATE SET state = excluded.state, stage = excluded.stage, spec = excluded.spec,
		status = excluded.status, updated_at = excluded.updated_at`, &r)
	return err
}

// Rollout returns one or ErrNotFound.
func (q *Queries) Rollout(ctx context.Context, id string) (Rollout, error) {
	return one[Rollout](ctx, q, "SELECT "+rolloutCols+" FROM rollout WHERE id = $1", id)
}

// Rollouts lists rollouts, newest first; empty task or state do not restrict.
func (q *Queries) Rollouts(ctx context.Context, task, state string, limit int) ([]Rollout, error) {
	return many[Rollout](ctx, q, "SELECT "+rolloutCols+" FROM rollout WHERE ($1 = '' OR task = $1) AND ($2 = '' OR state = $2) ORDER BY created_at DESC, id DESC LIMIT $3",
		task, state, orAll(limit))
}

// Freeze says that no rollout of a task, "" of any, goes on.
type Freeze struct {
	Task   string `json:"task"`
	At     int64  `json:"at"`
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
}

func (f *Freeze) dest() []any { return []any{&f.Task, &f.At, &f.Actor, &f.Reason} }

// PutFreeze stores a freeze, or replaces the one of the same task.
func (q *Queries) PutFreeze(ctx context.Context, f Freeze) error {
	_, err := insert(ctx, q, "rollout_freeze", "task, at, actor, reason", "ON CONFLICT (task) DO UPDATE SET at = excluded.at, actor = excluded.actor, reason = excluded.reason", &f)
	return err
}

// DeleteFreeze ends the freeze of a task, "" of all; ErrNotFound when there is none.
func (q *Queries) DeleteFreeze(ctx context.Context, task string) error {
	return must(q.exec(ctx, "DELETE FROM rollout_freeze WHERE task = $1", task))
}

// Freezes lists what is frozen.
func (q *Queries) Freezes(ctx context.Context) ([]Freeze, error) {
	return many[Freeze](ctx, q, "SELECT task, at, actor, reason FROM rollout_freeze ORDER BY task")
}

// RolloutDevice is a device's part in a rollout. Stats is JSON (spec.Paired).
type RolloutDevice struct {
	Rollout    string `json:"rollout"`
	Device     string `json:"device"`
	Stage      int64  `json:"stage"`
	Generation int64  `json:"generation"`
	Phase      string `json:"phase"`
	Reason     string `json:"reason"`
	Stats      string `json:"stats"`
	UpdatedAt  int64  `json:"updated_at"`
}

const rolloutDeviceCols = "rollout, device, stage, generation, phase, reason, stats, updated_at"

func (r *RolloutDevice) dest() []any {
	return []any{&r.Rollout, &r.Device, &r.Stage, &r.Generation, &r.Phase, &r.Reason, &r.Stats, &r.UpdatedAt}
}

// PutRolloutDevice inserts or replaces a device's part in a rollout.
func (q *Queries) PutRolloutDevice(ctx context.Context, r RolloutDevice) error {
	_, err := insert(ctx, q, "rollout_device", rolloutDeviceCols, `ON CONFLICT (rollout, device) DO UPDATE SET stage = excluded.stage,
		generation = excluded.generation, phase = excluded.phase, reason = excluded.reason, stats = excluded.stats, updated_at = excluded.updated_at`, &r)
	return err
}

// RolloutDevice returns a device's part in a rollout, or ErrNotFound.
func (q *Queries) RolloutDevice(ctx context.Context, rollout, device string) (RolloutDevice, error) {
	return one[RolloutDevice](ctx, q, "SELECT "+rolloutDeviceCols+" FROM rollout_device WHERE rollout = $1 AND device = $2", rollout, device)
}

// RolloutDevices lists the devices of a rollout.
func (q *Queries) RolloutDevices(ctx context.Context, rollout string) ([]RolloutDevice, error) {
	return many[RolloutDevice](ctx, q, "SELECT "+rolloutDeviceCols+" FROM rollout_device WHERE rollout = $1 ORDER BY stage, device", rollout)
}
