package reproduce

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/hub/replay"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

const forecast = `task: level
kind: forecast
target: {series: y, horizon: 1m}
inputs:
  - {series: y, topic: s, path: $.y}
  - {series: x, topic: s, path: $.x}
time: {path: $.ts, format: unix, max_past: 36500d}
rows: {on: y, max_age: 3m}
sync: {readings: all, predictions: 100%}
`

const cadence = `task: pace
kind: forecast
target: {series: y, horizon: 1m}
inputs:
  - {series: y, topic: s, path: $.y}
  - {series: x, topic: s, path: $.x}
time: {path: $.ts, format: unix, max_past: 36500d}
rows: {every: 20s, max_age: 3m, lateness: 5s, idle: 7s}
sync: {readings: all, predictions: 100%}
`

const regression = `task: width
kind: regression
target: {series: w, topic: lab, path: $.w}
inputs:
  - {series: y, topic: s, path: $.y}
  - {series: x, topic: s, path: $.x}
time: {path: $.ts, format: unix, max_past: 36500d}
rows: {on: y, max_age: 3m}
sync: {readings: all, predictions: 100%}
`

// series makes a wave with noise.
func series(seed uint64, n int) (y, x []float64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	level := 50.0
	for i := range n {
		level += 0.1*(50-level) + rng.NormFloat64()*2
		y = append(y, math.Round(10*(level+10*math.Sin(float64(i)/4)))/10)
		x = append(x, math.Round(100*rng.Float64())/10)
	}
	return y, x
}

// drive plays n minutes to a device with three tasks, over model changes, a clean restart, two crashes
// and a change of a task file.
func drive(t *testing.T, models artifacts, a, b string, n int) (out sent) {
	live(t, func(t *testing.T) {
		dev := &box{t: t, dir: t.TempDir(), models: models, tasks: []*spec.Task{parse(t, forecast), parse(t, cadence), parse(t, regression)}}
		dev.open()
		y, x := series(5, n)
		rng := rand.New(rand.NewPCG(9, 9))
		ctx := context.Background()
		began := time.Now()
		var messages []func()
		post := func(f func()) {
			f()
			messages = append(messages, f)
			synctest.Wait()
		}
		// what the broker redelivers after a crash: everything that was not acknowledged
		redeliver := func() {
			dev.crash()
			for _, f := range messages[dev.acked:] {
				f()
			}
			synctest.Wait()
		}
		for i := range y {
			back := int64(0)
			if i >= 370 { // the clock was set back, within max_future
				back = (3 * time.Minute).Microseconds()
			}
			at := began.Add(time.Duration(i) * step).UnixMicro()
			switch i {
			case 100:
				dev.must(dev.Shadow(ctx, "level", a))
				dev.must(dev.Shadow(ctx, "pace", a))
			case 140:
				dev.must(dev.Activate(ctx, "level", a))
				dev.must(dev.Activate(ctx, "pace", a))
			case 180:
				dev.must(dev.Settle(ctx, "level"))
			case 210:
				dev.close()
				dev.open()
			case 230, 330:
				redeliver()
			case 250:
				dev.must(dev.Shadow(ctx, "level", b))
				dev.must(dev.Activate(ctx, "level", b))
			case 290:
				dev.must(dev.Revert(ctx, "level"))
			case 310: // an edit that keeps what was learned
				dev.tasks[0] = parse(t, strings.Replace(forecast, "max_age: 3m", "max_age: 90s", 1))
				dev.replace(dev.tasks)
			case 320: // a file is taken away
				dev.replace(dev.tasks[:2])
			case 345: // and comes back, with a task that is new
				dev.replace(append(dev.tasks, parse(t, regression), parse(t, strings.Replace(forecast, "task: level", "task: later", 1))))
			case 350:
				dev.must(dev.Install(ctx, "level", b))
			}
			switch rng.IntN(5) {
			case 0: // y first, x in a message of its own, seconds later
				post(func() { dev.send(back, value{"y", at, y[i]}) })
				time.Sleep(time.Duration(rng.IntN(15_000)) * time.Millisecond)
				post(func() { dev.send(back, value{"x", at + 1, x[i]}) })
			case 1: // x comes too late
				post(func() { dev.send(back, value{"y", at, y[i]}) })
				post(func() { dev.send(back, value{"x", at - 90e6, x[i]}) })
			default:
				post(func() { dev.send(back, value{"y", at, y[i]}, value{"x", at, x[i]}) })
			}
			if i > 3 { // labels of the regression, late and not all
				if k := i - 1 - rng.IntN(3); rng.IntN(4) > 0 {
					labelled := began.Add(time.Duration(k) * step).UnixMicro()
					if _, ok := dev.plan.Index("w"); ok {
						post(func() { dev.send(back, value{"w", labelled, 0.5*y[k] + x[k]}) })
					}
				}
			}
			time.Sleep(time.Until(began.Add(time.Duration(i+1) * step)))
		}
		dev.Flush()
		out = dev.take()
		dev.close()
	})
	return out
}

// TestReproduced: every prediction that a device published comes out with the same bits, over
// restarts, crashes, model changes, an edited file, one that is taken away and comes back, and a new
// one; and the hub says so of what it cannot know.
func TestReproduced(t *testing.T) {
	models := artifacts{}
	a, b := models.add(t, 1, 0), models.add(t, 0, 0.05)
	const n = 400
	s := drive(t, models, a, b, n)
	if len(s.chain) != 4 {
		t.Fatalf("%d runs, want 4", len(s.chain))
	}

	t.Run("everything came", func(t *testing.T) {
		h := receive(t, s, models, nil)
		for name, least := range map[string]int{"level": n - 5, "pace": 3*n - 10, "width": n - 30, "later": 50} {
			c := h.all(t, name)
			if c.Drawn < least || c.Equal != c.Drawn || len(c.Missing) > 0 {
				t.Errorf("%s: %d predictions came, %d drawn, %d equal, %d unknown, %d differ, missing %v; want at least %d, all equal", name, c.Sent, c.Drawn, c.Equal, c.Unknown, c.Differs, c.Missing, least)
				for _, r := range c.Rows {
					if r.Status != replay.Equal {
						t.Fatalf("the first that is not: %+v", r)
					}
				}
			}
		}
		used := map[string]int{}
		for _, r := range h.all(t, "level").Rows {
			used[r.Model]++
		}
		if used[""] < 100 || used[a] < 100 || used[b] < 50 {
			t.Errorf("predictions by model: %v", used)
		}
		show(t, h, a, b)
	})

	t.Run("readings are missing", func(t *testing.T) {
		var lost wire.Header
		h := receive(t, s, models, func(h wire.Header, r *wire.Records) bool {
			if h.Class == wire.ClassReading && h.Run == s.chain[2].Run && h.First > 20 && lost.Count == 0 {
				lost = h
			}
			return lost.Count == 0 || h.Class != lost.Class || h.Run != lost.Run || h.First != lost.First
		})
		c := h.all(t, "level")
		if len(c.Missing) != 1 || c.Missing[0].What != "readings" || c.Missing[0].From != int64(lost.First) || c.Missing[0].To != int64(lost.Last()) || c.Missing[0].Run != lost.Run.String() {
			t.Errorf("missing %v, want readings %d to %d of run %s", c.Missing, lost.First, lost.Last(), lost.Run)
		}
		if c.Equal < 200 || c.Unknown < 50 || c.Differs > 0 {
			t.Errorf("%d equal, %d unknown, %d differ; want those before the gap equal and those behind it unknown", c.Equal, c.Unknown, c.Differs)
		}
		seen := false
		for _, r := range c.Rows {
			if r.Status == replay.Unknown && !seen {
				seen = true
			} else if r.Status == replay.Equal && seen && r.Reason != "" {
				t.Errorf("row %d equal with a reason: %s", r.Row, r.Reason)
			}
		}
	})

	t.Run("the end of a run is missing", func(t *testing.T) {
		last := uint64(0)
		for _, c := range s.chunks {
			if h, err := wire.DecodeHeader(c); err == nil && h.Class == wire.ClassReading && h.Run == s.chain[0].Run {
				last = max(last, h.First)
			}
		}
		h := receive(t, s, models, func(h wire.Header, _ *wire.Records) bool {
			return h.Class != wire.ClassReading || h.Run != s.chain[0].Run || h.First != last
		})
		c := h.all(t, "level")
		if len(c.Missing) != 1 || c.Missing[0].From != int64(last) || !strings.Contains(c.Missing[0].Why, "next run") || c.Differs > 0 {
			t.Errorf("missing %v, %d unknown, %d differ; want readings from %d on", c.Missing, c.Unknown, c.Differs, last)
		}
	})

	t.Run("an agent without marks", func(t *testing.T) {
		h := receive(t, s, models, func(h wire.Header, r *wire.Records) bool { return h.Class != wire.ClassEvent })
		if _, err := h.Show(t.Context(), device, "level", 1, nil); !errors.Is(err, replay.ErrNoTask) {
			t.Errorf("Show without a task file = %v, want ErrNoTask", err)
		}
	})

	t.Run("a model is gone", func(t *testing.T) {
		h := receive(t, s, artifacts{b: models[b]}, nil)
		c := h.all(t, "level")
		if len(c.Missing) == 0 || c.Missing[0].What != "model" || !strings.Contains(c.Missing[0].Why, a[:12]) || c.Differs > 0 || c.Equal < 100 {
			t.Errorf("missing %v, %d equal, %d differ; want the model %s", c.Missing, c.Equal, c.Differs, a[:12])
		}
	})
}

// show looks at single predictions.
func show(t *testing.T, h *hub, a, b string) {
	byModel := map[string]int64{}
	for _, r := range h.all(t, "level").Rows {
		byModel[r.Model] = r.Row
	}
	for model, row := range byModel {
		p, err := h.Show(t.Context(), device, "level", row, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p.Status != replay.Equal || p.Published == nil || p.Computed.Model != model || p.For != row+step.Microseconds() || len(p.Missing) > 0 {
			t.Errorf("Show(%s) = %+v", model, p)
		}
		e := p.Explained
		sum := 0.0
		var voice float64
		for _, x := range e.Experts {
			sum += x.Weight
			if x.Name == "model" {
				voice = float64(x.Value)
			}
		}
		if len(e.Inputs) != 2 || len(e.Experts) < 3 || math.Abs(sum-1) > 1e-9 {
			t.Errorf("explained by %+v", e)
		}
		switch model {
		case a: // the shares add up to the change that the model predicts
			total := e.Shares.Expected
			for _, s := range e.Shares.Features {
				total += s.Share
			}
			if change := voice - float64(e.Inputs[0].Value); math.Abs(total-change) > 1e-9*max(1, math.Abs(change)) || math.Abs(e.Shares.Score-total) > 1e-9 {
				t.Errorf("shares add up to %v, the model's change is %v", total, change)
			}
		default:
			if e.Shares != nil || e.NoShares == "" {
				t.Errorf("model %q has shares %+v, %q", model, e.Shares, e.NoShares)
			}
		}
	}
	_, err := h.Show(t.Context(), device, "level", byModel[b]-1, nil)
	if !errors.Is(err, replay.ErrNoRow) || !strings.Contains(err.Error(), "nearest") {
		t.Errorf("Show between two rows = %v, want the nearest", err)
	}
	if _, err := h.Show(t.Context(), device, "nothing", 1, nil); !errors.Is(err, replay.ErrNoTask) {
		t.Errorf("Show of no task = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Show(ctx, device, "level", byModel[b], nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Show after its context = %v", err)
	}
}

// TestShares: what a device publishes of the features' shares, for every row of a message, is what
// the hub computes of it.
func TestShares(t *testing.T) {
	models := artifacts{}
	tree := models.add(t, 4, 0)
	var out sent
	var told map[string][]said
	live(t, func(t *testing.T) {
		explained := strings.Replace(forecast, "sync:", "publish: {explain: 2}\nsync:", 1)
		dev := &box{t: t, dir: t.TempDir(), models: models, tasks: []*spec.Task{parse(t, explained)}}
		dev.open()
		y, x := series(6, 60)
		began := time.Now()
		for i := 0; i < len(y); i += 2 { // two rows a message
			if i == 20 {
				dev.must(dev.Install(t.Context(), "level", tree))
			}
			var vs []value
			for k := i; k < i+2; k++ {
				at := began.Add(time.Duration(k) * step).UnixMicro()
				vs = append(vs, value{"x", at, x[k]}, value{"y", at, y[k]})
			}
			dev.send(0, vs...)
			time.Sleep(2 * step)
		}
		dev.Flush()
		out, told = dev.take(), dev.said
		dev.close()
	})
	h := receive(t, out, models, nil)
	checked := 0
	for _, r := range h.all(t, "level").Rows {
		p, err := h.Show(t.Context(), device, "level", r.Row, nil)
		if err != nil {
			t.Fatal(err)
		}
		pub := told["level "+time.UnixMicro(r.Row).UTC().Format(time.RFC3339Nano)]
		if len(pub) != 1 || pub[0].Value != float64(p.Computed.Value) {
			t.Fatalf("published of row %d: %v, recomputed %v", r.Row, pub, p.Computed)
		}
		if p.Explained.Shares == nil {
			if len(pub[0].Shares) > 0 {
				t.Errorf("row %d has shares without a model of trees", r.Row)
			}
			continue
		}
		checked++
		if len(pub[0].Shares) != 2 {
			t.Fatalf("row %d is published with %v, want two shares", r.Row, pub[0].Shares)
		}
		for k, s := range pub[0].Shares {
			if want := p.Explained.Shares.Features[k]; s.Feature != want.Feature || s.Share != want.Share {
				t.Errorf("row %d: share %d is published as %+v, recomputed %+v", r.Row, k, s, want)
			}
		}
	}
	if checked != 40 {
		t.Errorf("%d rows with shares, want 40", checked)
	}
}
