package prequential

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/committee"
	"skerry.dev/compute/online/learner"
)

// experts sets the committee up: the learners that were named on the columns alone, or Auto's,
// which see the newest labels as well.
func (t *table) experts() error {
	t.recent, t.echo = online.NewRecent(t.s), online.NewEcho(t.s)
	t.echoAt = len(t.s.Inputs) + len(t.recent.Inputs())
	t.modelAt = t.echoAt + len(t.echo.Inputs())
	var members []committee.Member
	if slices.Contains(t.o.Learners, Auto) {
		if len(t.o.Learners) > 1 || len(t.o.Set) > 0 {
			return errors.New("learner auto is a committee of its own: it goes with no other learner and has no settings")
		}
		wide := t.s
		wide.Inputs = slices.Concat(t.s.Inputs, t.recent.Inputs())
		var err error
		if members, err = learner.Auto(wide, len(t.s.Inputs), t.o.Seed); err != nil {
			return err
		}
	} else {
		for k, name := range t.o.Learners {
			m := committee.Member{Name: name}
			var err error
			if t.s.Classes > 0 {
				m.Class, err = learner.Classifier(name, t.s, t.o.Set, t.o.Seed+uint64(k))
			} else {
				m.Value, err = learner.Regressor(name, t.s, t.o.Set, t.o.Seed+uint64(k))
			}
			if err != nil {
				return err
			}
			members = append(members, learner.Narrow(m, len(t.s.Inputs)))
		}
		if len(members) > 1 {
			members = append(members, committee.Member{Name: learner.Last})
		}
	}
	var err error
	if t.o.Model != nil {
		if t.model, err = t.newModel(t.o.Model); err != nil {
			return err
		}
		wide := t.s
		wide.Inputs = slices.Concat(t.s.Inputs, t.recent.Inputs(), t.echo.Inputs())
		own, err := learner.WithModel(wide, t.modelAt)
		if err != nil {
			return err
		}
		members = append(own, members...)
		if members[len(members)-1].Name != learner.Last {
			members = append(members, committee.Member{Name: learner.Last})
		}
	}
	t.c, err = committee.New(t.s, members, 0)
	return err
}

// waiting is a row whose label is not known yet.
type waiting struct {
	row          int
	x, out, p    []float64
	last         float64 // the newest label when it was predicted
	lower, upper float64
	half         float64 // half the width of the interval, before the conformal factor
	why          [online.SpreadInputs]float64
	set          []bool
	size         int
}

func (t *table) run(ctx context.Context) (*TableReport, error) {
	began := time.Now()
	ring := make([]waiting, t.o.Delay+1)
	for k := range ring {
		ring[k] = waiting{
			x:   make([]float64, t.modelAt+t.c.Width()),
			out: make([]float64, t.c.Room()),
			p:   make([]float64, t.c.Width()),
			set: make([]bool, t.s.Classes),
		}
	}
	s, err := newScores(t)
	if err != nil {
		return nil, err
	}
	rows := len(t.y)
	for i := range rows + t.o.Delay {
		if i%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if t.o.Progress != nil {
				t.o.Progress(min(i, rows), rows)
			}
		}
		if i < rows {
			w := &ring[i%len(ring)]
			w.row = i
			t.predict(w)
			s.interval(w)
		}
		if due := i - t.o.Delay; due >= 0 && due < rows {
			if y := t.y[due]; !math.IsNaN(y) {
				if err := s.label(&ring[due%len(ring)], y); err != nil {
					return nil, err
				}
			}
		}
	}
	s.finish()
	rep := t.rep
	rep.Bytes, rep.Speed = t.c.Bytes(), float64(rows)/time.Since(began).Seconds()
	for k, m := range t.c.Members() {
		e := ExpertSummary{Name: m.Name, Loss: t.c.Loss(k), Weight: t.c.Weights()[k]}
		if math.IsNaN(e.Loss) {
			e.Loss = 0
		}
		rep.Experts = append(rep.Experts, e)
	}
	return rep, nil
}

// predict fills a row's inputs and predictions.
func (t *table) predict(w *waiting) {
	k := 0
	for ; k < len(t.columns); k++ {
		v := t.columns[k].Values[w.row]
		if code := t.code[k]; code != nil && !math.IsNaN(v) {
			v = code[int(v)]
		}
		w.x[k] = v
	}
	if t.clock != nil {
		phases(w.x[k:k+4], t.clock.Times[w.row])
		k += 4
	}
	t.recent.Into(w.x[k:t.echoAt])
	w.last = t.recent.Last()
	width := t.c.Width()
	said := w.x[t.modelAt:]
	if t.model != nil {
		t.model.predict(said, w.row)
		t.echo.Into(w.x[t.echoAt:t.modelAt], said)
	}
	for m, e := range t.c.Members() {
		switch out := w.out[m*width : (m+1)*width]; {
		case e.Class != nil || e.Value != nil:
		case e.Name == learner.Last:
			t.persist(out, w.last)
		case e.Name == learner.Model:
			copy(out, said)
		}
	}
	t.c.Predict(w.p, w.out, w.x)
	if math.IsNaN(w.p[0]) {
		w.p[0] = 0
	}
}

// persist predicts the newest label: the same again, for classes with the share of rows in
// which that was right.
func (t *table) persist(out []float64, last float64) {
	if t.s.Classes == 0 || math.IsNaN(last) {
		out[0] = last
		return
	}
	stay := (t.same + 1) / (t.seen + 2)
	for c := range out {
		out[c] = (1 - stay) / float64(len(out)-1)
	}
	out[int(last)] = stay
}

// phases writes where a time stands in its day and week; NaN when it is missing.
func phases(dst []float64, at int64) {
	if at == frame.NoTime {
		for i := range dst {
			dst[i] = math.NaN()
		}
		return
	}
	const day = 86_400_000_000
	for i, period := range []int64{day, 7 * day} {
		phase := 2 * math.Pi * float64(((at%period)+period)%period) / float64(period)
		dst[2*i], dst[2*i+1] = math.Sincos(phase)
	}
}
