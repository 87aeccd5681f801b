package neural

import "math"

// Precision is how a network stores the weights of its layers and its embeddings. Biases and
// normalisations are float64 always.
type Precision uint8

// The precisions.
const (
	Float64 Precision = iota
	Float16           // IEEE 754 binary16, rounded to the nearest
	// a whole number from -127 to 127 times the step of its unit (of its row in an embedding), a
	// float32
	Int8
)

// String returns the name of the precision.
func (p Precision) String() string {
	switch p {
	case Float64:
		return "float64"
	case Float16:
		return "float16"
	case Int8:
		return "int8"
	}
	return "unknown"
}

// weights is a matrix in one of the precisions: full, half or codes with a step per row.
type weights struct {
	full  []float64
	half  []float32 // numbers that float16 has: converting them is cheap, unpacking float16 is not
	codes []int8
	steps []float32
	// up to this row, a multiple of lanes, the rows of lanes units are interleaved for the
	// kernels: column by column, a number of each
	wide int
}

// lanes is how many units a kernel sums at once.
const lanes = 16

// pack interleaves the rows where the processor has the kernels.
func (w *weights) pack(cols int) {
	if !vector || w.wide > 0 {
		return
	}
	rows := (len(w.full) + len(w.half) + len(w.codes)) / cols
	w.wide = rows / lanes * lanes
	w.full, w.half, w.codes = interleave(w.full, w.wide, cols, false), interleave(w.half, w.wide, cols, false), interleave(w.codes, w.wide, cols, false)
}

// interleave returns a copy with the rows of lanes units interleaved up to row wide, or back.
func interleave[T any](v []T, wide, cols int, back bool) []T {
	out := append([]T(nil), v...)
	if len(v) == 0 {
		return out
	}
	for u := range wide {
		for j := range cols {
			row, lane := u*cols+j, (u/lanes*cols+j)*lanes+u%lanes
			if back {
				out[row] = v[lane]
			} else {
				out[lane] = v[row]
			}
		}
	}
	return out
}

// plain returns w with its rows one after the other.
func (w *weights) plain(cols int) weights {
	return weights{
		full:  interleave(w.full, w.wide, cols, true),
		half:  interleave(w.half, w.wide, cols, true),
		codes: interleave(w.codes, w.wide, cols, true),
		steps: w.steps,
	}
}

func (w *weights) finite() bool {
	for _, v := range w.half {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	for _, v := range w.steps {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) || v < 0 {
			return false
		}
	}
	return finite(w.full)
}

// values returns a copy as float64, row by row; rows are cols wide.
func (w *weights) values(cols int) []float64 {
	p := w.plain(cols)
	out := p.full
	for _, v := range p.half {
		out = append(out, float64(v))
	}
	for i, q := range p.codes {
		out = append(out, float64(q)*float64(w.steps[i/cols])) // exact: 7 and 24 bits
	}
	return out
}

// row copies row i of a matrix that is not interleaved.
func (w *weights) row(dst []float64, i int) {
	from := i * len(dst)
	switch {
	case w.full != nil:
		copy(dst, w.full[from:])
	case w.half != nil:
		for j, v := range w.half[from : from+len(dst)] {
			dst[j] = float64(v)
		}
	default:
		step := float64(w.steps[i])
		for j, q := range w.codes[from : from+len(dst)] {
			dst[j] = float64(q) * step
		}
	}
}

// multiply writes bias + w·in into out for each of rows rows.
func (w *weights) multiply(out, in, bias []float64, rows int) {
	units, m := len(bias), len(in)/rows
	for u := 0; u < w.wide; u += lanes {
		for r := range rows {
			w.sums(out[r*units+u:][:lanes], in[r*m:(r+1)*m], bias[u:u+lanes], u)
		}
	}
	if w.wide == units {
		return
	}
	switch {
	case w.full != nil:
		dense(out, in, bias, w.full, w.wide, rows)
	case w.half != nil:
		for r := range rows {
			denseHalf(out[r*units:(r+1)*units], in[r*m:(r+1)*m], bias, w.half, w.wide)
		}
	default:
		for r := range rows {
			denseInt8(out[r*units:(r+1)*units], in[r*m:(r+1)*m], bias, w.codes, w.steps, w.wide)
		}
	}
}

var zeros [lanes]float64

// sums writes those of lanes units from u on into out.
func (w *weights) sums(out, in, bias []float64, u int) {
	at := u * len(in)
	switch {
	case w.full != nil:
		sums64(&out[0], &in[0], &w.full[at], &bias[0], len(in))
	case w.half != nil:
		sums32(&out[0], &in[0], &w.half[at], &bias[0], len(in))
	default:
		sums8(&out[0], &in[0], &w.codes[at], &zeros[0], len(in))
		for k, s := range out {
			out[k] = bias[k] + float64(float64(w.steps[u+k])*s)
		}
	}
}

// dense sums the units from u on. It goes over the weights once for all rows. Four units at a
// time share the loads of a row; each unit's sum still runs in the order of the inputs.
func dense(out, in, bias, w []float64, u, rows int) {
	units, m := len(bias), len(in)/rows
	for ; u+4 <= units; u += 4 {
		w0, w1, w2, w3 := w[u*m:][:m], w[(u+1)*m:][:m], w[(u+2)*m:][:m], w[(u+3)*m:][:m]
		for r := range rows {
			s0, s1, s2, s3 := bias[u], bias[u+1], bias[u+2], bias[u+3]
			for j, v := range in[r*m:][:m] {
				s0 += float64(w0[j] * v)
				s1 += float64(w1[j] * v)
				s2 += float64(w2[j] * v)
				s3 += float64(w3[j] * v)
			}
			o := out[r*units+u:][:4]
			o[0], o[1], o[2], o[3] = s0, s1, s2, s3
		}
	}
	for ; u < units; u++ {
		row := w[u*m:][:m]
		for r := range rows {
			s := bias[u]
			for j, v := range in[r*m:][:m] {
				s += float64(row[j] * v)
			}
			out[r*units+u] = s
		}
	}
}

func denseHalf(out, in, bias []float64, w []float32, u int) {
	m := len(in)
	for ; u+4 <= len(out); u += 4 {
		w0, w1, w2, w3 := w[u*m:][:m], w[(u+1)*m:][:m], w[(u+2)*m:][:m], w[(u+3)*m:][:m]
		s0, s1, s2, s3 := bias[u], bias[u+1], bias[u+2], bias[u+3]
		for j, v := range in {
			s0 += float64(float64(w0[j]) * v)
			s1 += float64(float64(w1[j]) * v)
			s2 += float64(float64(w2[j]) * v)
			s3 += float64(float64(w3[j]) * v)
		}
		out[u], out[u+1], out[u+2], out[u+3] = s0, s1, s2, s3
	}
	for ; u < len(out); u++ {
		s := bias[u]
		for j, v := range w[u*m:][:m] {
			s += float64(float64(v) * in[j])
		}
		out[u] = s
	}
}

// denseInt8 sums the codes times the inputs and applies the step once.
func denseInt8(out, in, bias []float64, w []int8, steps []float32, u int) {
	m := len(in)
	for ; u+4 <= len(out); u += 4 {
		w0, w1, w2, w3 := w[u*m:][:m], w[(u+1)*m:][:m], w[(u+2)*m:][:m], w[(u+3)*m:][:m]
		var s0, s1, s2, s3 float64
		for j, v := range in {
			s0 += float64(float64(w0[j]) * v)
			s1 += float64(float64(w1[j]) * v)
			s2 += float64(float64(w2[j]) * v)
			s3 += float64(float64(w3[j]) * v)
		}
		out[u] = bias[u] + float64(float64(steps[u])*s0)
		out[u+1] = bias[u+1] + float64(float64(steps[u+1])*s1)
		out[u+2] = bias[u+2] + float64(float64(steps[u+2])*s2)
		out[u+3] = bias[u+3] + float64(float64(steps[u+3])*s3)
	}
	for ; u < len(out); u++ {
		s := 0.0
		for j, q := range w[u*m:][:m] {
			s += float64(float64(q) * in[j])
		}
		out[u] = bias[u] + float64(float64(steps[u])*s)
	}
}

// toHalf returns the nearest float16, ties to even; what is too large becomes the largest.
func toHalf(v float64) uint16 {
	sign := uint16(0)
	if math.Signbit(v) {
		sign, v = 0x8000, -v
	}
	if v == 0 {
		return sign
	}
	v = min(v, 65504)
	_, e := math.Frexp(v) // v = f·2^e, f in [1/2, 1)
	e = max(e-1, -14)     // subnormal numbers share the smallest exponent
	n := int(math.RoundToEven(math.Ldexp(v, 10-e)))
	return sign | uint16(n+(e+14)<<10) // a normal n carries 1<<10, which counts as exponent
}

// fromHalf is the value of a float16; exponent 31 gives infinities and NaN.
func fromHalf(h uint16) float32 {
	e, n := int(h>>10&31), int(h&1023)
	var v float64
	switch {
	case e == 31 && n != 0:
		v = math.NaN()
	case e == 31:
		v = math.Inf(1)
	case e == 0:
		v = math.Ldexp(float64(n), -24)
	default:
		v = math.Ldexp(float64(n+1024), e-25)
	}
	if h&0x8000 != 0 {
		v = -v
	}
	return float32(v)
}
