package chain

import (
	"errors"
	"fmt"

	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/neural"
	"skerry.dev/compute/state"
)

const headerSize = 4

// ErrCorrupt means that bytes are no chain.
var ErrCorrupt = errors.New("corrupt chain")

// AppendBinary appends the encoding, little endian: version u8 = 1 | model's kind u8 (1 trees, 2
// network, 3 linear) | steps before u8 | steps after u8, then per step its operation, from, to
// (i64 each) and values (count i64, f64 each), then the model's own encoding to the end.
func (m *Model) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, 1, kindOf(m.inner), byte(len(m.before)), byte(len(m.after)))
	w := state.Writer{B: b}
	for _, steps := range [][]Stage{m.before, m.after} {
		for i := range steps {
			w.Int(int64(steps[i].Op))
			w.Int(int64(steps[i].From))
			w.Int(int64(steps[i].To))
			w.Floats(steps[i].Values)
		}
	}
	return m.inner.(interface {
		AppendBinary([]byte) ([]byte, error)
	}).AppendBinary(w.B)
}

// Decode reads an encoding that fills b. It allocates no more than a small multiple of len(b).
// Errors wrap ErrCorrupt.
func Decode(b []byte) (*Model, error) {
	if len(b) < headerSize || b[0] != 1 || b[2] > MaxSteps || b[3] > MaxSteps {
		return nil, fmt.Errorf("%w: bad header or version", ErrCorrupt)
	}
	kind, before, after := b[1], make([]Stage, b[2]), make([]Stage, b[3])
	r := state.Reader{B: b[headerSize:]}
	for _, steps := range [][]Stage{before, after} {
		for i := range steps {
			op, from, to := r.Int(), r.Int(), r.Int()
			if op < 0 || op > 255 || from < 0 || from > ensemble.MaxInputs || to < 0 || to > ensemble.MaxInputs {
				return nil, fmt.Errorf("%w: step %d has operation %d on columns %d to %d", ErrCorrupt, i, op, from, to)
			}
			steps[i] = Stage{Op: Op(op), From: int(from), To: int(to), Values: r.Floats()}
		}
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	inner, err := decodeInner(kind, r.B)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	m, err := New(before, inner, after)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return m, nil
}

func decodeInner(kind byte, b []byte) (p Predictor, err error) {
	switch kind {
	case innerTrees:
		return ensemble.Decode(b)
	case innerNetwork:
		return neural.Decode(b)
	case innerLinear:
		return linear.Decode(b)
	}
	return nil, fmt.Errorf("unknown kind of model %d, must be %d to %d", kind, innerTrees, innerLinear)
}
