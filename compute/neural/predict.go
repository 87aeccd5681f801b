package neural

import (
	"math"
	"sync"
)

// block is how many rows a batch takes through a layer at once, so that the weights are read once
// for all of them.
const block = 16

// PredictInto writes the outputs for x into dst. len(x) is Inputs and len(dst) is Outputs, else
// it returns ErrShape; a NaN in an input without an embedding gives ErrMissing and leaves NaN in
// dst. It is safe for concurrent use and does not allocate in the steady state: scratch space is
// pooled. Its cost is one multiplication per weight.
func (n *Network) PredictInto(dst, x []float64) error {
	if len(x) != n.inputs || len(dst) != n.Outputs() {
		return ErrShape
	}
	if n.missing(x) {
		fillNaN(dst)
		return ErrMissing
	}
	s := n.scratch.Get().(*[]float64)
	n.forward(dst, x, 1, *s)
	n.scratch.Put(s)
	return nil
}

// PredictBatch predicts rows: x holds Inputs numbers for each, dst Outputs, one row after the
// other. It uses up to threads goroutines (at least one); the results are those of PredictInto,
// bit for bit. A row with a missing number gets NaN, and ErrMissing is returned after the others
// were done; lengths that do not match give ErrShape and change nothing.
func (n *Network) PredictBatch(dst, x []float64, threads int) error {
	rows, out := len(x)/n.inputs, n.Outputs()
	if len(x) != rows*n.inputs || len(dst) != rows*out {
		return ErrShape
	}
	blocks := (rows + block - 1) / block
	threads = max(1, min(threads, blocks))
	missing := make([]bool, threads)
	var wg sync.WaitGroup
	run := func(t int) {
		s := n.scratch.Get().(*[]float64)
		for b := t * blocks / threads; b < (t+1)*blocks/threads; b++ {
			from, to := b*block, min((b+1)*block, rows)
			if n.predictBlock(dst[from*out:to*out], x[from*n.inputs:to*n.inputs], to-from, *s) {
				missing[t] = true
			}
		}
		n.scratch.Put(s)
	}
	for t := 1; t < threads; t++ {
		wg.Go(func() { run(t) })
	}
	run(0)
	wg.Wait()
	for _, m := range missing {
		if m {
			return ErrMissing
		}
	}
	return nil
}

// predictBlock predicts up to block rows and reports whether one had a missing number.
func (n *Network) predictBlock(dst, x []float64, rows int, s []float64) bool {
	missing, out := false, n.Outputs()
	for i := range rows {
		missing = missing || n.missing(x[i*n.inputs:(i+1)*n.inputs])
	}
	if !missing {
		n.forward(dst, x, rows, s)
		return false
	}
	for i := range rows {
		row, to := x[i*n.inputs:(i+1)*n.inputs], dst[i*out:(i+1)*out]
		if n.missing(row) {
			fillNaN(to)
		} else {
			n.forward(to, row, 1, s)
		}
	}
	return true
}

func fillNaN(v []float64) {
	for k := range v {
		v[k] = math.NaN()
	}
}

// missing reports whether a number that has no embedding is NaN.
func (n *Network) missing(x []float64) bool {
	e := 0
	for i, v := range x {
		if e < len(n.embeddings) && n.embeddings[e].input == i {
			e++
		} else if v != v {
			return true
		}
	}
	return false
}

// forward predicts rows (at most block) of numbers that are not missing. s has room for two
// vectors of every row.
func (n *Network) forward(dst, x []float64, rows int, s []float64) {
	in, half := x, len(s)/2
	if len(n.embeddings) > 0 || n.clip != 0 {
		in = s[:rows*n.width]
		for i := range rows {
			n.enter(in[i*n.width:(i+1)*n.width], x[i*n.inputs:(i+1)*n.inputs])
		}
	}
	for i := range n.layers {
		l := &n.layers[i]
		out := s[(i+1)%2*half:][:rows*l.out]
		if i == len(n.layers)-1 {
			out = dst
		}
		l.w.multiply(out, in, l.bias, rows)
		for r := range rows {
			row := out[r*l.out : (r+1)*l.out]
			if l.gain != nil {
				normalise(row, l.gain, l.offset)
			}
			l.act.Apply(row)
		}
		in = out
	}
	out := n.Outputs()
	for r := range rows {
		row := dst[r*out : (r+1)*out]
		for k, v := range row {
			row[k] = n.shift + float64(n.scale*v)
		}
		n.link.Apply(row)
	}
}

// enter turns the inputs of a row into those of the first layer.
func (n *Network) enter(dst, x []float64) {
	e := 0
	for i, v := range x {
		if e < len(n.embeddings) && n.embeddings[e].input == i {
			t := &n.embeddings[e]
			row := t.levels
			if v >= 0 && v < float64(t.levels) && v == math.Trunc(v) {
				row = int(v)
			}
			t.table.row(dst[:t.dim], row)
			dst = dst[t.dim:]
			e++
			continue
		}
		if n.clip != 0 {
			v = Clip(v, n.clip)
		}
		dst[0] = v
		dst = dst[1:]
	}
}

// Clip returns v/√(1+(v/bound)²), a smooth limit between ±bound that leaves small numbers as they
// are. After Holzmüller, Grinsztajn and Steinwart, "Better by Default: Strong Pre-Tuned MLPs and
// Boosted Trees on Tabular Data", NeurIPS 2024.
func Clip(v, bound float64) float64 {
	r := v / bound
	if math.Abs(r) > 1e8 {
		return math.Copysign(bound, v) // what it rounds to, and the square may overflow
	}
	return v / math.Sqrt(1+float64(r*r))
}

// normalise is the layer normalisation, in place.
func normalise(v, gain, offset []float64) {
	sum, ss := 0.0, 0.0
	for _, x := range v {
		sum += x
	}
	mean := sum / float64(len(v))
	for _, x := range v {
		d := x - mean
		ss += float64(d * d)
	}
	dev := math.Sqrt(ss/float64(len(v)) + Epsilon)
	for i, x := range v {
		v[i] = float64((x-mean)/dev*gain[i]) + offset[i]
	}
}
