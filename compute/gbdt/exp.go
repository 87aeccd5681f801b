package gbdt

import "math"

// blockRows is how many rows are taken at a time where the processor's vectors help: few enough
// that their numbers stay in its first cache.
const blockRows = 256

// expAll replaces each value by exp of it.
func expAll(x []float64) {
	n := 0
	if hasVectors && len(x) >= 4 {
		n = len(x) &^ 3
		expVector(x[:n])
	}
	for k, v := range x[n:] {
		x[n+k] = exp(v)
	}
}

// packLogistic writes the packed gradients of the log loss of two classes.
func packLogistic(dst []int64, score, y, weight []float64, p *packer) {
	n := 0
	if hasVectors && len(dst) >= 4 {
		n = len(dst) &^ 3
		packLogisticVector(dst[:n], score, y, weight, p)
	}
	for k := n; k < len(dst); k++ {
		w, q := weight[k], 1/(1+exp(-score[k]))
		dst[k] = p.pack(float64(w*(q-y[k])), float64(w*float64(q*(1-q))))
	}
}

// exp is e to the x for gradients: the same bits on every architecture, a relative error below
// 2e-11, and without a branch but the clamp to ±700. Gradients are rounded to far less. x = (32k +
// j)·ln 2/32 + r: a table of 2^(j/32), a polynomial in r, and k added to the exponent.
func exp(x float64) float64 {
	x = min(max(x, -700), 700)
	n := float64(x*(32/math.Ln2)) + roundMagic
	k := int64(math.Float64bits(n)) - 0x4338000000000000
	m := n - roundMagic
	r := x - float64(m*(math.Ln2/32))
	p := 1 + float64(r*(1+float64(r*(1.0/2+float64(r*(1.0/6+float64(r*(1.0/24))))))))
	return math.Float64frombits(uint64(int64(math.Float64bits(float64(exp2Table[k&31]*p))) + k>>5<<52))
}

// exp2Table holds 2^(j/32), each rounded to the nearest float64.
var exp2Table = [32]float64{
	1.0, 1.0218971486541166, 1.0442737824274138, 1.0671404006768237, 1.0905077326652577, 1.1143867425958924, 1.1387886347566916, 1.1637248587775775,
	1.189207115002721, 1.215247359980469, 1.241857812073484, 1.2690509571917332, 1.2968395546510096, 1.3252366431597413, 1.3542555469368927, 1.383909881963832,
	1.4142135623730951, 1.4451808069770467, 1.4768261459394993, 1.5091644275934228, 1.5422108254079407, 1.5759808451078865, 1.6104903319492543, 1.645755478153965,
	1.681792830507429, 1.718619298122478, 1.7562521603732995, 1.7947090750031072, 1.8340080864093424, 1.8741676341103, 1.9152065613971474, 1.9571441241754002,
}
