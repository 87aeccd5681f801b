package metric

import (
	"math"
	"math/rand/v2"
	"testing"
)

// corpus is two series of 1000 rows, so 150 of probation each, and three windows.
func corpus(score func(series, row int) float64) []NABSeries {
	c := []NABSeries{{Windows: [][2]int{{300, 399}}}, {Windows: [][2]int{{200, 299}, {600, 799}}}}
	for k := range c {
		for i := range 1000 {
			c[k].Scores = append(c[k].Scores, score(k, i))
		}
	}
	return c
}

func inWindow(series, row int) bool {
	return series == 0 && row >= 300 && row <= 399 || series == 1 && (row >= 200 && row <= 299 || row >= 600 && row <= 799)
}

func TestNABEnds(t *testing.T) {
	for _, p := range NABProfiles() {
		if r := NAB(corpus(func(int, int) float64 { return 0.5 }), p); r.Score != 0 || r.Found != 0 || !math.IsInf(r.Threshold, 1) {
			t.Errorf("%s: a constant scores %+v, want 0: all these alarms cost more than three windows are worth", p.Name, r)
		}
		perfect := corpus(func(s, i int) float64 {
			if inWindow(s, i) && !inWindow(s, i-1) {
				return 1
			}
			return 0
		})
		if r := NAB(perfect, p); math.Abs(r.Score-100) > 1e-9 || r.Found != 3 || r.False != 0 || r.Threshold != 1 {
			t.Errorf("%s: an alarm at the first row of each window scores %+v, want 100", p.Name, r)
		}
	}
}

// TestNABByHand takes the sigmoid's values from its definition, 2/(1+e^(5x))-1.
func TestNABByHand(t *testing.T) {
	standard, lowFP := NABProfiles()[0], NABProfiles()[1]
	sigmoid := func(x float64) float64 { return 2/(1+math.Exp(5*x)) - 1 }
	alarms := func(at ...[2]int) []NABSeries {
		return corpus(func(s, i int) float64 {
			for _, a := range at {
				if a == [2]int{s, i} {
					return 1
				}
			}
			return 0
		})
	}
	scaled := func(parts float64) float64 { return 100 * (parts + 3) / 6 }
	for _, c := range []struct {
		what    string
		corpus  []NABSeries
		profile NABProfile
		want    float64
	}{
		{"in the middle of a window", alarms([2]int{0, 350}), standard, scaled(sigmoid(-0.5)/sigmoid(-1) - 2)},
		{"twice in a window, the first counts", alarms([2]int{0, 350}, [2]int{0, 390}), standard, scaled(sigmoid(-0.5)/sigmoid(-1) - 2)},
		{"before any window", alarms([2]int{0, 200}), standard, scaled(-3 - 0.11)},
		{"before any window, dear", alarms([2]int{0, 200}), lowFP, scaled(-3 - 0.22)},
		{"half a window after one", alarms([2]int{1, 299 + 50}), standard, scaled(-3 + 0.11*sigmoid(50.0/99))},
		{"three windows and a little after one", alarms([2]int{1, 599}), standard, scaled(-3 - 0.11)},
		{"more than three windows after one", alarms([2]int{0, 900}), standard, scaled(-3 - 0.11)},
		{"in probation", alarms([2]int{0, 149}), standard, 0},
		{"after probation", alarms([2]int{0, 150}), standard, scaled(-3 - 0.11)},
	} {
		r := NABAt(c.corpus, c.profile, 1)
		if math.Abs(r.Score-c.want) > 1e-9 {
			t.Errorf("an alarm %s: score %v, want %v", c.what, r.Score, c.want)
		}
		if best := NAB(c.corpus, c.profile); best.Score < max(r.Score, 0)-1e-9 {
			t.Errorf("an alarm %s: the best threshold gives %v, that at 1 gives %v", c.what, best.Score, r.Score)
		}
	}
	for rows, want := range map[int]int{0: 0, 10: 1, 1000: 150, 5000: 750, 22695: 750} {
		if got := NABProbation(rows); got != want {
			t.Errorf("NABProbation(%d) = %d, want %d", rows, got, want)
		}
	}
}

// TestNABWithoutWindows: where there is nothing to find, no alarm is as good as can be.
func TestNABWithoutWindows(t *testing.T) {
	c := []NABSeries{{Scores: []float64{0.1, 0.9, 0.3, 0.2, 0.8, 0.1, 0.7}}}
	for _, p := range NABProfiles() {
		if r := NAB(c, p); r.Score != 0 || r.False != 0 || !math.IsInf(r.Threshold, 1) {
			t.Errorf("%s: %+v, want a score of 0 without an alarm", p.Name, r)
		}
		if r := NABAt(c, p, 0.5); r.Score != 0 || r.False != 3 {
			t.Errorf("%s: %+v at 0.5, want a score of 0 and three false alarms", p.Name, r)
		}
	}
}

// TestNABBestThreshold compares the sweep with trying every threshold.
func TestNABBestThreshold(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		c := corpus(func(s, i int) float64 {
			v := float64(rng.IntN(50)) // with ties
			if inWindow(s, i) {
				v += float64(rng.IntN(20))
			}
			if rng.IntN(100) == 0 {
				return math.NaN()
			}
			return v
		})
		for _, p := range NABProfiles() {
			best := NABResult{Score: math.Inf(-1)}
			for th := 0.0; th <= 71; th++ {
				if r := NABAt(c, p, th); r.Score > best.Score {
					best = r
				}
			}
			r := NAB(c, p)
			if math.Abs(r.Score-best.Score) > 1e-9 {
				t.Errorf("%s: best %+v, by trying %+v", p.Name, r, best)
			}
			if again := NABAt(c, p, r.Threshold); math.Abs(again.Score-r.Score) > 1e-9 || again.Found != r.Found || again.False != r.False {
				t.Errorf("%s: %+v at its threshold is %+v", p.Name, r, again)
			}
		}
	}
}
