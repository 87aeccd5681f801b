// Package linearfit trains linear models: ridge regression by Cholesky, the elastic net by
// coordinate descent, quantile and least absolute regression by iterated reweighting, logistic
// and softmax regression by L-BFGS, and with a penalty on absolute weights by an accelerated
// proximal gradient.
//
// [Fit] starts from a raw table and chooses the penalty by cross-validation; [Train] takes a
// matrix that is scaled and has no gaps. The same data give the same model on the same
// architecture, whatever Threads is.
//
// What is minimised is the weighted mean loss plus L1·Σ|v| + L2/2·Σv² over the weights v; biases
// are free. Ridge is exact. The elastic net stops when the duality gap is below 1e-8 of the
// target's variance. The logistic losses are convex, too, and stop when a gradient is below 1e-6
// (L-BFGS) or a step below 1e-7 (proximal), or at Iterations. The quantile loss is smoothed at
// the kink over 1e-4 of the targets' size.
package linearfit

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

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
	Objective Objective // default Squared
	Alpha     float64   // Quantile: which, in (0, 1); default 0.5
	Classes   int       // Softmax
	L1        float64   // penalty on the absolute weights; not for Quantile
	L2        float64   // penalty on the squared weights; default 1e-6
	Mix       float64   // Fit: share of the penalty it chooses that is L1; default 0
	// of L-BFGS, reweighting, proximal steps or rounds of coordinate descent at most; default
	// 200, 30, 2000, 10000
	Iterations int
	Threads    int // of the logistic losses; default 1
}

// Data is what to train on: rows of x, one after the other, at the positions Rows (nil: all).
type Data struct {
	X      []float64
	Cols   int
	Y      []float64
	Weight []float64 // not negative; nil means 1
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
	total := 0.0
	for _, i := range d.Rows {
		if i < 0 || int(i) >= len(d.Y) || math.IsNaN(d.Y[i]) || math.IsInf(d.Y[i], 0) {
			return fmt.Errorf("linearfit: row %d of %d is not there or has no finite target", i, len(d.Y))
		}
		for _, v := range d.row(i) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("linearfit: row %d has a value that is not finite", i)
			}
		}
		w := d.weight(i)
		if !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("linearfit: row %d has the weight %v", i, w)
		}
		total += w
	}
	if !(total > 0) {
		return errors.New("linearfit: only rows without weight")
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
	if !(p.Alpha > 0 && p.Alpha < 1) || !(p.L2 > 0) || !(p.L1 >= 0) || math.IsInf(p.L1, 0) || math.IsInf(p.L2, 0) || p.Iterations < 0 {
		return nil, fmt.Errorf("linearfit: alpha %v, l1 %v, l2 %v or iterations %d out of range", p.Alpha, p.L1, p.L2, p.Iterations)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	switch {
	case p.Objective == Squared && p.L1 > 0:
		m := newMoments(&d, d.Rows, center(&d))
		beta, err := m.elasticNet(ctx, p, nil)
		if err != nil {
			return nil, err
		}
		return linear.New(d.Cols, ensemble.Identity, []float64{m.bias(beta)}, beta)
	case p.Objective == Squared:
		w := make([]float64, len(d.Rows))
		for k, i := range d.Rows {
			w[k] = d.weight(i)
		}
		beta, err := weightedRidge(&d, d.Y, w, p.L2)
		if err != nil {
			return nil, err
		}
		return linear.New(d.Cols, ensemble.Identity, beta[d.Cols:], beta[:d.Cols])
	case p.Objective == Quantile && p.L1 > 0:
		return nil, errors.New("linearfit: no penalty on absolute weights with quantiles")
	case p.Objective == Quantile:
		return quantile(ctx, &d, p)
	case p.Objective == Logistic || p.Objective == Softmax:
		c, err := newClassifier(&d, p)
		if err != nil {
			return nil, err
		}
		x, err := c.fit(ctx, d.Rows, p, nil)
		if err != nil {
			return nil, err
		}
		return c.model(x)
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

// quantile minimises the pinball loss by iteratively reweighted least squares: |r| is r²/|r| of
// the round before, kept above a floor that shrinks (Hunter and Lange, "Quantile regression via
// an MM algorithm", 2000). With the shifted target the asymmetric part is linear.
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
