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
			l.add(model, base, 1)
		}
		return l
	}
	trained := func(f func(*progress)) *progress {
		s := &progress{Labels: 10_000, Targets: 10_000, Newest: 100 * day, Trained: true, LabelsThen: 5000, NewestThen: 10 * day, HeldOut: 0.5}
		f(s)
		return s
	}
	for _, tt := range []struct {
		name   string
		policy Policy
		state  *progress
		want   string // beginning of the reason, "" for not due
	}{
		{"nothing yet", Policy{}, &progress{}, ""},
		{"enough for a first model", Policy{}, &progress{Labels: 2000, Targets: 2500}, "labels: enough for a first"},
		{"labels whose readings are on their way", Policy{}, &progress{Labels: 5000, Targets: 1999}, ""},
		{"switched off", Policy{Disabled: true}, &progress{Labels: 5000, Targets: 5000}, ""},
		{"trained, nothing happened", Policy{}, trained(func(*progress) {}), ""},
		{"drift by devices", Policy{}, trained(func(s *progress) { s.Drifts = 3 }), "drift: reported"},
		{"too few drifts", Policy{}, trained(func(s *progress) { s.Drifts = 2 }), ""},
		{"drift too soon after the last training", Policy{}, trained(func(s *progress) { s.Drifts, s.Newest = 9, 39*day }), ""},
		{"drift at the end of the cool-down", Policy{}, trained(func(s *progress) { s.Drifts, s.Newest = 9, 40*day }), "drift"},
		{"drift with too few new labels", Policy{}, trained(func(s *progress) { s.Drifts, s.LabelsThen = 9, 8001 }), ""},
		{"the loss rose", Policy{}, trained(func(s *progress) { s.Loss = loss(0.6, 1) }), "drift: the champion's loss"},
		{"the loss rose within the threshold", Policy{}, trained(func(s *progress) { s.Loss = loss(0.57, 1) }), ""},
		{"the loss rose above a wider threshold", Policy{Threshold: 0.3}, trained(func(s *progress) { s.Loss = loss(0.6, 1) }), ""},
		{"new labels by themselves", Policy{NewLabels: 5000}, trained(func(*progress) {}), "labels: enough new"},
		{"too few new labels", Policy{NewLabels: 5001}, trained(func(*progress) {}), ""},
		{"schedule", Policy{Schedule: 90 * 24 * time.Hour}, trained(func(*progress) {}), "schedule"},
		{"schedule not yet", Policy{Schedule: 91 * 24 * time.Hour}, trained(func(*progress) {}), ""},
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
		l.add(1, 2, 1)
	}
	if v := l.relative(); v != 0 {
		t.Errorf("relative after %d labels = %v, want 0", trailLabels-1, v)
	}
	if l.add(1, 2, 1); math.Abs(l.relative()-0.5) > 1e-12 {
		t.Errorf("relative = %v, want 0.5", l.relative())
	}
	// Labels by their mean in one batch count as they do one by one.
	one, batch := l, l
	for range 200 {
		one.add(4, 1, 1)
	}
	batch.add(4, 1, 200)
	if one.N != batch.N || math.Abs(one.Model-batch.Model) > 1e-9 || math.Abs(one.Base-batch.Base) > 1e-9 {
		t.Errorf("200 labels one by one = %+v, in one batch %+v", one, batch)
	}
}
