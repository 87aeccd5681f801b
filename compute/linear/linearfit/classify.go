package linearfit

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/linear"
)

// classifier fits logistic and softmax regressions to rows of data. Two classes of Softmax have
// one output, too: the second is redundant.
type classifier struct {
	d       *Data
	outputs int
	link    ensemble.Link
	threads int
	loose   bool // stop early: only the loss on other rows matters
}

func newClassifier(d *Data, p Params) (*classifier, error) {
	classes := p.Classes
	if p.Objective == Logistic {
		classes = 2
	}
	if classes < 2 || classes > linear.MaxOutputs {
		return nil, fmt.Errorf("linearfit: %d classes", classes)
	}
	for _, i := range d.Rows {
		if y := d.Y[i]; !(y >= 0 && y < float64(classes) && y == math.Trunc(y)) {
			return nil, fmt.Errorf("linearfit: row %d has class %v of %d", i, y, classes)
		}
	}
	if classes == 2 {
		return &classifier{d: d, outputs: 1, link: ensemble.Logistic, threads: p.Threads}, nil
	}
	return &classifier{d: d, outputs: classes, link: ensemble.Softmax, threads: p.Threads}, nil
}

// model makes a model of parameters: per output the weights, then the bias.
func (c *classifier) model(x []float64) (*linear.Model, error) {
	bias, weights := make([]float64, c.outputs), make([]float64, 0, c.outputs*c.d.Cols)
	for k := range c.outputs {
		row := x[k*(c.d.Cols+1):][:c.d.Cols+1]
		weights, bias[k] = append(weights, row[:c.d.Cols]...), row[c.d.Cols]
	}
	return linear.New(c.d.Cols, c.link, bias, weights)
}

// fit minimises the mean log loss on rows plus the penalty, from start (nil: 0).
func (c *classifier) fit(ctx context.Context, rows []int32, p Params, start []float64) ([]float64, error) {
	if start == nil {
		start = make([]float64, c.outputs*(c.d.Cols+1))
	}
	loss := newLogLoss(c, rows, p.L2)
	if p.L1 > 0 {
		return loss.proximal(ctx, p, start)
	}
	settings := &optimize.Settings{
		MajorIterations:   p.Iterations,
		GradientThreshold: 1e-6,
		Converger:         &optimize.FunctionConverge{Relative: 1e-7, Iterations: 5},
	}
	if settings.MajorIterations == 0 {
		settings.MajorIterations = 200
	}
	if c.loose {
		settings.GradientThreshold, settings.Converger = 1e-4, &optimize.FunctionConverge{
			Relative:   1e-4,
			Iterations: 5,
		}
	}
	problem := optimize.Problem{
		Func: loss.value,
		Grad: loss.gradient,
		Status: func() (optimize.Status, error) {
			if err := ctx.Err(); err != nil {
				return optimize.Failure, err
			}
			return optimize.NotTerminated, nil
		},
	}
	r, err := optimize.Minimize(problem, start, settings, &optimize.LBFGS{})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if r == nil || (err != nil && !(loss.value(r.X) <= loss.value(start))) {
		// a line search that ends at the limits of rounding is no failure
		return nil, fmt.Errorf("linearfit: %w", err)
	}
	return r.X, nil
}

// proximal minimises the loss with a penalty on absolute weights by proximal gradient steps with
// momentum (Beck and Teboulle, "A Fast Iterative Shrinkage-Thresholding Algorithm", SIAM J.
// Imaging Sciences 2, 2009), a step size found by backtracking, and the momentum dropped when it
// points uphill (O'Donoghue and Candès, Found. Comput. Math. 15, 2015).
func (l *logLoss) proximal(ctx context.Context, p Params, start []float64) ([]float64, error) {
	n, steps := l.c.d.Cols+1, p.Iterations
	if steps == 0 {
		steps = 2000
	}
	x, y := append([]float64(nil), start...), append([]float64(nil), start...)
	next, grad, d := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
	momentum, curve := 1.0, 1.0 // curve bounds the second derivative
	for range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f := l.value(y)
		l.gradient(grad, y)
		for {
			for k, v := range y {
				v -= grad[k] / curve
				if k%n != n-1 {
					v = shrink(v, p.L1/curve)
				}
				next[k] = v
			}
			floats.SubTo(d, next, y)
			if l.value(next) <= f+floats.Dot(grad, d)+curve/2*floats.Dot(d, d)+1e-14*math.Abs(f) || curve > 1e12 {
				break
			}
			curve *= 2
		}
		uphill, moved := 0.0, 0.0
		for k := range next {
			uphill += (y[k] - next[k]) * (next[k] - x[k])
			moved = max(moved, math.Abs(next[k]-x[k]))
		}
		if uphill > 0 {
			momentum = 1
		}
		m := (1 + math.Sqrt(1+4*momentum*momentum)) / 2
		for k := range y {
			y[k] = next[k] + float64((momentum-1)/m*(next[k]-x[k]))
		}
		momentum, curve = m, curve*0.95
		copy(x, next)
		if moved < 1e-7 {
			break
		}
	}
	return x, nil
}

// shrink moves v towards 0 by at most by: the proximal operator of the absolute value.
func shrink(v, by float64) float64 { return math.Copysign(max(math.Abs(v)-by, 0), v) }

// logLoss computes value and gradient together and remembers the last, since the optimiser calls
// for both at the same point.
type logLoss struct {
	c     *classifier
	rows  []int32
	l2    float64
	total float64
	at    []float64
	f     float64
	grad  []float64
	parts []part
}

// part is the share of lossRows rows in value and gradient. Parts are added in order, so that
// threads do not change the sum.
type part struct {
	f          float64
	grad, x, s []float64 // gradient; gemmRows rows of inputs; their scores
}

const (
	lossRows = 1024
	gemmRows = 64
)

func newLogLoss(c *classifier, rows []int32, l2 float64) *logLoss {
	l := &logLoss{
		c:     c,
		rows:  rows,
		l2:    l2,
		grad:  make([]float64, c.outputs*(c.d.Cols+1)),
		parts: make([]part, max(1, c.threads)),
	}
	for i := range l.parts {
		l.parts[i] = part{
			grad: make([]float64, len(l.grad)),
			x:    make([]float64, gemmRows*(c.d.Cols+1)),
			s:    make([]float64, gemmRows*c.outputs),
		}
	}
	for _, i := range rows {
		l.total += c.d.weight(i)
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
	n := l.c.d.Cols + 1
	blocks := (len(l.rows) + lossRows - 1) / lossRows
	for from := 0; from < blocks; from += len(l.parts) {
		wave := min(len(l.parts), blocks-from)
		binned.Parallel(wave, wave, func(a, b int) {
			for k := a; k < b; k++ {
				at := (from + k) * lossRows
				l.add(&l.parts[k], x, l.rows[at:min(at+lossRows, len(l.rows))])
			}
		})
		for k := range wave {
			l.f += l.parts[k].f
			floats.Add(l.grad, l.parts[k].grad)
		}
	}
	for k := range l.c.outputs {
		v, g := x[k*n:k*n+n-1], l.grad[k*n:k*n+n-1]
		l.f += float64(l.l2/2) * floats.Dot(v, v)
		floats.AddScaled(g, l.l2, v)
	}
}

// add overwrites p by the share of some rows. With several outputs the products go through
// gonum's BLAS, which cuts wide ones by their size alone and so gives the same bits on any number
// of processors.
func (l *logLoss) add(p *part, x []float64, rows []int32) {
	p.f = 0
	clear(p.grad)
	n, k, d := l.c.d.Cols+1, l.c.outputs, l.c.d
	if k == 1 {
		for _, i := range rows {
			row, w := d.row(i), d.weight(i)/l.total
			s := floats.Dot(x[:n-1], row) + x[n-1]
			toward := s
			if d.Y[i] == 0 {
				toward = -s
			}
			p.f += float64(w * softplus(-toward))
			g := w * (ensemble.Sigmoid(s) - d.Y[i])
			floats.AddScaled(p.grad[:n-1], g, row)
			p.grad[n-1] += g
		}
		return
	}
	for from := 0; from < len(rows); from += gemmRows {
		some := rows[from:min(from+gemmRows, len(rows))]
		for r, i := range some {
			copy(p.x[r*n:], d.row(i))
			p.x[r*n+n-1] = 1
		}
		in := blas64.General{Rows: len(some), Cols: n, Stride: n, Data: p.x}
		s := blas64.General{Rows: len(some), Cols: k, Stride: k, Data: p.s}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, in, blas64.General{
			Rows:   k,
			Cols:   n,
			Stride: n,
			Data:   x,
		}, 0, s)
		for r, i := range some {
			v, y, w := p.s[r*k:(r+1)*k], int(d.Y[i]), d.weight(i)/l.total
			own := v[y] - floats.Max(v)
			ensemble.Softmax.Apply(v)
			// the largest probability is exp(0)/sum
			p.f += float64(w * (math.Log(1/floats.Max(v)) - own))
			v[y]--
			floats.Scale(w, v)
		}
		blas64.Gemm(blas.Trans, blas.NoTrans, 1, s, in, 1, blas64.General{
			Rows:   k,
			Cols:   n,
			Stride: n,
			Data:   p.grad,
		})
	}
}

// softplus is log(1+exp(s)) without overflow.
func softplus(s float64) float64 { return max(s, 0) + math.Log1p(math.Exp(-math.Abs(s))) }
