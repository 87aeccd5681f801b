package online

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"skerry.dev/compute/state"
)

// Method is how a linear model moves its weights.
type Method string

// The methods.
const (
	SGD Method = "sgd" // steps of Rate/√(1+rows/1000) along the gradient
	// steps shrink where gradients were large (Duchi, Hazan, Singer, JMLR 12, 2011)
	AdaGrad Method = "adagrad"
	// follow the proximally regularised leader (McMahan et al., KDD 2013): L1 gives weights of
	// exactly 0
	FTRL Method = "ftrl"
	// the smallest step that mends the loss, at most C long (Crammer et al., JMLR 7, 2006: PA-I)
	PA Method = "passive-aggressive"
)

// Methods lists all.
func Methods() []Method { return []Method{SGD, AdaGrad, FTRL, PA} }

// LinearOptions are those of the linear learners. The zero value is a good choice.
type LinearOptions struct {
	Method Method // default adagrad
	// in (0, 10], default 0.1 (adagrad, ftrl), 0.05 (sgd); not used by passive-aggressive
	Rate float64
	L1   float64 // ≥ 0, ftrl only
	L2   float64 // ≥ 0
	C    float64 // > 0, passive-aggressive: the longest step; default 0.1
}

func (o *LinearOptions) defaults() error {
	if o.Method == "" {
		o.Method = AdaGrad
	}
	if !slices.Contains(Methods(), o.Method) {
		return fmt.Errorf("online: method %q, must be one of %s", o.Method, joined(Methods()))
	}
	if o.Rate == 0 {
		if o.Rate = 0.1; o.Method == SGD {
			o.Rate = 0.05
		}
	}
	if o.C == 0 {
		o.C = 0.1
	}
	for _, v := range []struct {
		name      string
		v, lo, hi float64
	}{{"rate", o.Rate, 1e-9, 10}, {"l1", o.L1, 0, 1e6}, {"l2", o.L2, 0, 1e6}, {"c", o.C, 1e-9, 1e6}} {
		if !(v.v >= v.lo && v.v <= v.hi) {
			return fmt.Errorf("online: %s is %v, must be %v to %v", v.name, v.v, v.lo, v.hi)
		}
	}
	return nil
}

func joined[T ~string](v []T) string {
	s := make([]string, len(v))
	for i, x := range v {
		s[i] = string(x)
	}
	return strings.Join(s, ", ")
}

// weights of one output. Every step is bounded: gradients with respect to the score are at most 1
// and inputs at most maxScaled, weights at most maxWeight, so that nothing can diverge.
type weights struct {
	o  *LinearOptions
	w  []float64
	g2 []float64 // adagrad, ftrl: sums of squared gradients
	z  []float64 // ftrl
	n  float64   // rows
}

const maxWeight = 1e6

func newWeights(o *LinearOptions, width int) weights {
	return weights{o: o, w: make([]float64, width), g2: make([]float64, width), z: make([]float64, width)}
}

func (w *weights) score(x []float64) float64 {
	s := 0.0
	for i, v := range x {
		s += float64(w.w[i] * v)
	}
	return s
}

// step moves against gradient g of the loss with respect to the score, |g| ≤ 1, weight at most 10.
// The last input is the bias, which is not shrunk.
func (w *weights) step(x []float64, g, weight float64) {
	w.n++
	g = float64(g * min(weight, 10))
	rate := w.o.Rate
	if w.o.Method == SGD {
		rate /= math.Sqrt(1 + w.n/1000)
	}
	for i, v := range x {
		d := float64(g * v)
		if i < len(x)-1 {
			d += float64(w.o.L2 * w.w[i])
		}
		if d == 0 {
			continue
		}
		d = min(max(d, -50), 50)
		switch w.o.Method {
		case SGD:
			w.w[i] -= float64(rate * d)
		case AdaGrad:
			w.g2[i] += float64(d * d)
			w.w[i] -= float64(rate * d / math.Sqrt(w.g2[i]+1e-8))
		case FTRL:
			was := w.g2[i]
			w.g2[i] += float64(d * d)
			w.z[i] += d - float64((math.Sqrt(w.g2[i])-math.Sqrt(was))/rate*w.w[i])
			w.w[i] = 0
			if a := math.Abs(w.z[i]); a > w.o.L1 {
				w.w[i] = -math.Copysign(a-w.o.L1, w.z[i]) / ((1+math.Sqrt(w.g2[i]))/rate + w.o.L2)
			}
		}
		w.w[i] = min(max(w.w[i], -maxWeight), maxWeight)
	}
}

// mend adds tau·x, the step of passive-aggressive learning.
func (w *weights) mend(x []float64, tau float64) {
	w.n++
	for i, v := range x {
		w.w[i] = min(max(w.w[i]+float64(tau*v), -maxWeight), maxWeight)
	}
}

func (w *weights) save(s *state.Writer) {
	s.Floats(w.w)
	s.Floats(w.g2)
	s.Floats(w.z)
	s.Float(w.n)
}

func (w *weights) load(r *state.Reader) {
	for _, v := range [][]float64{w.w, w.g2, w.z} {
		r.FloatsInto(v)
		for _, x := range v {
			if !usable(x) || math.Abs(x) > 1e200 {
				r.Fail()
			}
		}
	}
	for _, x := range w.g2 {
		if x < 0 {
			r.Fail()
		}
	}
	if w.n = r.Float(); !(w.n >= 0 && usable(w.n)) {
		r.Fail()
	}
}

func square(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v * v)
	}
	return s
}
