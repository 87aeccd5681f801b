package ensemble

import (
	"math"
	"sync"
	"time"
)

// method is a way to predict.
type method uint8

const (
	byPlain method = iota // the nodes as encoded
	byWalk                // the portable kernel
	byTrees               // tree lanes, single rows only
	byRows                // row lanes, batches only
)

// program is an ensemble compiled for this processor. It is immutable but for its pool.
type program struct {
	e       *Ensemble
	ordered bool // sums are not exact: scores are added in tree order
	columns *columns
	walk    *walker
	scorer  *scorer
	set     *instructions

	single, batch method
	block         int // rows of a batch that are made ready at a time
	fewest        int // rows from which on the batch method beats as many single rows

	pool sync.Pool // of *scratch
}

// scratch is what one prediction needs beside its arguments.
type scratch struct {
	columns int
	// columns of a row as keys, or of a block in tiles: abreast rows column by column
	row32 []int64
	row64 []float64
	sums  []float64 // of a block: by row for a walk, blockRows by output for row lanes
	ranks []byte
	dead  []byte // dead leaves of a tile's blocks, or the exit leaves of all trees
	leaf  []byte // exit leaves of one tree
}

// maxCompiled bounds the memory of a walker, and of a scorer, in bytes. Ensembles that would need
// more are not compiled.
const (
	maxCompiled = 64 << 20
	// bytes of a node of a walker: at most 16 for itself, 16 for its score and 2 for its column
	nodeCost = 34
)

// compiled returns the program, which the first call makes, or a plain one when compilation is off.
func (e *Ensemble) compiled() *program {
	if uncompiled.Load() {
		p := e.plainly.Load()
		if p == nil {
			p = newProgram(e)
			e.plainly.Store(p)
		}
		return p
	}
	if p := e.program.Load(); p != nil {
		return p
	}
	e.once.Lock()
	defer e.once.Unlock()
	p := e.program.Load()
	if p == nil {
		p = compile(e, chosen().set)
		p.choose()
		e.program.Store(p)
	}
	return p
}

// newProgram returns one that predicts plainly.
func newProgram(e *Ensemble) *program {
	return &program{e: e, block: blockRows, fewest: math.MaxInt}
}

// compile lays e out for the portable kernels and for a set of instructions; nil stands for none.
func compile(e *Ensemble, set *instructions) *program {
	p := newProgram(e)
	if p.set = set; set == nil {
		p.set = words
	}
	p.pool.New = func() any { return p.scratch() }
	if len(e.nodes)*nodeCost+len(e.values)*8 > maxCompiled {
		return p
	}
	p.ordered = !e.exact()
	c, err := e.columns()
	if err != nil {
		return p
	}
	p.columns = c
	p.walk = newWalker(e, c, p.ordered)
	p.single, p.batch = byWalk, byWalk
	if p.scorer = newScorer(e, c, p.set, p.ordered); p.scorer != nil && p.scorer.memory() > maxCompiled {
		p.scorer = nil
	}
	// A block's columns stay in the second-level cache.
	for p.block > abreast && p.block*max(len(c.list), e.outputs)*8 > 256<<10 {
		p.block /= 2
	}
	return p
}

func (p *program) scratch() *scratch {
	s := &scratch{}
	if p.walk != nil {
		s.columns = len(p.columns.list)
		// A leaf compares column 0, so there is one.
		n := max(p.block*s.columns, p.block)
		if p.walk.narrow != nil {
			s.row32 = make([]int64, n)
		} else {
			s.row64 = make([]float64, n)
		}
		s.sums = make([]float64, p.block*p.e.outputs)
	}
	if p.scorer != nil {
		s.sums = make([]float64, blockRows*p.e.outputs)
		s.ranks = make([]byte, (p.scorer.allBins()+1)*blockRows)
		s.dead = make([]byte, max((tileBlocks+1)*blockRows, p.scorer.lanes.groups*p.scorer.lanes.width))
		s.leaf = make([]byte, blockRows)
	}
	return s
}

// row writes the sums for x to dst.
func (p *program) row(m method, dst, x []float64) {
	if m == byPlain {
		p.e.plain(dst, x)
		return
	}
	copy(dst, p.e.base)
	s := p.pool.Get().(*scratch)
	if m == byTrees {
		p.scorer.row(p.set, dst, x, s)
	} else {
		if p.walk.narrow != nil {
			p.columns.ready32(s.row32, x, 1, p.e.round32)
		} else {
			p.columns.ready64(s.row64, x, 1, p.e.round32)
		}
		p.walk.row(dst, s)
	}
	p.pool.Put(s)
}

// rows writes the outputs of n rows.
func (p *program) rows(dst, x []float64, n int) {
	in, out := p.e.inputs, p.e.outputs
	for n > 0 {
		b := min(n, p.block)
		if b >= p.fewest {
			p.rowsBy(p.batch, dst[:b*out], x[:b*in], b)
		} else {
			for r := range b {
				p.row(p.single, dst[r*out:][:out], x[r*in:][:in])
			}
		}
		for r := range b {
			p.e.link.Apply(dst[r*out:][:out])
		}
		dst, x, n = dst[b*out:], x[b*in:], n-b
	}
}

// rowsBy writes the sums of a block of n rows to dst.
func (p *program) rowsBy(m method, dst, x []float64, n int) {
	e, s := p.e, p.pool.Get().(*scratch)
	in, out := e.inputs, e.outputs
	if m == byRows {
		for k, b := range e.base {
			for r := range blockRows {
				s.sums[k*blockRows+r] = b
			}
		}
		p.scorer.rowsInto(p.set, s.sums, x, n, in, s)
		for r := range n {
			for k := range out {
				dst[r*out+k] = s.sums[k*blockRows+r]
			}
		}
		p.pool.Put(s)
		return
	}
	for r := range n {
		copy(s.sums[r*out:], e.base)
		tile, lane := r/abreast*abreast*s.columns, r%abreast
		if p.walk.narrow != nil {
			p.columns.ready32(s.row32[tile+lane:], x[r*in:][:in], abreast, e.round32)
		} else {
			p.columns.ready64(s.row64[tile+lane:], x[r*in:][:in], abreast, e.round32)
		}
	}
	p.walk.rows(s.sums, out, s, pad(n, abreast))
	copy(dst, s.sums)
	p.pool.Put(s)
}

// methods lists the ways to predict single rows and batches.
func (p *program) methods() (single, batch []method) {
	// In between, an ensemble is never faster as encoded; beyond, memory decides, and there it is
	// the most compact.
	if n := len(p.e.nodes); p.walk == nil || n < 256 || n > 1<<16 {
		single = append(single, byPlain)
	}
	if p.walk != nil {
		single, batch = append(single, byWalk), append(batch, byWalk)
	}
	if p.scorer != nil {
		batch = append(batch, byRows)
		if p.scorer.lanes.groups > 0 && p.set.lookup(p.scorer.allBins()) != nil {
			single = append(single, byTrees)
		}
	}
	return single, batch
}

// choose takes the fastest methods for this ensemble here, measured on rows made of its own
// thresholds. All give the same bits, so a measurement that another process has disturbed costs
// time and nothing else. It takes as long as predicting a few hundred rows.
func (p *program) choose() {
	single, batch := p.methods()
	if len(batch) == 0 {
		return
	}
	const rows = 4
	e, many := p.e, min(32, p.block)
	x, dst := p.sample(max(rows, many)), make([]float64, max(rows, many)*e.outputs)
	var row, block float64
	p.single, row = fastest(single, func(m method) {
		for r := range rows {
			p.row(m, dst[:e.outputs], x[r*e.inputs:][:e.inputs])
		}
	})
	row /= rows
	p.batch, block = fastest(batch, func(m method) { p.rowsBy(m, dst[:many*e.outputs], x[:many*e.inputs], many) })
	// A tile or a pass takes the same time however many of its rows are used.
	least := abreast
	if p.batch == byRows {
		least = p.set.passes[0].rows
		if least < many {
			_, block = fastest([]method{byRows}, func(m method) { p.rowsBy(m, dst[:least*e.outputs], x[:least*e.inputs], least) })
		}
	} else {
		block *= float64(least) / float64(many)
	}
	if p.fewest = 1 + int(block/row); p.fewest > least {
		p.fewest = least
		if p.batch == byWalk { // one row after the other is faster
			p.batch, p.fewest = p.single, math.MaxInt
		}
	}
}

// fastest returns the method with the shortest of a few runs, and its time in nanoseconds.
// Methods take turns, so that a slow moment meets all; a large ensemble gets fewer turns.
func fastest(ms []method, run func(method)) (method, float64) {
	const minTime = 20 * time.Millisecond
	least := make([]float64, len(ms))
	start := time.Now()
	for i := 0; i < 5 && (i == 0 || time.Since(start) < minTime); i++ {
		for j, m := range ms {
			began := time.Now()
			run(m)
			if d := max(1, float64(time.Since(began))); i == 0 || d < least[j] {
				least[j] = d
			}
		}
	}
	best := 0
	for j := range ms {
		if least[j] < least[best] {
			best = j
		}
	}
	return ms[best], least[best]
}

// sample returns rows whose values lie on or beside thresholds of their features.
func (p *program) sample(rows int) []float64 {
	x := make([]float64, rows*p.e.inputs)
	at := uint32(1)
	for r := range rows {
		for j := range p.columns.list {
			at = at*1664525 + 1013904223
			if ts := p.columns.thresholds[j]; len(ts) > 0 {
				x[r*p.e.inputs+p.columns.list[j].feature] = ts[int(at>>8)%len(ts)]
			}
		}
	}
	return x
}

// KernelSingle names how PredictInto computes: "plain", "portable", or an instruction set with
// "-trees", one row against many trees at a time. The first call compiles the ensemble.
func (e *Ensemble) KernelSingle() string { p := e.compiled(); return p.name(p.single) }

// KernelBatch names how PredictBatch computes large batches: as KernelSingle, or an instruction
// set with "-rows", one tree for many rows at a time.
func (e *Ensemble) KernelBatch() string { p := e.compiled(); return p.name(p.batch) }

func (p *program) name(m method) string {
	switch m {
	case byWalk:
		return portable
	case byTrees:
		return p.set.name + "-trees"
	case byRows:
		return p.set.name + "-rows"
	}
	return "plain"
}
