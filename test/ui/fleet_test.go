package ui_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/api"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/selection"
	"skerry.dev/hub/server"
	"skerry.dev/hub/training"
	"skerry.dev/hub/web"
	"skerry.dev/sync/spec"
)

const (
	password = "correct horse battery"
	task     = "pm25-next-hour"
	taskFile = `task: pm25-next-hour
kind: forecast
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: air/+/reading, path: $.pm25, unit: µg/m³}
  - {series: temp, topic: air/+/reading, path: $.temp, unit: °C}
time: {path: $.ts, format: rfc3339}
rows: {on: pm25, max_age: 3h}
interval: 0.9
`
	hour = int64(3600e6)
	day  = 24 * hour
)

var first = time.Date(2016, 11, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// fleet is a running hub with stand-ins for devices: rows of the database that answer what the
// hub orders.
type fleet struct {
	*server.Hub
	t       *testing.T
	learn   *server.Learning
	devices []string
	absent  string // has no link and answers nothing
	loss    float64
	version map[string]string // by digest
	running map[string]spec.Reported
}

func start(t *testing.T) *fleet {
	t.Helper()
	dir := t.TempDir()
	h, err := server.Open(t.Context(), server.Options{Config: configs.HubConfig{DataDir: dir, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"}, AdminPassword: password, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{Hub: h, t: t, version: map[string]string{}, running: map[string]spec.Reported{}}
	f.learn = h.Learn(training.Policy{Disabled: true}, rollout.Spec{})
	web.Routes(h.API.Mux())
	id, err := os.ReadFile(filepath.Join(dir, "hub-id")) // a hub takes the links to itself for lost
	if err != nil {
		t.Fatal(err)
	}
	f.tx(func(q *meta.Queries) error {
		return errors.Join(q.InsertDevice(t.Context(), meta.Device{Name: "marker"}), q.SetConnected(t.Context(), "marker", strings.TrimSpace(string(id)), true, 1))
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if err := h.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	f.until("the hub has taken every link for lost, as it does at its start", func() bool {
		d, err := h.DB.Read().Device(t.Context(), "marker")
		return err == nil && !d.Connected
	})
	f.tx(func(q *meta.Queries) error { return q.DeleteDevice(t.Context(), "marker") })
	return f
}

func (f *fleet) tx(fn func(*meta.Queries) error) {
	f.t.Helper()
	if err := f.DB.Tx(f.t.Context(), fn); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) until(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// seed gives the hub devices, two months of matured predictions, models, rollouts that ended each
// in its own way, and trainings. It returns the rollout under way and the model that was refused.
func (f *fleet) seed() (open *rollout.Rollout, refused meta.Model) {
	f.t.Helper()
	f.devices = []string{"aotizhongxin", "changping", "dingling", "gucheng", "huairou"}
	f.absent = "huairou"
	ctx, now := f.t.Context(), meta.Now()
	f.tx(func(q *meta.Queries) error {
		for i, name := range f.devices {
			site := []string{"north", "south"}[i%2]
			if err := q.InsertDevice(ctx, meta.Device{Name: name, Site: site, PublicKey: name, Fingerprint: "f-" + name, Class: "linux/arm64", Version: "0.9.1", JoinCounter: int64(3 + i),
				CreatedAt: now - 40*day, SeenAt: now}); err != nil {
				return err
			}
			if err := q.SetConnected(ctx, name, "", name != f.absent, now-int64(i)*hour/3600); err != nil {
				return err
			}
			if err := q.PutTask(ctx, meta.Task{Name: task, Kind: "forecast", Spec: taskFile, Hash: strings.Repeat("a", 64), FirstSeen: now - 40*day, LastSeen: now}, name); err != nil {
				return err
			}
			for metric, v := range map[string]float64{"cpu_percent": 11.4, "mem_used_percent": 38, "temperature_cpu_celsius": 52.3, "agent_rss_bytes": 31 << 20, "uptime_seconds": 3.2e6} {
				if err := q.PutHostValue(ctx, meta.HostValue{Device: name, Metric: metric, Time: now, Value: meta.Float(v)}); err != nil {
					return err
				}
			}
			if _, err := q.PutRun(ctx, meta.Run{Device: name, Run: strings.Repeat(fmt.Sprint(i+1), 32), StartedAt: now - 3*day, FirstSeen: now - 3*day}); err != nil {
				return err
			}
			for class, n := range map[int64]int64{2: 3, 3: 1440, 4: 17280, 5: 1441} {
				if err := q.InsertInterval(ctx, meta.Interval{Device: name, Run: "r", Class: class, From: 1, To: n, SHA256: "s", AppliedAt: now}); err != nil {
					return err
				}
			}
			if err := f.labels(ctx, q, name, rand.New(rand.NewPCG(1, uint64(i)))); err != nil {
				return err
			}
		}
		return f.events(ctx, q, now)
	})
	for _, d := range f.devices {
		f.report(d, nil)
	}
	one := f.model("histogram boosting", 8.42, "2000 labels", "", -0.21)
	f.loss = 0.72
	f.follow(one, rollout.Completed)
	refused = f.model("multilayer perceptron", 8.31, "3 drift events on 2 devices", one.Digest, -0.02)
	f.loss = 1.4
	f.follow(refused, rollout.RolledBack)
	three := f.model("histogram boosting", 7.63, "loss 18 % above the champion's held-out loss", one.Digest, -0.09)
	f.loss = 0.93
	open = f.follow(three, rollout.Running)
	f.jobs(ctx, one, refused, three, open)
	return open, refused
}

// labels makes a day-and-night curve with a change of its kind at day 34, which a new model has
// learned by day 42.
func (f *fleet) labels(ctx context.Context, q *meta.Queries, device string, rng *rand.Rand) error {
	level, last := 60.0, 60.0
	for h := range int64(60 * 24) {
		at := first + h*hour
		swing := 18 * math.Sin(float64(h)/24*2*math.Pi)
		change, blur := 0.0, 5.2+rng.Float64()
		if h > 34*24 {
			change = 30 * math.Sin(float64(h)/24*4*math.Pi)
			blur = 12
			if h > 42*24 {
				blur = 5.6
			}
		}
		level += rng.NormFloat64()*5 - (level-60)*0.03
		truth := max(2, level+swing+change)
		p := truth + rng.NormFloat64()*blur
		if device == f.absent && h > 57*24 {
			break
		}
		if err := q.InsertLabelPoint(ctx, meta.LabelPoint{Task: task, Device: device, RowTime: at, At: at + hour, Truth: meta.Float(truth), Predicted: meta.Float(p), Lower: meta.Float(p - 11),
			Upper: meta.Float(p + 12), Persistence: meta.Float(last), Champion: meta.Float(p), Candidate: meta.Float(math.NaN()), ReceivedAt: meta.Now()}); err != nil {
			return err
		}
		last = truth
	}
	return nil
}

func (f *fleet) events(ctx context.Context, q *meta.Queries, now int64) error {
	at := first + 34*day
	for i, e := range []meta.Event{
		{Device: "aotizhongxin", Class: 2, Kind: "drift", Time: at + 9*hour, Detail: `{"detector":"adwin","series":"","value":0.8123,"model":""}`},
		{Device: "changping", Class: 2, Kind: "drift", Time: at + 15*hour, Detail: `{"detector":"page_hinkley","series":"","value":1.92,"model":""}`},
		{Device: "gucheng", Class: 2, Kind: "input_drift", Time: at + 40*hour, Detail: `{"detector":"inputs","series":"temp","value":1.31,"model":""}`},
		{Device: "huairou", Class: 1, Kind: "cache_damaged", Time: now - 2*hour, Detail: `{"problem":"a torn frame at the end was cut off"}`},
		{Device: "dingling", Class: 2, Kind: "model", Time: at + 8*day, Detail: `{"op":"activate","digest":"` + strings.Repeat("c", 64) + `","champion":""}`},
	} {
		e.ID, e.ReceivedAt = fmt.Sprintf("e%d", i), now-int64(5-i)*hour/3
		if e.Kind != "cache_damaged" {
			e.Task = task
		}
		if err := q.InsertEvent(ctx, e); err != nil {
			return err
		}
	}
	return q.InsertGap(ctx, meta.Gap{Device: "huairou", Run: "r", Class: 5, From: 100, To: 460, Reason: "outbox_full", Series: "{}", DeclaredAt: now - day})
}

// report stores what a device says of itself; a is how far it is with its assignment.
func (f *fleet) report(device string, a *spec.ReportedAssignment) {
	f.t.Helper()
	old := f.running[device]
	t := spec.ReportedTask{Kind: "forecast", Spec: taskFile, SpecHash: strings.Repeat("a", 64), Watermark: first + 60*day, Rows: 1441, Labels: 1440, Drifts: 1, MAE: 5.07, MAEBaseline: 8.02, Coverage: 0.913,
		Champion: old.Tasks[task].Champion, Assignment: a}
	if a != nil && (a.Phase == spec.PhaseActive || a.Phase == spec.PhaseProbation) {
		t.Champion = a.Digest
	}
	t.Version = f.version[t.Champion]
	r := spec.Reported{Device: device, Version: "0.9.1", Class: "linux/arm64", Run: "r", Generation: 1, Time: meta.Now(), Health: "ok", Tasks: map[string]spec.ReportedTask{task: t},
		LatencyUS: map[string]float64{"predict_p50": 21, "predict_p99": 64, "mqtt_to_prediction_p50": 180, "mqtt_to_prediction_p99": 410},
		Outbox:    spec.ReportedOutbox{PendingRecords: 12, PendingBytes: 9 << 10, CapBytes: 64 << 20, BytesPerDay: 410e3, OfflineDays: 163, Stored: map[string]uint64{"reading": 17280, "label": 1440, "prediction": 1441, "event": 3}}}
	if a != nil {
		r.Generation = a.Generation
	}
	r.Inputs = []spec.ReportedInput{{Series: "pm25", Topic: "air/+/reading", Path: "$.pm25", Tasks: []string{task}, Readings: 17280, LastSeen: r.Time, LastValue: 61.5, EveryS: 3600},
		{Series: "temp", Topic: "air/+/reading", Path: "$.temp", Tasks: []string{task}, Readings: 17101, Refused: 179, LastSeen: r.Time, EveryS: 3600, LastRefused: `air/x/reading $.temp "n/a": must be a number`}}
	if device == f.absent {
		r.Health, r.Reasons = "degraded", []string{"disk 91 % full"}
		r.LeftOut = "7 of 30 inputs: a report has at most 500 inputs and 1048576 bytes"
		for i := range 21 { // a gateway that died: more than one page, with long names
			in := spec.ReportedInput{Series: fmt.Sprintf("humidity_of_the_%d_greenhouse", i), Topic: strings.Repeat("greenhouse/", 8) + fmt.Sprint(i), Path: "$.sensors['air humidity'].value", Tasks: []string{task},
				Wrong: []string{fmt.Sprintf("no reading of the series humidity_of_the_%d_greenhouse of task %s has come since 2026-11-29 03:00:00 UTC, where one comes every 1m0s: look after the sensor, its power and its connection", i, task)}}
			r.Inputs, r.Reasons = append([]spec.ReportedInput{in}, r.Inputs...), append(r.Reasons, in.Wrong...)
		}
		r.Outbox.PendingRecords, r.Outbox.PendingBytes, r.Outbox.OfflineDays = 4410, 39<<20, 4.6
	}
	f.running[device] = r
	b, err := json.Marshal(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.tx(func(q *meta.Queries) error {
		return errors.Join(
			q.PutReported(f.t.Context(), meta.Document{Device: device, Generation: int64(r.Generation), Document: string(b), At: meta.Now()}),
			feed.Add(f.t.Context(), q, feed.KindState, "", device, feed.State{}))
	})
}

// follow rolls a model out and lets the devices do as they are told until the rollout is in a
// state; Running means until the canary is on probation.
func (f *fleet) follow(m meta.Model, until rollout.State) *rollout.Rollout {
	f.t.Helper()
	ctx := f.t.Context()
	// the stand-ins report no more while the pages are looked at, which takes minutes on a busy machine
	r, err := f.learn.Rollouts.Create(ctx, "user/admin", rollout.Spec{Task: task, Digest: m.Digest, MaxUnknown: 0.5, Silent: 3600})
	if err != nil {
		f.t.Fatal(err)
	}
	f.until(fmt.Sprintf("rollout of %s is %s", registry.Name(m), until), func() bool {
		trying := false
		for _, d := range f.devices {
			if d != f.absent {
				trying = f.answer(d, r.ID, until) || trying
			}
		}
		if r, _, err = f.learn.Rollouts.Get(ctx, r.ID); err != nil {
			f.t.Fatal(err)
		}
		return r.State == until && (until != rollout.Running || trying && r.Status.Counts.Trial > 0)
	})
	return r
}

// answer is what a device does about its newest order. It reports whether it is on probation.
func (f *fleet) answer(device, id string, until rollout.State) bool {
	f.t.Helper()
	want, err := f.Fleet.Desired(f.t.Context(), device)
	if err != nil {
		f.t.Fatal(err)
	}
	a, ok := want.Assignments[task]
	if !ok || a.Rollout != id {
		return false
	}
	n := 320.0
	if until == rollout.Running && a.Phase == spec.PhaseActive {
		n = 31 // of the 48 that probation takes
	}
	diff := f.loss - 0.8
	// better in truth: its line in seed is only above the others' to tell it apart
	if f.loss > 0.9 && f.loss < 1 {
		diff = -0.06
	}
	stats := spec.Paired{Rows: int64(n), Labelled: int64(n), Warm: int64(n * 0.8), From: 1, To: 8 * 24 * 3600e6, LatencyP99US: 58, Disagreement: 0.14}
	for i := range stats.Labelled {
		d := diff + 0.2*math.Sin(float64(13*i*i))
		stats.Blocks.Add(1+i*(stats.To/stats.Labelled), 0.8, 0.8+d)
		stats.SumIncumbent += 0.8
		stats.SumCandidate += 0.8 + d
		stats.SumDiff += d
	}
	phase := a.Phase
	if phase == spec.PhaseActive && until == rollout.Running {
		phase = spec.PhaseProbation
	}
	old := f.running[device].Tasks[task].Assignment
	if old == nil || old.Generation != a.Generation || old.Phase != phase {
		f.report(device, &spec.ReportedAssignment{Generation: a.Generation, Rollout: id, Digest: a.Digest, Phase: phase, Stats: stats})
	}
	return phase == spec.PhaseProbation
}

func (f *fleet) model(learner string, mae float64, trigger, champion string, diff float64) meta.Model {
	f.t.Helper()
	v := selection.Verdict{Outcome: "pass", Champion: 0.8, Challenger: 0.8 + diff, N: 480, Rows: 1900, Lo: diff - 0.03, Hi: diff + 0.02, Reason: "better on average and surely not worse by more than 2 %"}
	board := []selection.Entry{
		{Learner: learner, Params: map[string]float64{"rounds": 180, "leaves": 31, "learning_rate": 0.05}, Score: mae, Relative: mae / 11.2, Folds: 3, Seconds: 4.1, LatencyUS: 9.3, Bytes: 310 << 10},
		{Learner: "ridge", Params: map[string]float64{"alpha": 1.5}, Score: mae + 0.6, Relative: (mae + 0.6) / 11.2, Folds: 3, Seconds: 0.3, LatencyUS: 0.7, Bytes: 4 << 10},
		{Learner: "random forest", Params: map[string]float64{"trees": 200}, Score: mae + 0.9, Relative: (mae + 0.9) / 11.2, Folds: 1, Seconds: 9.8, LatencyUS: 61, Bytes: 5 << 20, OverBudget: true},
	}
	m, err := f.Registry.Register(f.t.Context(), []byte("model "+trigger), registry.Info{Task: task, Kind: learner, CreatedBy: "trigger",
		Metrics: selection.Holdout{Rows: 1900, MAE: mae, RMSE: mae * 1.5, MAEBaseline: 11.2, Coverage: 0.897},
		Lineage: map[string]any{"id": "l-" + learner[:4], "job": "j-" + strings.ReplaceAll(trigger[:6], " ", "-"), "trigger": trigger, "champion": champion, "rows": 7140, "devices": f.devices, "train_from": first,
			"train_to": first + 40*day, "verdict": v, "leaderboard": board}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.version[m.Digest] = registry.Name(m)
	return m
}

func (f *fleet) jobs(ctx context.Context, one, two, three meta.Model, open *rollout.Rollout) {
	f.t.Helper()
	put := func(id, state, trigger string, ago int64, r training.JobResult, failure string) {
		s, err1 := json.Marshal(training.JobSpec{Task: task, Trigger: trigger, Lineage: "l-" + id})
		b, err2 := json.Marshal(r)
		if err1 != nil || err2 != nil {
			f.t.Fatal(err1, err2)
		}
		j := meta.Job{ID: id, Kind: training.JobKind, Task: task, State: state, Spec: string(s), Result: string(b), Error: failure, CreatedBy: "trigger", CreatedAt: meta.Now() - ago, StartedAt: meta.Now() - ago + hour/3600}
		if state == training.Done || state == training.Failed {
			j.FinishedAt = j.StartedAt + 41*hour/3600
		}
		f.tx(func(q *meta.Queries) error {
			if err := q.PutJob(ctx, j); err != nil || state != training.Started {
				return err
			}
			// somebody works on it: the hub would take it itself
			return q.SetJobLease(ctx, meta.JobLease{ID: id, Worker: "another", Token: 1, Until: meta.Now() + hour})
		})
	}
	result := func(m meta.Model, outcome, rollout string) training.JobResult {
		r := training.JobResult{Rows: 7140, Digest: m.Digest, Model: registry.Name(m), Learner: m.Kind, Rollout: rollout, Outcome: outcome, Seconds: 41.2, Done: 42, Trials: 42}
		var l struct {
			Verdict     selection.Verdict
			Leaderboard []selection.Entry
		}
		if err := json.Unmarshal([]byte(m.Metrics), &r.Holdout); err != nil {
			f.t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(m.Lineage), &l); err != nil {
			f.t.Fatal(err)
		}
		r.Verdict, r.Leaderboard = &l.Verdict, l.Leaderboard
		return r
	}
	put("j-5c21aa90d1f0", training.Done, "2000 labels", 30*day, result(one, "rollout created", "r-first"), "")
	put("j-7d90be11c2a4", training.Failed, "schedule", 20*day, training.JobResult{Rows: 130}, "too few labelled rows: 130, needed 300")
	put("j-91f3d02b77e8", training.Done, "3 drift events on 2 devices", 8*day, result(two, "rollout created", "r-second"), "")
	put("j-c41e90aa63d2", training.Done, "loss 18 % above the champion's held-out loss", hour, result(three, "rollout created", open.ID), "")
	put("j-e02b6f1d9c35", training.Started, "command", hour/60, training.JobResult{Stage: "search", Done: 17, Trials: 40, Rows: 7188, Learner: "ridge"}, "")
}

func (f *fleet) account(name, role string) {
	f.t.Helper()
	if err := api.CreateAccount(f.t.Context(), f.DB, "test", name, role, password); err != nil {
		f.t.Fatal(err)
	}
}
