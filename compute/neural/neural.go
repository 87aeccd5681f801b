// Package neural predicts with multilayer perceptrons. Package neuralfit trains them.
//
// A [Network] looks categorical inputs up in tables of learned vectors (embeddings), brings the
// others into bounds when it was trained so, and passes the result through dense layers, each
// followed by an optional layer normalisation and an activation. Batch normalisation does not
// occur here: it is folded into the layers when a training ends.
//
// A Network is immutable and safe for concurrent use. It cannot handle missing numbers, the
// pipeline before it imputes and scales; a missing or unknown category has a row of its own in
// the table. Sums run in the order of the inputs and products are rounded before they are added,
// so a network gives the same bits on every architecture, alone or in a batch.
//
// [Network.Quantise] stores the weights in one or two bytes, with a bound on what that changes.
package neural

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"skerry.dev/compute/ensemble"
)

// Limits of a network.
const (
	MaxLayers     = 8 // dense layers, the last included
	MaxWidth      = 4096
	MaxParams     = 1 << 22
	MaxEmbeddings = 1024
	MaxDim        = 256
)

// Errors of PredictInto, PredictBatch and Decode.
var (
	ErrShape   = errors.New("neural: wrong number of inputs or outputs")
	ErrMissing = errors.New("neural: an input is missing")
	ErrCorrupt = errors.New("corrupt network")
)

// Activation is what a hidden layer applies to its sums.
type Activation uint8

// The activations.
const (
	ReLU Activation = iota // max(v, 0)
	// v·Φ(v) in its usual form v·sigmoid(√(8/π)·(v + 0.044715·v³)); Hendrycks and Gimpel,
	// arXiv:1606.08415
	GELU
	Linear // v; what the last layer has
)

// gelu coefficients: √(8/π) and the cubic one.
const (
	geluScale = 1.5957691216057308
	geluCubic = 0.044715
)

// Apply replaces v by the activations, in place. It does not allocate.
func (a Activation) Apply(v []float64) {
	switch a {
	case ReLU:
		for i, s := range v {
			v[i] = max(s, 0)
		}
	case GELU:
		for i, s := range v {
			u := geluScale * (s + float64(geluCubic*float64(s*float64(s*s))))
			v[i] = s * ensemble.Sigmoid(u)
		}
	}
}

// Embedding is the table of a categorical input: code c, a whole number from 0 to Levels-1, is
// replaced by row c, everything else (missing, unknown) by the last row.
type Embedding struct {
	Input  int // which input
	Levels int
	Dim    int
	Table  []float64 // Levels+1 rows of Dim
}

// Norm is a layer normalisation: v becomes (v-mean)/√(variance+Epsilon)·Gain + Offset, with mean
// and population variance over the units of the layer. After Ba, Kiros and Hinton,
// arXiv:1607.06450.
type Norm struct {
	Gain, Offset []float64
}

// Epsilon is what a normalisation adds to the variance.
const Epsilon = 1e-5

// Layer is a dense layer: activation(norm(Bias + Weights·in)).
type Layer struct {
	In, Out int
	Bias    []float64
	// one row of In weights per unit; of a quantised network the numbers that its codes stand for
	Weights    []float64
	Norm       *Norm // nil for none
	Activation Activation
}

// Spec is a network in full. Its first layer's inputs are, input after input, the number itself
// or the Dim numbers of its embedding.
type Spec struct {
	Inputs     int
	Embeddings []Embedding // ascending by Input
	// unless 0, a number v that has no embedding enters as v/√(1+(v/Clip)²), which stays between
	// ±Clip
	Clip   float64
	Layers []Layer // the last is Linear without a norm
	Link   ensemble.Link
	Scale  float64 // the outputs are link(Shift + Scale·sums)
	Shift  float64
}

// Network is a stack of dense layers.
type Network struct {
	inputs       int
	embeddings   []embedding
	clip         float64
	layers       []layer
	link         ensemble.Link
	scale, shift float64
	precision    Precision
	bound        float64
	width, wide  int // of the first layer's input; of the widest vector
	scratch      sync.Pool
}

type embedding struct {
	input, levels, dim int
	table              weights
}

type layer struct {
	in, out      int
	act          Activation
	bias         []float64
	w            weights
	gain, offset []float64 // nil without norm
}

// Params returns how many parameters a network of these widths has that consists of dense layers
// alone, or 0 when the widths are not allowed.
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

// New makes a network of dense layers with rectified units between them. It checks and copies the
// parameters: widths are those of the inputs, the hidden layers and the outputs; params holds per
// layer the biases, then one row of weights per unit. The last layer's sums are multiplied by
// scale, shift is added, and the link is applied; scale 1 and shift 0 for classification.
func New(widths []int, link ensemble.Link, scale, shift float64, params []float64) (*Network, error) {
	want := Params(widths)
	if want == 0 || want != len(params) {
		return nil, fmt.Errorf("neural: widths %v need %d parameters, got %d", widths, want, len(params))
	}
	s := Spec{Inputs: widths[0], Link: link, Scale: scale, Shift: shift}
	for l := 1; l < len(widths); l++ {
		in, out := widths[l-1], widths[l]
		y := Layer{In: in, Out: out, Bias: params[:out], Weights: params[out : out+in*out]}
		if l == len(widths)-1 {
			y.Activation = Linear
		}
		params = params[out+in*out:]
		s.Layers = append(s.Layers, y)
	}
	return Build(s)
}

// Build checks and copies a specification.
func Build(s Spec) (*Network, error) {
	n := &Network{inputs: s.Inputs, clip: s.Clip, link: s.Link, scale: s.Scale, shift: s.Shift}
	for _, e := range s.Embeddings {
		if e.Levels < 1 || e.Levels > MaxParams || e.Dim < 1 || e.Dim > MaxDim || len(e.Table) != (e.Levels+1)*e.Dim {
			return nil, fmt.Errorf("neural: embedding of input %d has %d values for %d levels of %d", e.Input, len(e.Table), e.Levels, e.Dim)
		}
		n.embeddings = append(n.embeddings, embedding{
			input:  e.Input,
			levels: e.Levels,
			dim:    e.Dim,
			table:  weights{full: append([]float64(nil), e.Table...)},
		})
	}
	for i, y := range s.Layers {
		if len(y.Bias) != y.Out || y.In < 1 || y.In > MaxWidth || y.Out < 1 || y.Out > MaxWidth || len(y.Weights) != y.In*y.Out {
			return nil, fmt.Errorf("neural: layer %d has %d weights and %d biases for %d inputs and %d units", i, len(y.Weights), len(y.Bias), y.In, y.Out)
		}
		l := layer{
			in:   y.In,
			out:  y.Out,
			act:  y.Activation,
			bias: append([]float64(nil), y.Bias...),
			w:    weights{full: append([]float64(nil), y.Weights...)},
		}
		if y.Norm != nil {
			if len(y.Norm.Gain) != y.Out || len(y.Norm.Offset) != y.Out {
				return nil, fmt.Errorf("neural: layer %d normalises %d and %d of %d units", i, len(y.Norm.Gain), len(y.Norm.Offset), y.Out)
			}
			l.gain, l.offset = append([]float64(nil), y.Norm.Gain...), append([]float64(nil), y.Norm.Offset...)
		}
		n.layers = append(n.layers, l)
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	return n, nil
}

// check holds everything that PredictInto relies on beside the lengths of the slices, and
// prepares weights and scratch space.
func (n *Network) check() error {
	if n.inputs < 1 || n.inputs > MaxWidth || len(n.layers) < 1 || len(n.layers) > MaxLayers || len(n.embeddings) > MaxEmbeddings {
		return fmt.Errorf("neural: %d inputs, %d layers and %d embeddings", n.inputs, len(n.layers), len(n.embeddings))
	}
	n.width = n.inputs
	params, last := 0, -1
	for _, e := range n.embeddings {
		if e.input <= last || e.input >= n.inputs {
			return fmt.Errorf("neural: embedding of input %d of %d after that of %d", e.input, n.inputs, last)
		}
		last = e.input
		n.width += e.dim - 1
		params += (e.levels + 1) * e.dim
		if !e.table.finite() {
			return errors.New("neural: a parameter is not finite")
		}
	}
	if !finite([]float64{n.scale, n.shift, n.clip}) || n.clip < 0 {
		return errors.New("neural: scale, shift or clip is not finite or clip is negative")
	}
	in := n.width
	n.wide = in
	for i := range n.layers {
		l := &n.layers[i]
		end := i == len(n.layers)-1
		switch {
		case l.in != in:
			return fmt.Errorf("neural: layer %d has %d inputs, want %d", i, l.in, in)
		case l.act > Linear || end && (l.act != Linear || l.gain != nil):
			return fmt.Errorf("neural: layer %d has activation %d", i, l.act)
		case !finite(l.bias) || !finite(l.gain) || !finite(l.offset) || !l.w.finite():
			return errors.New("neural: a parameter is not finite")
		}
		params += l.out * (1 + l.in)
		in, n.wide = l.out, max(n.wide, l.out)
	}
	if params > MaxParams {
		return fmt.Errorf("neural: %d parameters, at most %d", params, MaxParams)
	}
	if n.link > ensemble.Softmax || (n.link == ensemble.Softmax && in < 2) {
		return fmt.Errorf("neural: link %d with %d outputs", n.link, in)
	}
	for i := range n.layers {
		n.layers[i].w.pack(n.layers[i].in)
	}
	n.scratch.New = func() any { s := make([]float64, 2*n.wide*block); return &s }
	return nil
}

func finite(v []float64) bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

// Inputs returns the length of x.
func (n *Network) Inputs() int { return n.inputs }

// Outputs returns the length of dst.
func (n *Network) Outputs() int { return n.layers[len(n.layers)-1].out }

// Link returns what is applied to the outputs.
func (n *Network) Link() ensemble.Link { return n.link }

// Precision returns how the weights are stored.
func (n *Network) Precision() Precision { return n.precision }

// Layers returns copies of the dense layers, the last included.
func (n *Network) Layers() []Layer { return n.Spec().Layers }

// Spec returns a copy of everything the network consists of. Building it again gives a network
// that predicts the same, to rounding when this one is quantised.
func (n *Network) Spec() Spec {
	s := Spec{Inputs: n.inputs, Clip: n.clip, Link: n.link, Scale: n.scale, Shift: n.shift}
	for _, e := range n.embeddings {
		s.Embeddings = append(s.Embeddings, Embedding{
			Input:  e.input,
			Levels: e.levels,
			Dim:    e.dim,
			Table:  e.table.values(e.dim),
		})
	}
	for i := range n.layers {
		l := &n.layers[i]
		y := Layer{
			In:         l.in,
			Out:        l.out,
			Bias:       append([]float64(nil), l.bias...),
			Weights:    l.w.values(l.in),
			Activation: l.act,
		}
		if l.gain != nil {
			y.Norm = &Norm{
				Gain:   append([]float64(nil), l.gain...),
				Offset: append([]float64(nil), l.offset...),
			}
		}
		s.Layers = append(s.Layers, y)
	}
	return s
}
