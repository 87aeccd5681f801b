package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/replay"
	"skerry.dev/agent/source"
	"skerry.dev/agent/task"
	"skerry.dev/compute/engine"
	"skerry.dev/configs"
	"skerry.dev/sync/outbox"
	"skerry.dev/sync/spec"
)

// The tasks of the day: rows that wait for a lateness, on a cadence, on a cadence that waits, and
// at once; a forecast, and a quantity whose truth comes by message.
var dayTasks = []string{`
task: waits
kind: forecast
target: {series: y, horizon: 5m}
inputs:
  - {series: y, topic: day/y, path: $.y, range: [-50, 50]}
  - {series: x, topic: day/x, path: $.x}
time: {path: $.ts, format: unix_ms, max_future: 1m, max_past: 36500d}
rows: {on: y, max_age: 10m, lateness: 2m, idle: 30s}
`, `
task: beats
kind: forecast
target: {series: y, horizon: 10m}
inputs:
  - {series: y, topic: day/y, path: $.y, range: [-50, 50]}
  - {series: x, topic: day/x, path: $.x}
time: {path: $.ts, format: unix_ms, max_future: 1m, max_past: 36500d}
rows: {every: 20s, max_age: 10m, idle: 1m}
`, `
task: beats-late
kind: regression
target: {series: truth, topic: day/truth, path: $.v}
inputs:
  - {series: y, topic: day/y, path: $.y, range: [-50, 50]}
  - {series: x, topic: day/x, path: $.x}
time: {path: $.ts, format: unix_ms, max_future: 1m, max_past: 36500d}
rows: {every: 1m, max_age: 10m, lateness: 90s, idle: 2s}
`, `
task: at-once
kind: forecast
target: {series: x, horizon: 5m}
inputs:
  - {series: x, topic: day/x, path: $.x}
time: {path: $.ts, format: unix_ms, max_future: 1m, max_past: 36500d}
rows: {on: x, max_age: 10m}
`}

// recorder writes every message with its arrival before the runtime sees it, a line each.
type recorder struct {
	to   source.Sink
	plan *source.Plan
	text strings.Builder
}

func (r *recorder) Message(ctx context.Context, m source.Message) error {
	if r.text.Len() == 0 {
		r.text.WriteString("arrival,ts")
		for _, s := range r.plan.Series() {
			r.text.WriteString("," + s.Name)
		}
		r.text.WriteByte('\n')
	}
	cells := make([]string, len(r.plan.Series()))
	for _, x := range m.Readings {
		cells[x.Series] = fmt.Sprint(x.Value)
	}
	stamp := func(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }
	fmt.Fprintf(&r.text, "%s,%s,%s\n", stamp(m.Arrival), stamp(m.Readings[0].Time), strings.Join(cells, ","))
	return r.to.Message(ctx, m)
}

// said is a prediction as people see it.
type said struct {
	Task  string   `json:"task"`
	Time  string   `json:"ts"`
	For   string   `json:"for"`
	Value float64  `json:"value"`
	Lower *float64 `json:"lo"`
	Upper *float64 `json:"hi"`
	Base  float64  `json:"persistence"`
}

func (s said) String() string {
	bits := func(p *float64) uint64 {
		if p == nil {
			return 0
		}
		return math.Float64bits(*p)
	}
	return fmt.Sprintf("%s %s %s %x %x %x %x", s.Task, s.Time, s.For, math.Float64bits(s.Value), bits(s.Lower), bits(s.Upper), math.Float64bits(s.Base))
}

// TestReplayOfADayIsTheDay runs a day of MQTT payloads live, on a clock of its own: delayed and
// repeated readings, some of the future, silences of all lengths and one at the end. Then it
// replays what was recorded and demands the same predictions, bit for bit, of every task.
func TestReplayOfADayIsTheDay(t *testing.T) {
	tasks := dayOf(t)
	live, recorded := runLive(t, tasks, aDay)
	for _, tk := range tasks {
		sum := sameInReplay(t, tk, live[tk.Name], recorded)
		if len(live[tk.Name]) < 300 || sum.Labels < 200 || sum.Repeats == 0 || sum.Conflicts == 0 || sum.Future == 0 || tk.Name != "at-once" && sum.Late == 0 {
			t.Errorf("task %q: the day shows too little: %d predictions, %+v", tk.Name, len(live[tk.Name]), sum)
		}
	}
}

// TestReplayOfOddDays is the same for days on which something happens to the device, to its
// sensors or to their clocks. Each part of a day ends with the agent being stopped.
func TestReplayOfOddDays(t *testing.T) {
	for _, tt := range []struct {
		name  string
		parts []func(*testing.T, *sensors)
	}{
		{"restarts in the middle", []func(*testing.T, *sensors){
			func(t *testing.T, s *sensors) { s.run(t, 50*time.Minute, 40*time.Second, 40*time.Second) },
			func(t *testing.T, s *sensors) { s.run(t, 5*time.Minute, 40*time.Second, 40*time.Second) },
			func(t *testing.T, s *sensors) { s.run(t, 50*time.Minute, 40*time.Second, 40*time.Second) },
		}},
		{"two cadences", []func(*testing.T, *sensors){
			func(t *testing.T, s *sensors) { s.run(t, 2*time.Hour, 10*time.Second, 4*time.Minute) },
		}},
		{"a gap of hours", []func(*testing.T, *sensors){func(t *testing.T, s *sensors) {
			s.run(t, 30*time.Minute, 30*time.Second, 50*time.Second)
			time.Sleep(3 * time.Hour)
			s.run(t, 30*time.Minute, 30*time.Second, 50*time.Second)
		}}},
		{"a gap of hours in one input", []func(*testing.T, *sensors){func(t *testing.T, s *sensors) {
			s.run(t, 30*time.Minute, 30*time.Second, 50*time.Second)
			s.run(t, 2*time.Hour, 30*time.Second, 24*time.Hour)
			s.run(t, 30*time.Minute, 30*time.Second, 50*time.Second)
		}}},
		{"the sensors' clock steps back and forth", []func(*testing.T, *sensors){func(t *testing.T, s *sensors) {
			for _, s.clock = range []time.Duration{0, -10 * time.Minute, 0, -time.Hour, 30 * time.Second, -time.Second} {
				s.run(t, 15*time.Minute, 30*time.Second, 50*time.Second)
			}
		}}},
		{"one sensor's clock is behind", []func(*testing.T, *sensors){func(t *testing.T, s *sensors) {
			s.behind = 3 * time.Minute
			s.run(t, time.Hour, 30*time.Second, 50*time.Second)
		}}},
		{"restarted after the clock stepped back", []func(*testing.T, *sensors){
			func(t *testing.T, s *sensors) { s.run(t, 30*time.Minute, 30*time.Second, 50*time.Second) },
			func(t *testing.T, s *sensors) {
				s.clock = -20 * time.Minute
				s.run(t, time.Hour, 30*time.Second, 50*time.Second)
			},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var parts []func(*testing.T, *source.Plan, source.Sink)
			s := &sensors{rng: rand.New(rand.NewPCG(7, 23))}
			for _, part := range tt.parts {
				parts = append(parts, func(t *testing.T, plan *source.Plan, to source.Sink) {
					s.plan, s.to = plan, to
					part(t, s)
				})
			}
			tasks := dayOf(t)
			live, recorded := runLive(t, tasks, parts...)
			for _, tk := range tasks {
				sum := sameInReplay(t, tk, live[tk.Name], recorded)
				if tk.Kind == spec.KindForecast && (len(live[tk.Name]) < 25 || sum.Labels == 0) {
					t.Errorf("task %q: the day shows too little: %d predictions, %+v", tk.Name, len(live[tk.Name]), sum)
				}
			}
		})
	}
}

// sensors send y and x, each at its own cadence, stamped by clocks that may be wrong. Some readings
// are held up on their way, and the last before an interruption comes after it.
type sensors struct {
	plan   *source.Plan
	to     source.Sink
	rng    *rand.Rand
	clock  time.Duration // how far the clock of both is ahead
	behind time.Duration // how far that of x is behind it
	level  float64
	sent   int
	held   [][2]string // topic and payload
}

func (s *sensors) run(t *testing.T, length, everyY, everyX time.Duration) {
	s.release(t)
	began := time.Now()
	nextY, nextX := began, began.Add(everyX/2)
	for {
		at, topic, path, clock := nextY, "day/y", "y", s.clock
		if nextX.Before(nextY) {
			at, topic, path, clock = nextX, "day/x", "x", s.clock-s.behind
			nextX = nextX.Add(everyX)
		} else {
			nextY = nextY.Add(everyY)
		}
		ends := at.Sub(began) >= length
		if !ends {
			time.Sleep(time.Until(at))
		}
		s.level += s.rng.NormFloat64()
		s.sent++
		p := stamped(path, time.Now().Add(clock), s.level)
		if ends {
			s.held = append(s.held, [2]string{topic, p})
			return
		}
		if s.sent%8 == 0 {
			s.held = append(s.held, [2]string{topic, p})
			continue
		}
		deliver(t, s.plan, s.to, topic, p)
		if s.sent%8 == 4 {
			s.release(t)
		}
	}
}

// release delivers what was held up.
func (s *sensors) release(t *testing.T) {
	for _, h := range s.held {
		deliver(t, s.plan, s.to, h[0], h[1])
	}
	s.held = nil
}

// dayOf returns the tasks of the day.
func dayOf(t *testing.T) (tasks []*spec.Task) {
	t.Helper()
	for _, text := range dayTasks {
		tk, err := spec.ParseTask("day.yaml", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, tk)
	}
	return tasks
}

// runLive runs the parts of a day on a clock of its own, each in a process of its own as far as
// the cache shows, and ten minutes of silence behind the last. It returns what was published of
// each task, and the file of the messages with their arrivals.
func runLive(t *testing.T, tasks []*spec.Task, parts ...func(*testing.T, *source.Plan, source.Sink)) (live map[string][]string, recorded string) {
	t.Helper()
	plan, err := source.Compile(tasks)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	live = map[string][]string{}
	rec := &recorder{plan: plan}
	synctest.Test(t, func(t *testing.T) {
		for i, part := range parts {
			runPart(t, dir, tasks, plan, rec, live, func() {
				part(t, plan, rec)
				if i == len(parts)-1 {
					time.Sleep(10 * time.Minute) // the sensors are silent
				}
			})
		}
	})

	// The encoders that the day leaves in the pool of sync/wire belong to its bubble, and must not
	// be used outside: a pool forgets them after two collections.
	runtime.GC()
	runtime.GC()

	recorded = filepath.Join(dir, "day.csv")
	if err := os.WriteFile(recorded, []byte(rec.text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return live, recorded
}

// runPart opens cache and runtime, runs what feeds them, and stops both.
func runPart(t *testing.T, dir string, tasks []*spec.Task, plan *source.Plan, rec *recorder, live map[string][]string, feed func()) {
	st, err := cache.Open(cache.Options{Dir: dir, Outbox: outbox.Options{Device: "dev"}})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	r, err := task.Open(task.Options{
		Device: "dev",
		Store:  st,
		Tasks:  tasks,
		Plan:   plan,
		Publish: func(_ string, payload []byte, _ bool) {
			var s said
			if err := json.Unmarshal(payload, &s); err != nil {
				t.Errorf("published %s: %v", payload, err)
			}
			live[s.Task] = append(live[s.Task], s.String())
		},
		AgentCache:    configs.AgentCache{CommitInterval: spec.Duration(time.Minute)},
		SnapshotRows:  1 << 30,
		SnapshotEvery: 48 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	rec.to = r
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	feed()
	synctest.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// sameInReplay replays a recorded day and demands the predictions of the live run, bit for bit.
func sameInReplay(t *testing.T, tk *spec.Task, want []string, recorded string) *replay.Summary {
	t.Helper()
	var again []string
	sum, err := replay.File(t.Context(), recorded, source.FileOptions{Arrival: "arrival"}, replay.Options{Task: tk, Prediction: func(p engine.Prediction) error {
		if !math.IsNaN(p.Value) {
			again = append(again, published(&p, tk).String())
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(again, want) {
		t.Errorf("task %q: %d predictions live, %d in the replay", tk.Name, len(want), len(again))
		for i := range min(len(again), len(want)) {
			if again[i] != want[i] {
				t.Errorf("prediction %d:\n-live   %s\n+replay %s", i, want[i], again[i])
				break
			}
		}
	}
	return sum
}

func published(p *engine.Prediction, tk *spec.Task) said {
	stamp := func(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }
	s := said{Task: tk.Name, Time: stamp(p.Row), For: stamp(p.For), Value: p.Value, Base: p.Persistence}
	if math.IsNaN(s.Base) {
		s.Base = p.Value
	}
	if !math.IsNaN(p.Lower) && !math.IsNaN(p.Upper) {
		s.Lower, s.Upper = &p.Lower, &p.Upper
	}
	return s
}

// deliver hands a payload to a sink as the broker's client does.
func deliver(t *testing.T, plan *source.Plan, to source.Sink, topic, payload string) {
	t.Helper()
	out, err := source.NewDecoder(plan, 1<<16).Decode(topic, []byte(payload))
	if err != nil || len(out.Readings) == 0 {
		t.Fatalf("%s %s: %v, %+v", topic, payload, err, out)
	}
	m := source.Message{
		Plan:     plan,
		Topic:    topic,
		Arrival:  time.Now().UnixMicro(),
		ClockOK:  true,
		Readings: out.Readings,
		Ack:      func() {},
	}
	if err := to.Message(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// stamped is a payload of one value and its time.
func stamped(path string, at time.Time, v float64) string {
	return fmt.Sprintf(`{"ts": %d, "%s": %v}`, at.UnixMilli(), path, math.Round(v*100)/100)
}

// aDay publishes what sensors send in 24 hours, in a third of them with -short.
func aDay(t *testing.T, plan *source.Plan, to source.Sink) {
	rng := rand.New(rand.NewPCG(19, 11))
	send := func(topic, payload string) { deliver(t, plan, to, topic, payload) }
	began, length, level := time.Now(), 24*time.Hour, 0.0
	if testing.Short() {
		length = 8 * time.Hour
	}
	var held []string // on their way, for a while
	var before string
	for time.Since(began) < length {
		time.Sleep(time.Duration(15+rng.IntN(30))*time.Second + time.Duration(rng.IntN(1000))*time.Millisecond)
		if rng.IntN(80) == 0 {
			began := time.Now()
			time.Sleep(time.Duration(rng.IntN(20)) * time.Minute)
			if rng.IntN(2) == 0 { // a reading from before the interruption comes after it
				send("day/x", stamped("x", began.Add(-time.Duration(rng.IntN(90))*time.Second), level))
			}
		}
		now := time.Now()
		level += rng.NormFloat64()
		topic, path := "day/y", "y"
		if rng.IntN(2) == 0 {
			topic, path = "day/x", "x"
		}
		p := stamped(path, now, level)
		switch rng.IntN(30) {
		case 0, 1: // held up on its way
			held = append(held, topic+" "+p)
		case 2: // its clock is late
			send(topic, stamped(path, now.Add(-time.Duration(rng.IntN(300))*time.Second), level))
		case 3: // its clock is ahead
			send(topic, stamped(path, now.Add(time.Hour), level))
		case 4: // sent twice
			send(topic, p)
			send(topic, p)
		case 5: // and once more with another value
			send(topic, p)
			send(topic, stamped(path, now, level+1))
		default:
			send(topic, p)
		}
		if rng.IntN(6) == 0 && len(held) > 0 {
			topic, p, _ := strings.Cut(held[0], " ")
			send(topic, p)
			held = held[1:]
		}
		if rng.IntN(2) == 0 {
			if before != "" && rng.IntN(9) == 0 {
				send("day/truth", before) // repeated
			}
			at := now.Add(-2 * time.Minute).Truncate(time.Minute)
			before = stamped("v", at, 2*level)
			send("day/truth", before)
		}
	}
}
