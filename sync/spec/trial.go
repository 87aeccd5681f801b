package spec

// Evidence is what the hub measured of a candidate before its rollout, in the losses of a trial.
type Evidence struct {
	Rows      int64   `json:"rows"`      // instants compared
	Incumbent float64 `json:"incumbent"` // mean loss of what it was judged against
	Diff      float64 `json:"diff"`      // mean of candidate - incumbent
}

const (
	// cycleRows stand for a task's cycle where rows come fast.
	cycleRows = 2000
	// grossLoss is how much worse a candidate is, in units of the losses, that needs no cycle to be
	// seen: its errors are larger than the incumbent's by the target's usual change.
	grossLoss = 1
)

// Worse reports whether the losses of a trial show that its candidate is worse than it may be:
// whether the mean difference less half, the half-width of its bound, lies above MaxRegression. A
// sum that is not a number counts as worse.
//
// settled reports whether that is enough to give the candidate up. It is not as long as the rows
// show one regime alone, a holiday or a stopped machine: they must span the task's Cycle, and the
// candidate must still be worse when what the hub measured counts as many rows as the device's own,
// at most. A candidate that is grossly worse is given up at once. Until it is settled, a candidate
// that is worse must not go on either.
func (t Trial) Worse(p Paired, half float64) (worse, settled bool) {
	n := float64(p.Labelled)
	if n < 1 {
		return false, false
	}
	diff, incumbent := p.SumDiff/n, p.SumIncumbent/n
	if diff-half <= t.MaxRegression*incumbent {
		return false, false
	}
	if !(diff-half <= grossLoss) {
		return true, true
	}
	if p.To-p.From < t.Cycle && p.Labelled < cycleRows {
		return true, false
	}
	if e := t.Evidence; e != nil {
		w := min(n, float64(e.Rows))
		diff, incumbent = (n*diff+w*e.Diff)/(n+w), (n*incumbent+w*e.Incumbent)/(n+w)
		half *= n / (n + w)
	}
	return true, !(diff-half <= t.MaxRegression*incumbent)
}
