// Package linear predicts with weighted sums: ridge, quantile, logistic and softmax regression
// alike. Package linearfit trains them.
//
// A [Model] is immutable and safe for concurrent use. It cannot handle missing values; the
// pipeline before it imputes.
package linear

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"skerry.dev/compute/ensemble"
)

// Limits of a model.
const (
	MaxInputs  = 4096
	MaxOutputs = 256
)

// Errors of PredictInto and Decode.
var (
	ErrShape   = errors.New("linear: wrong number of inputs or outputs")
	ErrMissing = errors.New("linear: an input is missing")
	ErrCorrupt = errors.New("corrupt linear model")
)

// Model computes link(bias + weights·x).
type Model struct {
	inputs, outputs int
	link            ensemble.Link
	bias            []float64
	weights         []float64 // one row of inputs per output
}

// New checks and copies the parameters. len(bias) is the number of outputs, len(weights) that
// times inputs, one row per output.
func New(inputs int, link ensemble.Link, bias, weights []float64) (*Model, error) {
	m := &Model{inputs: inputs, outputs: len(bias), link: link,
		bias: append([]float64(nil), bias...), weights: append([]float64(nil), weights...)}
	switch {
	case inputs < 1 || inputs > MaxInputs || m.outputs < 1 || m.outputs > MaxOutputs || len(weights) != inputs*m.outputs:
		return nil, fmt.Errorf("linear: %d inputs, %d outputs and %d weights", inputs, m.outputs, len(weights))
	case link > ensemble.Softmax || (link == ensemble.Softmax && m.outputs < 2):
		return nil, fmt.Errorf("linear: link %d with %d outputs", link, m.outputs)
	}
	for _, s := range [][]float64{bias, weights} {
		for _, v := range s {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, errors.New("linear: a parameter is not finite")
			}
		}
	}
	return m, nil
}

// Inputs returns the length of x.
func (m *Model) Inputs() int { return m.inputs }

// Outputs returns the length of dst.
func (m *Model) Outputs() int { return m.outputs }

// Link returns what is applied to the sums.
func (m *Model) Link() ensemble.Link { return m.link }

// Bias returns the bias of every output. It belongs to the model.
func (m *Model) Bias() []float64 { return m.bias }

// Weights returns the weights of one output. They belong to the model.
func (m *Model) Weights(output int) []float64 {
	return m.weights[output*m.inputs : (output+1)*m.inputs : (output+1)*m.inputs]
}

// PredictInto writes the outputs for x into dst. len(x) is Inputs and len(dst) is Outputs, else
// it returns ErrShape; a NaN in x gives ErrMissing and leaves NaN in dst. It does not allocate
// and is safe for concurrent use.
func (m *Model) PredictInto(dst, x []float64) error {
	if len(x) != m.inputs || len(dst) != m.outputs {
		return ErrShape
	}
	for k := range dst {
		s, w := m.bias[k], m.weights[k*m.inputs:][:len(x)]
		for j, v := range x {
			s += float64(w[j] * v)
		}
		dst[k] = s
	}
	for _, v := range x {
		if math.IsNaN(v) {
			for k := range dst {
				dst[k] = v
			}
			return ErrMissing
		}
	}
	m.link.Apply(dst)
	return nil
}

const headerSize = 12

// Size returns the length of the encoding in bytes.
func (m *Model) Size() int { return headerSize + 8*(len(m.bias)+len(m.weights)) }

// AppendBinary appends the encoding: version u8 = 1 | link u8 | 0 u16 | inputs u32 | outputs u32
// | bias f64 × outputs | weights f64 × outputs·inputs, little endian. The error is always nil.
func (m *Model) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, 1, byte(m.link), 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(m.inputs))
	b = binary.LittleEndian.AppendUint32(b, uint32(m.outputs))
	for _, s := range [][]float64{m.bias, m.weights} {
		for _, v := range s {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	return b, nil
}

// Decode reads an encoding that fills b. Errors wrap ErrCorrupt.
func Decode(b []byte) (*Model, error) {
	if len(b) < headerSize || b[0] != 1 || b[2] != 0 || b[3] != 0 {
		return nil, fmt.Errorf("%w: bad header or version", ErrCorrupt)
	}
	inputs, outputs := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
	if inputs > MaxInputs || outputs > MaxOutputs || uint64(len(b)) != headerSize+8*uint64(outputs)*(1+uint64(inputs)) {
		return nil, fmt.Errorf("%w: %d bytes do not match the counts", ErrCorrupt, len(b))
	}
	v := make([]float64, (len(b)-headerSize)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[headerSize+8*i:]))
	}
	m, err := New(int(inputs), ensemble.Link(b[1]), v[:outputs], v[outputs:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return m, nil
}
