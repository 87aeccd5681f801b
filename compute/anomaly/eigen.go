package anomaly

import "math"

// eigen diagonalises the symmetric n by n matrix a by Jacobi's rotations: afterwards the diagonal
// of a holds the eigenvalues and the columns of v the vectors, in no order. It does the same
// operations everywhere, takes some n³ of them a sweep and rarely more than ten sweeps, and
// cannot diverge.
func eigen(a, v []float64, n int) {
	clear(v)
	for i := range n {
		v[i*n+i] = 1
	}
	for range 30 {
		off, on := 0.0, 0.0
		for i := range n {
			for j := range n {
				if i == j {
					on += float64(a[i*n+j] * a[i*n+j])
				} else {
					off += float64(a[i*n+j] * a[i*n+j])
				}
			}
		}
		if off <= 1e-24*on {
			return
		}
		for p := range n {
			for q := p + 1; q < n; q++ {
				rotate(a, v, n, p, q)
			}
		}
	}
}

// rotate makes a[p,q] zero.
func rotate(a, v []float64, n, p, q int) {
	apq := a[p*n+q]
	if apq == 0 {
		return
	}
	theta := (a[q*n+q] - a[p*n+p]) / (2 * apq)
	// the smaller root, so that rotations stay small
	t := 1 / (math.Abs(theta) + math.Sqrt(float64(theta*theta)+1))
	if theta < 0 {
		t = -t
	}
	c := 1 / math.Sqrt(float64(t*t)+1)
	s := t * c
	for k := range n {
		x, y := a[k*n+p], a[k*n+q]
		a[k*n+p], a[k*n+q] = float64(c*x)-float64(s*y), float64(s*x)+float64(c*y)
	}
	for k := range n {
		x, y := a[p*n+k], a[q*n+k]
		a[p*n+k], a[q*n+k] = float64(c*x)-float64(s*y), float64(s*x)+float64(c*y)
		x, y = v[k*n+p], v[k*n+q]
		v[k*n+p], v[k*n+q] = float64(c*x)-float64(s*y), float64(s*x)+float64(c*y)
	}
}
