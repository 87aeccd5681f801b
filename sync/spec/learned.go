package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Learned says what the state that a task has learned on a device was made for: the columns of its
// rows, its target and what learns from them. Everything else in a task file — comments, spaces,
// the order of keys and lists, topics, paths, ranges, where predictions go — may change without
// making that state useless.
//
// Its lists stand in the order in which the state holds them.
type Learned struct {
	Kind      Kind              `json:"kind"`
	Target    string            `json:"target,omitempty"`
	Horizon   Duration          `json:"horizon,omitempty"` // nanoseconds
	Classes   []string          `json:"classes,omitempty"`
	Inputs    []LearnedInput    `json:"inputs"`
	On        string            `json:"on,omitempty"`
	Every     Duration          `json:"every,omitempty"` // nanoseconds
	Interval  float64           `json:"interval"`        // only what intervals were calibrated for
	Learners  []string          `json:"learners,omitempty"`
	MaxBytes  Bytes             `json:"max_bytes,omitempty"`
	Detectors []string          `json:"detectors,omitempty"`
	Scorer    string            `json:"scorer,omitempty"`
	ScorerSet map[string]string `json:"scorer_set,omitempty"`
}

// LearnedInput is a column of the rows.
type LearnedInput struct {
	Series     string   `json:"series"`
	Unit       string   `json:"unit,omitempty"`
	Categories []string `json:"categories,omitempty"`
}

// Learned returns what the task's state is made for.
func (t *Task) Learned() Learned {
	l := Learned{
		Kind:      t.Kind,
		Target:    t.Target.Series,
		Horizon:   t.Target.Horizon,
		Classes:   t.Target.Categories,
		On:        t.Rows.On,
		Every:     t.Rows.Every,
		Interval:  t.Interval,
		Learners:  t.Adapt.Learners,
		MaxBytes:  t.Adapt.MaxBytes,
		Detectors: t.Adapt.Detectors,
		Scorer:    t.Anomaly.Detector,
		ScorerSet: t.Anomaly.Set,
	}
	for _, in := range t.Inputs {
		l.Inputs = append(l.Inputs, LearnedInput{in.Series, in.Unit, in.Categories})
	}
	return l
}

// Changes tells what of t keeps it from using state made for l, one text per key of the task
// file; nil: it can use it, see [Task.InOrder].
func (l Learned) Changes(t *Task) []string {
	var out []string
	n := t.Learned()
	differ := func(key string, old, now any) {
		if o, n := fmt.Sprint(old), fmt.Sprint(now); o != n {
			out = append(out, fmt.Sprintf("%s was %s and is %s", key, orNone(o), orNone(n)))
		}
	}
	differ("kind", l.Kind, n.Kind)
	differ("target.series", l.Target, n.Target)
	differ("target.horizon", time.Duration(l.Horizon), time.Duration(n.Horizon))
	differ("target.categories", strings.Join(l.Classes, ", "), strings.Join(n.Classes, ", "))
	old, now := inputsByName(l.Inputs), inputsByName(n.Inputs)
	for _, name := range slices.Sorted(maps.Keys(old)) {
		in, ok := now[name]
		if !ok {
			out = append(out, "input "+name+" is gone")
			continue
		}
		differ("unit of input "+name, old[name].Unit, in.Unit)
		differ("categories of input "+name, strings.Join(old[name].Categories, ", "), strings.Join(in.Categories, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if _, ok := old[name]; !ok {
			out = append(out, "input "+name+" is new")
		}
	}
	differ("rows.on", l.On, n.On)
	differ("rows.every", time.Duration(l.Every), time.Duration(n.Every))
	differ("adapt.learners", sorted(l.Learners), sorted(n.Learners))
	differ("adapt.max_bytes", l.MaxBytes, n.MaxBytes)
	differ("adapt.detectors", sorted(l.Detectors), sorted(n.Detectors))
	differ("anomaly.detector", l.Scorer, n.Scorer)
	differ("anomaly.set", l.ScorerSet, n.ScorerSet)
	return out
}

// InOrder returns the task with its lists in the order of l, to which it has no [Learned.Changes].
func (t *Task) InOrder(l Learned) *Task {
	place := map[string]int{}
	for i, in := range l.Inputs {
		place[in.Series] = i
	}
	c := *t
	c.Inputs = slices.Clone(t.Inputs)
	slices.SortStableFunc(c.Inputs, func(a, b Input) int { return place[a.Series] - place[b.Series] })
	c.Adapt.Learners, c.Adapt.Detectors = l.Learners, l.Detectors
	return &c
}

func inputsByName(in []LearnedInput) map[string]LearnedInput {
	m := map[string]LearnedInput{}
	for _, x := range in {
		m[x.Series] = x
	}
	return m
}

func sorted(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}

func orNone(s string) string {
	switch s {
	case "", "0", "0s", "map[]":
		return "not set"
	}
	return s
}
