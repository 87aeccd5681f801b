// Package linearfit trains linear models: ridge regression by Cholesky, quantile and least absolute regression by iterated reweighting, logistic and softmax regression by
// L-BFGS. Inputs should be scaled and must not be missing. The same data give the same model on the same architecture.
package linearfit

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"

	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/linear"
)

// Objective is the loss that is minimised.
type Objective string

// The objectives.
const (
	Squared  Objective = "squared"
	Quantile Objective = "quantile" // pinball loss at Alpha; 0.5 is least absolute error
	Logistic Objective = "logistic" // classes 0 and 1
	Softmax  Objective = "softmax"  // classes 0 to Classes-1
)

// Params of a training. The zero value of a field is its documented default.
type Params struct {
	Objective  Objective // default Squared
	Alpha      float64   // Quantile: which, in (0, 1); default 0.5
	Classes    int       // Softmax
	L2         float64   // penalty on the squared weights per row (the bias is free); default 1e-6
	Iterations int       // of L-BFGS or reweighting at most; default 200 and 30
}

// Data is what to train on: rows of x, one after the other, at the positions Rows (nil: all).
type Data struct {
	X      []float64
	Cols   int
	Y      []float64
	Weight []float64 // positive; nil means 1
	Rows   []int32
}

func (d *Data) check() error {
	if d.Cols < 1 || len(d.X) != d.Cols*len(d.Y) || (d.Weight != nil && len(d.Weight) != len(d.Y)) {
		return fmt.Errorf("linearfit: %d values in %d columns, %d targets, %d weights", len(d.X), d.Cols, len(d.Y), len(d.Weight))
	}
	if d.Rows == nil {
		d.Rows = make([]int32, len(d.Y))
		for i := range d.Rows {
			d.Rows[i] = int32(i)
		}
	}
	if len(d.Rows) == 0 {
		return errors.New("linearfit: no rows to train on")
	}
	for _, i := range d.Rows {
		if i < 0 || int(i) >= len(d.Y) || math.IsNaN(d.Y[i]) || math.IsInf(d.Y[i], 0) {
			return fmt.Errorf("linearfit: row %d of %d is not there or has no finite target", i, len(d.Y))
		}
		for _, v := range d.row(i) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("linearfit: row %d has a value that is not finite", i)
			}
		}
	}
	return nil
}

func (d *Data) row(i int32) []float64 { return d.X[int(i)*d.Cols : (int(i)+1)*d.Cols] }

func (d *Data) weight(i int32) float64 {
	if d.Weight == nil {
		return 1
	}
	return d.Weight[i]
}

// Train fits a model. It returns ctx's error when ctx ends first.
func Train(ctx context.Context, d Data, p Params) (*linear.Model, error) {
	if p.Objective == "" {
		p.Objective = Squared
	}
	if p.Alpha == 0 {
		p.Alpha = 0.5
	}
	if p.L2 == 0 {
		p.L2 = 1e-6
	}
	if !(p.Alpha > 0 && p.Alpha < 1) || !(p.L2 > 0) || p.Iterations < 0 {
		return nil, fmt.Errorf("linearfit: alpha %v, l2 %v or iterations %d out of range", p.Alpha, p.L2, p.Iterations)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	switch p.Objective {
	case Squared:
		w := make([]float64, len(d.Rows))
		for k, i := range d.Rows {
			w[k] = d.weight(i)
		}
		beta, err := weightedRidge(&d, d.Y, w, p.L2)
		if err != nil {
			return nil, err
		}
		return linear.New(d.Cols, ensemble.Identity, beta[d.Cols:], beta[:d.Cols])
	case Quantile:
		return quantile(ctx, &d, p)
	case Logistic:
		return classify(ctx, &d, p, 2)
	case Softmax:
		return classify(ctx, &d, p, p.Classes)
	}
	return nil, fmt.Errorf("linearfit: unknown objective %q", p.Objective)
}

// weightedRidge solves (XᵀWX + λΣw·I)β = XᵀWy with a free bias, which stands last in β.
func weightedRidge(d *Data, y, w []float64, l2 float64) ([]float64, error) {
	n := d.Cols + 1
	a, b := make([]float64, n*n), make([]float64, n)
	total := 0.0
	z := make([]float64, n)
	z[d.Cols] = 1
	for k, i := range d.Rows {
		copy(z, d.row(i))
		total += w[k]
		for r, v := range z {
			if v == 0 {
				continue // one-hot columns are mostly 0
			}
			v *= w[k]
			b[r] += float64(v * y[i])
			floats.AddScaled(a[r*n+r:(r+1)*n], v, z[r:])
		}
	}
	for r := range d.Cols {
		a[r*n+r] += float64(l2 * total)
	}
	a[n*n-1] *= 1 + 1e-12
	var chol mat.Cholesky
	for try := 0; !chol.Factorize(mat.NewSymDense(n, a)); try++ {
		if try == 8 {
			return nil, errors.New("linearfit: the columns depend on each other; raise l2")
		}
		for r := range n { // collinear columns: a little more penalty each time
			a[r*n+r] += float64(total * l2 * math.Pow(10, float64(try)))
		}
	}
	beta := mat.NewVecDense(n, nil)
	if err := chol.SolveVecTo(beta, mat.NewVecDense(n, b)); err != nil {
		var ill mat.Condition
		if !errors.As(err, &ill) {
			return nil, fmt.Errorf("linearfit: %w", err)
		}
	}
	return beta.RawVector().Data, nil
}

// quantile minimises the pinball loss by iteratively reweighted least squares: |r| is r²/|r| of the round before, kept above a floor that shrinks
// (Hunter and Lange, "Quantile regression via an MM algorithm", 2000). With the shifted target the asymmetric part is linear.
func quantile(ctx context.Context, d *Data, p Params) (*linear.Model, error) {
	rounds := p.Iterations
	if rounds == 0 {
		rounds = 30
	}
	w, y := make([]float64, len(d.Rows)), make([]float64, len(d.Y))
	scale := 0.0
	for k, i := range d.Rows {
		w[k] = d.weight(i)
		scale += math.Abs(d.Y[i]) / float64(len(d.Rows))
	}
	copy(y, d.Y)
	beta, err := weightedRidge(d, y, w, p.L2)
	if err != nil {
		return nil, err
	}
	floor := max(scale*1e-1, 1e-12)
	for range rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for k, i := range d.Rows {
			r := d.Y[i] - beta[d.Cols] - floats.Dot(beta[:d.Cols], d.row(i))
			s := floor + math.Abs(r)
			w[k] = d.weight(i) / s
			y[i] = d.Y[i] + float64((2*p.Alpha-1)*s) // completes the square of r²/s + (2α-1)·2r
		}
		if beta, err = weightedRidge(d, y, w, p.L2); err != nil {
			return nil, err
		}
		floor = max(floor*0.7, scale*1e-4, 1e-12)
	}
	return linear.New(d.Cols, ensemble.Identity, beta[d.Cols:], beta[:d.Cols])
}

// classify minimises the mean log loss plus the penalty by L-BFGS. Two classes have one output.
func classify(ctx context.Context, d *Data, p Params, classes int) (*linear.Model, error) {
	if classes < 2 || classes > linear.MaxOutputs {
		return nil, fmt.Errorf("linearfit: %d classes", classes)
	}
	for _, i := range d.Rows {
		if y := d.Y[i]; !(y >= 0 && y < float64(classes) && y == math.Trunc(y)) {
			return nil, fmt.Errorf("linearfit: row %d has class %v of %d", i, y, classes)
		}
	}
	outputs, link := classes, ensemble.Softmax
	if classes == 2 {
		outputs, link = 1, ensemble.Logistic
	}
	loss := newLogLoss(d, p.L2, outputs)
	settings := &optimize.Settings{MajorIterations: p.Iterations, GradientThreshold: 1e-6, Converger: &optimize.FunctionConverge{Relative: 1e-7, Iterations: 5}}
	if settings.MajorIterations == 0 {
		settings.MajorIterations = 200
	}
	problem := optimize.Problem{Func: loss.value, Grad: loss.gradient, Status: func() (optimize.Status, error) {
		if err := ctx.Err(); err != nil {
			return optimize.Failure, err
		}
		return optimize.NotTerminated, nil
	}}
	r, err := optimize.Minimize(problem, make([]float64, outputs*(d.Cols+1)), settings, &optimize.LBFGS{})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if r == nil || (err != nil && !(loss.value(r.X) < loss.value(make([]float64, len(r.X))))) {
		return nil, fmt.Errorf("linearfit: %w", err) // a line search that ends at the limits of rounding is no failure
	}
	bias, weights := make([]float64, outputs), make([]float64, 0, outputs*d.Cols)
	for k := range outputs {
		row := r.X[k*(d.Cols+1):][:d.Cols+1]
		weights, bias[k] = append(weights, row[:d.Cols]...), row[d.Cols]
	}
	return linear.New(d.Cols, link, bias, weights)
}

// logLoss computes value and gradient together and remembers the last, since the optimiser asks for both at the same point.
type logLoss struct {
	d       *Data
	l2      float64
	outputs int
	total   float64
	at      []float64
	f       float64
	grad    []float64
	s       []float64
}

func newLogLoss(d *Data, l2 float64, outputs int) *logLoss {
	l := &logLoss{d: d, l2: l2, outputs: outputs, s: make([]float64, outputs), grad: make([]float64, outputs*(d.Cols+1))}
	for _, i := range d.Rows {
		l.total += d.weight(i)
	}
	return l
}

func (l *logLoss) value(x []float64) float64 { l.compute(x); return l.f }

func (l *logLoss) gradient(dst, x []float64) { l.compute(x); copy(dst, l.grad) }

func (l *logLoss) compute(x []float64) {
	if l.at != nil && floats.Same(l.at, x) {
		return
	}
	l.at = append(l.at[:0], x...)
	l.f = 0
	clear(l.grad)
	n := l.d.Cols + 1
	for _, i := range l.d.Rows {
		row, w := l.d.row(i), l.d.weight(i)/l.total
		for k := range l.s {
			l.s[k] = floats.Dot(x[k*n:k*n+n-1], row) + x[k*n+n-1]
		}
		y := int(l.d.Y[i])
		if l.outputs == 1 {
			s := l.s[0]
			if y == 0 {
				s = -s
			}
			l.f += float64(w * softplus(-s))
			l.s[0] = ensemble.Sigmoid(l.s[0]) - float64(y)
		} else {
			top := floats.Max(l.s)
			own := l.s[y] - top
			ensemble.Softmax.Apply(l.s)
			l.f += float64(w * (math.Log(1/floats.Max(l.s)) - own)) // the largest probability is exp(0)/sum
			l.s[y]--
		}
		for k, g := range l.s {
			floats.AddScaled(l.grad[k*n:k*n+n-1], w*g, row)
			l.grad[k*n+n-1] += float64(w * g)
		}
	}
	for k := range l.outputs {
		v, g := x[k*n:k*n+n-1], l.grad[k*n:k*n+n-1]
		l.f += float64(l.l2/2) * floats.Dot(v, v)
		floats.AddScaled(g, l.l2, v)
	}
}

// softplus is log(1+exp(s)) without overflow.
func softplus(s float64) float64 { return max(s, 0) + math.Log1p(math.Exp(-math.Abs(s))) }
