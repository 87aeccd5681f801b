package spec

import (
	"fmt"
	"math"
	"time"

	"skerry.dev/compute/sequential"
)

// Evidence is what the hub measured of a candidate before its rollout, in the losses of a trial, on
// rows that neither model was trained on.
type Evidence struct {
	Rows      int64   `json:"rows"`      // instants compared
	Incumbent float64 `json:"incumbent"` // mean loss of what it was judged against
	Diff      float64 `json:"diff"`      // mean of candidate - incumbent
	// Passed says that this alone has shown the candidate not to be worse
	Passed bool `json:"passed,omitempty"`
}

const (
	// cycleRows stand for a task's cycle where rows come fast.
	cycleRows = 2000
	// minRows are the fewest rows that settle anything but a gross difference.
	minRows = 200
	// grossLoss is how much worse a candidate is, in units of the losses, that needs no cycle to be
	// seen: its errors are larger than the incumbent's by the target's usual change.
	grossLoss = 1
	// deviceShare is the part of a trial's α that one device has for its own veto: a fleet has many.
	deviceShare = 0.02
	// defaultAlpha is that of a trial whose hub names none.
	defaultAlpha = 0.05
)

// Judgement is what the losses of a trial show.
type Judgement struct {
	Outcome sequential.Verdict
	sequential.Estimate
	// Worse says that the candidate is worse so far: it must not go on, and is not given up either
	// before Outcome is Fail.
	Worse  bool
	Reason string
}

// DeviceAlpha is the probability of a wrong veto of one device.
func (t Trial) DeviceAlpha() float64 {
	if t.Alpha > 0 {
		return t.Alpha * deviceShare
	}
	return defaultAlpha * deviceShare
}

// Judge judges the losses of a trial, at every look together with probability alpha of a wrong
// verdict, see [sequential.Blocks.Estimate]. They are of so many devices.
//
// Fail: the candidate is surely worse than the incumbent by more than MaxRegression. That is not
// settled as long as the rows show one regime alone, a holiday or a stopped machine: there must be
// minRows of them that span the task's Cycle, or cycleRows, and the candidate must still be worse when what
// the hub measured counts as many rows as these, at most. A candidate that is grossly worse is
// given up at once. Pass: it is surely not worse than that, over as many rows, or the hub has shown so.
func (t Trial) Judge(p Paired, alpha float64, devices int) Judgement {
	j := Judgement{Outcome: sequential.Inconclusive, Estimate: p.Blocks.Estimate(t.MaxRegression, alpha, cycleRows)}
	allowed := t.MaxRegression * j.Incumbent
	over := j.Mean - allowed
	passed := t.Evidence != nil && t.Evidence.Passed
	if math.IsInf(j.Half, 1) {
		switch {
		case over > grossLoss:
			j.Worse, j.Reason = true, fmt.Sprintf("far worse on the first %.0f rows: it waits for more of them", j.Rows)
		case passed:
			j.Outcome = sequential.Pass
		default:
			j.Reason = fmt.Sprintf("%.0f labelled rows are too few, or of too short a time, to say anything", j.Rows)
		}
		return j
	}
	spans := j.Rows >= cycleRows*float64(devices) || j.Rows >= minRows && p.To-p.From >= t.Cycle
	switch {
	case !(j.Mean-j.Half <= grossLoss):
		j.Outcome, j.Worse = sequential.Fail, true
	case over-j.Half > 0 && !spans:
		j.Worse = true
		j.Reason = fmt.Sprintf("worse so far: it waits for rows that span %v, or for better ones", time.Duration(t.Cycle)*time.Microsecond)
		return j
	case over-j.Half > 0 && t.outweighed(j):
		j.Worse = true
		j.Reason = "worse so far, and better at the hub: it waits for more rows"
		return j
	case over-j.Half > 0:
		j.Outcome, j.Worse = sequential.Fail, true
	case spans && over+j.Half <= 0, passed:
		j.Outcome = sequential.Pass
		return j
	case over+j.Half <= 0:
		j.Reason = fmt.Sprintf("not worse so far: it waits for rows that span %v", time.Duration(t.Cycle)*time.Microsecond)
		return j
	default:
		j.Reason = fmt.Sprintf("the losses of %.0f rows show neither better nor worse", j.Rows)
		if n := j.Needs(t.MaxRegression); !math.IsInf(n, 1) {
			j.Reason += fmt.Sprintf("; it would take some %.0f", n)
		}
		return j
	}
	j.Reason = fmt.Sprintf("loss is %.4g against the incumbent's %.4g on %.0f labelled rows (worse by at least %.4g, allowed %.4g)",
		j.Incumbent+j.Mean, j.Incumbent, j.Rows, j.Mean-j.Half, allowed)
	return j
}

// Needs is about how many rows it takes to show that the candidate is not worse by more than margin,
// if it stays as it is: +Inf where it is worse so far, or nothing can be said.
func (j Judgement) Needs(margin float64) float64 {
	over := j.Mean - margin*j.Incumbent
	if over >= 0 || math.IsInf(j.Half, 1) {
		return math.Inf(1)
	}
	return j.Rows * max(1, j.Half*j.Half/(over*over))
}

// Enough reports whether a trial has the rows that are asked of it.
func (t Trial) Enough(p Paired, need int) bool {
	if t.WithoutLabels {
		return p.Rows >= int64(need)
	}
	return p.Labelled >= int64(need)
}

// Disagrees reports why a candidate of a task without labels must not go on, "" when it may: its
// predictions of minRows rows are farther from the incumbent's than is allowed.
func (t Trial) Disagrees(p Paired) string {
	if !t.WithoutLabels || p.Rows < minRows || p.Disagreement <= t.MaxDisagreement {
		return ""
	}
	return fmt.Sprintf("its predictions differ from the incumbent's by %.3g of the usual change in the mean of %d rows, allowed is %.3g", p.Disagreement, p.Rows, t.MaxDisagreement)
}

// outweighed reports whether what the hub measured, as as many rows as the trial's at most, leaves
// open whether the candidate is worse.
func (t Trial) outweighed(j Judgement) bool {
	e := t.Evidence
	if e == nil {
		return false
	}
	n, w := j.Rows, min(j.Rows, float64(e.Rows))
	mean, incumbent := (n*j.Mean+w*e.Diff)/(n+w), (n*j.Incumbent+w*e.Incumbent)/(n+w)
	return mean-t.MaxRegression*incumbent-j.Half*n/(n+w) <= 0
}
