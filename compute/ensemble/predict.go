package ensemble

import "sync"

// blockRows is how many rows of a batch are made ready at a time. It divides into tiles of
// abreast rows and into the vectors of every instruction set.
const blockRows = 128

// PredictInto writes the outputs for x into dst. len(x) is Inputs, missing values NaN; len(dst)
// is Outputs; otherwise it returns ErrShape. It does not allocate, but for the first call, which
// compiles the ensemble in about the time that decoding it took, and is safe for concurrent use.
// Its cost is about one step per level of every tree, or less: see KernelSingle.
func (e *Ensemble) PredictInto(dst, x []float64) error {
	if len(x) != e.inputs || len(dst) != e.outputs {
		return ErrShape
	}
	p := e.compiled()
	p.row(p.single, dst, x)
	e.link.Apply(dst)
	return nil
}

// PredictBatch writes the outputs for rows into dst: len(x) is a multiple of Inputs, one row
// after the other, missing values NaN, and len(dst) the same multiple of Outputs; otherwise it
// returns ErrShape. The result is that of PredictInto for every row, to the bit. With threads
// above 1 the rows are shared between this goroutine and at most threads-1 more, which end before
// it returns; with threads 1 or less it does not allocate, but for the first call. It is safe for
// concurrent use. Large batches cost a fraction of single rows: see KernelBatch.
func (e *Ensemble) PredictBatch(dst, x []float64, threads int) error {
	rows := len(x) / e.inputs
	if len(x) != rows*e.inputs || len(dst) != rows*e.outputs {
		return ErrShape
	}
	if rows == 0 {
		return nil
	}
	p := e.compiled()
	blocks := (rows + blockRows - 1) / blockRows
	threads = min(threads, blocks)
	if threads <= 1 {
		p.rows(dst, x, rows)
		return nil
	}
	var wg sync.WaitGroup
	for t := range threads {
		from, to := t*blocks/threads*blockRows, min((t+1)*blocks/threads*blockRows, rows)
		part := func() { p.rows(dst[from*e.outputs:to*e.outputs], x[from*e.inputs:to*e.inputs], to-from) }
		if t == threads-1 {
			part()
		} else {
			wg.Go(part)
		}
	}
	wg.Wait()
	return nil
}

// pad rounds n up to a multiple of to.
func pad(n, to int) int { return (n + to - 1) / to * to }
