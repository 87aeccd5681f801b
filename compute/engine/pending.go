package engine

import (
	"math"

	"skerry.dev/compute/conformal"
	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// pending is a prediction that waits for its label, with everything learning needs later.
type pending struct {
	row, due            int64
	epoch               int64
	done                bool
	shadowBad           bool
	champ               float64
	value, lower, upper float64
	issue               conformal.Issue
	origin, last        float64
	shadow              float64
	baseLo, baseHi      float64
	why                 [online.SpreadInputs]float64
	x, out              []float64 // inputs of the local learners; the experts' predictions

	// of more than two classes: the probabilities that were published and the candidate's, and the
	// largest score of a class of the set; last is the newest label then
	said, tried []float64
	limit       float64
}

// pendings is a queue that reuses its entries.
type pendings struct {
	buf     []pending
	head, n int
	width   int // of x
	room    int // of out
	classes int // when more than two, else 0
	most    int // that wait
}

// classBytes bounds the predictions of many classes that wait for their label, which are large.
const classBytes = 16 << 20

func (q *pendings) init(width, room, classes int) {
	q.width, q.room, q.classes, q.most = width, room, classes, MaxPending
	if classes > 0 {
		q.most = min(q.most, classBytes/(8*(width+room+2*classes)))
	}
}

func (q *pendings) at(i int) *pending { return &q.buf[(q.head+i)%len(q.buf)] }

func (q *pendings) push() *pending {
	if q.n == len(q.buf) {
		grown := make([]pending, max(4, 2*len(q.buf)))
		for i := range q.n {
			grown[i] = *q.at(i)
		}
		for i := q.n; i < len(grown); i++ {
			grown[i].x, grown[i].out = make([]float64, q.width), make([]float64, q.room)
			if q.classes > 0 {
				grown[i].said, grown[i].tried = make([]float64, q.classes), make([]float64, q.classes)
			}
		}
		q.buf, q.head = grown, 0
	}
	q.n++
	return q.at(q.n - 1)
}

// thin gives up every second of the older half, so that those that wait longest are the sparsest:
// whatever the horizon is in rows, some of them meet their label. It returns how many were given up.
func (q *pendings) thin() int {
	half, kept := q.n/2, 0
	for i := range q.n {
		if i < half && i%2 == 1 {
			continue
		}
		a, b := (q.head+kept)%len(q.buf), (q.head+i)%len(q.buf)
		q.buf[a], q.buf[b] = q.buf[b], q.buf[a]
		kept++
	}
	gone := q.n - kept
	q.n = kept
	return gone
}

func (q *pendings) pop() {
	q.head = (q.head + 1) % len(q.buf)
	q.n--
}

func (p *pending) floats() []*float64 {
	f := []*float64{&p.value, &p.lower, &p.upper, &p.issue.Expected.Below, &p.issue.Expected.Above, &p.origin, &p.last, &p.shadow, &p.baseLo, &p.baseHi, &p.champ}
	for i := range p.why {
		f = append(f, &p.why[i])
	}
	return f
}

// ways are the numbers of a pending's intervals that snapshots before version 6 do not have.
func (p *pending) ways() []*float64 {
	i := &p.issue
	f := []*float64{&i.Typical, &i.Issued.Below, &i.Issued.Above}
	for k := range i.Made {
		f = append(f, &i.Made[k].Below, &i.Made[k].Above)
	}
	return f
}

func (q *pendings) save(w *state.Writer) {
	w.Int(int64(q.n))
	for i := range q.n {
		p := q.at(i)
		w.Int(p.row)
		w.Int(p.due)
		w.Int(p.epoch)
		w.Bool(p.done)
		w.Bool(p.shadowBad)
		for _, f := range append(p.floats(), p.ways()...) {
			w.Float(*f)
		}
		w.Floats(p.x)
		w.Floats(p.out)
		if q.classes > 0 {
			w.Float(p.limit)
			w.Floats(p.said)
			w.Floats(p.tried)
		}
	}
}

// load restores what a version saved, whose out had room for so many numbers.
func (q *pendings) load(r *state.Reader, version int64, room int) {
	n := r.Len(8 * (5 + 11 + online.SpreadInputs + 2 + q.width + room))
	if n > q.most {
		r.Fail()
		return
	}
	q.buf, q.head, q.n = nil, 0, 0
	for range n {
		p := q.push()
		p.row, p.due, p.epoch, p.done, p.shadowBad = r.Int(), r.Int(), r.Int(), r.Bool(), r.Bool()
		floats := p.floats()
		if version > oneInterval {
			floats = append(floats, p.ways()...)
		}
		for _, f := range floats {
			*f = r.Float()
		}
		r.FloatsInto(p.x)
		r.FloatsInto(p.out[:room])
		for i := room; i < len(p.out); i++ {
			p.out[i] = math.NaN()
		}
		if q.classes > 0 {
			p.limit = r.Float()
			r.FloatsInto(p.said)
			r.FloatsInto(p.tried)
		}
	}
}
