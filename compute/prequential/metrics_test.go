package prequential

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/metric"
)

func near(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil {
		t.Errorf("%s is left out, want %v", what, want)
	} else if math.Abs(*got-want) > 1e-9*max(1, math.Abs(want)) {
		t.Errorf("%s = %v, want %v", what, *got, want)
	}
}

// TestClassSums compares the figures of a run with those of package metric over the whole table,
// and kappa with one by hand.
func TestClassSums(t *testing.T) {
	q := newSums(2)
	// truth 0: 20 right, 5 wrong; truth 1: 10 wrong, 15 right (the example of Cohen's kappa: 0.4)
	for truth, chosen := range [][2]int{{20, 5}, {10, 15}} {
		for choice, n := range chosen {
			for range n {
				q.class(choice, truth, 0.5)
			}
		}
	}
	m := q.metrics()
	near(t, "kappa", m.Kappa, 0.4)
	near(t, "accuracy", m.Accuracy, 0.7)
	near(t, "log loss", m.LogLoss, math.Ln2)
	if m.MAE != nil || m.R2 != nil || m.Coverage != nil || m.SetSize != nil {
		t.Errorf("classes without sets have other figures: %+v", m)
	}

	const rows, classes = 300, 4
	rng := rand.New(rand.NewPCG(1, 2))
	var y, p []float64
	q = newSums(classes)
	for range rows {
		truth, sum := rng.IntN(classes-1), 0.0 // the last class is chosen but never true
		row := make([]float64, classes)
		for k := range row {
			row[k] = rng.Float64()
			sum += row[k]
		}
		for k := range row {
			row[k] /= sum
		}
		y, p = append(y, float64(truth)), append(p, row...)
		q.class(int(metric.Classes(row, classes)[0]), truth, row[truth])
	}
	m, choices := q.metrics(), metric.Classes(p, classes)
	near(t, "accuracy", m.Accuracy, metric.Accuracy(y, choices, nil))
	near(t, "log loss", m.LogLoss, metric.LogLoss(y, p, nil, classes))
	near(t, "macro F1", m.MacroF1, metric.MacroF1(y, choices, nil))

	q = newSums(2)
	q.class(1, 1, 1)
	q.class(1, 1, 0) // a certain error costs as much as a probability of 1e-15
	near(t, "kappa of one class", q.metrics().Kappa, 0)
	near(t, "log loss of a certain error", q.metrics().LogLoss, -math.Log(1e-15)/2)
}

// TestValueSums compares the figures of numbers with those of package metric.
func TestValueSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	q := newSums(0)
	var y, p []float64
	for range 500 {
		truth := 1e6 + rng.NormFloat64() // the spread is small beside the mean
		y, p = append(y, truth), append(p, truth+rng.NormFloat64()/2)
		q.value(p[len(p)-1], truth)
	}
	m := q.metrics()
	near(t, "MAE", m.MAE, metric.MAE(y, p, nil))
	near(t, "RMSE", m.RMSE, metric.RMSE(y, p, nil))
	if r2 := metric.R2(y, p, nil); math.Abs(*m.R2-r2) > 1e-6 {
		t.Errorf("R² = %v, want %v", *m.R2, r2)
	}
	if m.Accuracy != nil || m.Coverage != nil || m.Width != nil {
		t.Errorf("numbers without intervals have other figures: %+v", m)
	}
	if m = newSums(0).metrics(); *m != (TableMetrics{}) {
		t.Errorf("figures of no row: %+v", m)
	}
	q = newSums(0)
	q.value(3, 2)
	q.value(1, 2)
	near(t, "R² of a constant", q.metrics().R2, 0)
}

// TestIntervalSums compares the coverage of the worst 500 rows with that of every 500.
func TestIntervalSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	q := newSums(0)
	var hits []float64
	worst, width := 1.0, 0.0
	for i := range 3000 {
		covered := rng.Float64() < 0.9
		if i >= 1700 && i < 1900 {
			covered = rng.Float64() < 0.3
		}
		w := rng.Float64()
		width += w
		q.value(0, 0)
		q.interval(covered, w)
		hits = append(hits, 0)
		if covered {
			hits[i] = 1
		}
		if len(hits) < coverageRows {
			if q.metrics().Worst != nil {
				t.Fatalf("after %d intervals there is a worst coverage of 500", i+1)
			}
			continue
		}
		sum := 0.0
		for _, h := range hits[i+1-coverageRows:] {
			sum += h
		}
		worst = min(worst, sum/coverageRows)
	}
	all := 0.0
	for _, h := range hits {
		all += h
	}
	m := q.metrics()
	near(t, "coverage", m.Coverage, all/3000)
	near(t, "worst coverage", m.Worst, worst)
	near(t, "width", m.Width, width/3000)
	if worst > 0.75 {
		t.Fatalf("the worst 500 rows cover %v: the test shows nothing", worst)
	}
}
