package prequential

import "math"

// TableMetrics are those of a run. R2 is against the mean of all labels; Coverage is that of the
// intervals, or sets of classes, that were issued.
type TableMetrics struct {
	Accuracy *float64 `json:"accuracy,omitempty"`
	// Cohen's: 0 is as good as guessing by the shares of the classes
	Kappa    *float64 `json:"kappa,omitempty"`
	MacroF1  *float64 `json:"macro_f1,omitempty"`
	LogLoss  *float64 `json:"logloss,omitempty"`
	MAE      *float64 `json:"mae,omitempty"`
	RMSE     *float64 `json:"rmse,omitempty"`
	R2       *float64 `json:"r2,omitempty"`
	Coverage *float64 `json:"coverage,omitempty"`
	Width    *float64 `json:"interval_width,omitempty"`
	SetSize  *float64 `json:"set_size,omitempty"`           // mean number of classes in a set
	Worst    *float64 `json:"coverage_worst_500,omitempty"` // of 500 rows in a row
}

// sums add up what was predicted before it was known.
type sums struct {
	classes   int
	n         float64
	table     []float64 // [truth][choice]
	nats      float64
	abs, sq   float64
	mean, m2  float64 // of the labels
	covered   float64
	issued    float64
	width     float64
	recent    []bool // of intervals
	in, worst float64
}

const coverageRows = 500

func newSums(classes int) *sums {
	return &sums{classes: classes, table: make([]float64, classes*classes), worst: math.Inf(1)}
}

// class takes a choice, the truth and the probability that the truth was given.
func (q *sums) class(choice, truth int, p float64) {
	q.n++
	q.table[truth*q.classes+choice]++
	q.nats -= math.Log(max(p, 1e-15))
}

func (q *sums) value(p, y float64) {
	q.n++
	q.abs += math.Abs(y - p)
	q.sq += (y - p) * (y - p)
	d := y - q.mean
	q.mean += d / q.n
	q.m2 += d * (y - q.mean)
}

func (q *sums) interval(covered bool, width float64) {
	q.issued++
	q.width += width
	one := 0.0
	if covered {
		one = 1
	}
	q.covered += one
	q.in += one
	if len(q.recent) == coverageRows {
		if at := int(q.issued-1) % coverageRows; q.recent[at] {
			q.in--
			q.recent[at] = covered
		} else {
			q.recent[at] = covered
		}
	} else {
		q.recent = append(q.recent, covered)
	}
	if len(q.recent) == coverageRows {
		q.worst = min(q.worst, q.in/coverageRows)
	}
}

func (q *sums) metrics() *TableMetrics {
	m := &TableMetrics{}
	if q.n == 0 {
		return m
	}
	if q.issued > 0 {
		m.Coverage = at(q.covered / q.issued)
		if !math.IsInf(q.worst, 0) {
			m.Worst = at(q.worst)
		}
	}
	if q.classes > 0 {
		var right, chance, f1, present float64
		for c := range q.classes {
			var truth, chosen float64
			for k := range q.classes {
				truth += q.table[c*q.classes+k]
				chosen += q.table[k*q.classes+c]
			}
			hit := q.table[c*q.classes+c]
			right += hit
			chance += truth / q.n * (chosen / q.n)
			if truth+chosen > 0 {
				f1 += 2 * hit / (truth + chosen)
				present++
			}
		}
		kappa := 0.0
		if chance < 1 {
			kappa = (right/q.n - chance) / (1 - chance)
		}
		m.Accuracy, m.Kappa, m.MacroF1, m.LogLoss = at(right/q.n), at(kappa), at(f1/present), at(q.nats/q.n)
		if q.issued > 0 {
			m.SetSize = at(q.width / q.issued)
		}
		return m
	}
	r2 := 0.0
	if q.m2 > 0 {
		r2 = 1 - q.sq/q.m2
	}
	m.MAE, m.RMSE, m.R2 = at(q.abs/q.n), at(math.Sqrt(q.sq/q.n)), at(r2)
	if q.issued > 0 {
		m.Width = at(q.width / q.issued)
	}
	return m
}

func at(v float64) *float64 { return &v }
