// Package neural predicts with multilayer perceptrons: dense layers with rectified units between them. Package neuralfit trains them.
//
// A [Network] is immutable and safe for concurrent use. It cannot handle missing values; the pipeline before it imputes and scales. Sums run in the order
// of the inputs and products are rounded before they are added, so a network gives the same bits on every architecture when its link is the identity or one
// of the ensemble's.
package neural

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"skerry.dev/compute/ensemble"
)

// Limits of a network.
const (
	MaxLayers = 8
	MaxWidth  = 4096
	MaxParams = 1 << 22
)

// Errors of PredictInto and Decode.
var (
	ErrShape   = errors.New("neural: wrong number of inputs or outputs")
	ErrMissing = errors.New("neural: an input is missing")
	ErrCorrupt = errors.New("corrupt network")
)

// Network is a stack of dense layers.
type Network struct {
	widths  []int // inputs, hidden widths, outputs
	link    ensemble.Link
	params  []float64 // per layer: bias, then one row of weights per unit
	scale   float64   // outputs are shift + scale·sum before the link
	shift   float64
	scratch sync.Pool
}

// Params returns how many parameters a network of these widths has, or 0 when the widths are not allowed.
func Params(widths []int) int {
	if len(widths) < 2 || len(widths) > MaxLayers+1 {
		return 0
	}
	n := 0
	for i, w := range widths {
		if w < 1 || w > MaxWidth {
			return 0
		}
		if i > 0 {
			n += w * (1 + widths[i-1])
		}
	}
	if n > MaxParams {
		return 0
	}
	return n
}

// New checks and copies the parameters: per layer the biases, then one row of weights per unit. The last layer's sums are multiplied by scale, shift is added, and
// the link is applied; scale 1 and shift 0 for classification.
func New(widths []int, link ensemble.Link, scale, shift float64, params []float64) (*Network, error) {
	want := Params(widths)
	if want == 0 || want != len(params) {
		return nil, fmt.Errorf("neural: widths %v need %d parameters, got %d", widths, want, len(params))
	}
	if link > ensemble.Softmax || (link == ensemble.Softmax && widths[len(widths)-1] < 2) {
		return nil, fmt.Errorf("neural: link %d with %d outputs", link, widths[len(widths)-1])
	}
	for _, v := range append([]float64{scale, shift}, params...) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.New("neural: a parameter is not finite")
		}
	}
	n := &Network{widths: append([]int(nil), widths...), link: link, scale: scale, shift: shift, params: append([]float64(nil), params...)}
	widest := 0
	for _, w := range widths {
		widest = max(widest, w)
	}
	n.scratch.New = func() any { s := make([]float64, 2*widest); return &s }
	return n, nil
}

// Inputs returns the length of x.
func (n *Network) Inputs() int { return n.widths[0] }

// Outputs returns the length of dst.
func (n *Network) Outputs() int { return n.widths[len(n.widths)-1] }

// PredictInto writes the outputs for x into dst. len(x) is Inputs and len(dst) is Outputs, else it returns ErrShape; a NaN in x gives ErrMissing and leaves NaN in
// dst. It is safe for concurrent use and does not allocate in the steady state: scratch space is pooled.
func (n *Network) PredictInto(dst, x []float64) error {
	if len(x) != n.Inputs() || len(dst) != n.Outputs() {
		return ErrShape
	}
	for _, v := range x {
		if v != v {
			for k := range dst {
				dst[k] = v
			}
			return ErrMissing
		}
	}
	s := n.scratch.Get().(*[]float64)
	half := len(*s) / 2
	in, params := x, n.params
	for l := 1; l < len(n.widths); l++ {
		out := (*s)[l%2*half:][:n.widths[l]]
		if l == len(n.widths)-1 {
			out = dst
		}
		params = dense(out, in, params)
		if l < len(n.widths)-1 {
			for i, v := range out {
				out[i] = max(v, 0)
			}
		}
		in = out
	}
	for k, v := range dst {
		dst[k] = n.shift + float64(n.scale*v)
	}
	n.scratch.Put(s)
	n.link.Apply(dst)
	return nil
}

// dense writes bias + weights·in into out and returns the parameters after those it used. Four units at a time share the loads of in; each unit's
// sum still runs in the order of the inputs.
func dense(out, in, params []float64) []float64 {
	bias, w := params[:len(out)], params[len(out):]
	m := len(in)
	u := 0
	for ; u+4 <= len(out); u += 4 {
		w0, w1, w2, w3 := w[u*m:][:m], w[(u+1)*m:][:m], w[(u+2)*m:][:m], w[(u+3)*m:][:m]
		s0, s1, s2, s3 := bias[u], bias[u+1], bias[u+2], bias[u+3]
		for j, v := range in {
			s0 += float64(w0[j] * v)
			s1 += float64(w1[j] * v)
			s2 += float64(w2[j] * v)
			s3 += float64(w3[j] * v)
		}
		out[u], out[u+1], out[u+2], out[u+3] = s0, s1, s2, s3
	}
	for ; u < len(out); u++ {
		s, row := bias[u], w[u*m:][:m]
		for j, v := range in {
			s += float64(row[j] * v)
		}
		out[u] = s
	}
	return w[len(out)*m:]
}

// Size returns the length of the encoding in bytes.
func (n *Network) Size() int { return 4 + 4*len(n.widths) + 16 + 8*len(n.params) }

// AppendBinary appends the encoding: version u8 = 1 | link u8 | widths u8 | 0 u8 | width u32 × widths | scale f64 | shift f64 | parameters f64, little
// endian. The error is always nil.
func (n *Network) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, 1, byte(n.link), byte(len(n.widths)), 0)
	for _, w := range n.widths {
		b = binary.LittleEndian.AppendUint32(b, uint32(w))
	}
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(n.scale))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(n.shift))
	for _, v := range n.params {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b, nil
}

// Decode reads an encoding that fills b. Errors wrap ErrCorrupt.
func Decode(b []byte) (*Network, error) {
	if len(b) < 4 || b[0] != 1 || b[3] != 0 || b[2] > MaxLayers+1 || len(b) < 20+4*int(b[2]) {
		return nil, fmt.Errorf("%w: bad header or version", ErrCorrupt)
	}
	link, widths := ensemble.Link(b[1]), make([]int, b[2])
	b = b[4:]
	for i := range widths {
		widths[i] = int(min(binary.LittleEndian.Uint32(b[4*i:]), MaxWidth+1)) // too wide stays too wide, also where int has 32 bits
	}
	b = b[4*len(widths):]
	if len(b)%8 != 0 || len(b)/8 != 2+Params(widths) || len(b) == 16 {
		return nil, fmt.Errorf("%w: parameters do not match the widths", ErrCorrupt)
	}
	v := make([]float64, len(b)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	n, err := New(widths, link, v[0], v[1], v[2:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return n, nil
}
