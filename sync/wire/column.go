package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// columns writes one column after the other. Integers are zigzag varints of second differences
// from the previous value (event times at a steady rate become zeros), floats are raw
// little-endian bits in eight byte planes, and strings are dictionary indices behind the
// dictionary.
type columns struct {
	b    []byte
	text int // bytes of the strings so far
	err  error
}

func (w *columns) ints(n int, at func(int) int64) {
	var prev, step int64
	for i := range n {
		v := at(i)
		d := v - prev
		w.b = binary.AppendVarint(w.b, d-step)
		prev, step = v, d
	}
}

func (w *columns) floats(n int, at func(int) float64) {
	start := len(w.b)
	w.b = append(w.b, make([]byte, 8*n)...)
	planes := w.b[start:]
	for i := range n {
		bits := math.Float64bits(at(i))
		for p := range 8 {
			planes[p*n+i] = byte(bits >> (8 * p))
		}
	}
}

func (w *columns) strings(n int, at func(int) string) {
	index := make(map[string]uint64, 8)
	var dict []string
	ids := make([]byte, 0, n)
	for i := range n {
		s := at(i)
		if w.text += len(s); w.text > maxTextBytes {
			w.err = fmt.Errorf("strings of more than %d bytes", maxTextBytes)
			return
		}
		id, ok := index[s]
		if !ok {
			if len(s) > maxStringBytes || !utf8.ValidString(s) {
				w.err = fmt.Errorf("string of %d bytes: must be UTF-8 and at most %d bytes", len(s), maxStringBytes)
				return
			}
			id = uint64(len(dict))
			index[s] = id
			dict = append(dict, s)
		}
		ids = binary.AppendUvarint(ids, id)
	}
	w.b = binary.AppendUvarint(w.b, uint64(len(dict)))
	for _, s := range dict {
		w.b = binary.AppendUvarint(w.b, uint64(len(s)))
		w.b = append(w.b, s...)
	}
	w.b = append(w.b, ids...)
}

func (w *columns) records(c Class, r *Records) {
	switch c {
	case ClassReading:
		rs := r.Readings
		w.strings(len(rs), func(i int) string { return rs[i].Series })
		w.ints(len(rs), func(i int) int64 { return rs[i].Time })
		w.floats(len(rs), func(i int) float64 { return rs[i].Value })
		w.ints(len(rs), func(i int) int64 { return rs[i].Mono })
		w.ints(len(rs), func(i int) int64 { return int64(rs[i].Flags) })
	case ClassLabel:
		ls := r.Labels
		w.strings(len(ls), func(i int) string { return ls[i].Task })
		w.ints(len(ls), func(i int) int64 { return ls[i].Row })
		w.ints(len(ls), func(i int) int64 { return ls[i].At })
		for _, at := range labelFloats {
			w.floats(len(ls), func(i int) float64 { return *at(&ls[i]) })
		}
		w.strings(len(ls), func(i int) string { return ls[i].ChampionID })
		w.strings(len(ls), func(i int) string { return ls[i].ShadowID })
	case ClassPrediction:
		ps := r.Predictions
		w.strings(len(ps), func(i int) string { return ps[i].Task })
		w.ints(len(ps), func(i int) int64 { return ps[i].Row })
		w.ints(len(ps), func(i int) int64 { return ps[i].For })
		w.floats(len(ps), func(i int) float64 { return ps[i].Value })
		w.floats(len(ps), func(i int) float64 { return ps[i].Lower })
		w.floats(len(ps), func(i int) float64 { return ps[i].Upper })
		w.strings(len(ps), func(i int) string { return ps[i].Model })
	case ClassHost:
		hs := r.Hosts
		w.ints(len(hs), func(i int) int64 { return hs[i].Time })
		w.strings(len(hs), func(i int) string { return hs[i].Metric })
		w.floats(len(hs), func(i int) float64 { return hs[i].Value })
	default:
		es := r.Events
		w.ints(len(es), func(i int) int64 { return es[i].Time })
		w.strings(len(es), func(i int) string { return es[i].Kind })
		w.strings(len(es), func(i int) string { return es[i].Task })
		w.strings(len(es), func(i int) string { return es[i].Detail })
	}
}

// labelFloats are the float columns of a label in their order on the wire.
var labelFloats = [...]func(*Label) *float64{
	func(l *Label) *float64 { return &l.Truth },
	func(l *Label) *float64 { return &l.Predicted },
	func(l *Label) *float64 { return &l.Lower },
	func(l *Label) *float64 { return &l.Upper },
	func(l *Label) *float64 { return &l.Persistence },
	func(l *Label) *float64 { return &l.Champion },
	func(l *Label) *float64 { return &l.Candidate },
	func(l *Label) *float64 { return &l.BaselineLo },
	func(l *Label) *float64 { return &l.BaselineHi },
}

// classes writes the columns that chunks of version 2 have after the others.
func (w *columns) classes(c Class, r *Records) {
	if c == ClassLabel {
		ls := r.Labels
		w.ints(len(ls), func(i int) int64 { return int64(ls[i].Classes) })
		for _, at := range labelChances {
			w.floats(len(ls), func(i int) float64 { return *at(&ls[i]) })
		}
		w.ints(len(ls), func(i int) int64 {
			if ls[i].Covered {
				return 2*int64(ls[i].SetSize) + 1
			}
			return 2 * int64(ls[i].SetSize)
		})
		return
	}
	ps := r.Predictions
	w.ints(len(ps), func(i int) int64 { return int64(len(ps[i].Chances)) })
	var chances []float32
	var set []byte
	for i := range ps {
		if len(ps[i].Set) != len(ps[i].Chances) || len(ps[i].Set) > MaxClasses {
			w.err = fmt.Errorf("%d probabilities and %d classes of a set, must be as many and at most %d", len(ps[i].Chances), len(ps[i].Set), MaxClasses)
			return
		}
		for c, v := range ps[i].Chances {
			n := len(chances)
			if n%8 == 0 {
				set = append(set, 0)
			}
			if ps[i].Set[c] {
				set[n/8] |= 1 << (n % 8)
			}
			chances = append(chances, v)
		}
	}
	start := len(w.b)
	w.b = append(w.b, make([]byte, 4*len(chances))...)
	for i, v := range chances {
		bits := math.Float32bits(v)
		for p := range 4 {
			w.b[start+p*len(chances)+i] = byte(bits >> (8 * p))
		}
	}
	w.b = append(w.b, set...)
}

// labelChances are the probabilities of a label in their order on the wire.
var labelChances = [...]func(*Label) *float64{
	func(l *Label) *float64 { return &l.Chance },
	func(l *Label) *float64 { return &l.ChanceOf.Champion },
	func(l *Label) *float64 { return &l.ChanceOf.Candidate },
	func(l *Label) *float64 { return &l.ChanceOf.Baseline },
}

// columnReader is the inverse of columns. After the first error every method does nothing.
type columnReader struct {
	b    []byte
	n    int
	text int // bytes of the strings so far
	err  error
}

var errShort = errors.New("column ends early")

func (r *columnReader) ints(set func(int, int64)) {
	var prev, step int64
	for i := range r.n {
		d, k := binary.Varint(r.b)
		if r.err != nil || k <= 0 {
			r.fail(errShort)
			return
		}
		r.b = r.b[k:]
		step += d
		prev += step
		set(i, prev)
	}
}

func (r *columnReader) floats(set func(int, float64)) {
	if r.err != nil || len(r.b) < 8*r.n {
		r.fail(errShort)
		return
	}
	for i := range r.n {
		var bits uint64
		for p := range 8 {
			bits |= uint64(r.b[p*r.n+i]) << (8 * p)
		}
		set(i, math.Float64frombits(bits))
	}
	r.b = r.b[8*r.n:]
}

func (r *columnReader) uvarint(limit uint64) uint64 {
	v, k := binary.Uvarint(r.b)
	if r.err != nil || k <= 0 {
		r.fail(errShort)
		return 0
	}
	if v > limit {
		r.fail(fmt.Errorf("number %d above its limit %d", v, limit))
		return 0
	}
	r.b = r.b[k:]
	return v
}

func (r *columnReader) strings(set func(int, string)) {
	dict := make([]string, r.uvarint(uint64(r.n)))
	for i := range dict {
		n := int(r.uvarint(maxStringBytes))
		if r.err != nil || len(r.b) < n {
			r.fail(errShort)
			return
		}
		if !utf8.Valid(r.b[:n]) {
			r.fail(errors.New("string is not UTF-8"))
			return
		}
		dict[i] = strings.Clone(string(r.b[:n]))
		r.b = r.b[n:]
	}
	if r.err == nil && len(dict) == 0 {
		r.fail(errors.New("empty dictionary"))
	}
	for i := range r.n {
		id := r.uvarint(uint64(max(len(dict), 1) - 1))
		if r.err != nil {
			return
		}
		if r.text += len(dict[id]); r.text > maxTextBytes {
			r.fail(fmt.Errorf("strings of more than %d bytes", maxTextBytes))
			return
		}
		set(i, dict[id])
	}
}

func (r *columnReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *columnReader) records(c Class) *Records {
	out := new(Records)
	switch c {
	case ClassReading:
		rs := make([]Reading, r.n)
		out.Readings = rs
		r.strings(func(i int, s string) { rs[i].Series = s })
		r.ints(func(i int, v int64) { rs[i].Time = v })
		r.floats(func(i int, v float64) { rs[i].Value = v })
		r.ints(func(i int, v int64) { rs[i].Mono = v })
		r.ints(func(i int, v int64) { rs[i].Flags = Flags(v) })
	case ClassLabel:
		ls := make([]Label, r.n)
		out.Labels = ls
		r.strings(func(i int, s string) { ls[i].Task = s })
		r.ints(func(i int, v int64) { ls[i].Row = v })
		r.ints(func(i int, v int64) { ls[i].At = v })
		for _, at := range labelFloats {
			r.floats(func(i int, v float64) { *at(&ls[i]) = v })
		}
		r.strings(func(i int, s string) { ls[i].ChampionID = s })
		r.strings(func(i int, s string) { ls[i].ShadowID = s })
	case ClassPrediction:
		ps := make([]Prediction, r.n)
		out.Predictions = ps
		r.strings(func(i int, s string) { ps[i].Task = s })
		r.ints(func(i int, v int64) { ps[i].Row = v })
		r.ints(func(i int, v int64) { ps[i].For = v })
		r.floats(func(i int, v float64) { ps[i].Value = v })
		r.floats(func(i int, v float64) { ps[i].Lower = v })
		r.floats(func(i int, v float64) { ps[i].Upper = v })
		r.strings(func(i int, s string) { ps[i].Model = s })
	case ClassHost:
		hs := make([]Host, r.n)
		out.Hosts = hs
		r.ints(func(i int, v int64) { hs[i].Time = v })
		r.strings(func(i int, s string) { hs[i].Metric = s })
		r.floats(func(i int, v float64) { hs[i].Value = v })
	default:
		es := make([]Event, r.n)
		out.Events = es
		r.ints(func(i int, v int64) { es[i].Time = v })
		r.strings(func(i int, s string) { es[i].Kind = s })
		r.strings(func(i int, s string) { es[i].Task = s })
		r.strings(func(i int, s string) { es[i].Detail = s })
	}
	return out
}

// classes is the inverse of that of columns.
func (r *columnReader) classes(c Class, out *Records) {
	wrong := func() { r.fail(fmt.Errorf("a number of classes that is not 0 to %d", MaxClasses)) }
	if c == ClassLabel {
		ls := out.Labels
		r.ints(func(i int, v int64) {
			if ls[i].Classes = int(v); v < 0 || v > MaxClasses {
				wrong()
			}
		})
		for _, at := range labelChances {
			r.floats(func(i int, v float64) { *at(&ls[i]) = v })
		}
		r.ints(func(i int, v int64) {
			if ls[i].SetSize, ls[i].Covered = int(v>>1), v&1 == 1; v < 0 || v>>1 > MaxClasses {
				wrong()
			}
		})
		return
	}
	ps, n := out.Predictions, 0
	r.ints(func(i int, v int64) {
		if v < 0 || v > MaxClasses {
			wrong()
			return
		}
		if v > 0 {
			ps[i].Chances, ps[i].Set = make([]float32, v), make([]bool, v)
		}
		n += int(v)
	})
	if size := 4*n + (n+7)/8; r.err != nil || len(r.b) < size {
		r.fail(errShort)
		return
	}
	set, at := r.b[4*n:], 0
	for i := range ps {
		for c := range ps[i].Chances {
			var bits uint32
			for p := range 4 {
				bits |= uint32(r.b[p*n+at]) << (8 * p)
			}
			ps[i].Chances[c] = math.Float32frombits(bits)
			ps[i].Set[c] = set[at/8]>>(at%8)&1 == 1
			at++
		}
	}
	r.b = r.b[4*n+(n+7)/8:]
}
