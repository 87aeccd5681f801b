package neural

import (
	"errors"
	"fmt"
	"math"

	"skerry.dev/compute/ensemble"
)

// Quantise returns the network with its weights and embeddings rounded to Float16 or Int8: to an
// eighth of the memory with Int8, to a quarter on disk with Float16 (a half in memory). Sums stay
// float64. The copy holds how far its outputs can be from those of n for inputs in [low, high],
// see [Network.ErrorBound]; low and high have one number per input, those of inputs with an
// embedding are ignored. They may be nil for a network that clips, whose inputs are bounded
// anyway, and may then be infinite. The network must be of Float64.
func (n *Network) Quantise(p Precision, low, high []float64) (*Network, error) {
	if n.precision != Float64 || (p != Float16 && p != Int8) {
		return nil, fmt.Errorf("neural: quantise %s to %s", n.precision, p)
	}
	if low == nil && high == nil && n.clip != 0 {
		low, high = make([]float64, n.inputs), make([]float64, n.inputs)
		for i := range low {
			low[i], high[i] = math.Inf(-1), math.Inf(1)
		}
	}
	if len(low) != n.inputs || len(high) != n.inputs {
		return nil, fmt.Errorf("neural: a range of %d and %d numbers for %d inputs", len(low), len(high), n.inputs)
	}
	q := &Network{inputs: n.inputs, clip: n.clip, link: n.link, scale: n.scale, shift: n.shift, precision: p}
	for _, e := range n.embeddings {
		e.table = e.table.round(p, e.dim)
		q.embeddings = append(q.embeddings, e)
	}
	for _, l := range n.layers {
		full := l.w.plain(l.in)
		l.w = full.round(p, l.in)
		q.layers = append(q.layers, l)
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	var err error
	q.bound, err = n.distance(q, low, high)
	return q, err
}

func (w *weights) round(p Precision, cols int) weights {
	var out weights
	if p == Float16 {
		out.half = make([]float32, len(w.full))
		for i, v := range w.full {
			out.half[i] = fromHalf(toHalf(v))
		}
		return out
	}
	out.codes, out.steps = make([]int8, len(w.full)), make([]float32, len(w.full)/cols)
	for r := range out.steps {
		row, most := w.full[r*cols:(r+1)*cols], 0.0
		for _, v := range row {
			most = max(most, math.Abs(v))
		}
		out.steps[r] = float32(min(most/127, math.MaxFloat32))
		if out.steps[r] == 0 {
			continue
		}
		for i, v := range row {
			out.codes[r*cols+i] = int8(max(-127, min(127, math.RoundToEven(v/float64(out.steps[r])))))
		}
	}
	return out
}

// ErrorBound returns the most by which an output of a quantised network can differ from that of
// the network it was made of, for inputs in the range given to [Network.Quantise]; 0 for a
// network that is not quantised.
//
// With z = W·a + b before and z' = W'·a' + b after, |z-z'| ≤ |W|·|a-a'| + |W-W'|·|a'|, where |a'|
// is bounded by interval arithmetic. A rectified unit passes a difference on, GELU at most 1.13
// times; a layer normalisation divides it by √ε and doubles it at worst, but keeps it below
// 2·|gain|·√n. The link passes on a quarter (logistic) or half (softmax). The bound holds for
// every input in the range and is therefore wide: differences seen in practice are two to three
// orders of magnitude smaller.
func (n *Network) ErrorBound() float64 { return n.bound }

// interval holds bounds of a number and of how far the rounded network's is from it.
type interval struct{ low, high, err float64 }

// geluMost is more than the largest derivative of GELU, geluLeast less than its smallest value.
const (
	geluMost  = 1.13
	geluLeast = -0.1701
)

// distance bounds the difference between the outputs of n and q for inputs in [low, high]. The
// intervals are those of q's numbers.
func (n *Network) distance(q *Network, low, high []float64) (float64, error) {
	var a []interval
	e := 0
	for i := range n.inputs {
		if e < len(n.embeddings) && n.embeddings[e].input == i {
			a = append(a, span(n.embeddings[e].table.full, q.embeddings[e].table.values(n.embeddings[e].dim), n.embeddings[e].dim)...)
			e++
			continue
		}
		v := interval{low: low[i], high: high[i]}
		if n.clip != 0 {
			v.low, v.high = Clip(v.low, n.clip), Clip(v.high, n.clip)
		}
		if !(v.low <= v.high) || math.IsInf(v.low, 0) || math.IsInf(v.high, 0) {
			return 0, fmt.Errorf("neural: input %d has the range %v to %v", i, low[i], high[i])
		}
		a = append(a, v)
	}
	for i := range n.layers {
		l := &n.layers[i]
		full, w := l.w.values(l.in), q.layers[i].w.values(l.in)
		z := make([]interval, l.out)
		for u := range z {
			z[u] = bounds(l.bias[u], full[u*l.in:(u+1)*l.in], w[u*l.in:(u+1)*l.in], a)
		}
		if l.gain != nil {
			most := math.Sqrt(float64(l.out)) // (v-mean)/deviation of n numbers is below √n
			worst := 0.0
			for _, v := range z {
				worst = max(worst, v.err)
			}
			for u := range z {
				g := math.Abs(l.gain[u]) * most
				z[u] = interval{
					low:  l.offset[u] - g,
					high: l.offset[u] + g,
					err:  min(2*g, math.Abs(l.gain[u])*2*worst*most/math.Sqrt(Epsilon)),
				}
			}
		}
		for u := range z {
			z[u] = z[u].activate(l.act)
		}
		a = z
	}
	worst := 0.0
	for _, v := range a {
		d := v.err * math.Abs(n.scale)
		switch n.link {
		case ensemble.Logistic:
			d = min(d/4, 1)
		case ensemble.Softmax:
			d = min(d/2, 1)
		}
		// rounding of the sums themselves
		worst = max(worst, d+1e-9*max(1, math.Abs(n.shift))+1e-9*math.Abs(n.scale)*max(math.Abs(v.low), math.Abs(v.high)))
	}
	if math.IsNaN(worst) || math.IsInf(worst, 0) {
		return 0, errors.New("neural: the range is too large for an error bound")
	}
	return worst, nil
}

// bounds is the interval of bias + w'·a' and its distance from bias + w·a.
func bounds(bias float64, w, rounded []float64, a []interval) interval {
	z := interval{low: bias, high: bias}
	for j, v := range a {
		p, r := rounded[j]*v.low, rounded[j]*v.high
		z.low += min(p, r)
		z.high += max(p, r)
		z.err += math.Abs(w[j])*v.err + math.Abs(w[j]-rounded[j])*max(math.Abs(v.low), math.Abs(v.high))
	}
	return z
}

func (v interval) activate(a Activation) interval {
	switch a {
	case ReLU:
		return interval{max(v.low, 0), max(v.high, 0), v.err}
	case GELU:
		// Rising above its minimum, between it and 0 below.
		least := geluLeast
		if v.low >= 0 {
			least = 0
		}
		return interval{least, max(v.high, 0), v.err * geluMost}
	}
	return v
}

// span is the interval of every column of a table, the rounded one's, with the largest distance
// from the original.
func span(table, rounded []float64, dim int) []interval {
	a := make([]interval, dim)
	for j := range a {
		a[j] = interval{low: rounded[j], high: rounded[j]}
	}
	for i, v := range rounded {
		b := &a[i%dim]
		b.low, b.high, b.err = min(b.low, v), max(b.high, v), max(b.err, math.Abs(v-table[i]))
	}
	return a
}
