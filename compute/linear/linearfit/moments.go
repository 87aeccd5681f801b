package linearfit

import (
	"context"
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// moments are what a squared loss needs of rows: the weighted sums of products of their
// columns and target.
type moments struct {
	cols  int
	shift []float64 // subtracted from the columns and the target first, so that little cancels
	total float64   // weight
	sum   []float64 // of columns and target
	prod  []float64 // (cols+1)² products, upper triangle
}

// center returns the weighted means of the columns and the target.
func center(d *Data) []float64 {
	mean, total := make([]float64, d.Cols+1), 0.0
	for _, i := range d.Rows {
		total += d.weight(i)
	}
	for _, i := range d.Rows {
		w := d.weight(i) / total
		floats.AddScaled(mean[:d.Cols], w, d.row(i))
		mean[d.Cols] += float64(w * d.Y[i])
	}
	return mean
}

// newMoments sums over rows. Its cost is half the square of the columns per row.
func newMoments(d *Data, rows []int32, shift []float64) *moments {
	n := d.Cols + 1
	m := &moments{cols: d.Cols, shift: shift, sum: make([]float64, n), prod: make([]float64, n*n)}
	z := make([]float64, n)
	for _, i := range rows {
		copy(z, d.row(i))
		z[d.Cols] = d.Y[i]
		floats.Sub(z, shift)
		w := d.weight(i)
		m.total += w
		floats.AddScaled(m.sum, w, z)
		for r, v := range z {
			floats.AddScaled(m.prod[r*n+r:(r+1)*n], w*v, z[r:])
		}
	}
	return m
}

// covariance returns those of the columns, of the columns with the target, and the target's
// variance.
func (m *moments) covariance() (g *mat.SymDense, c []float64, yy float64) {
	n := m.cols + 1
	at := func(r, k int) float64 { return m.prod[r*n+k]/m.total - m.sum[r]/m.total*(m.sum[k]/m.total) }
	g, c = mat.NewSymDense(m.cols, nil), make([]float64, m.cols)
	for r := range m.cols {
		for k := r; k < m.cols; k++ {
			g.SetSym(r, k, at(r, k))
		}
		c[r] = at(r, m.cols)
	}
	return g, c, at(m.cols, m.cols)
}

// bias returns the one that goes with weights.
func (m *moments) bias(beta []float64) float64 {
	b := m.shift[m.cols] + m.sum[m.cols]/m.total
	for j, v := range beta {
		b -= float64(v * (m.shift[j] + m.sum[j]/m.total))
	}
	return b
}

// error returns the mean squared error of weights and a bias on the rows of m.
func (m *moments) error(beta []float64, bias float64) float64 {
	n := m.cols + 1
	z := append(slices.Clone(beta), -1) // the residual is z·row + const
	c := bias - m.shift[m.cols]
	for j, v := range beta {
		c += float64(v * m.shift[j])
	}
	e := float64(c*c) + 2*c*floats.Dot(z, m.sum)/m.total
	for r, v := range z {
		e += float64(v * (v*m.prod[r*n+r] + 2*floats.Dot(z[r+1:], m.prod[r*n+r+1:(r+1)*n])) / m.total)
	}
	return e
}

// ridge solves (G + L2·I)·β = c, with a little more penalty when rounding left G without a
// factorisation.
func (m *moments) ridge(l2 float64) ([]float64, error) {
	g, c, _ := m.covariance()
	for range 10 {
		a := mat.NewSymDense(m.cols, nil)
		a.CopySym(g)
		for j := range m.cols {
			a.SetSym(j, j, a.At(j, j)+l2)
		}
		var chol mat.Cholesky
		if chol.Factorize(a) {
			beta := mat.NewVecDense(m.cols, nil)
			var ill mat.Condition
			if err := chol.SolveVecTo(beta, mat.NewVecDense(m.cols, c)); err == nil || errors.As(err, &ill) {
				return beta.RawVector().Data, nil
			}
		}
		l2 *= 10
	}
	return nil, errors.New("linearfit: the columns depend on each other; raise l2")
}

// elasticNet minimises half the mean squared error plus the penalties by cyclic coordinate
// descent on the covariances, from start (nil: 0). After Friedman, Hastie and Tibshirani,
// "Regularization Paths for Generalized Linear Models via Coordinate Descent", J. Stat. Software
// 33 (2010). It stops when the duality gap is below 1e-8 of the target's variance.
func (m *moments) elasticNet(ctx context.Context, p Params, start []float64) ([]float64, error) {
	g, c, yy := m.covariance()
	rounds := p.Iterations
	if rounds == 0 {
		rounds = 10_000
	}
	beta := make([]float64, m.cols)
	copy(beta, start)
	rows := make([][]float64, m.cols) // of the full symmetric matrix
	for j := range rows {
		rows[j] = make([]float64, m.cols)
		for k := range rows[j] {
			rows[j][k] = g.At(j, k)
		}
	}
	rest := slices.Clone(c) // c - Gβ
	for j, v := range beta {
		floats.AddScaled(rest, -v, rows[j])
	}
	for round := range rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for j, old := range beta {
			v := shrink(rest[j]+float64(rows[j][j]*old), p.L1) / (rows[j][j] + p.L2)
			if v != old {
				floats.AddScaled(rest, old-v, rows[j])
				beta[j] = v
			}
		}
		if round%10 == 9 && gap(beta, rest, c, yy, p) <= 1e-8*yy {
			break
		}
	}
	return beta, nil
}

// gap is how far the penalised loss of β is from its minimum at most. The dual point is the
// residual, scaled into the dual's feasible set; the squared penalty counts as further rows.
func gap(beta, rest, c []float64, yy float64, p Params) float64 {
	cb, bb, l1, most := floats.Dot(c, beta), floats.Dot(beta, beta), floats.Norm(beta, 1), 0.0
	bgb := cb - floats.Dot(rest, beta)
	for j, v := range beta {
		most = max(most, math.Abs(rest[j]-float64(p.L2*v)))
	}
	s := 1.0
	if most > p.L1 {
		s = p.L1 / most
	}
	rr := yy - 2*cb + bgb
	return rr/2 + p.L1*l1 + p.L2/2*bb - (s*(yy-cb) - s*s/2*(rr+p.L2*bb))
}
