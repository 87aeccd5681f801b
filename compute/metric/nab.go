package metric

import (
	"math"
	"slices"
)

// NABSeries is one scored series of an anomaly benchmark: a score per row and the labelled
// windows, each as its first and last row, in order and apart from each other.
type NABSeries struct {
	Scores  []float64
	Windows [][2]int
}

// NABProfile weighs what can happen: TP for a window found at its start, FP for an alarm far from
// any window, FN for a window missed.
type NABProfile struct {
	Name       string
	TP, FP, FN float64
}

// NABProfiles returns the three application profiles of the benchmark.
func NABProfiles() []NABProfile {
	return []NABProfile{{"standard", 1, 0.11, 1}, {"reward_low_FP", 1, 0.22, 1}, {"reward_low_FN", 1, 0.11, 2}}
}

// NABProbation returns how many rows at the front of a series are for learning and neither count
// for nor against a detector: 15 %, at most 750.
func NABProbation(rows int) int { return int(math.Min(math.Floor(0.15*float64(rows)), 750)) }

// NABResult is the outcome over a whole corpus.
type NABResult struct {
	// Score is 0 for a detector that never alarms and 100 for one that finds every window at its
	// first row and nothing else. It can be negative at a threshold that was given, and is 0
	// without windows.
	Score     float64
	Threshold float64 // alarms are scores that reach it; +Inf stands for none
	Found     int     // windows with an alarm
	Windows   int
	False     int // alarms outside of the windows
}

// NAB scores a corpus by the rules of Lavin and Ahmad, "Evaluating Real-time Anomaly Detection
// Algorithms – the Numenta Anomaly Benchmark" (ICMLA 2015), with the one threshold for the corpus
// that serves the profile best: a window counts once, by its earliest alarm, whose worth falls
// along a sigmoid from the first row to the last; an alarm outside costs by the same sigmoid of
// the distance to the window before it; the sum is scaled between that of no alarm and that of
// perfection. A NaN never alarms. It sorts all rows: O(n log n).
func NAB(corpus []NABSeries, p NABProfile) NABResult {
	rows, windows := nabRows(corpus, p)
	slices.SortStableFunc(rows, func(a, b nabRow) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	best := NABResult{Score: math.Inf(-1), Windows: windows}
	found, parts := make([]float64, windows), -p.FN*float64(windows)
	for i := range found {
		found[i] = -p.FN
	}
	now := NABResult{Threshold: math.Inf(1), Windows: windows}
	keep := func() {
		if s := nabScaled(parts, windows, p); s > best.Score {
			best = now
			best.Score = s
		}
	}
	for _, r := range rows {
		if r.score != now.Threshold {
			keep()
			now.Threshold = r.score
		}
		if r.window < 0 {
			now.False++
			parts += r.worth
			continue
		}
		if found[r.window] == -p.FN {
			now.Found++
		}
		if r.worth > found[r.window] {
			parts += r.worth - found[r.window]
			found[r.window] = r.worth
		}
	}
	keep()
	return best
}

// NABAt scores a corpus at a threshold that was chosen before.
func NABAt(corpus []NABSeries, p NABProfile, threshold float64) NABResult {
	rows, windows := nabRows(corpus, p)
	found, parts := make([]float64, windows), 0.0
	for i := range found {
		found[i] = -p.FN
	}
	res := NABResult{Threshold: threshold, Windows: windows}
	for _, r := range rows {
		switch {
		case r.score < threshold:
		case r.window < 0:
			res.False++
			parts += r.worth
		default:
			found[r.window] = max(found[r.window], r.worth)
		}
	}
	for _, f := range found {
		if parts += f; f != -p.FN {
			res.Found++
		}
	}
	res.Score = nabScaled(parts, windows, p)
	return res
}

// nabScaled is the score of a sum of worths. A corpus without windows has nothing to be scaled by.
func nabScaled(parts float64, windows int, p NABProfile) float64 {
	if windows == 0 {
		return 0
	}
	null, perfect := -p.FN*float64(windows), p.TP*float64(windows)
	return 100 * (parts - null) / (perfect - null)
}

// nabRow is a row after probation: what an alarm at it is worth, and the window it is in, -1 for
// none.
type nabRow struct {
	score, worth float64
	window       int
}

func nabRows(corpus []NABSeries, p NABProfile) (rows []nabRow, windows int) {
	best := nabSigmoid(-1)
	for _, s := range corpus {
		probation, next := NABProbation(len(s.Scores)), 0
		for i, score := range s.Scores {
			for next < len(s.Windows) && i > s.Windows[next][1] {
				next++
			}
			r := nabRow{score: score, window: -1}
			switch {
			case next < len(s.Windows) && i >= s.Windows[next][0]:
				w := s.Windows[next]
				r.window = windows + next
				r.worth = nabSigmoid(-float64(w[1]-i+1)/float64(w[1]-w[0]+1)) * p.TP / best
			case next == 0:
				r.worth = -p.FP
			default:
				w := s.Windows[next-1]
				r.worth = nabSigmoid(float64(i-w[1])/float64(w[1]-w[0])) * p.FP
			}
			if i >= probation && !math.IsNaN(score) {
				rows = append(rows, r)
			}
		}
		windows += len(s.Windows)
	}
	return rows, windows
}

// nabSigmoid falls from about 1 well before the end of a window, through 0 at it, to -1 three
// windows after it.
func nabSigmoid(x float64) float64 {
	if x > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*x)) - 1
}
