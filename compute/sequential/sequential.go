// Package sequential tests while the data come in. Its bounds hold at every look at once, so a
// rollout may be judged after each label without inflating the error.
package sequential

import "math"

// Bound returns a confidence sequence for the mean of a stream of differences from their number,
// sum and sum of squares: the mean lies in [lo, hi] at every n together with probability at least
// 1-alpha, asymptotically. It is the normal-mixture boundary of Robbins (1970) with the variance
// estimated, after Waudby-Smith et al., "Time-uniform central limit theory and asymptotic
// confidence sequences", Annals of Statistics 52 (2024), tuned to be tightest near n = tune. With
// fewer than two values it is (-Inf, +Inf).
func Bound(n, sum, sum2, alpha, tune float64) (lo, hi float64) {
	if n < 2 {
		return math.Inf(-1), math.Inf(1)
	}
	mean := sum / n
	variance := max(sum2/n-mean*mean, 1e-12)
	// ρ² that minimises the width at n = tune (their eq. for the optimal ρ, with the Lambert W
	// approximated).
	l := -2 * math.Log(alpha)
	rho2 := (l + math.Log(l) + 1) / max(tune, 2)
	v := n * rho2
	half := math.Sqrt(variance) * math.Sqrt(2*(v+1)/(n*n*rho2)*math.Log(math.Sqrt(v+1)/alpha))
	return mean - half, mean + half
}

// Verdict is the outcome of a comparison so far.
type Verdict string

// The verdicts. Inconclusive never promotes.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Inconclusive Verdict = "inconclusive"
)

// NonInferior judges paired loss differences (candidate minus incumbent): Fail when the candidate
// is worse than the incumbent's mean loss by more than the margin (a fraction of it) for sure,
// Pass when at least minRows pairs are in and it is surely not worse than that, else
// Inconclusive.
func NonInferior(n, sumIncumbent, sumDiff, sumDiff2, margin, alpha float64, minRows int) Verdict {
	if n < 2 {
		return Inconclusive
	}
	lo, hi := Bound(n, sumDiff, sumDiff2, alpha, float64(max(minRows, 50)))
	limit := margin * sumIncumbent / n
	switch {
	case lo > limit:
		return Fail
	case n >= float64(minRows) && hi <= limit:
		return Pass
	}
	return Inconclusive
}
