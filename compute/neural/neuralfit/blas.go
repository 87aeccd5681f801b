package neuralfit

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/blas/blas64"

	"skerry.dev/compute/binned"
)

// float is the type in which a training computes.
type float interface{ float32 | float64 }

// matrix is rows of cols numbers, stride apart.
type matrix[F float] struct {
	rows, cols, stride int
	data               []F
}

func dense[F float](rows, cols int, data []F) matrix[F] {
	return matrix[F]{rows, cols, cols, data[:rows*cols]}
}

// part is a block of a matrix.
func (m matrix[F]) part(row, rows, col, cols int) matrix[F] {
	return matrix[F]{rows, cols, m.stride, m.data[row*m.stride+col : (row+rows-1)*m.stride+col+cols]}
}

// Parts of a product that are at most this large are computed by gonum in one piece and by one
// thread, so that it rounds by the sizes of the whole, not by the number of threads.
const (
	partRows = 64
	partCols = 128
)

// multiply adds a·b to c, or overwrites c when add is false; ta and tb transpose. Products with
// zeros of a are skipped unless tb.
func multiply[F float](ta, tb bool, a, b matrix[F], add bool, c matrix[F], threads int) {
	if !add {
		for i := range c.rows {
			clear(c.data[i*c.stride:][:c.cols])
		}
	}
	down := (c.rows + partRows - 1) / partRows
	across := (c.cols + partCols - 1) / partCols
	if c.rows*c.cols*(len(a.data)/c.rows) < 1<<16 {
		threads = 1 // not worth a goroutine
	}
	binned.Parallel(threads, down*across, func(from, to int) {
		for k := from; k < to; k++ {
			i, j := k/across*partRows, k%across*partCols
			rows, cols := min(partRows, c.rows-i), min(partCols, c.cols-j)
			var x, y matrix[F]
			if ta {
				x = a.part(0, a.rows, i, rows)
			} else {
				x = a.part(i, rows, 0, a.cols)
			}
			if tb {
				y = b.part(j, cols, 0, b.cols)
			} else {
				y = b.part(0, b.rows, j, cols)
			}
			gemm(ta, tb, x, y, c.part(i, rows, j, cols))
		}
	})
}

func gemm[F float](ta, tb bool, a, b, c matrix[F]) {
	left, right := blas.NoTrans, blas.NoTrans
	if ta {
		left = blas.Trans
	}
	if tb {
		right = blas.Trans
	}
	switch x := any(a).(type) {
	case matrix[float32]:
		g := func(m matrix[float32]) blas32.General {
			return blas32.General{Rows: m.rows, Cols: m.cols, Stride: m.stride, Data: m.data}
		}
		blas32.Gemm(left, right, 1, g(x), g(any(b).(matrix[float32])), 1, g(any(c).(matrix[float32])))
	case matrix[float64]:
		g := func(m matrix[float64]) blas64.General {
			return blas64.General{Rows: m.rows, Cols: m.cols, Stride: m.stride, Data: m.data}
		}
		blas64.Gemm(left, right, 1, g(x), g(any(b).(matrix[float64])), 1, g(any(c).(matrix[float64])))
	}
}
