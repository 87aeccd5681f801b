package gbdt

import (
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
)

// Objective is the loss that is minimised.
type Objective string

// The objectives.
const (
	Squared  Objective = "squared"  // (y−s)²/2; loss reported: mean squared error
	Absolute Objective = "absolute" // |y−s|; leaves are medians
	Quantile Objective = "quantile" // pinball loss at Alpha; leaves are quantiles
	Huber    Objective = "huber"    // squared up to Delta, linear beyond
	Logistic Objective = "logistic" // log loss of two classes; the ensemble's output is the probability of class 1
	Softmax  Objective = "softmax"  // log loss of Classes classes; one tree per class and round
)

// classes returns how many classes the targets must come from, 0 when they are numbers.
func (o Objective) classes(p *Params) int {
	switch o {
	case Logistic:
		return 2
	case Softmax:
		return p.Classes
	}
	return 0
}

// objective is an Objective with its parameters. Losses are weighted means.
type objective interface {
	start(d *Data) []float64 // the best constant scores on d.Train, one per output
	link() ensemble.Link
	constant() bool // the hessian of every row is its weight
	// prepare is called once per round, gradients then for every output. g and h are written at rows only.
	prepare(d *Data, rows []int32, score [][]float64, threads int)
	gradients(d *Data, rows []int32, k int, score, g, h []float64, threads int)
	// renew returns the best leaf value for rows, when it is not the Newton step. buf is scratch space.
	renew(d *Data, rows []int32, score, buf []float64) (v float64, scratch []float64, done bool)
	loss(d *Data, rows []int32, score [][]float64) float64
}

func (o Objective) bind(p *Params) (objective, error) {
	switch o {
	case Squared:
		return &numeric{grad: func(r float64) float64 { return -r }, cost: func(r float64) float64 { return float64(r * r) }}, nil
	case Absolute, Quantile:
		a := p.Alpha
		cost := func(r float64) float64 { return max(float64(a*r), float64((a-1)*r)) }
		if o == Absolute {
			cost = math.Abs
		}
		return &numeric{quantile: a, cost: cost, grad: func(r float64) float64 {
			switch {
			case r > 0:
				return -a
			case r < 0:
				return 1 - a
			}
			return 0
		}}, nil
	case Huber:
		delta := p.Delta
		return &numeric{grad: func(r float64) float64 { return -min(max(r, -delta), delta) }, cost: func(r float64) float64 {
			if a := math.Abs(r); a > delta {
				return float64(delta * (a - float64(delta/2)))
			}
			return float64(float64(r*r) / 2)
		}}, nil
	case Logistic:
		return logistic{}, nil
	case Softmax:
		return &softmax{classes: p.Classes}, nil
	}
	return nil, fmt.Errorf("gbdt: unknown objective %q", o)
}

func (d *Data) weight(i int32) float64 {
	if d.Weight == nil {
		return 1
	}
	return d.Weight[i]
}

// numeric is a loss of the residual r = y − s. quantile, when not 0, is the quantile of residuals that is a leaf's best value.
type numeric struct {
	quantile   float64
	grad, cost func(r float64) float64 // with respect to s; cost of one row
}

func (o *numeric) link() ensemble.Link                      { return ensemble.Identity }
func (o *numeric) constant() bool                           { return true }
func (o *numeric) prepare(*Data, []int32, [][]float64, int) {}

func (o *numeric) start(d *Data) []float64 {
	if o.quantile != 0 {
		return []float64{residualQuantile(d, d.Train, nil, o.quantile)}
	}
	var sum, n float64
	for _, i := range d.Train {
		sum += float64(d.weight(i) * d.Y[i])
		n += d.weight(i)
	}
	return []float64{sum / n}
}

func (o *numeric) gradients(d *Data, rows []int32, _ int, score, g, h []float64, threads int) {
	binned.Parallel(threads, len(rows), func(from, to int) {
		for _, i := range rows[from:to] {
			w := d.weight(i)
			g[i], h[i] = float64(w*o.grad(d.Y[i]-score[i])), w
		}
	})
}

func (o *numeric) renew(d *Data, rows []int32, score, buf []float64) (float64, []float64, bool) {
	if o.quantile == 0 {
		return 0, buf, false
	}
	if d.Weight != nil {
		return weightedQuantile(d, rows, score, o.quantile), buf, true
	}
	buf = buf[:0]
	for _, i := range rows {
		buf = append(buf, d.Y[i]-score[i])
	}
	return quantile(buf, o.quantile), buf, true
}

func (o *numeric) loss(d *Data, rows []int32, score [][]float64) float64 {
	var sum, n float64
	for _, i := range rows {
		w := d.weight(i)
		sum += float64(w * o.cost(d.Y[i]-score[0][i]))
		n += w
	}
	return sum / n
}

// residualQuantile is the quantile of y − score over rows; a nil score means 0.
func residualQuantile(d *Data, rows []int32, score []float64, q float64) float64 {
	if d.Weight != nil {
		return weightedQuantile(d, rows, score, q)
	}
	v := make([]float64, len(rows))
	for k, i := range rows {
		v[k] = d.Y[i]
		if score != nil {
			v[k] -= score[i]
		}
	}
	return quantile(v, q)
}

// quantile returns the q-quantile of v, interpolated between order statistics (type 7 of Hyndman and Fan 1996), and reorders v.
func quantile(v []float64, q float64) float64 {
	pos := float64(q * float64(len(v)-1))
	k := int(pos)
	a := nth(v, k)
	if k+1 >= len(v) {
		return a
	}
	b := slices.Min(v[k+1:]) // nth leaves nothing smaller than a there
	return a + float64((pos-float64(k))*(b-a))
}

// nth returns the k-th smallest value of v and reorders v so that nothing before it is larger and nothing after it smaller (Hoare's quickselect with
// the median of three as pivot).
func nth(v []float64, k int) float64 {
	lo, hi := 0, len(v)-1
	for lo < hi {
		mid := lo + (hi-lo)/2
		if v[mid] < v[lo] {
			v[mid], v[lo] = v[lo], v[mid]
		}
		if v[hi] < v[lo] {
			v[hi], v[lo] = v[lo], v[hi]
		}
		if v[hi] < v[mid] {
			v[hi], v[mid] = v[mid], v[hi]
		}
		pivot := v[mid]
		i, j := lo, hi
		for i <= j {
			for v[i] < pivot {
				i++
			}
			for v[j] > pivot {
				j--
			}
			if i <= j {
				v[i], v[j] = v[j], v[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return v[k]
		}
	}
	return v[k]
}

// weightedQuantile returns the smallest residual at which the weights of those up to it reach the share q.
func weightedQuantile(d *Data, rows []int32, score []float64, q float64) float64 {
	type pair struct{ r, w float64 }
	v := make([]pair, len(rows))
	total := 0.0
	for k, i := range rows {
		v[k] = pair{d.Y[i], d.Weight[i]}
		if score != nil {
			v[k].r -= score[i]
		}
		total += v[k].w
	}
	slices.SortStableFunc(v, func(a, b pair) int {
		switch {
		case a.r < b.r:
			return -1
		case a.r > b.r:
			return 1
		}
		return 0
	})
	sum, want := 0.0, float64(q*total)
	for _, p := range v {
		if sum += p.w; sum >= want {
			return p.r
		}
	}
	return v[len(v)-1].r
}

// minProbability keeps logarithms finite.
const minProbability = 1e-15

type logistic struct{}

func (logistic) link() ensemble.Link                      { return ensemble.Logistic }
func (logistic) constant() bool                           { return false }
func (logistic) prepare(*Data, []int32, [][]float64, int) {}

func (logistic) start(d *Data) []float64 {
	var pos, n float64
	for _, i := range d.Train {
		pos += float64(d.weight(i) * d.Y[i])
		n += d.weight(i)
	}
	p := min(max(pos/n, 1e-6), 1-1e-6)
	return []float64{math.Log(p / (1 - p))}
}

func (logistic) gradients(d *Data, rows []int32, _ int, score, g, h []float64, threads int) {
	binned.Parallel(threads, len(rows), func(from, to int) {
		for _, i := range rows[from:to] {
			w, p := d.weight(i), ensemble.Sigmoid(score[i])
			g[i], h[i] = float64(w*(p-d.Y[i])), float64(w*float64(p*(1-p)))
		}
	})
}

func (logistic) renew(_ *Data, _ []int32, _, buf []float64) (float64, []float64, bool) {
	return 0, buf, false
}

func (logistic) loss(d *Data, rows []int32, score [][]float64) float64 {
	var sum, n float64
	for _, i := range rows {
		w, p := d.weight(i), ensemble.Sigmoid(score[0][i])
		if d.Y[i] == 0 {
			p = 1 - p
		}
		sum -= float64(w * math.Log(max(p, minProbability)))
		n += w
	}
	return sum / n
}

// softmax follows Friedman's multiclass boosting: K trees per round from one set of probabilities.
type softmax struct {
	classes int
	p       [][]float64 // [class][row], of the round
}

func (o *softmax) link() ensemble.Link { return ensemble.Softmax }
func (o *softmax) constant() bool      { return false }

func (o *softmax) start(d *Data) []float64 {
	count, n := make([]float64, o.classes), 0.0
	for _, i := range d.Train {
		count[int(d.Y[i])] += d.weight(i)
		n += d.weight(i)
	}
	for k, c := range count {
		count[k] = math.Log(max(c/n, 1e-6))
	}
	return count
}

func (o *softmax) prepare(d *Data, rows []int32, score [][]float64, threads int) {
	if o.p == nil {
		for range o.classes {
			o.p = append(o.p, make([]float64, d.X.N))
		}
	}
	binned.Parallel(threads, len(rows), func(from, to int) {
		s := make([]float64, o.classes)
		for _, i := range rows[from:to] {
			for k := range s {
				s[k] = score[k][i]
			}
			ensemble.Softmax.Apply(s)
			for k := range s {
				o.p[k][i] = s[k]
			}
		}
	})
}

func (o *softmax) gradients(d *Data, rows []int32, k int, _, g, h []float64, threads int) {
	factor := float64(o.classes) / float64(o.classes-1) // one score is redundant; Friedman's K/(K-1) makes up for it
	binned.Parallel(threads, len(rows), func(from, to int) {
		for _, i := range rows[from:to] {
			w, p, y := d.weight(i), o.p[k][i], 0.0
			if int(d.Y[i]) == k {
				y = 1
			}
			g[i], h[i] = float64(w*(p-y)), float64(float64(w*factor)*float64(p*(1-p)))
		}
	})
}

func (o *softmax) renew(_ *Data, _ []int32, _, buf []float64) (float64, []float64, bool) {
	return 0, buf, false
}

func (o *softmax) loss(d *Data, rows []int32, score [][]float64) float64 {
	var sum, n float64
	s := make([]float64, o.classes)
	for _, i := range rows {
		for k := range s {
			s[k] = score[k][i]
		}
		ensemble.Softmax.Apply(s)
		w := d.weight(i)
		sum -= float64(w * math.Log(max(s[int(d.Y[i])], minProbability)))
		n += w
	}
	return sum / n
}
