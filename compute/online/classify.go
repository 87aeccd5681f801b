package online

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// LinearClassifier is logistic regression learned a row at a time, with one score per class (one
// for two classes): inputs are standardised by running moments, categories one column each.
// Method passive-aggressive learns by the hinge loss instead, and its probabilities are those of
// its scores all the same. A row costs classes times columns.
type LinearClassifier struct {
	s   Schema
	o   LinearOptions
	e   *encoder
	out []weights
	p   []float64
	at  int // of another model's probabilities in a row, which it corrects; -1 for none
}

// NewLinearClassifier returns a classifier for a schema with classes.
func NewLinearClassifier(s Schema, o LinearOptions) (*LinearClassifier, error) {
	if err := s.Check(true); err != nil {
		return nil, err
	}
	if err := o.defaults(); err != nil {
		return nil, err
	}
	l := &LinearClassifier{s: s, o: o, e: newEncoder(s), p: make([]float64, s.Classes), at: -1}
	outputs := s.Classes
	if outputs == 2 {
		outputs = 1
	}
	for range outputs {
		l.out = append(l.out, newWeights(&l.o, l.e.width))
	}
	return l, nil
}

// Classify implements Classifier.
func (l *LinearClassifier) Classify(p, x []float64) { l.probabilities(p, x, l.e.encode(x)) }

func (l *LinearClassifier) probabilities(p, x, z []float64) {
	for c := range l.out {
		p[c] = min(max(l.out[c].score(z), -30), 30)
	}
	if l.at >= 0 && usable(x[l.at]) {
		l.tilt(p, x[l.at:])
	}
	if len(l.out) == 1 {
		p[1] = exact.Sigmoid(p[0])
		p[0] = 1 - p[1]
		return
	}
	softmax(p)
}

// tilt adds the logarithms of another model's probabilities to the scores.
func (l *LinearClassifier) tilt(p, q []float64) {
	if len(l.out) == 1 {
		p[0] += logOdds(q)
		return
	}
	for c := range l.out {
		p[c] += logProbability(q[c])
	}
}

// logOdds is the logarithm of the odds of the second of two classes.
func logOdds(p []float64) float64 { return exact.Log(bounded(p[1]) / bounded(p[0])) }

func logProbability(p float64) float64 { return exact.Log(bounded(p)) }

// bounded keeps a probability away from 0, whose logarithm is infinite.
func bounded(p float64) float64 { return min(max(p, 1e-4), 1) }

// Learn implements Classifier.
func (l *LinearClassifier) Learn(x []float64, class int, weight float64) {
	if class < 0 || class >= l.s.Classes || !goodWeight(weight) {
		return
	}
	l.e.see(x)
	z := l.e.encode(x)
	if l.o.Method == PA {
		l.mend(z, class, weight)
		return
	}
	l.probabilities(l.p, x, z)
	if len(l.out) == 1 {
		l.out[0].step(z, l.p[1]-float64(class), weight)
		return
	}
	for c := range l.out {
		g := l.p[c]
		if c == class {
			g--
		}
		l.out[c].step(z, g, weight)
	}
}

// mend is one step of PA-I: between the class and the best other one.
func (l *LinearClassifier) mend(z []float64, class int, weight float64) {
	c, size := float64(l.o.C*min(weight, 10)), square(z)
	if len(l.out) == 1 {
		y := float64(2*class - 1)
		if loss := 1 - float64(y*l.out[0].score(z)); loss > 0 {
			l.out[0].mend(z, float64(y*min(c, loss/size)))
		}
		return
	}
	best, other := math.Inf(-1), 0
	for k := range l.out {
		if s := l.out[k].score(z); k != class && s > best {
			best, other = s, k
		}
	}
	if loss := 1 - l.out[class].score(z) + best; loss > 0 {
		tau := min(c, loss/(2*size))
		l.out[class].mend(z, tau)
		l.out[other].mend(z, -tau)
	}
}

// Reset forgets the weights and keeps the moments of the inputs, for new classes or another model
// to correct.
func (l *LinearClassifier) Reset() {
	for c := range l.out {
		l.out[c] = newWeights(&l.o, l.e.width)
	}
}

// Bytes implements Learner.
func (l *LinearClassifier) Bytes() int { return 8 * (4*l.e.width + 3*len(l.out)*l.e.width) }

// Save implements Learner.
func (l *LinearClassifier) Save(w *state.Writer) {
	l.e.m.save(w)
	for c := range l.out {
		l.out[c].save(w)
	}
}

// Load implements Learner.
func (l *LinearClassifier) Load(r *state.Reader) {
	l.e.m.load(r)
	for c := range l.out {
		l.out[c].load(r)
	}
}

// LinearRegressor is a linear model learned a row at a time for the squared error, in units of
// the target's running spread and with bounded steps (a smooth Huber loss beyond two units), so
// that neither an outlier nor a jump of scale can make it diverge. Predictions stay within four
// spreads of the mean. Method passive-aggressive learns by the ε-insensitive loss with ε = 0.1
// units.
type LinearRegressor struct {
	o   LinearOptions
	e   *encoder
	y   target
	out weights
}

// Bounds of a LinearRegressor, in units of the target's spread.
const (
	huberSpreads = 2.0
	maxSpreads   = 4.0
	epsilonPA    = 0.1
)

// NewLinearRegressor returns a regressor for a schema without classes.
func NewLinearRegressor(s Schema, o LinearOptions) (*LinearRegressor, error) {
	if err := s.Check(false); err != nil {
		return nil, err
	}
	if err := o.defaults(); err != nil {
		return nil, err
	}
	l := &LinearRegressor{o: o, e: newEncoder(s), y: newTarget()}
	l.out = newWeights(&l.o, l.e.width)
	return l, nil
}

// Predict implements Regressor.
func (l *LinearRegressor) Predict(x []float64) float64 {
	return l.y.back(min(max(l.out.score(l.e.encode(x)), -maxSpreads), maxSpreads))
}

// Learn implements Regressor.
func (l *LinearRegressor) Learn(x []float64, y, weight float64) {
	if !usable(y) || !goodWeight(weight) {
		return
	}
	l.e.see(x)
	u, z := l.y.see(y), l.e.encode(x)
	off := l.out.score(z) - u
	if l.o.Method == PA {
		if loss := math.Abs(off) - epsilonPA; loss > 0 {
			l.out.mend(z, -math.Copysign(min(float64(l.o.C*min(weight, 10)), loss/square(z)), off))
		}
		return
	}
	l.out.step(z, min(max(off, -huberSpreads), huberSpreads)/huberSpreads, weight)
}

// Reset forgets the weights and the target's moments and keeps those of the inputs, for a new
// target on the same inputs.
func (l *LinearRegressor) Reset() {
	l.y = newTarget()
	l.out = newWeights(&l.o, l.e.width)
}

// Bytes implements Learner.
func (l *LinearRegressor) Bytes() int { return 8 * (7*l.e.width + 3) }

// Save implements Learner.
func (l *LinearRegressor) Save(w *state.Writer) {
	l.e.m.save(w)
	l.y.m.save(w)
	l.out.save(w)
}

// Load implements Learner.
func (l *LinearRegressor) Load(r *state.Reader) {
	l.e.m.load(r)
	l.y.m.load(r)
	l.out.load(r)
}
