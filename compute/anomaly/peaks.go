package anomaly

import (
	"math"

	"skerry.dev/compute/state"
)

// peaks reports whether a number is larger than each of the last size numbers. It keeps those that
// may still matter, largest first; amortised it costs a comparison or two.
type peaks struct {
	size int
	n    int64 // numbers taken
	rows []peak
}

type peak struct {
	row int64
	v   float64
}

func newPeaks(size int) peaks { return peaks{size: size, rows: make([]peak, 0, size+1)} }

// add takes a number and reports whether it is above zero and a new peak.
func (p *peaks) add(v float64) bool {
	old := 0
	for old < len(p.rows) && p.rows[old].row < p.n-int64(p.size) {
		old++
	}
	p.rows = append(p.rows[:0], p.rows[old:]...)
	top := v > 0 && (len(p.rows) == 0 || v > p.rows[0].v)
	for len(p.rows) > 0 && p.rows[len(p.rows)-1].v <= v {
		p.rows = p.rows[:len(p.rows)-1]
	}
	if p.size > 0 {
		p.rows = append(p.rows, peak{p.n, v})
	}
	p.n++
	return top
}

func (p *peaks) bytes() int { return 16 * cap(p.rows) }

func (p *peaks) save(w *state.Writer) {
	w.Int(p.n)
	w.Int(int64(len(p.rows)))
	for _, q := range p.rows {
		w.Int(q.row)
		w.Float(q.v)
	}
}

func (p *peaks) load(r *state.Reader) {
	p.n = r.Int()
	n := r.Len(16)
	if n > p.size || !counted(p.n) {
		r.Fail()
		p.n, n = 0, 0
	}
	p.rows = p.rows[:0]
	for range n {
		q := peak{r.Int(), r.Float()}
		if k := len(p.rows); !(math.Abs(q.v) <= math.MaxFloat64) || q.row < 0 || q.row >= p.n || k > 0 && (q.row <= p.rows[k-1].row || q.v >= p.rows[k-1].v) {
			r.Fail()
			return
		}
		p.rows = append(p.rows, q)
	}
}
