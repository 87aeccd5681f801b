package sequential

import (
	"errors"
	"math"
	"slices"

	"skerry.dev/compute/state"
)

// MaxBlocks is how many blocks of event time losses are kept in.
const MaxBlocks = 32

// Block is the sum of the paired losses of the rows in a stretch of event time.
type Block struct {
	Rows      float64 `json:"n"`
	Incumbent float64 `json:"i"`
	Diff      float64 `json:"d"` // candidate less incumbent
}

func (b *Block) add(o Block) {
	b.Rows += o.Rows
	b.Incumbent += o.Incumbent
	b.Diff += o.Diff
}

// Scale makes the block count for a share of its rows.
func (b *Block) Scale(share float64) {
	b.Rows, b.Incumbent, b.Diff = share*b.Rows, share*b.Incumbent, share*b.Diff
}

// Blocks are paired losses by their rows' event time: at most MaxBlocks stretches of one length, one
// behind the other. When a row lies beyond them they join by two and are twice as long, at
// boundaries that are the same wherever they are kept, so that blocks of several devices add up.
// What lasts from row to row, and what devices have in common, is so in the variance of the sums.
// The zero value is ready. It is not safe for concurrent use.
type Blocks struct {
	Length int64   `json:"length_us,omitempty"` // a millisecond times a power of two, 0 before a row
	First  int64   `json:"first,omitempty"`     // the first block begins at First · Length
	Sums   []Block `json:"blocks,omitempty"`
}

// firstLength is the length of blocks before they join, microseconds.
const firstLength = 1000

// maxLength bounds it: some 280,000 years.
const maxLength = int64(firstLength) << 53

// Add adds a pair of losses of a row at t, microseconds.
func (b *Blocks) Add(t int64, incumbent, candidate float64) {
	if b.Length == 0 {
		b.Length = firstLength
	}
	b.reach(t).add(Block{1, incumbent, candidate - incumbent})
}

// reach returns the block of a time, which is made.
func (b *Blocks) reach(t int64) *Block {
	k := floorDiv(t, b.Length)
	if len(b.Sums) == 0 {
		b.First, b.Sums = k, append(b.Sums[:0], Block{})
	}
	for k-b.First >= MaxBlocks || b.First+int64(len(b.Sums))-k > MaxBlocks {
		b.join()
		k = floorDiv(t, b.Length)
	}
	if k < b.First {
		sums := make([]Block, b.First-k, MaxBlocks)
		b.First, b.Sums = k, append(sums, b.Sums...)
	}
	for k-b.First >= int64(len(b.Sums)) {
		b.Sums = append(b.Sums, Block{})
	}
	return &b.Sums[k-b.First]
}

// join makes blocks twice as long.
func (b *Blocks) join() {
	first := floorDiv(b.First, 2)
	sums := b.Sums
	b.Sums = make([]Block, floorDiv(b.First+int64(len(sums))-1, 2)-first+1, MaxBlocks)
	for i, s := range sums {
		b.Sums[floorDiv(b.First+int64(i), 2)-first].add(s)
	}
	b.First, b.Length = first, 2*b.Length
}

// Merge adds the blocks of another; both come to one length.
func (b *Blocks) Merge(o Blocks) {
	if len(o.Sums) == 0 {
		return
	}
	if b.Length == 0 {
		b.Length = o.Length
	}
	o = o.Of(max(b.Length, o.Length))
	for b.Length < o.Length && len(b.Sums) > 0 {
		b.join()
	}
	b.Length = max(b.Length, o.Length)
	for i, s := range o.Sums {
		if s.Rows > 0 {
			b.reach((o.First + int64(i)) * o.Length).add(s)
		}
	}
}

// Of returns the same in blocks of at least a length.
func (b Blocks) Of(length int64) Blocks {
	for b.Length < length && len(b.Sums) > 0 {
		b.join()
	}
	return b
}

// Rows is how many rows they have.
func (b Blocks) Rows() (n float64) {
	for _, s := range b.Sums {
		n += s.Rows
	}
	return n
}

// Within returns the blocks whose middle lies between two times, microseconds.
func (b Blocks) Within(from, to float64) Blocks {
	middle := func(i int) float64 { return (float64(b.First) + float64(i) + 0.5) * float64(b.Length) }
	lo, hi := 0, len(b.Sums)
	for lo < hi && middle(lo) < from {
		lo++
	}
	for hi > lo && middle(hi-1) > to {
		hi--
	}
	b.First, b.Sums = b.First+int64(lo), slices.Clone(b.Sums[lo:hi])
	return b
}

// Check reports blocks that Add cannot have made.
func (b *Blocks) Check() error {
	if len(b.Sums) == 0 {
		return nil
	}
	n := b.Length / firstLength
	if len(b.Sums) > MaxBlocks || b.Length%firstLength != 0 || n < 1 || n&(n-1) != 0 || b.Length > maxLength || b.First > math.MaxInt64/b.Length-MaxBlocks || b.First < math.MinInt64/b.Length+MaxBlocks {
		return errors.New("blocks of losses: their number, length or beginning cannot be")
	}
	for _, s := range b.Sums {
		if !(s.Rows >= 0 && s.Rows <= 1e12 && s.Incumbent >= 0 && s.Incumbent <= maxLoss*s.Rows && math.Abs(s.Diff) <= maxLoss*s.Rows) {
			return errors.New("blocks of losses: sums that these rows cannot have")
		}
	}
	return nil
}

// Clone returns a copy that shares nothing.
func (b Blocks) Clone() Blocks {
	b.Sums = slices.Clone(b.Sums)
	return b
}

// Save appends them to a snapshot.
func (b *Blocks) Save(w *state.Writer) {
	w.Int(b.Length)
	w.Int(b.First)
	w.Int(int64(len(b.Sums)))
	for _, s := range b.Sums {
		w.Float(s.Rows)
		w.Float(s.Incumbent)
		w.Float(s.Diff)
	}
}

// Load restores them.
func (b *Blocks) Load(r *state.Reader) {
	read := Blocks{Length: r.Int(), First: r.Int()}
	n := r.Int()
	if n < 0 || n > MaxBlocks {
		r.Fail()
		return
	}
	for range n {
		read.Sums = append(read.Sums, Block{r.Float(), r.Float(), r.Float()})
	}
	if read.Check() != nil {
		r.Fail()
		return
	}
	*b = read
}

// maxLoss bounds the loss of a row, scaled and clipped.
const maxLoss = 16

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// Estimate is what blocks show of the mean of a row's difference.
type Estimate struct {
	Rows      float64
	Blocks    int     // with rows
	Incumbent float64 // mean loss of the incumbent
	Mean      float64 // of candidate less incumbent
	// Half is the half-width of a confidence sequence for Mean less the margin times Incumbent, +Inf
	// while nothing can be said
	Half float64
}

const (
	minBlocks = 12
	// a block may lean on the one before by as much, its error included; beyond that blocks are too
	// short to be told from a drift
	maxLag = 0.7
)

// Estimate returns the mean difference with a confidence sequence, at every look together, for how
// far it lies above margin times the incumbent's mean loss: with probability at least 1-alpha
// Mean - margin·Incumbent is within Half of the truth. It is the boundary of [Bound] with the variance of
// batch means (Schmeiser, "Batch size effects in the analysis of simulation output", Operations
// Research 30, 1982), widened by the blocks' lag-one autocorrelation plus its standard error, and by
// Student's t for how few they are. tune is the number of rows at which it is to be tightest.
func (b Blocks) Estimate(margin, alpha, tune float64) (e Estimate) {
	e.Half = math.Inf(1)
	var sum float64
	for _, s := range b.Sums {
		if s.Rows > 0 {
			e.Rows += s.Rows
			e.Incumbent += s.Incumbent
			e.Mean += s.Diff
			sum += s.Diff - margin*s.Incumbent
			e.Blocks++
		}
	}
	if e.Rows == 0 {
		return e
	}
	n := e.Rows
	e.Incumbent, e.Mean = e.Incumbent/n, e.Mean/n
	if e.Blocks < minBlocks {
		return e
	}
	var squares, cross, last float64
	for _, s := range b.Sums {
		r := 0.0
		if s.Rows > 0 {
			r = s.Diff - margin*s.Incumbent - sum/n*s.Rows
		}
		squares += r * r
		cross += r * last
		last = r
	}
	k := float64(e.Blocks)
	lag := max(0, cross/max(squares, 1e-300)+1/math.Sqrt(k))
	if lag > maxLag {
		return e
	}
	variance := max(squares/(k-1)*k/n*(1+lag)/(1-lag), 1e-12) // of a row, in the long run
	l := -2 * math.Log(alpha)
	v := n * (l + math.Log(l) + 1) / max(tune, 2)
	z := math.Sqrt(2 * (v + 1) / v * math.Log(math.Sqrt(v+1)/alpha))
	e.Half = z * student(z, k-1) * math.Sqrt(variance/n)
	return e
}

// student is by how much a quantile of Student's t with so many degrees of freedom is farther out
// than the normal one, z: Abramowitz and Stegun 26.7.5.
func student(z, freedom float64) float64 {
	q := z * z
	return 1 + (q+1)/(4*freedom) + ((5*q+16)*q+3)/(96*freedom*freedom) + (((3*q+19)*q+17)*q-15)/(384*freedom*freedom*freedom)
}
