package training_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/engine"
	"skerry.dev/compute/sequential"
	"skerry.dev/configs"
	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/learn"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/server"
	"skerry.dev/hub/training"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

const taskText = `task: next
kind: forecast
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: a, path: $.p, range: [0, 100]}
  - {series: temp, topic: b, path: $.t}
rows: {on: pm25, max_age: 3h}
`

func parse(t *testing.T, text string) *spec.Task {
	t.Helper()
	task, err := spec.ParseTask("test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// hub is an open hub; run starts it.
type hub struct {
	*server.Hub
	t *testing.T
}

func open(t *testing.T, dir string) *hub {
	t.Helper()
	h, err := server.Open(t.Context(), server.Options{Config: configs.HubConfig{DataDir: dir, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"}, AdminPassword: "correct horse battery"})
	if err != nil {
		t.Fatal(err)
	}
	return &hub{h, t}
}

// run serves until the function returned is called.
func (h *hub) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, h.Close()); err != nil {
			h.t.Errorf("hub: %v", err)
		}
	}
	h.t.Cleanup(stop)
	return stop
}

// device is the sending side of an agent: an engine of its own, and the records it would have
// stored.
type device struct {
	t       *testing.T
	text    string
	task    *spec.Task
	engine  *engine.Engine
	arrival int64 // of the next message, microseconds
	runs    []*run
	rows    []engine.Row
	truth   map[int64]float64
}

// run is what a device stored between two starts of its agent.
type run struct {
	wire.RunInfo
	recs wire.Records
}

func newDevice(t *testing.T, text string) *device {
	task := parse(t, text)
	e, err := engine.New(task.Engine())
	if err != nil {
		t.Fatal(err)
	}
	d := &device{t: t, text: text, task: task, engine: e, truth: map[int64]float64{}, arrival: began}
	d.start()
	return d
}

// start begins a run at the time of the next message.
func (d *device) start() {
	n := len(d.runs)
	r := &run{RunInfo: wire.RunInfo{Run: wire.Run{byte(n + 1)}, StartedAt: d.arrival, ClockOK: true}}
	if n > 0 {
		r.Prev = d.runs[n-1].Run
	}
	d.runs = append(d.runs, r)
}

func (d *device) readings() (n int) {
	for _, r := range d.runs {
		n += len(r.recs.Readings)
	}
	return n
}

// message offers readings as the agent's gate would have passed them on.
func (d *device) message(rs ...wire.Reading) {
	var batch []engine.Reading
	for i, r := range rs {
		if i == 0 {
			r.Flags |= wire.FlagFirst
		}
		now := d.runs[len(d.runs)-1]
		r.Mono = (d.arrival - now.StartedAt) * 1000
		now.recs.Readings = append(now.recs.Readings, r)
		if r.Flags&wire.Blocked != 0 {
			continue
		}
		v := r.Value
		if r.Flags&wire.Missing != 0 {
			v = math.NaN()
		}
		if k, ok := d.task.EngineSeries(r.Series); ok {
			batch = append(batch, engine.Reading{Series: k, Time: r.Time, Value: v})
		}
	}
	o := d.engine.Ingest(d.arrival, batch)
	for _, r := range o.Rows {
		d.rows = append(d.rows, engine.Row{Time: r.Time, Values: slices.Clone(r.Values)})
	}
	for _, l := range o.Labels {
		d.truth[l.Row] = l.Truth
	}
}

const hour = int64(time.Hour / time.Microsecond)

var began = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// feed sends n hours of a wave that the change before tells, with what happens on real lines.
func (d *device) feed(n int) {
	for i := range n {
		at := began + int64(i)*hour
		d.arrival = at + hour/3600
		pm := wire.Reading{Series: "pm25", Time: at, Value: 50 + 20*math.Sin(float64(i)/4) + 3*math.Sin(float64(i)*1.7)}
		temp := wire.Reading{Series: "temp", Time: at - hour/6, Value: float64(i % 24)}
		switch {
		case i%50 == 10: // out of range: the engine sees it as missing
			pm.Value, pm.Flags = 400, wire.FlagRange
			d.message(temp, pm)
		case i%50 == 20: // the second series comes in a message of its own, late
			d.message(pm)
			temp.Flags = wire.FlagLate
			d.message(temp)
		case i%50 == 30:
			// a reading of a series that the task does not use, one from the future, and a conflict
			d.message(wire.Reading{Series: "door", Time: at, Value: 1}, temp, pm)
			d.message(wire.Reading{Series: "pm25", Time: at + 1000*hour, Value: 1, Flags: wire.FlagFuture})
			d.message(wire.Reading{Series: "pm25", Time: at, Value: 1, Flags: wire.FlagConflict})
		case i%50 == 40: // nothing
		default:
			d.message(temp, pm)
		}
	}
}

// sync enrols a device, sends what it has stored and its state, and waits for the lake.
func (h *hub) sync(name string, d *device) {
	t := h.t
	t.Helper()
	ctx := t.Context()
	kp, pub := bustest.Key(t)
	secret, _, err := h.Fleet.CreateToken(ctx, "test", name, "north", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := h.Fleet.Enroll(ctx, "127.0.0.1", identity.EnrollRequest{Token: secret, PublicKey: pub, Fingerprint: "f", Class: "linux/amd64", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(h.Bus.URLs()[0], nats.CustomInboxPrefix(wire.InboxPrefix(name)), nats.UserJWT(func() (string, error) { return reply.JWT, nil }, func(b []byte) ([]byte, error) { return kp.Sign(b) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	hello := wire.Hello{Device: name, Fingerprint: "f", Version: "1", Receipts: true}
	var chunks [][]byte
	for _, r := range d.runs {
		all, first := r.recs.Readings, uint64(1)
		r.Last = map[wire.Class]uint64{wire.ClassReading: uint64(len(all))}
		hello.Runs = append(hello.Runs, r.RunInfo)
		for len(all) > 0 { // chunks cut through messages
			n := min(77, len(all))
			b, err := wire.Encode(wire.Header{Device: name, Run: r.Run, Class: wire.ClassReading, First: first}, &wire.Records{Readings: all[:n]})
			if err != nil {
				t.Fatal(err)
			}
			chunks, all, first = append(chunks, b), all[n:], first+uint64(n)
		}
	}
	greeting, err := json.Marshal(hello)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nc.Request(wire.SubjectHello(name), greeting, 10*time.Second)
	for tries := 0; errors.Is(err, nats.ErrNoResponders) && tries < 200; tries++ { // the hub is still starting
		<-time.After(10 * time.Millisecond)
		m, err = nc.Request(wire.SubjectHello(name), greeting, 10*time.Second)
	}
	if err != nil || bytes.Contains(m.Data, []byte(`"error"`)) {
		t.Fatalf("hello: %v, %v", m, err)
	}
	slices.Reverse(chunks) // backfill comes newest first
	for _, b := range chunks {
		m, err := nc.Request(wire.SubjectBack("north", name), b, 10*time.Second)
		if err != nil || !strings.HasPrefix(string(m.Data), `{"applied":true`) || strings.Contains(string(m.Data), "refused") {
			t.Fatalf("receipt %v, %v", m, err)
		}
	}
	doc, err := json.Marshal(spec.Reported{Device: name, Site: "north", Version: "1", Time: meta.Now(), Class: "linux/amd64",
		Tasks: map[string]spec.ReportedTask{"next": {Kind: "forecast", Spec: d.text, SpecHash: d.task.Hash}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish(wire.SubjectState("north", name), doc); err != nil {
		t.Fatal(err)
	}
	h.eventually("the lake has everything", func() bool {
		n := 0
		for _, err := range h.Lake.Readings(ctx, name, nil, math.MinInt64, math.MaxInt64) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		names, err := h.DB.Read().TaskDevices(ctx, "next")
		return err == nil && n == d.readings() && slices.Contains(names, name)
	})
}

func (h *hub) eventually(what string, ok func() bool) {
	h.t.Helper()
	for range 7200 {
		if ok() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	h.t.Fatalf("%s: not within three minutes", what)
}

// TestRows holds that the hub trains on what the device saw: readings through chunks, ingest and
// lake give the rows that the device's own engine joined.
func TestRows(t *testing.T) {
	h := open(t, t.TempDir())
	h.run()
	d := newDevice(t, taskText)
	d.feed(600)
	h.sync("dev-1", d)
	h.sameRows("dev-1", d)
	if _, err := h.Lake.Compact(t.Context(), true); err != nil { // from staging to Parquet
		t.Fatal(err)
	}
	h.sameRows("dev-1", d)
}

// TestRowsOverRuns is TestRows for an agent that was off between two messages for longer than its
// task waits for late readings: the row that waited fired before them, and does so at the hub.
func TestRowsOverRuns(t *testing.T) {
	h := open(t, t.TempDir())
	h.run()
	d := newDevice(t, strings.Replace(taskText, "max_age: 3h", "max_age: 3h, lateness: 30m", 1))
	d.feed(600)
	last := began + 599*hour
	d.arrival = last + 2*hour
	d.start()
	before := len(d.rows)
	d.message(wire.Reading{Series: "temp", Time: last - hour/60, Value: 99})
	if len(d.rows) != before+1 || d.rows[before].Values[1] == 99 {
		t.Fatalf("rows after the silence: %v, want one that the late reading did not reach", d.rows[before:])
	}
	h.sync("dev-1", d)
	h.sameRows("dev-1", d)
}

// sameRows compares the rows that the hub trains on with those of the device.
func (h *hub) sameRows(name string, d *device) {
	t := h.t
	t.Helper()
	s, err := learn.Rows(t.Context(), training.Readings(h.DB, h.Lake), d.task, name)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Times) != len(d.rows) || len(s.Times) < 500 {
		t.Fatalf("Rows has %d rows, the device %d", len(s.Times), len(d.rows))
	}
	labels := 0
	for i, r := range d.rows {
		if s.Times[i] != r.Time || !sameBits(s.Values[i], r.Values) {
			t.Fatalf("row %d = %d %v, on the device %d %v", i, s.Times[i], s.Values[i], r.Time, r.Values)
		}
		want, ok := d.truth[r.Time]
		if !ok {
			want = math.NaN()
		} else {
			labels++
		}
		if !sameBits([]float64{s.Target[i], s.Baseline[i]}, []float64{want, r.Values[0]}) {
			t.Fatalf("row %d: target %v from %v, on the device %v from %v", i, s.Target[i], s.Baseline[i], want, r.Values[0])
		}
	}
	if labels < 400 {
		t.Errorf("%d labels only", labels)
	}
}

func sameBits(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool {
		return math.Float64bits(x) == math.Float64bits(y) || math.IsNaN(x) && math.IsNaN(y)
	})
}

// TestJob takes a task from readings to a rollout; a job that a restart interrupted begins again.
func TestJob(t *testing.T) {
	dir := t.TempDir()
	policy := training.Policy{Disabled: true, Trials: 1, Learners: []string{"gbdt"}, Threads: 1}
	h := open(t, dir)
	l := h.Learn(policy, rollout.Spec{MinShadow: 7})
	stop := h.run()
	d := newDevice(t, taskText)
	d.feed(800)
	h.sync("dev-1", d)

	if _, err := l.Trainer.Queue(t.Context(), "user/ada", training.JobSpec{Task: "none"}); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("Queue of an unknown task = %v", err)
	}
	q, err := l.Trainer.Queue(t.Context(), "user/ada", training.JobSpec{Task: "next", Trigger: "command"})
	if err != nil {
		t.Fatal(err)
	}
	j := done(h, l.Trainer, q.ID)
	r := j.Result
	if j.State != training.Done || r.Model != "next@1" || r.Learner != "gbdt" || r.Rows < 700 || r.Verdict == nil || r.Verdict.Outcome != sequential.Pass || r.Outcome != "rollout created" || j.Spec.Lineage == "" {
		t.Fatalf("job = %+v", j)
	}
	m, err := h.DB.Read().Model(t.Context(), r.Digest)
	if err != nil || !strings.Contains(m.Lineage, j.Spec.Lineage) || !strings.Contains(m.Lineage, j.ID) {
		t.Errorf("Model = %+v, %v, want the lineage %s", m, err, j.Spec.Lineage)
	}
	b, err := h.Registry.Load(t.Context(), r.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := artifact.DecodeBytes(b); err != nil || a.SelfTest() != nil || a.Manifest.Task != "next" {
		t.Errorf("artifact = %+v, %v", a, err)
	}
	ro, _, err := l.Rollouts.Get(t.Context(), r.Rollout)
	if err != nil || ro.Spec.Digest != r.Digest || ro.Spec.MinShadow != 7 || ro.CreatedBy != "training "+j.ID {
		t.Errorf("rollout = %+v, %v, want the judged artifact by the template's gates", ro, err)
	}

	// A second one while the rollout is under way waits for its end; then the hub dies in the middle of
	// a third.
	q, err = l.Trainer.Queue(t.Context(), "user/ada", training.JobSpec{Task: "next", Trigger: "command", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if j := done(h, l.Trainer, q.ID); j.State != training.Done || !strings.HasPrefix(j.Result.Outcome, "waits until the task is free: ") || j.Result.Kept == nil {
		t.Errorf("second job = %+v", j)
	}
	stop()

	h = open(t, dir)
	if err := h.DB.Tx(t.Context(), func(q *meta.Queries) error {
		return q.PutJob(t.Context(), meta.Job{ID: "j-cut", Kind: training.JobKind, Task: "next", State: training.Started, Spec: `{"task":"next","trigger":"command","lineage":"l-cut"}`, Result: "{}", CreatedBy: "user/ada", CreatedAt: meta.Now(), StartedAt: 1})
	}); err != nil {
		t.Fatal(err)
	}
	l = h.Learn(policy, rollout.Spec{})
	h.run()
	if j := done(h, l.Trainer, "j-cut"); j.State != training.Done || j.StartedAt == 1 || j.Result.Model == "" || j.Spec.Lineage != "l-cut" {
		t.Errorf("interrupted job = %+v", j)
	}
}

func done(h *hub, tr *training.Trainer, id string) (j training.Job) {
	h.t.Helper()
	h.eventually("job "+id, func() bool {
		var err error
		if j, err = tr.Job(h.t.Context(), id); err != nil {
			h.t.Fatal(err)
		}
		return j.State == training.Done || j.State == training.Failed
	})
	return j
}

// TestChampionGone: a champion whose task file has other inputs now, or that is tombstoned, is none: the
// task is trained, judged against the baselines, and the job says why.
func TestChampionGone(t *testing.T) {
	h := open(t, t.TempDir())
	l := h.Learn(training.Policy{Disabled: true, Trials: 1, Learners: []string{"linear"}, Threads: 1, NoRollout: true}, rollout.Spec{})
	h.run()
	d := newDevice(t, taskText)
	d.feed(700)
	h.sync("dev-1", d)
	train := func() training.JobResult {
		t.Helper()
		q, err := l.Trainer.Queue(t.Context(), "user/ada", training.JobSpec{Task: "next", Trigger: "command"})
		if err != nil {
			t.Fatal(err)
		}
		j := done(h, l.Trainer, q.ID)
		if j.State != training.Done || j.Result.Verdict == nil {
			t.Fatalf("job = %+v", j)
		}
		return j.Result
	}
	first := train()
	if err := h.Registry.Promote(t.Context(), "user/ada", first.Digest, ""); err != nil {
		t.Fatal(err)
	}
	if r := train(); r.Gone != "" || r.Verdict.Against != "the champion" {
		t.Errorf("with a champion in force: %+v, gone %q", r.Verdict, r.Gone)
	}
	other := strings.Replace(taskText, "  - {series: temp, topic: b, path: $.t}\n", "", 1)
	if err := h.DB.Tx(t.Context(), func(q *meta.Queries) error {
		return q.PutTask(t.Context(), meta.Task{Name: "next", Kind: "forecast", Spec: other, Hash: parse(t, other).Hash}, "dev-1")
	}); err != nil {
		t.Fatal(err)
	}
	r := train()
	if r.Gone != first.Digest || !strings.Contains(r.GoneWhy, "its inputs are pm25, temp, those of the task pm25") || r.Verdict.Against == "the champion" || !strings.Contains(r.Outcome, "judged without a champion: model next@1") {
		t.Errorf("after the inputs have changed: %+v", r)
	}
	if err := h.Registry.Promote(t.Context(), "user/ada", r.Digest, ""); err != nil {
		t.Fatal(err)
	}
	if err := h.Registry.Tombstone(t.Context(), "user/ada", r.Digest, "it smelled"); err != nil {
		t.Fatal(err)
	}
	if again := train(); again.Gone != r.Digest || !strings.Contains(again.GoneWhy, "is tombstoned: it smelled") || again.Verdict.Against == "the champion" {
		t.Errorf("after the champion was tombstoned: %+v", again)
	}
}
