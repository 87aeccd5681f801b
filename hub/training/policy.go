package training

import (
	"math"
	"time"
)

// Policy defines when a task is trained. The zero value takes the defaults.
type Policy struct {
	// Disabled leaves training to commands (ENABLE_AUTO_RETRAINING=false).
	Disabled bool
	// MinLabels is how many labels a first model needs, over all devices. Default 2000.
	MinLabels int64
	// DriftEvents is how many drift events since the last training start a new one. Default 3.
	DriftEvents int
	// MinNewLabels is how many labels must have come since the last training before drift or the
	// schedule may start one. Default 2000.
	MinNewLabels int64
	// NewLabels is the number of new labels that starts a training. Default 0: never.
	NewLabels int64
	// Cooldown is the event time between two trainings of a task that has a model. Default 30 days. It
	// does not hold back a training on twice as many labels as the last one had: a first model has seen
	// a day of a task with a row a minute.
	Cooldown time.Duration
	// Schedule is the event time after which a training starts. Default 0: never.
	Schedule time.Duration
	// Threshold is the relative rise of the champion's loss over its held-out loss that starts
	// a training (retraining_threshold). Default 0.15.
	Threshold float64
	// TimeBudget bounds one model selection. Default 60 s. Trials, when set, bounds it by
	// settings tried instead, which makes it reproducible.
	TimeBudget time.Duration
	Trials     int
	Threads    int
	// Learners to try; empty means all.
	Learners []string
	// ColdStart tries nothing first because it won in earlier searches.
	ColdStart bool
	// NoRollout leaves a passed challenger in the registry instead of rolling it out.
	NoRollout bool
}

func (p *Policy) defaults() {
	if p.MinLabels == 0 {
		p.MinLabels = 2000
	}
	if p.DriftEvents == 0 {
		p.DriftEvents = 3
	}
	if p.MinNewLabels == 0 {
		p.MinNewLabels = 2000
	}
	if p.Cooldown == 0 {
		p.Cooldown = 30 * 24 * time.Hour
	}
	if p.Threshold == 0 {
		p.Threshold = 0.15
	}
	if p.TimeBudget == 0 && p.Trials == 0 {
		p.TimeBudget = time.Minute
	}
	if p.Threads == 0 {
		p.Threads = 2
	}
}

// What a task without a model needs for another try, as a multiple of the labels at the one before:
// by labels alone, and with drift reported by its devices. Labels that grow by a factor bound the
// number of tries by a logarithm, so that a task that cannot be learned costs little for ever: 28
// tries from 2,000 labels to a million.
const (
	retryGrowth = 1.25
	driftGrowth = 1.1
)

// again is at how many labelled rows a task without a model is trained again; with drift earlier.
func (p *Policy) again(s *progress) (rows, withDrift int64) {
	then := float64(s.LabelsThen)
	return max(p.MinLabels, int64(math.Ceil(retryGrowth*then))), max(p.MinLabels, int64(math.Ceil(driftGrowth*then)))
}

// Tries after a failure, as of a full disk or a store that is away, wait longer each time.
const (
	retryFirst = time.Minute
	retryLast  = 6 * time.Hour
)

// backoff is how long a task waits after so many failures in a row, microseconds.
func backoff(failures int) int64 {
	return min(retryFirst<<min(failures-1, 16), retryLast).Microseconds()
}

// may reports whether a task is due with some model in force or with none: most are not, and nobody
// has to look up their models.
func (p *Policy) may(s *progress) bool {
	_, with := p.due(s, true, "")
	_, without := p.due(s, false, "any")
	return with || without
}

// due decides whether a task must be trained and why. champion reports whether a model is in force;
// gone is the digest of one that was and can be no longer.
func (p *Policy) due(s *progress, champion bool, gone string) (reason string, ok bool) {
	if p.Disabled {
		return "", false
	}
	if !s.Trained {
		return "labels: enough for a first model", s.rows() >= p.MinLabels
	}
	if !champion {
		rows, withDrift := p.again(s)
		if gone != "" && gone != s.Gone && s.rows() >= min(rows, s.LabelsThen+p.MinNewLabels) {
			return "labels: enough for another model after the one in force was lost", true
		}
		if s.rows() < rows && s.rows() >= withDrift && s.Drifts+s.BaselineDrifts >= p.DriftEvents {
			return "drift: reported by devices without a model", true
		}
		return "labels: enough for another try at a first model", s.rows() >= rows
	}
	fresh := s.rows() - s.LabelsThen
	if fresh >= max(p.MinNewLabels, s.LabelsThen) {
		return "labels: twice as many as the last training had", true
	}
	if s.Newest-s.NewestThen < p.Cooldown.Microseconds() {
		return "", false
	}
	switch {
	case p.NewLabels > 0 && fresh >= p.NewLabels:
		return "labels: enough new ones", true
	case fresh < p.MinNewLabels:
		return "", false
	case s.Drifts >= p.DriftEvents:
		return "drift: reported by devices", true
	case s.HeldOut > 0 && s.Loss.relative() > s.HeldOut*(1+p.Threshold):
		return "drift: the champion's loss rose above its held-out loss", true
	case p.Schedule > 0 && s.Newest-s.NewestThen >= p.Schedule.Microseconds():
		return "schedule", true
	}
	return "", false
}
