package ensemble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The encoding, little endian:
//
//	version u8 | link u8 | form u8 | 0 u8 | inputs u32 | outputs u32 | trees u32 |
//	nodes u32 | sets u32 | values u32
//	base f64 × outputs | root u32 × trees |
//	{bits u64, left u32, feature u16, flags u16} × nodes | {4 × u64} × sets |
//	value f64 × values | cover f32 × nodes
//
// In version 1 form is 1 when leaves are vectors, else 0, the link is at most Softmax and there
// are no covers. In version 2 form is a set of bits: 1 leaves are vectors, 2 inputs are rounded
// to float32, 4 covers follow. The oldest version that can express it is written.
const (
	formVector  = 1
	formRound32 = 2
	formCovers  = 4

	headerSize = 28
	nodeSize   = 16
	setSize    = 32
)

// ErrCorrupt means that bytes are no ensemble.
var ErrCorrupt = errors.New("corrupt ensemble")

// Size returns the length of the encoding in bytes.
func (e *Ensemble) Size() int {
	return headerSize + 8*len(e.base) + 4*len(e.roots) + nodeSize*len(e.nodes) + setSize*len(e.sets) + 8*len(e.values) + 4*len(e.covers)
}

// AppendBinary appends the encoding. The error is always nil.
func (e *Ensemble) AppendBinary(b []byte) ([]byte, error) {
	le := binary.LittleEndian
	version, form := byte(1), byte(0)
	if e.vector {
		form |= formVector
	}
	if e.round32 {
		form |= formRound32
	}
	if e.covers != nil {
		form |= formCovers
	}
	if form > formVector || e.link > Softmax {
		version = 2
	}
	b = append(b, version, byte(e.link), form, 0)
	for _, n := range []int{e.inputs, e.outputs, len(e.roots), len(e.nodes), len(e.sets), len(e.values)} {
		b = le.AppendUint32(b, uint32(n))
	}
	for _, v := range e.base {
		b = le.AppendUint64(b, math.Float64bits(v))
	}
	for _, r := range e.roots {
		b = le.AppendUint32(b, r)
	}
	for i := range e.nodes {
		n := &e.nodes[i]
		b = le.AppendUint64(b, n.bits)
		b = le.AppendUint32(b, n.left)
		b = le.AppendUint16(b, n.feature)
		b = le.AppendUint16(b, n.flags)
	}
	for i := range e.sets {
		for _, w := range e.sets[i] {
			b = le.AppendUint64(b, w)
		}
	}
	for _, v := range e.values {
		b = le.AppendUint64(b, math.Float64bits(v))
	}
	for _, v := range e.covers {
		b = le.AppendUint32(b, math.Float32bits(v))
	}
	return b, nil
}

// Decode reads an encoding that fills b. It allocates no more than a small multiple of len(b),
// and what it returns has passed every check that a prediction relies on. Errors wrap ErrCorrupt.
// b is not kept.
func Decode(b []byte) (*Ensemble, error) {
	le := binary.LittleEndian
	if len(b) < headerSize || b[0] < 1 || b[0] > 2 || b[2] > formVector|formRound32|formCovers || b[3] != 0 || (b[2] > formVector || Link(b[1]) > Softmax) != (b[0] == 2) {
		return nil, fmt.Errorf("%w: bad header or version", ErrCorrupt)
	}
	var n [6]uint64
	for i := range n {
		n[i] = uint64(le.Uint32(b[4+4*i:]))
	}
	inputs, outputs, trees, nodes, sets, values := n[0], n[1], n[2], n[3], n[4], n[5]
	// Every count is below 2^32, so the sum cannot overflow.
	size := headerSize + 8*outputs + 4*trees + nodeSize*nodes + setSize*sets + 8*values
	if b[2]&formCovers != 0 {
		size += 4 * nodes
	}
	if uint64(len(b)) != size {
		return nil, fmt.Errorf("%w: %d bytes do not match the counts", ErrCorrupt, len(b))
	}
	if inputs > MaxInputs || outputs > MaxOutputs || trees > MaxTrees || nodes > MaxNodes {
		return nil, fmt.Errorf("%w: too many inputs, outputs, trees or nodes", ErrCorrupt)
	}
	e := &Ensemble{
		inputs:  int(inputs),
		outputs: int(outputs),
		link:    Link(b[1]),
		vector:  b[2]&formVector != 0,
		round32: b[2]&formRound32 != 0,
	}
	covers := b[2]&formCovers != 0
	b = b[headerSize:]
	e.base, b = floats(b, int(outputs))
	e.roots = make([]uint32, trees)
	for i := range e.roots {
		e.roots[i] = le.Uint32(b[4*i:])
	}
	b = b[4*trees:]
	e.nodes = make([]node, nodes)
	for i := range e.nodes {
		p := b[nodeSize*i:]
		e.nodes[i] = node{
			bits:    le.Uint64(p),
			left:    le.Uint32(p[8:]),
			feature: le.Uint16(p[12:]),
			flags:   le.Uint16(p[14:]),
		}
	}
	b = b[nodeSize*nodes:]
	e.sets = make([][4]uint64, sets)
	for i := range e.sets {
		for j := range e.sets[i] {
			e.sets[i][j] = le.Uint64(b[setSize*i+8*j:])
		}
	}
	e.values, b = floats(b[setSize*sets:], int(values))
	if covers {
		e.covers = make([]float32, nodes)
		for i := range e.covers {
			e.covers[i] = math.Float32frombits(le.Uint32(b[4*i:]))
		}
	}
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return e, nil
}

func floats(b []byte, n int) ([]float64, []byte) {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return v, b[8*n:]
}
