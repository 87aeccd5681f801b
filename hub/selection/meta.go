package selection

import (
	"cmp"
	"math"
	"slices"

	"skerry.dev/compute/artifact"
)

// PastRun is what a run learned about its data and what won: the experience that later runs start
// from.
type PastRun struct {
	Meta     []float64          `json:"meta"` // in the order of MetaNames
	Learner  string             `json:"learner"`
	Params   map[string]float64 `json:"params"`
	Relative float64            `json:"relative"` // validation loss over the baseline's
}

// MetaNames names the numbers of PastRun.Meta.
var MetaNames = []string{"classification", "classes_log", "rows_log", "features_log", "devices_log", "missing", "horizon_rows_log", "span_days_log",
	"tail", "skill_mean", "skew"}

// metaFeatures describes the search rows.
func metaFeatures(t *table) []float64 {
	p := t.p
	y := slices.Clone(t.y[:t.search])
	slices.Sort(y)
	n := float64(len(y))
	var mean, ss float64
	for _, v := range y {
		mean += v / n
	}
	for _, v := range y {
		ss += (v - mean) * (v - mean) / n
	}
	q := func(f float64) float64 { return y[int(f*(n-1))] }
	spread := max(q(0.75)-q(0.25), 1e-12)
	missing := 0.0
	for _, v := range t.raw.x[:t.search*t.raw.width()] {
		if math.IsNaN(v) {
			missing++
		}
	}
	m := []float64{0, math.Log1p(float64(len(p.Classes))), math.Log(n), math.Log(float64(t.raw.width())), math.Log(float64(len(p.Devices))),
		missing / (n * float64(t.raw.width())), math.Log1p(float64(p.HorizonUS) / float64(p.rowDistance())),
		math.Log1p(float64(t.rows[t.search-1].time-t.rows[0].time) / float64(dayUS)),
		math.Log1p(math.Sqrt(ss) / spread), math.Abs(mean) / max(math.Sqrt(ss), 1e-12), (q(0.9) + q(0.1) - 2*q(0.5)) / max(q(0.9)-q(0.1), 1e-12)}
	if p.Kind == artifact.KindClassification {
		m[0] = 1
	}
	return m
}

// nearest returns the winners of the past runs on the most similar data, the most similar first.
// Each meta-feature counts by its spread over the past runs; a run whose kind of task differs is
// left out.
func nearest(prior []PastRun, meta []float64) []config {
	type candidate struct {
		d float64
		c config
	}
	var all []candidate
	scale := make([]float64, len(meta))
	for k := range meta {
		var v []float64
		for i := range prior {
			if len(prior[i].Meta) == len(meta) {
				v = append(v, prior[i].Meta[k])
			}
		}
		slices.Sort(v)
		if len(v) > 0 {
			scale[k] = v[len(v)-1] - v[0]
		}
	}
	for i := range prior {
		r := &prior[i]
		if len(r.Meta) != len(meta) || r.Meta[0] != meta[0] || !(r.Relative < 1) {
			continue
		}
		d := 0.0
		for k := range meta {
			if scale[k] > 0 {
				d += math.Pow((r.Meta[k]-meta[k])/scale[k], 2)
			}
		}
		all = append(all, candidate{d, config{r.Learner, r.Params}})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.d, b.d) })
	var out []config
	for _, c := range all[:min(3, len(all))] {
		out = append(out, c.c)
	}
	return out
}
