package online

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// Bayes is naive Bayes: inputs are independent given the class, numbers normal with the class's
// mean and variance, categories with the class's shares (one row added to each). Its
// probabilities are poor where inputs depend on each other; its choices often are not. It costs
// classes times inputs per row.
type Bayes struct {
	s       Schema
	count   []float64 // rows by class
	n       []float64 // numbers seen, by class and input
	mean    []float64
	m2      []float64
	at      []int     // of an input's first category in shares
	codes   int       // of all inputs
	shares  []float64 // rows by class and category
	missing []float64 // rows by class and input of categories that were missing
}

// NewBayes returns a classifier for a checked schema.
func NewBayes(s Schema) (*Bayes, error) {
	if err := s.Check(true); err != nil {
		return nil, err
	}
	d := len(s.Inputs) * s.Classes
	b := &Bayes{
		s:       s,
		count:   make([]float64, s.Classes),
		n:       make([]float64, d),
		mean:    make([]float64, d),
		m2:      make([]float64, d),
		missing: make([]float64, d),
	}
	for _, in := range s.Inputs {
		b.at = append(b.at, b.codes)
		b.codes += in.Categories
	}
	b.shares = make([]float64, b.codes*s.Classes)
	return b, nil
}

// Classify implements Classifier. As in river a density is raised by 10⁻⁹, so that one input far
// out cannot decide alone.
func (b *Bayes) Classify(p, x []float64) {
	total := 0.0
	for _, n := range b.count {
		total += n
	}
	if total == 0 {
		uniform(p)
		return
	}
	d := len(b.s.Inputs)
	for c := range p {
		if b.count[c] == 0 {
			p[c] = math.Inf(-1)
			continue
		}
		p[c] = exact.Log(b.count[c] / total)
		for i, v := range x {
			k := c*d + i
			if in := b.s.Inputs[i]; in.Categories > 0 {
				if code, ok := code(v, in.Categories); ok {
					p[c] += exact.Log((b.shares[c*b.codes+b.at[i]+code] + 1) / (max(b.count[c]-b.missing[k], 0) + float64(in.Categories)))
				}
			} else if usable(v) && b.n[k] > 0 {
				p[c] += exact.Log(1e-9 + normal(v-b.mean[k], b.m2[k]/max(b.n[k]-1, 1)))
			}
		}
	}
	softmax(p)
}

// normal is the density at a distance from the mean; 0 when there is no spread.
func normal(d, variance float64) float64 {
	if !(variance > 0) {
		return 0
	}
	return exact.Exp(-float64(d*d)/float64(2*variance)) / math.Sqrt(float64(2*math.Pi*variance))
}

// softmax turns logarithms into probabilities.
func softmax(p []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range p {
		top = max(top, v)
	}
	for c, v := range p {
		p[c] = exact.Exp(v - top)
		sum += p[c]
	}
	for c := range p {
		p[c] /= sum
	}
}

func uniform(p []float64) {
	for c := range p {
		p[c] = 1 / float64(len(p))
	}
}

// Learn implements Classifier.
func (b *Bayes) Learn(x []float64, class int, weight float64) {
	if class < 0 || class >= b.s.Classes || !goodWeight(weight) {
		return
	}
	weight = min(weight, maxWeight)
	b.count[class] += weight
	d := len(b.s.Inputs)
	for i, v := range x {
		k := class*d + i
		if in := b.s.Inputs[i]; in.Categories > 0 {
			if code, ok := code(v, in.Categories); ok {
				b.shares[class*b.codes+b.at[i]+code] += weight
			} else {
				b.missing[k] += weight
			}
			continue
		}
		if !usable(v) {
			continue
		}
		v = min(max(v, -maxMagnitude), maxMagnitude)
		if b.n[k] >= warmRows {
			if sd := math.Sqrt(b.m2[k] / b.n[k]); sd > 0 {
				v = min(max(v, b.mean[k]-float64(outlierDeviations*sd)), b.mean[k]+float64(outlierDeviations*sd))
			}
		}
		b.n[k] += weight
		step := v - b.mean[k]
		b.mean[k] += float64(step * (weight / b.n[k]))
		// rounding of the mean can turn a sign
		b.m2[k] += max(float64(float64(weight*step)*(v-b.mean[k])), 0)
	}
}

// Bytes implements Learner.
func (b *Bayes) Bytes() int { return 8 * (len(b.count) + 4*len(b.n) + len(b.shares)) }

func (b *Bayes) parts() [][]float64 {
	return [][]float64{b.count, b.n, b.mean, b.m2, b.shares, b.missing}
}

// Save implements Learner.
func (b *Bayes) Save(w *state.Writer) {
	for _, v := range b.parts() {
		w.Floats(v)
	}
}

// Load implements Learner.
func (b *Bayes) Load(r *state.Reader) {
	for k, v := range b.parts() {
		r.FloatsInto(v)
		for _, x := range v {
			if most := [...]float64{maxMagnitude, maxMagnitude, 2 * maxMagnitude, maxSquares, maxMagnitude, maxMagnitude}[k]; !(math.Abs(x) <= most) || x < 0 && k != 2 {
				r.Fail()
			}
		}
	}
}
