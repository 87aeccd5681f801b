package neural

import "math"

// Precision is how a network stores the weights of its layers and its embeddings. Biases and normalisations are float64 always.
type Precision uint8

// The precisions.
const (
	Float64 Precision = iota
	Float16           // IEEE 754 binary16, rounded to the nearest
	Int8              // a whole number from -127 to 127 times the step of its unit (of its row in an embedding), a float32
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

// values returns a copy as float64; rows are cols wide.
func (w *weights) values(cols int) []float64 {
	out := append([]float64(nil), w.full...)
	for _, v := range w.half {
		out = append(out, float64(v))
	}
	for i, q := range w.codes {
		out = append(out, float64(q)*float64(w.steps[i/cols])) // exact: 7 and 24 bits
	}
	return out
}

// row copies row i.
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
	units, cols := len(bias), len(in)/rows
	switch {
	case w.full != nil:
		dense(out, in, bias, w.full, rows)
	case w.half != nil:
		for r := range rows {
			denseHalf(out[r*units:(r+1)*units], in[r*cols:(r+1)*cols], bias, w.half)
		}
	default:
		for r := range rows {
			denseInt8(out[r*units:(r+1)*units], in[r*cols:(r+1)*cols], bias, w.codes, w.steps)
		}
	}
}

// dense goes over the weights once for all rows. Four units at a time share the loads of a row; each unit's sum still runs in the order of the inputs.
func dense(out, in, bias, w []float64, rows int) {
	units, m := len(bias), len(in)/rows
	u := 0
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

func denseHalf(out, in, bias []float64, w []float32) {
	m := len(in)
	u := 0
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
func denseInt8(out, in, bias []float64, w []int8, steps []float32) {
	m := len(in)
	u := 0
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
