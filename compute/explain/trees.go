package explain

import (
	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/treeshap"
)

// Trees explains an ensemble, see treeshap.Trees. It is safe for concurrent use.
type Trees struct{ *treeshap.Trees }

// ErrCovers means that an ensemble was made without covers.
var ErrCovers = treeshap.ErrCovers

// NewTrees prepares the explanation of an ensemble, which needs covers: ensemble.Spec's Covers.
func NewTrees(e *ensemble.Ensemble) (*Trees, error) {
	t, err := treeshap.New(e)
	if err != nil {
		return nil, err
	}
	return &Trees{t}, nil
}

// Into is that of treeshap.Trees, with the error of this package.
func (t *Trees) Into(phi, x []float64) error {
	if t.Trees.Into(phi, x) != nil { // lengths are all that it refuses
		return ErrShape
	}
	return nil
}

// Batch is Into for rows, one after the other in x and phi, on up to threads goroutines.
func (t *Trees) Batch(phi, x []float64, threads int) error {
	rows, width := len(x)/t.Inputs(), t.Inputs()*t.Outputs()
	if len(x) != rows*t.Inputs() || len(phi) != rows*width {
		return ErrShape
	}
	binned.Parallel(threads, rows, func(from, to int) {
		for i := from; i < to; i++ {
			_ = t.Into(phi[i*width:(i+1)*width], x[i*t.Inputs():(i+1)*t.Inputs()]) // lengths match
		}
	})
	return nil
}
