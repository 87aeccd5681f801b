package drifttest

import (
	"math"
	"slices"
	"testing"

	"skerry.dev/compute/drift"
	"skerry.dev/compute/state"
)

// level is a detector with a fault of choice: it alarms when a fast average lies far from a slow
// one.
type level struct {
	fault      string
	fast, slow float64
	n          int64
	junk       []float64
}

func (l *level) Update(x float64) bool {
	if l.fault != "ignores" && !(math.Abs(x) <= 1e100) {
		return false
	}
	if l.fault == "allocates" {
		l.junk = append([]float64{}, x)
	}
	if l.fault != "recovers" {
		x = min(max(x, -1), 2)
	}
	l.n++
	l.fast += (x - l.fast) / float64(min(l.n, 50))
	l.slow += (x - l.slow) / float64(min(l.n, 2000))
	if l.fault == "recovers" && math.Abs(l.slow) > 10 {
		l.slow = 1e100 // never forgotten, and no reason for an alarm
		return false
	}
	limit := 0.35
	switch l.fault {
	case "quiet":
		limit = 0.05
	case "fires":
		limit = 5
	}
	if l.n < 100 || math.Abs(l.fast-l.slow) < limit {
		return false
	}
	l.n, l.fast, l.slow = 0, 0, 0
	return true
}

func (l *level) Save(w *state.Writer) {
	w.Float(l.fast)
	if l.fault != "resumes" {
		w.Float(l.slow)
	}
	w.Int(l.n)
}

func (l *level) Load(r *state.Reader) {
	m := *l
	m.fast = r.Float()
	if l.fault != "resumes" {
		m.slow = r.Float()
	}
	m.n = r.Int()
	if r.Err() == nil || l.fault == "damage" {
		*l = m
	}
}

// TestChecksFind holds that every check passes a good detector and finds the fault that it is
// there for.
func TestChecksFind(t *testing.T) {
	faults := []string{""}
	for _, c := range checks {
		faults = append(faults, c.name)
	}
	for _, fault := range faults {
		c := Case{New: func() drift.Detector { return &level{fault: fault} }, Before: Bernoulli(0.2), After: Bernoulli(0.8), FalseAlarms: 0, Delay: 200}
		var failed []string
		for _, check := range checks {
			if check.run(&c) != nil {
				failed = append(failed, check.name)
			}
		}
		if fault == "" && len(failed) > 0 || fault != "" && !slices.Contains(failed, fault) {
			t.Errorf("a detector with the fault %q fails %v", fault, failed)
		}
	}
}
