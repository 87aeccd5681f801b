package drift

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// SEED keeps a window of blocks and drops its older part when the means of the two sides of a
// block boundary differ by more than chance allows, with ADWIN's bound; neighbouring blocks with
// like means are merged, the older the readier. After Huang, Koh, Dobbie and Pears, "Detecting
// Volatility Shift in Data Streams", ICDM 2014, in the form of MOA. Values should lie in [0, 1],
// on which Epsilon is measured. It checks once per block, at a cost and in memory that grow with
// the number of blocks, most often below 200 and never above 512. Use NewSEED.
type SEED struct {
	// Delta is the confidence, Block the number of values in a block.
	Delta float64
	Block int64
	// Neighbours are merged, once every Term blocks, when their means differ by less than
	// Epsilon·Growth times their number from the newest.
	Epsilon, Growth float64
	Term            int64

	seedState
	blocks []seedBlock // oldest first
}

type seedBlock struct {
	n, capacity     int64
	total, variance float64
}

type seedState struct {
	seen, width     int64
	total, variance float64
	added           int64 // blocks since the last merge
	strange         int64 // strange values in a row
}

// maxSeedBlocks bounds the memory where values leave [0, 1] and nothing merges: then the two
// oldest blocks do.
const maxSeedBlocks = 512

// NewSEED returns a detector with delta 0.05, blocks of 32 values, epsilon 0.01, growth 0.8 and a
// merge every 75 blocks.
func NewSEED() *SEED { return &SEED{Delta: 0.05, Block: 32, Epsilon: 0.01, Growth: 0.8, Term: 75} }

// Width returns the number of values in the window.
func (d *SEED) Width() int64 { return d.width }

// Update implements Detector.
func (d *SEED) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if strange(x, float64(d.width), d.total, d.variance) {
		if d.strange++; d.strange < maxStrange {
			return false
		}
		d.seedState, d.blocks = seedState{}, d.blocks[:0]
		return true
	}
	d.strange = 0
	d.insert(x)
	d.seen++
	return d.seen%d.Block == 0 && len(d.blocks) >= 2 && d.cut()
}

func (d *SEED) insert(x float64) {
	last := len(d.blocks) - 1
	if last < 0 || d.blocks[last].n == d.blocks[last].capacity {
		if last >= 0 {
			if last > 0 && d.added > d.Term {
				d.merge()
			}
			d.added++
		}
		if len(d.blocks) == maxSeedBlocks {
			d.join(1)
		}
		d.blocks = append(d.blocks, seedBlock{capacity: d.Block})
		last = len(d.blocks) - 1
	}
	b := &d.blocks[last]
	b.n++
	b.total += x
	d.total += x
	d.width++
	if d.width >= 2 {
		n := float64(d.width)
		v := x - d.total/(n-1) // the total with x in it over n-1, as in the reference
		v = float64(float64((n-1)*v)*v) / n
		d.variance += v
		b.variance += v
	}
}

// merge joins neighbours that are alike, from the newest on.
func (d *SEED) merge() {
	d.added = 0
	epsilon := 0.0
	for k := len(d.blocks) - 1; k > 0; k-- {
		a, b := &d.blocks[k-1], &d.blocks[k]
		epsilon += float64(d.Epsilon * d.Growth)
		if math.Abs(a.total/float64(a.n)-b.total/float64(b.n)) < epsilon {
			d.join(k)
		}
	}
}

// join adds block k to the one before it.
func (d *SEED) join(k int) {
	a, b := &d.blocks[k-1], &d.blocks[k]
	a.n, a.capacity, a.total, a.variance = a.n+b.n, a.capacity+b.capacity, a.total+b.total, a.variance+b.variance
	d.blocks = append(d.blocks[:k], d.blocks[k+1:]...)
}

// cut looks for a boundary that shows a change, from the newest on, and drops the older side of
// the first.
func (d *SEED) cut() bool {
	n0, n1 := d.width, int64(0)
	u0, u1 := d.total, 0.0
	confidence := exact.Log(2 * exact.Log(float64(d.width)) / d.Delta)
	spread := d.variance / float64(d.width)
	for k := len(d.blocks) - 1; k > 0; k-- {
		b := &d.blocks[k]
		n0, n1 = n0-b.n, n1+b.n
		u0, u1 = u0-b.total, u1+b.total
		m := 1/float64(n0) + 1/float64(n1)
		epsilon := math.Sqrt(float64(2*m*spread)*confidence) + float64(2.0/3.0*confidence*m)
		if math.Abs(u1/float64(n1)-u0/float64(n0)) > epsilon {
			d.keep(k)
			return true
		}
	}
	return false
}

// keep drops the blocks before k and sums up the others anew, so that a value that dwarfed them
// leaves no rounding error behind.
func (d *SEED) keep(k int) {
	d.blocks = append(d.blocks[:0], d.blocks[k:]...)
	d.width, d.total, d.variance = 0, 0, 0
	for _, b := range d.blocks {
		d.width += b.n
		d.total += b.total
		d.variance += b.variance
	}
}

// Save implements Detector.
func (d *SEED) Save(w *state.Writer) {
	w.Int(d.seen)
	w.Int(d.width)
	w.Float(d.total)
	w.Float(d.variance)
	w.Int(d.added)
	w.Int(d.strange)
	w.Int(int64(len(d.blocks)))
	for _, b := range d.blocks {
		w.Int(b.n)
		w.Int(b.capacity)
		w.Float(b.total)
		w.Float(b.variance)
	}
}

// Load implements Detector.
func (d *SEED) Load(r *state.Reader) {
	s := seedState{
		seen:     r.Int(),
		width:    r.Int(),
		total:    r.Float(),
		variance: r.Float(),
		added:    r.Int(),
		strange:  r.Int(),
	}
	n := r.Len(32)
	need(r, n <= maxSeedBlocks)
	if r.Err() != nil {
		return
	}
	blocks := make([]seedBlock, n)
	width := int64(0)
	for i := range blocks {
		b := seedBlock{n: r.Int(), capacity: r.Int(), total: r.Float(), variance: r.Float()}
		need(r, b.n >= 1 && b.n <= b.capacity && b.capacity <= 1<<48 && bounded(b.total, b.variance) && b.variance >= 0)
		blocks[i] = b
		width += b.n
	}
	need(r, counted(s.seen, s.added, s.strange) && s.strange < maxStrange && width == s.width && bounded(s.total, s.variance) && s.variance >= 0)
	if r.Err() == nil {
		d.seedState, d.blocks = s, blocks
	}
}
