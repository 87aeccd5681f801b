package task

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/source"
	"skerry.dev/configs"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
)

// rewritten is taskYAML with another text and the same meaning: a comment, other spaces, another
// order of keys and of inputs, another level of the intervals.
const rewritten = `# the level of the tank
kind: forecast
task: level
time: {max_past: 36500d, format: unix, path: $.ts}

inputs:
  - {topic: s/a, series: x, path: $.x}
  - {range: [0, 1000], series: y, topic: s/a, path: $.y}   # of the new sensor
rows: {max_age: 3h, on: y}
target: {horizon: 1h, series: y}
interval: 0.8
`

// another is a second task beside it.
var another = strings.Replace(taskYAML, "task: level", "task: other", 1)

func taken(t *testing.T, g *rig, texts ...string) {
	t.Helper()
	var tasks []*spec.Task
	for _, text := range texts {
		tasks = append(tasks, parse(t, text))
	}
	plan, err := source.Compile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Replace(t.Context(), tasks, plan, true); err != nil {
		t.Fatal(err)
	}
	g.plan = plan
}

// withFiles starts a runtime with tasks of these texts.
func withFiles(t *testing.T, dir string, texts ...string) *rig {
	t.Helper()
	var tasks []*spec.Task
	for _, text := range texts {
		tasks = append(tasks, parse(t, text))
	}
	plan, err := source.Compile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, dir, func(o *Options) { o.Tasks, o.Plan = tasks, plan })
	g.plan = plan
	return g
}

// rows are those that each task has seen, by a status that is asked for now.
func (g *rig) rows(t *testing.T) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	if err := g.call(t.Context(), func() {
		for _, x := range g.tasks {
			out[x.spec.Name] = x.engine.Status().Rows
		}
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// told are the reasons why tasks started anew.
func told(t *testing.T, g *rig) (out []string) {
	t.Helper()
	for _, r := range records(t, g) {
		for _, e := range r.Events {
			if e.Kind == "task_reset" {
				out = append(out, e.Task+" "+e.Detail)
			}
		}
	}
	return out
}

// changing is a runtime whose task files change, while it runs or over a restart.
type changing struct {
	*rig
	how, dir string
}

// eachChange runs f for both, beginning with tasks of these texts.
func eachChange(t *testing.T, f func(t *testing.T, g *changing), texts ...string) {
	for _, how := range []string{"reload", "restart"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			f(t, &changing{withFiles(t, dir, texts...), how, dir})
		})
	}
}

func (c *changing) change(t *testing.T, texts ...string) {
	t.Helper()
	if c.how == "reload" {
		taken(t, c.rig, texts...)
		return
	}
	c.stop(t)
	if err := c.store.Close(); err != nil {
		t.Fatal(err)
	}
	c.rig = withFiles(t, c.dir, texts...)
}

// TestOnlyAChangeOfMeaningResets: what a task has learned goes on when its file changes in words
// only, while the agent runs and over a restart; a change of what the state is made for resets
// that task alone and says why.
func TestOnlyAChangeOfMeaningResets(t *testing.T) {
	eachChange(t, func(t *testing.T, g *changing) {
		for i := range 50 {
			g.message(t, i, float64(10+i%5), float64(i%3))
		}
		g.Flush()
		if err := g.Install(t.Context(), "level", "a"); err != nil {
			t.Fatal(err)
		}

		g.change(t, rewritten, another)
		if s, err := g.Slots(t.Context(), "level"); err != nil || s.Champion != "a" {
			t.Errorf("slots %+v, %v after a change of words, want the model in use", s, err)
		}
		for i := 50; i < 80; i++ {
			g.message(t, i, float64(10+i%5), float64(i%3))
		}
		g.Flush()
		if r := g.rows(t); r["level"] != 80 || r["other"] != 80 {
			t.Errorf("rows %v after a change of words, want 80 of each", r)
		}
		if why := told(t, g.rig); len(why) > 0 {
			t.Errorf("starts anew: %q, want nothing", why)
		}

		g.change(t, strings.Replace(rewritten, "horizon: 1h", "horizon: 2h", 1), another)
		for i := 80; i < 90; i++ {
			g.message(t, i, float64(10+i%5), float64(i%3))
		}
		g.Flush()
		if r := g.rows(t); r["level"] != 10 || r["other"] != 90 {
			t.Errorf("rows %v after a change of the horizon, want 10 and 90", r)
		}
		if why := told(t, g.rig); len(why) != 1 || !strings.HasPrefix(why[0], "level ") || !strings.Contains(why[0], "target.horizon was 1h0m0s and is 2h0m0s") {
			t.Errorf("starts anew: %q, want level for its horizon", why)
		}
		g.change(t, strings.Replace(rewritten, "horizon: 1h", "horizon: 2h", 1), another)
		if r := g.rows(t); r["level"] != 10 || r["other"] != 90 {
			t.Errorf("rows %v after nothing changed any more, want 10 and 90", r)
		}
	}, taskYAML, another)
}

// TestSnapshotsOfWhatChanged: a task that nothing arrives for is not stored again and again, holds
// back no journal, and is as it was after a restart.
func TestSnapshotsOfWhatChanged(t *testing.T) {
	dir := t.TempDir()
	still := strings.NewReplacer("task: level", "task: still", "series: y", "series: u", "on: y", "on: u", "series: x", "series: v", "s/a", "s/u").Replace(taskYAML)
	g := withFiles(t, dir, taskYAML, still)
	send := func(from, to int) {
		for i := from; i < to; i++ {
			g.message(t, i, float64(10+i%5), 1)
		}
		g.Flush()
	}
	send(0, 200)
	before, err := g.store.Snapshots()
	if err != nil {
		t.Fatal(err)
	}
	send(200, 400)
	after, err := g.store.Snapshots()
	if err != nil {
		t.Fatal(err)
	}
	if len(before["still"].Data) == 0 || string(before["still"].Data) != string(after["still"].Data) {
		t.Error("the state of a task that nothing arrived for is missing or another")
	}
	if before["still"].Position >= after["still"].Position || before["level"].Position >= after["level"].Position {
		t.Errorf("positions %d and %d, then %d and %d: want later ones", before["still"].Position, before["level"].Position, after["still"].Position, after["level"].Position)
	}
	entries := 0
	if err := g.store.Journal(func(uint64, []byte) error { entries++; return nil }); err != nil {
		t.Fatal(err)
	}
	if entries > 400 { // the gate's state is stored every 320 rows here
		t.Errorf("%d journal entries are kept", entries)
	}
	g.stop(t)
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	g = withFiles(t, dir, taskYAML, still)
	if r := g.rows(t); r["level"] != 400 || r["still"] != 0 {
		t.Errorf("rows %v after the restart, want 400 and 0", r)
	}
}

// TestManyTasksTakeTurns: states that are due by age do not all go into one commit.
func TestManyTasksTakeTurns(t *testing.T) {
	r := &Runtime{opts: Options{SnapshotRows: 100, SnapshotEvery: time.Minute}}
	now := time.Now()
	for i := range 50 {
		r.tasks = append(r.tasks, &running{changed: true, saved: now.Add(-time.Hour + time.Duration(i)*time.Second)})
	}
	r.tasks[49].rows = 100
	r.tasks[48].changed = false
	due := r.dueSnapshots(now)
	if len(due) != 1+13 || due[0] != r.tasks[49] || due[1] != r.tasks[0] {
		t.Errorf("%d states at once, want the one with enough rows and a quarter of the tasks, the oldest first", len(due))
	}
	if due = r.dueSnapshots(now.Add(time.Second)); len(due) != 1 {
		t.Errorf("%d states a second later, want the one with enough rows alone", len(due))
	}
}

// TestCapBoundsTheFile: an outage that lasts longer than the cap lets the file grow no further than
// the cap and the air between its pages.
func TestCapBoundsTheFile(t *testing.T) {
	const limit = 8 << 20
	dir := t.TempDir()
	st, err := cache.Open(cache.Options{Dir: dir, Outbox: outbox.Options{Device: "dev", MaxBytes: limit}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	task := parse(t, taskYAML)
	plan, err := source.Compile([]*spec.Task{task})
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{store: st, plan: plan, ended: make(chan error, 1)}
	g.Runtime, err = Open(Options{Device: "dev", Store: st, Tasks: []*spec.Task{task}, Plan: plan, AgentCache: configs.AgentCache{MaxBytes: limit}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	go func() { g.ended <- g.Run(ctx) }()
	defer g.stop(t)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := 0; g.store.Outbox().Stats().Dropped < 50_000 && i < 1e6; i++ {
		g.message(t, i, rng.Float64()*100, rng.Float64())
	}
	g.Flush()
	info, err := os.Stat(filepath.Join(dir, cache.FileName))
	if err != nil {
		t.Fatal(err)
	}
	s := g.store.Outbox().Stats()
	t.Logf("the file has %d KiB, chunks %d KiB, the cap is %d KiB", info.Size()>>10, s.PendingBytes>>10, limit>>10)
	if s.Dropped == 0 || info.Size() > limit*5/4 {
		t.Errorf("%d records dropped; the file has %d bytes, the cap is %d", s.Dropped, info.Size(), limit)
	}
}

// TestCapOfManySeries: what many series need beside the outbox, journal and known readings, is
// bounded by the cap, too.
func TestCapOfManySeries(t *testing.T) {
	const limit, series, messages = 8 << 20, 400, 1000
	dir := t.TempDir()
	st, err := cache.Open(cache.Options{Dir: dir, Outbox: outbox.Options{Device: "dev", MaxBytes: limit}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var tasks []*spec.Task
	for from := 0; from < series; from += series / 2 {
		text := fmt.Sprintf("task: many-%d\nkind: anomaly\ninputs:\n", from)
		for i := range series / 2 {
			text += fmt.Sprintf("  - {series: sensor-%05d, topic: many/x, path: '$.v[%d]'}\n", from+i, from+i)
		}
		tasks = append(tasks, parse(t, text+"anomaly: {detector: half-space-trees}\n"))
	}
	plan, err := source.Compile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{store: st, plan: plan, ended: make(chan error, 1)}
	g.Runtime, err = Open(Options{Device: "dev", Store: st, Tasks: tasks, Plan: plan, AgentCache: configs.AgentCache{MaxBytes: limit}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	go func() { g.ended <- g.Run(ctx) }()
	defer g.stop(t)
	rng := rand.New(rand.NewPCG(1, 1))
	begin := time.Now().Add(-messages * time.Second).UnixMicro()
	for i := range messages {
		m := source.Message{Plan: plan, Topic: "many/x", Arrival: time.Now().UnixMicro(), ClockOK: true, Ack: func() {}}
		for k := range series {
			m.Readings = append(m.Readings, source.Reading{Series: k, Time: begin + int64(i)*1e6, HasTime: true, Value: rng.Float64()})
		}
		if err := g.Message(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	g.Flush()
	info, err := os.Stat(filepath.Join(dir, cache.FileName))
	if err != nil {
		t.Fatal(err)
	}
	journal, size := 0, 0
	if err := st.Journal(func(_ uint64, entry []byte) error { journal++; size += len(entry); return nil }); err != nil {
		t.Fatal(err)
	}
	starts, _ := st.Starts(1)
	t.Logf("the file has %d KiB, the cap is %d KiB; %d journal entries of %d KiB, %d pages of a series; %+v", info.Size()>>10, limit>>10, journal, size>>10, len(starts), st.Outbox().Stats())
	// what is written anew as a whole, states, leaves air between pages
	if info.Size() > 5*limit/2 || len(starts) > 5 || size > limit/2 {
		t.Errorf("the file has %d bytes, the journal %d, known readings %d pages of a series; the cap is %d", info.Size(), size, len(starts), limit)
	}
	if !st.Outbox().Tight() {
		t.Error("nothing tells that the cap is too small")
	}
}
