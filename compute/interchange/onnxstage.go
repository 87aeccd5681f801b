package interchange

import (
	"math"
	"slices"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/chain"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/neural"
)

// stage is a model inside a graph: trees or dense layers over columns, and what was done to its
// outputs since. It is not changed once made; operators copy it.
type stage struct {
	cols   []column
	n      int // outputs
	trees  *grove
	layers []neural.Layer
	clip   float64
	link   ensemble.Link
	after  []chain.Stage
	shares bool // the outputs are positive and add up to 1, or are 1 in number and between 0 and 1
	norms  bool // the outputs are positive: dividing by their sum is what an L1 Normalizer does
}

// all returns the outputs of the stage in order.
func (s *stage) all() []output {
	out := make([]output, s.n)
	for k := range out {
		out[k] = output{st: s, index: k}
	}
	return out
}

// raw reports whether nothing was done to the sums yet.
func (s *stage) raw() bool { return s.link == ensemble.Identity && len(s.after) == 0 }

// with returns a copy with one more step after the sums.
func (s *stage) with(link ensemble.Link, op chain.Op, values ...float64) *stage {
	c := *s
	if s.raw() && link != ensemble.Identity {
		c.link = link
	} else {
		c.after = append(slices.Clip(c.after), chain.Stage{Op: op, Values: values})
	}
	return &c
}

// scaled returns a copy whose outputs are shift + scale·output.
func (s *stage) scaled(scale, shift []float64) *stage {
	same := true
	for k := range scale {
		same = same && scale[k] == 1 && shift[k] == 0
	}
	if same {
		return s
	}
	if s.layers == nil || !s.raw() || s.last().Activation != neural.Linear {
		var v []float64
		for k := range scale {
			v = append(v, shift[k], scale[k])
		}
		c := s.with(ensemble.Identity, chain.Scale, v...)
		c.shares = false
		for k := range scale {
			c.norms = c.norms && scale[k] >= 0 && shift[k] >= 0
		}
		return c
	}
	c := *s
	l := *s.last()
	l.Bias, l.Weights = slices.Clone(l.Bias), slices.Clone(l.Weights)
	for k := range l.Bias {
		l.Bias[k] = l.Bias[k]*scale[k] + shift[k]
		for j := range l.In {
			l.Weights[k*l.In+j] *= scale[k]
		}
	}
	c.layers = append(slices.Clone(s.layers[:len(s.layers)-1]), l)
	return &c
}

func (s *stage) last() *neural.Layer { return &s.layers[len(s.layers)-1] }

// dense returns a stage with one more layer. weights has one row per unit.
func dense(s *stage, cols []column, in, out int, weights []float64) (*stage, error) {
	if in < 1 || out < 1 || out > neural.MaxWidth || len(weights) != in*out {
		return nil, refused("a dense layer of %d inputs and %d units with %d weights, at most %d units", in, out, len(weights), neural.MaxWidth)
	}
	l := neural.Layer{
		In:         in,
		Out:        out,
		Bias:       make([]float64, out),
		Weights:    weights,
		Activation: neural.Linear,
	}
	if s == nil {
		return &stage{cols: cols, n: out, layers: []neural.Layer{l}}, nil
	}
	if s.layers == nil {
		return nil, refused("a dense layer on top of trees")
	}
	if !s.raw() {
		return nil, refused("a hidden layer that does not end in Relu or Gelu: train the network with one of these")
	}
	if len(s.layers) >= neural.MaxLayers {
		return nil, refused("more than %d dense layers", neural.MaxLayers)
	}
	c := *s
	c.n = out
	if prev := s.last(); prev.Activation == neural.Linear && prev.Norm == nil {
		// Two layers without anything between them are one.
		if in*out > neural.MaxParams/max(prev.In, 1) {
			return nil, refused("two dense layers without an activation between them, too large to be made one")
		}
		l.In, l.Weights = prev.In, make([]float64, prev.In*out)
		for k := range out {
			for j, w := range weights[k*in : (k+1)*in] {
				l.Bias[k] += w * prev.Bias[j]
				for i := range prev.In {
					l.Weights[k*prev.In+i] += w * prev.Weights[j*prev.In+i]
				}
			}
		}
		c.layers = append(slices.Clone(s.layers[:len(s.layers)-1]), l)
		return &c, nil
	}
	c.layers = append(slices.Clip(s.layers), l)
	return &c, nil
}

// activated returns a copy whose last layer has an activation.
func (s *stage) activated(a neural.Activation) (*stage, error) {
	if s.layers == nil || !s.raw() || s.last().Activation != neural.Linear {
		return nil, refused("an activation that does not follow a dense layer")
	}
	c := *s
	l := *s.last()
	l.Activation = a
	c.layers = append(slices.Clone(s.layers[:len(s.layers)-1]), l)
	return &c, nil
}

// whole returns the stage whose outputs, all and in order, the value is.
func whole(v *onnxValue) *stage {
	if len(v.outs) == 0 || len(v.outs) != v.outs[0].st.n {
		return nil
	}
	for k, o := range v.outs {
		if o.st != v.outs[0].st || o.index != k || o.rest || o.sum {
			return nil
		}
	}
	return v.outs[0].st
}

// gather returns a stage whose outputs are these: one stage's own, some of its rows, or the rows
// of several linear models over the same columns.
func gather(outs []output) (*stage, error) {
	if st := whole(&onnxValue{outs: outs}); st != nil {
		return st, nil
	}
	first := outs[0].st
	inOrder := len(outs) == first.n
	for k, o := range outs {
		if o.sum {
			return nil, refused("the sum of a model's outputs is an output of its own")
		}
		inOrder = inOrder && o.st == first && o.index == k && o.rest
	}
	if inOrder {
		scale, shift := make([]float64, first.n), make([]float64, first.n)
		for k := range scale {
			scale[k], shift[k] = -1, 1
		}
		return first.scaled(scale, shift), nil
	}
	l := neural.Layer{Out: len(outs), Activation: neural.Linear}
	for _, o := range outs {
		s := o.st
		switch {
		case len(s.layers) != 1 || s.link == ensemble.Softmax || len(s.after) > 0 || s.link != first.link || !slices.Equal(s.cols, first.cols):
			return nil, refused("outputs of several models, or some of one model's, are put together: only those of linear models over the same inputs can be")
		case o.rest && s.link != ensemble.Logistic:
			return nil, refused("1 minus some of a model's outputs, which are no probabilities")
		}
		w, b := s.layers[0].Weights[o.index*s.layers[0].In:][:s.layers[0].In], s.layers[0].Bias[o.index]
		l.In = s.layers[0].In
		for _, x := range w {
			if o.rest { // 1 − σ(s) = σ(−s)
				x = -x
			}
			l.Weights = append(l.Weights, x)
		}
		if o.rest {
			b = -b
		}
		l.Bias = append(l.Bias, b)
	}
	if len(l.Weights) > neural.MaxParams {
		return nil, refused("a linear model with %d weights", len(l.Weights))
	}
	return &stage{
		cols:   first.cols,
		n:      len(outs),
		layers: []neural.Layer{l},
		link:   first.link,
		norms:  first.link == ensemble.Logistic,
	}, nil
}

// predictor builds the model and sets the pipeline.
func (s *stage) predictor(e *onnxEval) (artifact.Predictor, error) {
	before, err := e.layout(s.cols)
	if err != nil {
		return nil, err
	}
	if s.trees != nil {
		g := *s.trees
		g.inputs, g.first = len(s.cols), before
		return g.pack(s.link, s.after...)
	}
	link, after := s.link, s.after
	if link == ensemble.Exponential {
		link, after = ensemble.Identity, append([]chain.Stage{{Op: chain.Exponential}}, after...)
	}
	if s.last().Activation != neural.Linear || s.last().Norm != nil {
		return nil, refused("the network ends in Relu, Gelu or LayerNormalization: its last layer must be linear")
	}
	var p chain.Predictor
	if l := s.layers[0]; len(s.layers) == 1 && s.clip == 0 {
		p, err = linear.New(l.In, link, l.Bias, l.Weights)
	} else {
		p, err = neural.Build(neural.Spec{Inputs: l.In, Layers: s.layers, Link: link, Scale: 1, Clip: s.clip})
	}
	if err != nil {
		return nil, damaged("%w", err)
	}
	if len(before)+len(after) > 0 {
		return chain.New(before, p, after)
	}
	return p, nil
}

// finiteAll reports whether all numbers are finite.
func finiteAll(v []float64) bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}
