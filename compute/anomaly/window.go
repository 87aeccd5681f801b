package anomaly

import (
	"math"

	"skerry.dev/compute/state"
)

// window is the newest rows of a stream, missing values as NaN.
type window struct {
	size, width int
	rows        []float64 // width each
	next        int       // the oldest row, once the window is full
}

func newWindow(size, width int) window { return window{size: size, width: width} }

func (w *window) len() int { return len(w.rows) / w.width }

// row returns one of the rows, in the order in which they lie.
func (w *window) row(i int) []float64 { return w.rows[i*w.width : (i+1)*w.width] }

// add copies a row, cleaned, in place of the oldest.
func (w *window) add(x []float64) {
	if w.len() < w.size {
		for range w.width {
			w.rows = append(w.rows, 0)
		}
		clean(w.row(w.len()-1), x)
		return
	}
	clean(w.row(w.next), x)
	if w.next++; w.next == w.size {
		w.next = 0
	}
}

// clear forgets the rows and keeps their room.
func (w *window) clear() { w.rows, w.next = w.rows[:0], 0 }

// clean writes x to dst with every value bounded and NaN for those that are missing.
func clean(dst, x []float64) {
	for j, v := range x[:len(dst)] {
		b, ok := bounded(v)
		if !ok {
			b = math.NaN()
		}
		dst[j] = b
	}
}

func (w *window) bytes() int { return 8 * cap(w.rows) }

func (w *window) save(out *state.Writer) {
	out.Int(int64(w.next))
	out.Floats(w.rows)
}

func (w *window) load(r *state.Reader) {
	w.next = int(r.Int())
	w.rows = r.Floats()
	n := w.len()
	if len(w.rows)%w.width != 0 || n > w.size || w.next < 0 || w.next >= max(w.size, 1) || n < w.size && w.next != 0 {
		r.Fail()
		w.rows, w.next = nil, 0
	}
	for _, v := range w.rows {
		if !math.IsNaN(v) && !(math.Abs(v) <= maxMagnitude) {
			r.Fail()
			w.rows, w.next = nil, 0
			return
		}
	}
}
