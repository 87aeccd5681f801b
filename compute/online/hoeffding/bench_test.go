package hoeffding_test

import (
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding"
)

// BenchmarkTestThenTrain plays 30 numbers a row, of which five decide the class, to learners that
// have seen 20,000 rows.
//
//	go test ./compute/online/hoeffding -run '^$' -bench . -count 6
func BenchmarkTestThenTrain(b *testing.B) {
	s := online.Schema{Classes: 2, Inputs: make([]online.Input, 30)}
	rng := rand.New(rand.NewPCG(1, 2))
	rows, classes := make([][]float64, 20_000), make([]int, 20_000)
	for i := range rows {
		rows[i] = make([]float64, 30)
		for j := range rows[i] {
			rows[i][j] = rng.Float64()
		}
		if rows[i][0]+rows[i][1] > rows[i][2]+rows[i][3]+rows[i][4]-0.5 {
			classes[i] = 1
		}
	}
	for _, l := range []struct {
		name string
		make func() (online.Classifier, error)
	}{
		{"tree", func() (online.Classifier, error) { return hoeffding.NewTree(s, hoeffding.Options{}) }},
		{"adaptive", func() (online.Classifier, error) { return hoeffding.NewAdaptive(s, hoeffding.AdaptiveOptions{}) }},
		{"forest", func() (online.Classifier, error) { return hoeffding.NewForest(s, hoeffding.EnsembleOptions{}) }},
		{"bagging", func() (online.Classifier, error) { return hoeffding.NewBagging(s, hoeffding.EnsembleOptions{}) }},
		{"patches", func() (online.Classifier, error) { return hoeffding.NewPatches(s, hoeffding.EnsembleOptions{}) }},
	} {
		b.Run("learner="+l.name, func(b *testing.B) {
			c, err := l.make()
			if err != nil {
				b.Fatal(err)
			}
			for i, x := range rows {
				c.Learn(x, classes[i], 1)
			}
			p := make([]float64, 2)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				c.Classify(p, rows[i])
				c.Learn(rows[i], classes[i], 1)
				if i++; i == len(rows) {
					i = 0
				}
			}
		})
	}
}
