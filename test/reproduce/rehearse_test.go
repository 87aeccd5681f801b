package reproduce

import (
	"context"
	"math"

	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/compute/engine"
	"skerry.dev/compute/metric"
	"skerry.dev/hub/replay"
	"skerry.dev/sync/spec"
)

// station plays rows to a device with one task, which runs an artifact from row 60 on, and calls at
// before each. It returns what was sent until row 300 and until the end.
func station(t *testing.T, models artifacts, champion string, seed uint64, rows int, at func(dev *box, i int)) (early, late sent) {
	live(t, func(t *testing.T) {
		dev := &box{t: t, dir: t.TempDir(), models: models, tasks: []*spec.Task{parse(t, forecast)}}
		dev.open()
		y, x := series(seed, rows)
		began := time.Now()
		for i := range y {
			if i == 60 {
				dev.must(dev.Install(t.Context(), "level", champion))
			}
			if i == 300 {
				dev.Flush()
				early = dev.take()
			}
			at(dev, i)
			row := began.Add(time.Duration(i) * step).UnixMicro()
			dev.send(0, value{"x", row, x[i]}, value{"y", row, y[i]})
			synctest.Wait()
			time.Sleep(step)
		}
		at(dev, rows)
		dev.Flush()
		late = dev.take()
		late.chunks = append(early.chunks, late.chunks...)
		dev.close()
	})
	return early, late
}

var trial = spec.Trial{MinShadow: 150, Probation: 50, MaxRegression: 0.05, Alpha: 0.05}

// TestRehearsalAgreesWithShadow: what a rehearsal expects of candidates is what devices then measure
// in shadow: the sign of the difference on every device, the size within its uncertainty on 90 %.
func TestRehearsalAgreesWithShadow(t *testing.T) {
	models := artifacts{}
	champion := models.add(t, 1, 0)
	candidates := map[string]string{"better": models.add(t, 0, 0.05), "worse": models.add(t, 0, -4)}
	within, all, vetoes := 0, 0, map[string]int{}
	for name, candidate := range candidates {
		for seed := range uint64(5) {
			var warm, end engine.Paired
			early, _ := station(t, models, champion, 20+seed, 300+trial.MinShadow+1, func(dev *box, i int) {
				var err error
				switch i {
				case 300:
					dev.must(dev.Shadow(context.Background(), "level", candidate))
					s, serr := dev.Slots(context.Background(), "level")
					warm, err = s.Paired, serr
				case 300 + trial.MinShadow + 1:
					s, serr := dev.Slots(context.Background(), "level")
					end, err = s.Paired, serr
				}
				dev.must(err)
			})
			n := float64(end.Labelled - warm.Labelled)
			measured := (end.SumDiff - warm.SumDiff) / n
			x, err := receive(t, early, models, nil).Rehearse(t.Context(), device, "level", candidate, 230*step, trial, nil)
			if err != nil {
				t.Fatal(err)
			}
			diff, half := float64(x.Model.Diff), float64(x.Model.NextHalf)
			if x.Model.Rows < 200 || len(x.Missing) > 0 || math.IsNaN(half) || n < 149 {
				t.Fatalf("%s on %d: %+v, missing %v, %v rows measured", name, seed, x.Model, x.Missing, n)
			}
			if (diff < 0) != (measured < 0) || (diff < 0) != (name == "better") {
				t.Errorf("%s on %d: expected %v, measured %v", name, seed, diff, measured)
			}
			all++
			if math.Abs(measured-diff) <= half {
				within++
			} else {
				t.Logf("%s on %d: expected %.4f ± %.4f, measured %.4f", name, seed, diff, half, measured)
			}
			if x.Veto != "" {
				vetoes[name]++
			}
			if want := 86400 / step.Seconds(); math.Abs(x.Daily-want) > 0.01*want || math.Abs(x.ShadowS-150*step.Seconds()) > 120 {
				t.Errorf("%v labels a day, shadow takes %v s", x.Daily, x.ShadowS)
			}
		}
	}
	if 10*within < 9*all {
		t.Errorf("%d of %d within the stated uncertainty, want 90 %%", within, all)
	}
	// of few rows devices see only what is grossly worse
	if vetoes["better"] > 0 || vetoes["worse"] < 3 {
		t.Errorf("vetoes %v of 5 devices each, want none of the better and most of the worse", vetoes)
	}
	t.Logf("%d of %d within the stated uncertainty", within, all)
}

// TestRehearsalIsTheDevice: a rehearsal comes to the very intervals of a device that did install the
// candidate at the period's beginning.
func TestRehearsalIsTheDevice(t *testing.T) {
	models := artifacts{}
	champion, candidate := models.add(t, 1, 0), models.add(t, 0, 0.05)
	const rows, from = 300, 200
	_, was := station(t, models, champion, 3, rows, func(*box, int) {})
	_, did := station(t, models, champion, 3, rows, func(dev *box, i int) {
		if i == from+1 {
			dev.must(dev.Install(context.Background(), "level", candidate))
		}
	})
	// labels come for rows until the last but one
	h := receive(t, was, models, nil)
	x, err := h.Rehearse(t.Context(), device, "level", candidate, (rows-2-from)*step, trial, nil)
	if err != nil {
		t.Fatal(err)
	}
	mean := func(h *hub) (score float64, n int) {
		for l, err := range h.lake.Labels(t.Context(), device, "level", x.From, x.To) {
			if err != nil {
				t.Fatal(err)
			}
			score += metric.IntervalScore(l.Lower, l.Upper, l.Truth, 0.9)
			n++
		}
		return score / float64(n), n
	}
	incumbent, n := mean(h)
	other, m := mean(receive(t, did, models, nil))
	if n != rows-2-from || m != n || float64(x.Interval.Incumbent) != incumbent || float64(x.Interval.Candidate) != other || incumbent == other {
		t.Errorf("rehearsed %d rows: interval scores %v and %v, want %v and %v over %d and %d rows", int(x.Interval.Rows), x.Interval.Incumbent, x.Interval.Candidate, incumbent, other, n, m)
	}
	if two := replay.Join("both", []*replay.Rehearsal{x, x}, trial); two.Model.Rows != 2*x.Model.Rows || two.Model.Diff != x.Model.Diff || two.Interval.Candidate != x.Interval.Candidate || !(two.Model.NextHalf < x.Model.NextHalf*1.5) {
		t.Errorf("two of it: %+v", two)
	}
	again, err := h.Rehearse(t.Context(), device, "level", champion, (rows-2-from)*step, trial, nil)
	if err != nil || again.Veto != "" || float64(again.Model.Diff) != 0 {
		t.Errorf("the champion against itself = %+v, %v", again, err)
	}
	if _, err := h.Rehearse(t.Context(), device, "level", strings.Repeat("0", 64), time.Hour, trial, nil); err == nil {
		t.Error("an artifact that is not there is rehearsed")
	}
	if _, err := h.Rehearse(t.Context(), device, "level", candidate, 0, trial, nil); err == nil || !strings.Contains(err.Error(), "period") {
		t.Errorf("Rehearse without a period = %v", err)
	}
	none, err := h.Rehearse(t.Context(), "nobody", "level", candidate, time.Hour, trial, nil)
	if err != nil || none.Note == "" || none.Model.Rows != 0 {
		t.Errorf("a device without labels = %+v, %v", none, err)
	}
}
