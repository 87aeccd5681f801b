package main

import (
	"math"
	"testing"

	"skerry.dev/compute/metric"
	"skerry.dev/test/realdata"
)

// TestPublishedScores holds the scorer to what the benchmark's scoreboard says of detectors that
// can be written down exactly: three profiles each. The random one there is a mean over ten seeds
// of another generator, 11.0, 1.2 and 19.5, of which only the size can be the same: our mean over
// ten is printed with -v.
func TestPublishedScores(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole corpus, 13 times, takes some seconds: run without -short")
	}
	corpus, err := loadNAB(realdata.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	score := func(name string, seed uint64) (out [3]float64) {
		var c []metric.NABSeries
		for i := range corpus {
			c = append(c, metric.NABSeries{Scores: classic[name](&corpus[i], seed), Windows: corpus[i].windows})
		}
		for k, p := range metric.NABProfiles() {
			out[k] = metric.NAB(c, p).Score
		}
		return out
	}
	for name, want := range map[string][3]float64{"null": {}, "windowed-gaussian": {39.65, 20.87, 47.41}, "relative-entropy": {54.64, 47.60, 58.84}} {
		got := score(name, 1)
		for k := range got {
			if math.Abs(got[k]-want[k]) > 0.006 {
				t.Errorf("%s: %.2f, published are %v", name, got, want)
				break
			}
		}
	}
	var sum [3]float64
	const seeds = 10
	for s := range uint64(seeds) {
		got := score("random", s)
		for k := range sum {
			sum[k] += got[k] / seeds
		}
	}
	t.Logf("random: %.2f", sum)
	for k, want := range [3]float64{11.0, 1.2, 19.5} {
		if math.Abs(sum[k]-want) > 4 {
			t.Errorf("random: %.2f, published are 11.0, 1.2, 19.5", sum)
			break
		}
	}
}
