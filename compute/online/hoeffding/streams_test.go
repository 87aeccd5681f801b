package hoeffding_test

import (
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding"
	"skerry.dev/compute/online/hoeffding/streams"
	"skerry.dev/test/realdata"
)

// classified are the streams of river's benchmark page, with their targets.
var classified = []struct{ file, target string }{
	{"drift/river_phishing.csv.gz", "is_phishing"},
	{"drift/river_bananas.csv.gz", "target"},
	{"drift/elec2.csv.gz", "class"},
	{"drift/river_image_segments.csv.gz", "category"},
}

// accuracies plays the four streams to learners and holds the mean over seeds, one for the long
// stream, to what river's page publishes for one seed, less the slack of a learner.
func accuracies(t *testing.T, seeds int, published [4]float64, slack float64, learner func(s online.Schema, seed uint64) (online.Classifier, error)) {
	t.Helper()
	for i, f := range classified {
		s := streams.Public(t, realdata.Path(t, f.file), f.target, false)
		got, n := 0.0, seeds
		if len(s.X) > 10_000 {
			if n = 1; testing.Short() {
				continue
			}
		}
		for seed := range uint64(n) {
			c, err := learner(s.Schema, seed)
			if err != nil {
				t.Fatal(err)
			}
			got += s.Accuracy(c) / float64(n)
		}
		t.Logf("%-36s %.4f over %d seeds, river %.3f", f.file, got, n, published[i])
		if got < published[i]-slack {
			t.Errorf("%s: accuracy %.4f over %d seeds, want %.3f less %.3f", f.file, got, n, published[i], slack)
		}
	}
}

func TestTreeOnPublicStreams(t *testing.T) {
	accuracies(t, 1, [4]float64{0.880, 0.642, 0.796, 0.776}, 0.01, func(s online.Schema, _ uint64) (online.Classifier, error) {
		return hoeffding.NewTree(s, hoeffding.Options{})
	})
}

func TestAdaptiveOnPublicStreams(t *testing.T) {
	accuracies(t, 5, [4]float64{0.874, 0.617, 0.821, 0.774}, 0.01, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewAdaptive(s, hoeffding.AdaptiveOptions{Options: hoeffding.Options{Seed: seed}})
	})
}

// TestFastOnPublicStreams holds the tree to what river 0.26.1 was measured to give on Phishing,
// Bananas and ImageSegments (0.887, 0.626, 0.625) and to the Hoeffding tree's figure on Elec2. On
// ImageSegments, 2310 rows of seven classes, a single early split decides: its gain is 0.381 by
// the leaf's own rows and 0.407 with the mixture of classes that the leaf counts, against a bound
// of 0.392; tree.before says when that mixture is taken. With it at splits as well Elec2 falls
// from 0.849 to 0.786.
func TestFastOnPublicStreams(t *testing.T) {
	accuracies(t, 1, [4]float64{0.887, 0.626, 0.796, 0.625}, 0.01, func(s online.Schema, _ uint64) (online.Classifier, error) {
		return hoeffding.NewFast(s, hoeffding.FastOptions{})
	})
}

func TestForestOnPublicStreams(t *testing.T) {
	accuracies(t, 5, [4]float64{0.908, 0.887, 0.877, 0.819}, 0.01, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewForest(s, hoeffding.EnsembleOptions{Options: hoeffding.Options{Seed: seed}})
	})
}

func TestBaggingOnPublicStreams(t *testing.T) {
	accuracies(t, 5, [4]float64{0.894, 0.828, 0.893, 0.778}, 0.015, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewBagging(s, hoeffding.EnsembleOptions{Options: hoeffding.Options{Seed: seed}})
	})
}

func TestPatchesOnPublicStreams(t *testing.T) {
	accuracies(t, 5, [4]float64{0.914, 0.872, 0.869, 0.767}, 0.015, func(s online.Schema, seed uint64) (online.Classifier, error) {
		return hoeffding.NewPatches(s, hoeffding.EnsembleOptions{Options: hoeffding.Options{Seed: seed}})
	})
}

// errorsOf plays the two regression streams and holds a learner to what river's page publishes,
// within 1 %.
func errorsOf(t *testing.T, published [2]float64, learner func(s online.Schema) (online.Regressor, error)) {
	t.Helper()
	for i, f := range []struct{ file, target string }{{"drift/river_trump_approval.csv.gz", "five_thirty_eight"}, {"drift/river_chick_weights.csv.gz", "weight"}} {
		s := streams.Public(t, realdata.Path(t, f.file), f.target, true)
		r, err := learner(s.Schema)
		if err != nil {
			t.Fatal(err)
		}
		got := s.Error(r)
		t.Logf("%-36s %.4f, river %.3f", f.file, got, published[i])
		if got > published[i]*1.01 {
			t.Errorf("%s: mean absolute error %.4f, want %.3f", f.file, got, published[i])
		}
	}
}

func TestRegressionTreeOnPublicStreams(t *testing.T) {
	errorsOf(t, [2]float64{0.956, 23.16}, func(s online.Schema) (online.Regressor, error) {
		return hoeffding.NewRegressionTree(s, hoeffding.RegressionOptions{})
	})
}

func TestRegressionForestOnPublicStreams(t *testing.T) {
	errorsOf(t, [2]float64{0.800, 26.10}, func(s online.Schema) (online.Regressor, error) {
		return hoeffding.NewRegressionForest(s, hoeffding.RegressionForestOptions{RegressionOptions: hoeffding.RegressionOptions{Seed: 1}})
	})
}

// TestLinearLeavesDoNotDiverge plays the bike rentals in time order, on which the linear leaves
// of river 0.26 reach errors of 1e9.
func TestLinearLeavesDoNotDiverge(t *testing.T) {
	s := streams.Public(t, realdata.Path(t, "tabular/bike_sharing_hour.csv.gz"), "cnt", true, "instant", "dteday", "casual", "registered")
	for _, leaf := range []hoeffding.NumberLeaf{hoeffding.AdaptiveLinear, hoeffding.Linear, hoeffding.Mean} {
		r, err := hoeffding.NewRegressionTree(s.Schema, hoeffding.RegressionOptions{Leaf: leaf})
		if err != nil {
			t.Fatal(err)
		}
		got := s.Error(r)
		t.Logf("leaf %d: %.1f, %d nodes", leaf, got, r.Nodes())
		if got > 110 { // the mean of all counts is off by 142, on the whole
			t.Errorf("leaf %d: mean absolute error %.1f rentals an hour", leaf, got)
		}
	}
}
