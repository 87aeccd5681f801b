package engine

import (
	"math"
	"testing"
	"time"
)

// TestHorizonOfManyRows: however many rows lie between a prediction and its truth, some of them meet
// it, the rest is given up without an event for each, and memory is bounded.
func TestHorizonOfManyRows(t *testing.T) {
	nan := math.NaN()
	cfg := Config{Task: "l", Kind: Forecast, Series: []Series{{Name: "y", Min: nan, Max: nan}}, Horizon: (2 * time.Hour).Microseconds(), Tolerance: 1e6, On: -1, Every: 1e6, MaxAge: 5e6, Level: 0.9, Adapt: true}
	e := mustNew(t, cfg)
	labels, events, published := 0, 0, 0
	for i := range int64(6 * 3600) {
		o := e.Ingest(NoArrival, []Reading{{0, i * 1e6, 20 + math.Sin(float64(i)/900)}})
		labels += len(o.Labels)
		for _, ev := range o.Events {
			if ev.Kind == EventGivenUp {
				events++
			}
		}
		for _, p := range o.Predictions {
			if !math.IsNaN(p.Value) && !math.IsNaN(p.Lower) {
				published++
			}
		}
		if e.pend.n > MaxPending {
			t.Fatalf("%d predictions wait", e.pend.n)
		}
	}
	if labels < 400 || events > 16 || published < 10_000 {
		t.Errorf("%d labels, %d events, %d predictions with an interval in six hours of seconds", labels, events, published)
	}
	again := mustNew(t, cfg)
	if err := again.Load(e.Save(nil), nil); err != nil || again.pend.n != e.pend.n {
		t.Errorf("%v, %d predictions wait after a restart, want %d", err, again.pend.n, e.pend.n)
	}
}

// TestLabelsThatMatchNothing are counted, with the row that came nearest, and reported at ten and at
// a hundred in a row; one that matches ends that.
func TestLabelsThatMatchNothing(t *testing.T) {
	nan := math.NaN()
	cfg := Config{Task: "l", Kind: Regression, Target: -1, Series: []Series{{Name: "x", Min: nan, Max: nan}}, Tolerance: 1e6, On: 0, MaxAge: 5e6, Level: 0.9, Adapt: true, Low: 0, High: 5}
	e := mustNew(t, cfg)
	var events []Event
	for i := range int64(130) {
		at := i * 60e6
		e.Ingest(NoArrival, []Reading{{0, at, float64(i % 7)}})
		late := at + 7e6 // the sender stamps the label, not the row
		if i >= 120 {
			late = at
		}
		o := e.Ingest(NoArrival, []Reading{{LabelSeries, late, 9}})
		events = append(events, o.Events...)
		if i == 119 {
			u := e.Status().Unmatched
			if u.Labels != 120 || u.InARow != 120 || u.Time != late || u.Nearest != at {
				t.Errorf("unmatched %+v, want 120, the newest 7 s after its row", u)
			}
		}
	}
	s := e.Status()
	if s.Unmatched.Labels != 120 || s.Unmatched.InARow != 0 || s.Labels != 10 {
		t.Errorf("unmatched %+v and %d labels, want 120 and 10", s.Unmatched, s.Labels)
	}
	if len(events) != 2 || events[0].Kind != EventUnmatched || events[0].Value != 7 {
		t.Errorf("events %+v, want one at ten and one at a hundred in a row, 7 s away", events)
	}
	for _, p := range e.Ingest(NoArrival, []Reading{{0, 130 * 60e6, 1}}).Predictions {
		if p.Value != 5 || p.Upper > 5 {
			t.Errorf("prediction %+v after labels of 9, want within the range to 5", p)
		}
	}
}

// TestDefaultAlarmRate: an anomaly task that says nothing of a rate alarms on few rows of a stream
// without anomalies, and on a fault; a change that stays is no fault for ever.
func TestDefaultAlarmRate(t *testing.T) {
	nan := math.NaN()
	cfg := Config{Task: "a", Kind: Anomaly, Target: -1, On: 0, MaxAge: 5e6}
	for _, n := range []string{"a", "b", "c"} {
		cfg.Series = append(cfg.Series, Series{Name: n, Min: nan, Max: nan})
	}
	cfg.Level = 0.9
	e := mustNew(t, cfg)
	x := uint64(1)
	noise := func() float64 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return float64(x%2000)/1000 - 1
	}
	alarms, fault := 0, false
	for i := range int64(20_000) {
		w := math.Sin(float64(i) / 50)
		row := []Reading{{0, i * 1e6, w + 0.1*noise()}, {1, i * 1e6, 2*w + 0.1*noise()}, {2, i * 1e6, float64(i / 10_000)}}
		if i >= 15_000 && i < 15_020 {
			row[1].Value = -2 * w
		}
		for _, p := range e.Ingest(NoArrival, row).Predictions {
			switch {
			case i >= 15_000 && i < 15_020:
				fault = fault || p.Alarm
			case p.Alarm && i > 500:
				alarms++
			}
		}
	}
	if !fault || alarms > 200 {
		t.Errorf("the fault is seen: %v; %d alarms of 20,000 rows, want 1 %% at most", fault, alarms)
	}
}

// TestLabelInTheMessageOfItsRow: the truth of a row may stand in the message that makes the row, as
// in a table of both; it is learned after the row was predicted.
func TestLabelInTheMessageOfItsRow(t *testing.T) {
	e, err := New(Config{Task: "t", Kind: Regression, Target: -1, Series: []Series{open("x")}, On: 0, Tolerance: 1e6, MaxAge: 60e6, Level: 0.9, Adapt: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(40) {
		at := i * 10e6
		out := e.Ingest(NoArrival, []Reading{{LabelSeries, at, float64(i % 4)}, {0, at, float64(i % 4)}})
		if len(out.Predictions) != 1 || len(out.Labels) != 1 || out.Labels[0].Row != at {
			t.Fatalf("row %d: %d predictions, labels %+v", i, len(out.Predictions), out.Labels)
		}
		if p := out.Labels[0].Predicted; i == 0 && !math.IsNaN(p) || i > 0 && math.IsNaN(p) {
			t.Fatalf("row %d was predicted as %v", i, p)
		}
	}
	e.Ingest(NoArrival, []Reading{{LabelSeries, 1e12, 1}, {0, 41 * 10e6, 1}})
	if s := e.Status(); s.Labels != 40 || s.Unmatched.Labels != 1 || s.Unmatched.Nearest != 41*10e6 {
		t.Errorf("status %+v", s)
	}
}
