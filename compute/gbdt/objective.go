package gbdt

import (
	"fmt"
	"math"

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
	Poisson  Objective = "poisson"  // counts y ≥ 0 with mean exp(s); the ensemble's output is the mean
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
	// prepare is called once per round, bound and pack then for every output.
	prepare(d *Data, rows []int32, score [][]float64, threads int)
	// bound returns the largest gradient and hessian that a row can have, or has, without its weight.
	bound(d *Data, rows []int32, score []float64, threads int) (g, h float64)
	// pack writes the packed gradient of rows[k] to dst[k].
	pack(dst []int64, d *Data, rows []int32, k int, score []float64, p packer)
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
		return &numeric{top: delta, grad: func(r float64) float64 { return -min(max(r, -delta), delta) }, cost: func(r float64) float64 {
			if a := math.Abs(r); a > delta {
				return float64(delta * (a - float64(delta/2)))
			}
			return float64(float64(r*r) / 2)
		}}, nil
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

// numeric is a loss of the residual r = y − s. quantile, when not 0, is the quantile of residuals that is a leaf's best value; top is the largest gradient, 0 when there is no bound.
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

// poisson models log(mean). Its hessian is taken e^0.7 times too large, which keeps steps from overshooting (as LightGBM and XGBoost do).
type poisson struct{ newton }

const poissonGuard = 0.7

func (poisson) link() ensemble.Link                      { return ensemble.Exponential }
func (poisson) constant() bool                           { return false }
func (poisson) prepare(*Data, []int32, [][]float64, int) {}
func (poisson) start(d *Data) []float64                  { return []float64{ln(max(d.mean(), 1e-9))} }

func (poisson) bound(d *Data, rows []int32, score []float64, threads int) (g, h float64) {
	top := largest(rows, threads, func(i int32) float64 { return exp(score[i]) })
	return max(top, largest(rows, threads, func(i int32) float64 { return d.Y[i] })), top * exp(poissonGuard)
}

func (poisson) pack(dst []int64, d *Data, rows []int32, _ int, score []float64, p packer) {
	for at, i := range rows {
		w, mean := d.weight(i), exp(score[i])
		dst[at] = p.pack(float64(w*(mean-d.Y[i])), float64(w*exp(score[i]+poissonGuard)))
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
	return []float64{ln(p / (1 - p))}
}

func (logistic) bound(*Data, []int32, []float64, int) (g, h float64) { return 1, 0.25 }

func (logistic) pack(dst []int64, d *Data, rows []int32, _ int, score []float64, p packer) {
	if d.Weight == nil {
		for at, i := range rows {
			q := 1 / (1 + exp(-score[i]))
			dst[at] = p.pack(q-d.Y[i], float64(q*(1-q)))
		}
		return
	}
	for at, i := range rows {
		w, q := d.Weight[i], 1/(1+exp(-score[i]))
		dst[at] = p.pack(float64(w*(q-d.Y[i])), float64(w*float64(q*(1-q))))
	}
}

func (logistic) loss(d *Data, rows []int32, score [][]float64) float64 {
	var sum, n float64
	for _, i := range rows {
		w, p := d.weight(i), ensemble.Sigmoid(score[0][i])
		if d.Y[i] == 0 {
			p = 1 - p
		}
		sum -= float64(w * ln(max(p, minProbability)))
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
		count[k] = ln(max(c/n, 1e-6))
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
			top := math.Inf(-1)
			for k := range s {
				s[k] = score[k][i]
				top = max(top, s[k])
			}
			sum := 0.0
			for k, v := range s {
				s[k] = exp(v - top)
				sum += s[k]
			}
			for k, v := range s {
				o.p[k][i] = v / sum
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
		sum -= float64(w * ln(max(s[int(d.Y[i])], minProbability)))
		n += w
	}
	return sum / n
}

// ln is the natural logarithm of a positive number, to within one unit in the last place and with the same bits on every architecture: start scores and the losses that early stopping compares
// are part of the model, and the standard library's differs where it is assembly or products are fused with sums. The method is that of FreeBSD's e_log.c: x = 2^k·(1+f) and a polynomial for log(1+f).
func ln(x float64) float64 {
	const (
		ln2Hi = 6.93147180369123816490e-01
		ln2Lo = 1.90821492927058770002e-10
		l1    = 6.666666666666735130e-01
		l2    = 3.999999999940941908e-01
		l3    = 2.857142874366239149e-01
		l4    = 2.222219843214978396e-01
		l5    = 1.818357216161805012e-01
		l6    = 1.531383769920937332e-01
		l7    = 1.479819860511658591e-01
	)
	half, exponent := math.Frexp(x)
	if half < math.Sqrt2/2 {
		half *= 2
		exponent--
	}
	f, k := half-1, float64(exponent)
	s := f / (2 + f)
	s2 := float64(s * s)
	s4 := float64(s2 * s2)
	odd := float64(s2 * (l1 + float64(s4*(l3+float64(s4*(l5+float64(s4*l7)))))))
	even := float64(s4 * (l2 + float64(s4*(l4+float64(s4*l6)))))
	square := float64(f * float64(f/2))
	return float64(k*ln2Hi) - ((square - (float64(s*(square+(odd+even))) + float64(k*ln2Lo))) - f)
}

// exp is e to the x for gradients: the same bits on every architecture, a relative error below 2e-11, and without a branch but the clamp to ±700. Gradients are rounded to far less.
// x = (32k + j)·ln 2/32 + r: a table of 2^(j/32), a polynomial in r, and k added to the exponent.
func exp(x float64) float64 {
	x = min(max(x, -700), 700)
	n := float64(x*(32/math.Ln2)) + roundMagic
	k := int64(math.Float64bits(n)) - 0x4338000000000000
	m := n - roundMagic
	r := x - float64(m*(math.Ln2/32))
	p := 1 + float64(r*(1+float64(r*(1.0/2+float64(r*(1.0/6+float64(r*(1.0/24))))))))
	return math.Float64frombits(uint64(int64(math.Float64bits(float64(exp2Table[k&31]*p))) + k>>5<<52))
}

// exp2Table holds 2^(j/32), each rounded to the nearest float64.
var exp2Table = [32]float64{
	1.0, 1.0218971486541166, 1.0442737824274138, 1.0671404006768237, 1.0905077326652577, 1.1143867425958924, 1.1387886347566916, 1.1637248587775775,
	1.189207115002721, 1.215247359980469, 1.241857812073484, 1.2690509571917332, 1.2968395546510096, 1.3252366431597413, 1.3542555469368927, 1.383909881963832,
	1.4142135623730951, 1.4451808069770467, 1.4768261459394993, 1.5091644275934228, 1.5422108254079407, 1.5759808451078865, 1.6104903319492543, 1.645755478153965,
	1.681792830507429, 1.718619298122478, 1.7562521603732995, 1.7947090750031072, 1.8340080864093424, 1.8741676341103, 1.9152065613971474, 1.9571441241754002,
}
