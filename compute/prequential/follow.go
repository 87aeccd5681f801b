package prequential

import (
	"math"

	"skerry.dev/compute/conformal"
	"skerry.dev/compute/online"
)

// scores follow a run.
type scores struct {
	t             *table
	own, last     *sums
	mode          *sums
	counts        []float64 // labels by class
	sum, n        float64   // labels
	adaptive      *conformal.Adaptive
	spread        *online.Spread
	errors        float64 // since the last point of the curve
	lasts, points float64
	unit          float64 // mean absolute error: the unit of the detector's errors
}

func newScores(t *table) (*scores, error) {
	s := &scores{
		t:      t,
		own:    newSums(t.s.Classes),
		last:   newSums(t.s.Classes),
		mode:   newSums(t.s.Classes),
		counts: make([]float64, t.s.Classes),
	}
	s.adaptive = conformal.NewAdaptive(t.o.Level, 500)
	var err error
	s.spread, err = online.NewSpread(t.s.Inputs)
	return s, err
}

// interval puts an interval around a prediction.
func (s *scores) interval(w *waiting) {
	w.lower, w.upper, w.half = math.NaN(), math.NaN(), math.NaN()
	if s.t.s.Classes > 0 {
		w.size = conformal.Set(w.set, w.p, s.adaptive.Factor(1))
		return
	}
	p := w.p[0]
	s.spread.Into(w.why[:], p, s.apart(w))
	w.half = s.spread.Expect(w.why[:], w.x)
	if !math.IsNaN(w.half) {
		h := s.adaptive.Factor(3) * w.half
		w.lower, w.upper = p-h, p+h
	}
}

// apart is the weighted mean distance of the experts' predictions from the committee's.
func (s *scores) apart(w *waiting) float64 {
	sum, total := 0.0, 0.0
	for k, v := range s.t.c.Weights() {
		if o := w.out[k]; !math.IsNaN(o) {
			sum += v * math.Abs(o-w.p[0])
			total += v
		}
	}
	if total == 0 || len(s.t.c.Members()) == 1 {
		return math.NaN()
	}
	return sum / total
}

// label scores a row and teaches it.
func (s *scores) label(w *waiting, y float64) error {
	t := s.t
	var row TableRow
	if t.s.Classes > 0 {
		choice := largest(w.p)
		s.own.class(choice, int(y), w.p[int(y)])
		s.base(w, y)
		s.own.interval(w.set[int(y)], float64(w.size))
		s.adaptive.Update(conformal.SetScore(w.p[int(y)]), w.set[int(y)], float64(t.o.Delay))
		row = TableRow{
			Row:       w.row,
			Truth:     y,
			Predicted: float64(choice),
			Lower:     math.NaN(),
			Upper:     math.NaN(),
			Classes:   w.p,
			Set:       w.set,
		}
		wrong := 0.0
		if choice != int(y) {
			wrong = 1
		}
		s.watch(w.row, wrong)
		s.point(w.row, wrong, map[bool]float64{true: 0, false: 1}[w.last == y])
		if !math.IsNaN(w.last) {
			t.seen++
			if w.last == y {
				t.same++
			}
		}
		s.counts[int(y)]++
	} else {
		off := math.Abs(y - w.p[0])
		s.own.value(w.p[0], y)
		s.base(w, y)
		if !math.IsNaN(w.lower) {
			s.own.interval(y >= w.lower && y <= w.upper, w.upper-w.lower)
		}
		if !math.IsNaN(w.half) {
			s.adaptive.Update(off/w.half, y >= w.lower && y <= w.upper, float64(t.o.Delay))
		}
		s.spread.Learn(w.why[:], w.x, y, off)
		row = TableRow{Row: w.row, Truth: y, Predicted: w.p[0], Lower: w.lower, Upper: w.upper}
		if s.unit > 0 {
			s.watch(w.row, min(off/s.unit, 4)/4)
		}
		s.unit += (off - s.unit) / min(s.n+1, 500)
		lastOff := off
		if !math.IsNaN(w.last) {
			lastOff = math.Abs(y - w.last)
		}
		s.point(w.row, off, lastOff)
		s.sum += y
	}
	s.n++
	row.ModelLoss = t.modelLoss(w, y)
	t.recent.Add(y)
	t.c.Learn(w.x, w.out, y, 1, float64(t.o.Delay))
	if t.o.Visit != nil {
		return t.o.Visit(&row)
	}
	return nil
}

func (t *table) modelLoss(w *waiting, y float64) float64 {
	said := w.x[t.modelAt:]
	switch {
	case t.model == nil:
		return math.NaN()
	case t.s.Classes > 0:
		return -math.Log(said[int(y)])
	}
	return math.Abs(y - said[0])
}

// base scores the baselines: the newest label, and the most frequent class or the mean so far.
// Before the first label they predict class 0 or 0.
func (s *scores) base(w *waiting, y float64) {
	last := w.last
	if math.IsNaN(last) {
		last = 0
	}
	if s.t.s.Classes == 0 {
		mean := 0.0
		if s.n > 0 {
			mean = s.sum / s.n
		}
		s.last.value(last, y)
		s.mode.value(mean, y)
		return
	}
	k := len(s.counts)
	stay := (s.t.same + 1) / (s.t.seen + 2)
	p := (1 - stay) / float64(k-1)
	if int(last) == int(y) {
		p = stay
	}
	s.last.class(int(last), int(y), p)
	s.mode.class(largest(s.counts), int(y), (s.counts[int(y)]+1)/(s.n+float64(k)))
}

func (s *scores) watch(row int, loss float64) {
	if s.t.o.Detector != nil && s.t.o.Detector.Update(loss) {
		s.t.rep.Drifts = append(s.t.rep.Drifts, row)
	}
}

func (s *scores) point(row int, off, last float64) {
	s.errors += off
	s.lasts += last
	s.points++
	if every := max(1, len(s.t.y)/curvePoints); int(s.points) == every {
		s.t.rep.Curve = append(s.t.rep.Curve, CurvePoint{row, s.errors / s.points, s.lasts / s.points})
		s.errors, s.lasts, s.points = 0, 0, 0
	}
}

func (s *scores) finish() {
	rep := s.t.rep
	rep.Rows, rep.Metrics = int(s.n), s.own.metrics()
	rep.Baselines = map[string]*TableMetrics{"last": s.last.metrics()}
	if s.t.s.Classes > 0 {
		rep.Baselines["majority"] = s.mode.metrics()
	} else {
		rep.Baselines["mean"] = s.mode.metrics()
	}
}

// largest returns the index of the largest number, the first of equals.
func largest(v []float64) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}
