package neural

import (
	"encoding/binary"
	"fmt"
	"math"

	"skerry.dev/compute/ensemble"
)

// The encoding, little endian. Version 1 is a network of dense layers with rectified units
// between them and float64 weights:
//
//	version u8 = 1 | link u8 | widths u8 | 0 u8 | width u32 × widths | scale f64 | shift f64 |
//	parameters f64
//
// where the parameters are per layer the biases, then one row of weights per unit. Version 2 is
// every other network:
//
//	version u8 = 2 | link u8 | precision u8 | 0 u8 | inputs u32 | embeddings u32 | layers u32 |
//	scale f64 | shift f64 | clip f64 | error bound f64
//	{input u32, levels u32, dim u32} × embeddings |
//	{out u32, activation u8, norm u8, 0 u16} × layers
//	table × embeddings |
//	{bias f64 × out, matrix, with a norm gain f64 × out and offset f64 × out} × layers
//
// A table or matrix is f64, f16, or for Int8 the steps f32 of its rows and then the codes i8.
const (
	header1 = 4
	header2 = 48
	embSize = 12
	laySize = 8
)

// plain reports whether version 1 can express it.
func (n *Network) plain() bool {
	if len(n.embeddings) > 0 || n.clip != 0 || n.precision != Float64 {
		return false
	}
	for i := range n.layers {
		if n.layers[i].gain != nil || (n.layers[i].act != ReLU && i < len(n.layers)-1) {
			return false
		}
	}
	return true
}

// Size returns the length of the encoding in bytes.
func (n *Network) Size() int {
	if n.plain() {
		size := header1 + 4*(1+len(n.layers)) + 16
		for i := range n.layers {
			size += 8 * n.layers[i].out * (1 + n.layers[i].in)
		}
		return size
	}
	return n.size2()
}

func (n *Network) size2() int {
	size := header2 + embSize*len(n.embeddings) + laySize*len(n.layers)
	for _, e := range n.embeddings {
		size += matrixSize(n.precision, e.levels+1, e.dim)
	}
	for i := range n.layers {
		l := &n.layers[i]
		size += 8*l.out + matrixSize(n.precision, l.out, l.in)
		if l.gain != nil {
			size += 16 * l.out
		}
	}
	return size
}

func matrixSize(p Precision, rows, cols int) int {
	switch p {
	case Float16:
		return 2 * rows * cols
	case Int8:
		return rows * (4 + cols)
	}
	return 8 * rows * cols
}

// AppendBinary appends the encoding, in version 1 where that can express it. The error is always
// nil.
func (n *Network) AppendBinary(b []byte) ([]byte, error) {
	le := binary.LittleEndian
	if n.plain() {
		b = append(b, 1, byte(n.link), byte(1+len(n.layers)), 0)
		b = le.AppendUint32(b, uint32(n.inputs))
		for i := range n.layers {
			b = le.AppendUint32(b, uint32(n.layers[i].out))
		}
		b = appendFloats(b, []float64{n.scale, n.shift})
		for i := range n.layers {
			b = appendFloats(b, n.layers[i].bias)
			b = n.layers[i].w.append(b, n.layers[i].in)
		}
		return b, nil
	}
	b = append(b, 2, byte(n.link), byte(n.precision), 0)
	for _, v := range []int{n.inputs, len(n.embeddings), len(n.layers)} {
		b = le.AppendUint32(b, uint32(v))
	}
	b = appendFloats(b, []float64{n.scale, n.shift, n.clip, n.bound})
	for _, e := range n.embeddings {
		for _, v := range []int{e.input, e.levels, e.dim} {
			b = le.AppendUint32(b, uint32(v))
		}
	}
	for i := range n.layers {
		l := &n.layers[i]
		b = le.AppendUint32(b, uint32(l.out))
		norm := byte(0)
		if l.gain != nil {
			norm = 1
		}
		b = append(b, byte(l.act), norm, 0, 0)
	}
	for i := range n.embeddings {
		b = n.embeddings[i].table.append(b, n.embeddings[i].dim)
	}
	for i := range n.layers {
		l := &n.layers[i]
		b = l.w.append(appendFloats(b, l.bias), l.in)
		b = appendFloats(appendFloats(b, l.gain), l.offset)
	}
	return b, nil
}

func appendFloats(b []byte, v []float64) []byte {
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

func (w *weights) append(b []byte, cols int) []byte {
	p := w.plain(cols)
	b = appendFloats(b, p.full)
	for _, v := range p.half {
		b = binary.LittleEndian.AppendUint16(b, toHalf(float64(v)))
	}
	for _, v := range p.steps {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	for _, q := range p.codes {
		b = append(b, byte(q))
	}
	return b
}

// Decode reads an encoding that fills b. It allocates no more than a small multiple of len(b).
// Errors wrap ErrCorrupt. b is not kept.
func Decode(b []byte) (*Network, error) {
	n, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return n, nil
}

func decode(b []byte) (*Network, error) {
	switch {
	case len(b) >= header1 && b[0] == 1 && b[3] == 0:
		return decode1(b)
	case len(b) >= header2 && b[0] == 2 && b[2] <= byte(Int8) && b[3] == 0:
		return decode2(b)
	}
	return nil, fmt.Errorf("bad header or version")
}

func decode1(b []byte) (*Network, error) {
	if b[2] > MaxLayers+1 || len(b) < 20+4*int(b[2]) {
		return nil, fmt.Errorf("bad header")
	}
	link, widths := ensemble.Link(b[1]), make([]int, b[2])
	b = b[4:]
	for i := range widths {
		// too wide stays too wide, also where int has 32 bits
		widths[i] = int(min(binary.LittleEndian.Uint32(b[4*i:]), MaxWidth+1))
	}
	b = b[4*len(widths):]
	if len(b)%8 != 0 || len(b)/8 != 2+Params(widths) || len(b) == 16 {
		return nil, fmt.Errorf("parameters do not match the widths")
	}
	r := reader{b}
	scale, shift := r.floats(1)[0], r.floats(1)[0]
	return New(widths, link, scale, shift, r.floats(len(r.b)/8))
}

func decode2(b []byte) (*Network, error) {
	n := &Network{link: ensemble.Link(b[1]), precision: Precision(b[2])}
	r := reader{b[4:]}
	n.inputs = r.count(MaxWidth)
	embeddings, layers := r.count(MaxEmbeddings), r.count(MaxLayers)
	v := r.floats(4)
	n.scale, n.shift, n.clip, n.bound = v[0], v[1], v[2], v[3]
	if embeddings > MaxEmbeddings || layers > MaxLayers || layers < 1 || len(r.b) < embSize*embeddings+laySize*layers {
		return nil, fmt.Errorf("%d embeddings and %d layers", embeddings, layers)
	}
	if !finite(v[3:]) || v[3] < 0 || n.precision == Float64 && math.Float64bits(v[3]) != 0 {
		return nil, fmt.Errorf("error bound %v", v[3])
	}
	width := n.inputs
	for range embeddings {
		e := embedding{input: r.count(MaxWidth), levels: r.count(MaxParams), dim: r.count(MaxDim)}
		if e.levels < 1 || e.levels > MaxParams || e.dim < 1 || e.dim > MaxDim {
			return nil, fmt.Errorf("embedding of %d levels and %d numbers", e.levels, e.dim)
		}
		width += e.dim - 1
		n.embeddings = append(n.embeddings, e)
	}
	for range layers {
		l := layer{in: width, out: r.count(MaxWidth), act: Activation(r.b[0])}
		if l.out < 1 || l.out > MaxWidth || l.in < 1 || l.in > MaxWidth || r.b[1] > 1 || r.b[2] != 0 || r.b[3] != 0 {
			return nil, fmt.Errorf("layer of %d units on %d inputs", l.out, l.in)
		}
		if r.b[1] == 1 {
			l.gain = []float64{} // filled below
		}
		r.b = r.b[4:]
		width = l.out
		n.layers = append(n.layers, l)
	}
	// Sizes are bounded by now: at most 1024 tables of 2^22 times 256 numbers could still
	// overflow an int of 32 bits.
	if !n.fits(len(b)) {
		return nil, fmt.Errorf("%d bytes do not match the sizes", len(b))
	}
	for i := range n.embeddings {
		e := &n.embeddings[i]
		e.table = r.matrix(n.precision, e.levels+1, e.dim)
	}
	for i := range n.layers {
		l := &n.layers[i]
		l.bias = r.floats(l.out)
		l.w = r.matrix(n.precision, l.out, l.in)
		if l.gain != nil {
			l.gain, l.offset = r.floats(l.out), r.floats(l.out)
		}
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	if n.plain() {
		return nil, fmt.Errorf("version 2 of what version 1 can say")
	}
	return n, n.canonical()
}

// fits reports whether the encoding has size bytes.
func (n *Network) fits(size int) bool {
	params := int64(0)
	for _, e := range n.embeddings {
		params += int64(e.levels+1) * int64(e.dim)
	}
	for i := range n.layers {
		params += int64(n.layers[i].out) * int64(1+n.layers[i].in)
	}
	return params <= MaxParams && n.size2() == size
}

// canonical holds that no other bytes decode to the same: a code is never -128 and those of a unit
// whose step is 0 are 0.
func (n *Network) canonical() error {
	check := func(w *weights, cols int) error {
		p := w.plain(cols)
		for i, q := range p.codes {
			if q == -128 || q != 0 && w.steps[i/cols] == 0 {
				return fmt.Errorf("code %d with step %v", q, w.steps[i/cols])
			}
		}
		return nil
	}
	for i := range n.embeddings {
		if err := check(&n.embeddings[i].table, n.embeddings[i].dim); err != nil {
			return err
		}
	}
	for i := range n.layers {
		if err := check(&n.layers[i].w, n.layers[i].in); err != nil {
			return err
		}
	}
	return nil
}

// reader takes fields off the front of b, whose length was checked.
type reader struct{ b []byte }

// count reads a u32; what is above limit stays above it, also where int has 32 bits.
func (r *reader) count(limit int) int {
	v := binary.LittleEndian.Uint32(r.b)
	r.b = r.b[4:]
	return int(min(v, uint32(limit)+1))
}

func (r *reader) floats(n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(r.b[8*i:]))
	}
	r.b = r.b[8*n:]
	return v
}

func (r *reader) matrix(p Precision, rows, cols int) weights {
	var w weights
	switch p {
	case Float16:
		w.half = make([]float32, rows*cols)
		for i := range w.half {
			w.half[i] = fromHalf(binary.LittleEndian.Uint16(r.b[2*i:]))
		}
		r.b = r.b[2*rows*cols:]
	case Int8:
		w.steps, w.codes = make([]float32, rows), make([]int8, rows*cols)
		for i := range w.steps {
			w.steps[i] = math.Float32frombits(binary.LittleEndian.Uint32(r.b[4*i:]))
		}
		r.b = r.b[4*rows:]
		for i := range w.codes {
			w.codes[i] = int8(r.b[i])
		}
		r.b = r.b[rows*cols:]
	default:
		w.full = r.floats(rows * cols)
	}
	return w
}
