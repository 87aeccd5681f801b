package forecast

import (
	"math"
	"slices"
)

// Constants of the search for seasons.
const (
	searchRows    = 4000 // that are looked at
	minPeriod     = 3
	minAutocorr   = 0.12 // autocorrelation that a season must have at least
	minDeviations = 5.0  // and in standard deviations of that of noise
	// of it that must be left two seasons later: an autoregression swings, too, but it forgets
	minPersistence = 0.5
	tieTolerance   = 0.8 // of the best: the shortest such season is the first
	// by so much more must a multiple of the first season repeat to be a second one
	minGain        = 0.03
	gainDeviations = 1.0 // and by so many of those standard deviations
	minOfFirst     = 0.5 // of the first season's: what a shorter season within it must have
	minOfHighest   = 0.8 // and of the highest before it
	minRepeats     = 3   // seasons that must lie in the rows
)

// FindSeasons looks for up to two seasons in the first rows of a series, by the autocorrelation
// of its changes from row to row, which no trend and no wandering level can feign: the shortest
// lag whose autocorrelation is a peak and about as good as the best, and a multiple of it, up to
// longest rows, that repeats clearly better still. It returns none where nothing repeats. NaN and
// infinities are left out. Its cost is the number of rows times a third of them.
func FindSeasons(y []float64, longest int) []int {
	y = y[:min(len(y), searchRows)]
	d := changes(y)
	most := min(longest, len(d)/minRepeats, MaxSeason)
	if most < minPeriod {
		return nil
	}
	r := make([]float64, 2*most+1)
	for lag := 1; lag < len(r); lag++ {
		r[lag] = autocorrelation(d, lag)
	}
	noise := func(lag int) float64 { return 1 / math.Sqrt(float64(len(d)-lag)) }
	repeats := func(lag int) bool {
		return r[lag] >= max(minAutocorr, float64(minDeviations*noise(lag))) && r[lag] >= r[lag-1] && r[lag] >= r[lag+1] && r[2*lag] >= float64(minPersistence*r[lag])
	}
	best := 0.0
	for lag := minPeriod; lag <= most; lag++ {
		if repeats(lag) {
			best = max(best, r[lag])
		}
	}
	first := 0
	for lag := minPeriod; lag <= most && first == 0; lag++ {
		if repeats(lag) && r[lag] >= float64(tieTolerance*best) {
			first = lag
		}
	}
	if first == 0 {
		return nil
	}
	// A day of a week repeats a little every day: where a shorter lag is a divisor of the first
	// and a clear peak, too, the two are the seasons.
	for lag := minPeriod; lag <= first/2; lag++ {
		if first%lag == 0 && repeats(lag) && r[lag] >= float64(minOfFirst*r[first]) && r[lag] >= float64(minOfHighest*slices.Max(r[minPeriod:first])) {
			return []int{lag, first}
		}
	}
	second, high := 0, r[first]
	for lag := 2 * first; lag <= most; lag += first {
		if repeats(lag) && r[lag] > high && r[lag] >= r[first]+max(minGain, float64(gainDeviations*noise(lag))) {
			second, high = lag, r[lag]
		}
	}
	if second == 0 {
		return []int{first}
	}
	return []int{first, second}
}

// changes returns the differences of neighbours less their mean, cut to a few times their mean
// size so that single jumps count little; NaN where one is missing.
func changes(y []float64) []float64 {
	if len(y) < 2 {
		return nil
	}
	d := make([]float64, len(y)-1)
	mean, size, n := 0.0, 0.0, 0.0
	for i := range d {
		d[i] = math.NaN()
		if a, b := y[i], y[i+1]; math.Abs(a) <= maxMagnitude && math.Abs(b) <= maxMagnitude {
			d[i] = b - a
			n++
			mean += (d[i] - mean) / n
		}
	}
	n = 0
	for i := range d { // a steady slope is no pattern
		if d[i] -= mean; !math.IsNaN(d[i]) {
			n++
			size += (math.Abs(d[i]) - size) / n
		}
	}
	for i, v := range d {
		if !math.IsNaN(v) {
			d[i] = min(max(v, -cutChanges*size), cutChanges*size)
			if size > 0 {
				d[i] /= size
			}
		}
	}
	return d
}

// autocorrelation of numbers around 0, over the pairs that are there; 0 where there is none.
func autocorrelation(d []float64, lag int) float64 {
	both, early, late := 0.0, 0.0, 0.0
	for i := lag; i < len(d); i++ {
		a, b := d[i-lag], d[i]
		if !math.IsNaN(a) && !math.IsNaN(b) {
			both += float64(a * b)
			early += float64(a * a)
			late += float64(b * b)
		}
	}
	if early == 0 || late == 0 {
		return 0
	}
	return both / math.Sqrt(early*late)
}
