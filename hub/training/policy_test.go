package training

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestDue(t *testing.T) {
	day := (24 * time.Hour).Microseconds()
	loss := func(model, base float64) (l lossTrail) {
		for range trailLabels {
			l.add(model, base)
		}
		return l
	}
	trained := func(f func(*progressOf)) *progressOf {
		s := &progressOf{labels: 10_000, targets: 10_000, newest: 100 * day, trained: true, labelsThen: 5000, newestThen: 10 * day, heldOut: 0.5}
		f(s)
		return s
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		state  *progressOf
		want   string // beginning of the reason, "" for not due
	}{
		{"nothing yet", Policy{}, &progressOf{}, ""},
		{"enough for a first model", Policy{}, &progressOf{labels: 2000, targets: 2500}, "labels: enough for a first"},
		{"labels whose readings are on their way", Policy{}, &progressOf{labels: 5000, targets: 1999}, ""},
		{"switched off", Policy{Disabled: true}, &progressOf{labels: 5000, targets: 5000}, ""},
		{"trained, nothing happened", Policy{}, trained(func(*progressOf) {}), ""},
		{"drift by devices", Policy{}, trained(func(s *progressOf) { s.drifts = 3 }), "drift: reported"},
		{"too few drifts", Policy{}, trained(func(s *progressOf) { s.drifts = 2 }), ""},
		{"drift too soon after the last training", Policy{}, trained(func(s *progressOf) { s.drifts, s.newest = 9, 39*day }), ""},
		{"drift at the end of the cool-down", Policy{}, trained(func(s *progressOf) { s.drifts, s.newest = 9, 40*day }), "drift"},
		{"drift with too few new labels", Policy{}, trained(func(s *progressOf) { s.drifts, s.labelsThen = 9, 8001 }), ""},
		{"the loss rose", Policy{}, trained(func(s *progressOf) { s.loss = loss(0.6, 1) }), "drift: the champion's loss"},
		{"the loss rose within the threshold", Policy{}, trained(func(s *progressOf) { s.loss = loss(0.57, 1) }), ""},
		{"the loss rose above a wider threshold", Policy{Threshold: 0.3}, trained(func(s *progressOf) { s.loss = loss(0.6, 1) }), ""},
		{"new labels by themselves", Policy{NewLabels: 5000}, trained(func(*progressOf) {}), "labels: enough new"},
		{"too few new labels", Policy{NewLabels: 5001}, trained(func(*progressOf) {}), ""},
		{"schedule", Policy{Schedule: 90 * 24 * time.Hour}, trained(func(*progressOf) {}), "schedule"},
		{"schedule not yet", Policy{Schedule: 91 * 24 * time.Hour}, trained(func(*progressOf) {}), ""},
	} {
		tt.policy.defaults()
		reason, ok := tt.policy.due(tt.state)
		if ok != (tt.want != "") || ok && !strings.HasPrefix(reason, tt.want) {
			t.Errorf("%s: due = %q, %v, want %q", tt.name, reason, ok, tt.want)
		}
	}
}

func TestLossTrail(t *testing.T) {
	var l lossTrail
	for range trailLabels - 1 {
		l.add(1, 2)
	}
	l.add(math.NaN(), 1)
	if v := l.relative(); v != 0 {
		t.Errorf("relative after %d labels = %v, want 0", trailLabels-1, v)
	}
	if l.add(1, 2); math.Abs(l.relative()-0.5) > 1e-12 {
		t.Errorf("relative = %v, want 0.5", l.relative())
	}
}
