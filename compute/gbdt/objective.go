package gbdt

import (
	"fmt"
	"math"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/internal/exact"
)

// Objective is the loss that is minimised.
type Objective string

// The objectives.
const (
	Squared  Objective = "squared"  // (y−s)²/2; loss reported: mean squared error
	Absolute Objective = "absolute" // |y−s|; leaves are medians
	Quantile Objective = "quantile" // pinball loss at Alpha; leaves are quantiles
	Huber    Objective = "huber"    // squared up to Delta, linear beyond
	// counts y ≥ 0 with mean exp(s); the ensemble's output is the mean
	Poisson Objective = "poisson"
	// log loss of two classes; the ensemble's output is the probability of class 1
	Logistic Objective = "logistic"
	Softmax  Objective = "softmax" // log loss of Classes classes; one tree per class and round
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
	// prepare is called once per round, bound and pack then for every output.
	prepare(d *Data, rows []int32, score [][]float64, threads int)
	// bound returns the largest gradient and hessian that a row can have, or has, without its
	// weight.
	bound(d *Data, rows []int32, score []float64, threads int) (g, h float64)
	// pack writes the packed gradient of rows[k] to dst[k].
	pack(dst []int64, d *Data, rows []int32, k int, score []float64, p packer)
	// renew returns the best leaf value for rows, when it is not the Newton step. buf is scratch
	// space.
	renew(d *Data, rows []int32, score, buf []float64) (v float64, scratch []float64, done bool)
	loss(d *Data, rows []int32, score [][]float64) float64
}

func (o Objective) bind(p *Params) (objective, error) {
	switch o {
	case Squared:
		return &numeric{
			grad: func(r float64) float64 { return -r },
			cost: func(r float64) float64 { return float64(r * r) },
		}, nil
	case Absolute, Quantile:
		a := p.Alpha
		cost := func(r float64) float64 { return max(float64(a*r), float64((a-1)*r)) }
		if o == Absolute {
			cost = math.Abs
		}
		return &numeric{quantile: a, top: max(a, 1-a), cost: cost, grad: func(r float64) float64 {
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
		return &numeric{
			top:  delta,
			grad: func(r float64) float64 { return -min(max(r, -delta), delta) },
			cost: func(r float64) float64 {
				if a := math.Abs(r); a > delta {
					return float64(delta * (a - float64(delta/2)))
				}
				return float64(float64(r*r) / 2)
			},
		}, nil
	case Poisson:
		return poisson{}, nil
	case Logistic:
		return logistic{}, nil
	case Softmax:
		return &softmax{classes: p.Classes, factor: float64(p.Classes) / float64(p.Classes-1)}, nil
	}
	return nil, fmt.Errorf("gbdt: objective %q, must be one of %v", o, Objectives())
}

// Objectives lists all objectives.
func Objectives() []Objective {
	return []Objective{Squared, Absolute, Quantile, Huber, Poisson, Logistic, Softmax}
}

func (d *Data) weight(i int32) float64 {
	if d.Weight == nil {
		return 1
	}
	return d.Weight[i]
}

// largest returns the largest |f| over rows.
func largest(rows []int32, threads int, f func(i int32) float64) float64 {
	parts := max(1, min(threads, len(rows)/parallelWork))
	part := make([]float64, parts)
	binned.Parallel(parts, parts, func(from, to int) {
		for k := from; k < to; k++ {
			top := 0.0
			for _, i := range rows[k*len(rows)/parts : (k+1)*len(rows)/parts] {
				top = max(top, math.Abs(f(i)))
			}
			part[k] = top
		}
	})
	top := 0.0
	for _, v := range part {
		top = max(top, v)
	}
	return top
}

// numeric is a loss of the residual r = y − s. quantile, when not 0, is the quantile of residuals
// that is a leaf's best value; top is the largest gradient, 0 when there is no bound.
type numeric struct {
	quantile, top float64
	grad, cost    func(r float64) float64 // with respect to s; cost of one row
}

func (o *numeric) link() ensemble.Link                      { return ensemble.Identity }
func (o *numeric) constant() bool                           { return true }
func (o *numeric) prepare(*Data, []int32, [][]float64, int) {}

func (o *numeric) start(d *Data) []float64 {
	if o.quantile != 0 {
		return []float64{residualQuantile(d, d.Train, nil, o.quantile)}
	}
	return []float64{d.mean()}
}

// mean is the weighted mean of the training targets.
func (d *Data) mean() float64 {
	var sum, n float64
	for _, i := range d.Train {
		sum += float64(d.weight(i) * d.Y[i])
		n += d.weight(i)
	}
	return sum / n
}

func (o *numeric) bound(d *Data, rows []int32, score []float64, threads int) (g, h float64) {
	if o.top != 0 {
		return o.top, 1
	}
	return largest(rows, threads, func(i int32) float64 { return d.Y[i] - score[i] }), 1
}

func (o *numeric) pack(dst []int64, d *Data, rows []int32, _ int, score []float64, p packer) {
	for at, i := range rows {
		w := d.weight(i)
		dst[at] = p.pack(float64(w*o.grad(d.Y[i]-score[i])), w)
	}
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

// minProbability keeps logarithms finite.
const minProbability = 1e-15

// newton is embedded by objectives whose leaf values are Newton steps.
type newton struct{}

func (newton) renew(_ *Data, _ []int32, _, buf []float64) (float64, []float64, bool) {
	return 0, buf, false
}

// poisson models log(mean). Its hessian is taken e^0.7 times too large, which keeps steps from
// overshooting (as LightGBM and XGBoost do).
type poisson struct{ newton }

const poissonGuard = 0.7

func (poisson) link() ensemble.Link                      { return ensemble.Exponential }
func (poisson) constant() bool                           { return false }
func (poisson) prepare(*Data, []int32, [][]float64, int) {}
func (poisson) start(d *Data) []float64                  { return []float64{exact.Log(max(d.mean(), 1e-9))} }

func (poisson) bound(d *Data, rows []int32, score []float64, threads int) (g, h float64) {
	top := largest(rows, threads, func(i int32) float64 { return exp(score[i]) })
	return max(top, largest(rows, threads, func(i int32) float64 { return d.Y[i] })), top * exp(poissonGuard)
}

func (poisson) pack(dst []int64, d *Data, rows []int32, _ int, score []float64, p packer) {
	var mean, guarded [blockRows]float64
	for len(rows) > 0 {
		n := min(len(rows), blockRows)
		for k, i := range rows[:n] {
			mean[k], guarded[k] = score[i], score[i]+poissonGuard
		}
		expAll(mean[:n])
		expAll(guarded[:n])
		for k, i := range rows[:n] {
			w := d.weight(i)
			dst[k] = p.pack(float64(w*(mean[k]-d.Y[i])), float64(w*guarded[k]))
		}
		dst, rows = dst[n:], rows[n:]
	}
}

func (poisson) loss(d *Data, rows []int32, score [][]float64) float64 {
	var sum, n float64
	for _, i := range rows {
		w, s := d.weight(i), score[0][i]
		sum += float64(w * (exp(s) - float64(d.Y[i]*s)))
		n += w
	}
	return sum / n
}

type logistic struct{ newton }

func (logistic) link() ensemble.Link                      { return ensemble.Logistic }
func (logistic) constant() bool                           { return false }
func (logistic) prepare(*Data, []int32, [][]float64, int) {}

func (logistic) start(d *Data) []float64 {
	p := min(max(d.mean(), 1e-6), 1-1e-6)
	return []float64{exact.Log(p / (1 - p))}
}

func (logistic) bound(*Data, []int32, []float64, int) (g, h float64) { return 1, 0.25 }

func (logistic) pack(dst []int64, d *Data, rows []int32, _ int, score []float64, p packer) {
	var s, y, w [blockRows]float64
	for k := range w {
		w[k] = 1
	}
	for len(rows) > 0 {
		n := min(len(rows), blockRows)
		for k, i := range rows[:n] {
			s[k], y[k] = score[i], d.Y[i]
		}
		if d.Weight != nil {
			for k, i := range rows[:n] {
				w[k] = d.Weight[i]
			}
		}
		packLogistic(dst[:n], s[:n], y[:n], w[:n], &p)
		dst, rows = dst[n:], rows[n:]
	}
}

func (logistic) loss(d *Data, rows []int32, score [][]float64) float64 {
	var sum, n float64
	for _, i := range rows {
		w, p := d.weight(i), ensemble.Sigmoid(score[0][i])
		if d.Y[i] == 0 {
			p = 1 - p
		}
		sum -= float64(w * exact.Log(max(p, minProbability)))
		n += w
	}
	return sum / n
}

// softmax follows Friedman's multiclass boosting: K trees per round from one set of probabilities.
type softmax struct {
	newton
	classes int
	factor  float64     // K/(K-1): one score is redundant, and this makes up for it
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
		count[k] = exact.Log(max(c/n, 1e-6))
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
		var top, sum [blockRows]float64
		s := make([]float64, o.classes*blockRows)
		for ; from < to; from += blockRows {
			rows := rows[from:min(from+blockRows, to)]
			for k := range rows {
				top[k], sum[k] = math.Inf(-1), 0
			}
			for _, class := range score {
				for k, i := range rows {
					top[k] = max(top[k], class[i])
				}
			}
			for c, class := range score {
				s := s[c*blockRows:][:len(rows)]
				for k, i := range rows {
					s[k] = class[i] - top[k]
				}
				expAll(s)
				for k, v := range s {
					sum[k] += v
				}
			}
			for c, p := range o.p {
				s := s[c*blockRows:][:len(rows)]
				for k, i := range rows {
					p[i] = s[k] / sum[k]
				}
			}
		}
	})
}

func (o *softmax) bound(*Data, []int32, []float64, int) (g, h float64) { return 1, o.factor / 4 }

func (o *softmax) pack(dst []int64, d *Data, rows []int32, k int, _ []float64, p packer) {
	prob := o.p[k]
	for at, i := range rows {
		w, q, y := d.weight(i), prob[i], 0.0
		if int(d.Y[i]) == k {
			y = 1
		}
		dst[at] = p.pack(float64(w*(q-y)), float64(float64(w*o.factor)*float64(q*(1-q))))
	}
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
		sum -= float64(w * exact.Log(max(s[int(d.Y[i])], minProbability)))
		n += w
	}
	return sum / n
}
