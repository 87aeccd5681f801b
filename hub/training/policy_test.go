package training

import (
	"math"
	"slices"
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
		s := &progress{Labels: 10_000, Targets: 10_000, Newest: 100 * day, Trained: true, LabelsThen: 5001, NewestThen: 10 * day, HeldOut: 0.5}
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
		{"new labels by themselves", Policy{NewLabels: 4999}, trained(func(*progress) {}), "labels: enough new"},
		{"too few new labels", Policy{NewLabels: 5000}, trained(func(*progress) {}), ""},
		{"twice as many labels within the cool-down", Policy{}, trained(func(s *progress) { s.LabelsThen, s.Newest = 5000, 11*day }), "labels: twice as many"},
		{"twice as many labels, few by number", Policy{MinNewLabels: 5001}, trained(func(s *progress) { s.LabelsThen, s.Newest = 5000, 11*day }), ""},
		{"schedule", Policy{Schedule: 90 * 24 * time.Hour}, trained(func(*progress) {}), "schedule"},
		{"schedule not yet", Policy{Schedule: 91 * 24 * time.Hour}, trained(func(*progress) {}), ""},
	} {
		tt.policy.defaults()
		reason, ok := tt.policy.due(tt.state, true, "")
		if ok != (tt.want != "") || ok && !strings.HasPrefix(reason, tt.want) {
			t.Errorf("%s: due = %q, %v, want %q", tt.name, reason, ok, tt.want)
		}
	}
}

// TestDueWithoutModel: a first training that leads to no model in force is not the last one. It is
// tried again at a growing number of labels, earlier where the devices' baselines drift, however
// little event time has passed.
func TestDueWithoutModel(t *testing.T) {
	var p Policy
	p.defaults()
	s := &progress{Labels: 2000, Targets: 2000, Newest: day}
	var at []int64
	for s.Labels < 40_000 {
		if _, ok := p.due(s, false, ""); ok {
			at = append(at, s.rows())
			s.began(&JobResult{Labels: s.rows(), Newest: s.Newest})
		}
		s.Labels, s.Targets, s.Newest = s.Labels+100, s.Targets+100, s.Newest+1e6
	}
	if want := []int64{2000, 2500, 3200, 4000, 5000, 6300, 7900, 9900, 12_400, 15_500, 19_400, 24_300, 30_400, 38_000}; !slices.Equal(at, want) {
		t.Errorf("trained at %v labels, want %v", at, want)
	}
	for _, tt := range []struct {
		name           string
		labels         int64
		model, without int // drift events
		want           string
	}{
		{"drift of the baselines", 11_000, 0, 3, "drift: reported by devices without a model"},
		{"drift of a model that was taken back", 11_000, 2, 1, "drift: reported by devices without a model"},
		{"drift soon after the last try", 10_999, 0, 9, ""},
		{"little drift", 12_499, 1, 1, ""},
		{"labels", 12_500, 0, 0, "labels: enough for another try"},
	} {
		s := &progress{Labels: tt.labels, Targets: tt.labels, Trained: true, LabelsThen: 10_000, Drifts: tt.model, BaselineDrifts: tt.without}
		if reason, ok := p.due(s, false, ""); ok != (tt.want != "") || ok && !strings.HasPrefix(reason, tt.want) {
			t.Errorf("%s: due = %q, %v, want %q", tt.name, reason, ok, tt.want)
		}
		if reason, ok := p.due(s, true, ""); ok {
			t.Errorf("%s: due with a model in force = %q, want that only its own drift asks for another", tt.name, reason)
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
