package ensemble

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// The scorer is the form for vector instructions, for ensembles of trees with at most 64 leaves
// that are single scores. It finds exit leaves by QuickScorer's rule (Lucchese et al.,
// "QuickScorer", SIGIR 2015): with a tree's leaves numbered from left to right, a node that sends
// a row right kills the leaves of its left subtree, and the exit leaf is the first that stays
// alive. No node waits for another and nothing can be mispredicted. A vector holds one tree for
// many rows (row lanes; Lucchese et al., "Exploiting CPU SIMD extensions to speed-up document
// scoring with tree ensembles", SIGIR 2016) or one row for many trees (tree lanes). As in
// RapidScorer (Ye et al., KDD 2018) a byte holds eight leaves, a block; what one node does to one
// block is an entry. Different from these papers, a node has entries only for the blocks it kills
// in, and trees that share a vector are chosen to be alike.
//
// Rows enter as ranks of one byte: how many of a bin's thresholds lie below the value. A bin is a
// column, or a part of one that has too many thresholds. Comparing ranks is comparing values, so
// nothing is lost.
type scorer struct {
	size    int       // thresholds of a bin: ranks are 0 to size, at most 255
	ordered bool      // trees of an output keep their order, and scores are added in it
	bins    []bin     // of numbers; those of sets follow
	cuts    []cut     // the columns that bins are parts of
	single  bool      // values are rounded to float32 and tables32 is used, else tables64
	table32 []float32 // tableSize by bin: the last threshold of 16 parts, then the parts
	table64 []float64
	sets    []*column

	tiles   []tile
	blocks  []rowBlock
	entries []rowEntry
	scores  []float64 // by tree, stride each, with room for a whole vector of trees
	stride  int       // scores of a tree: 8 for each block of the largest
	outputs []uint16  // by tree
	lanes   laneTrees
}

const (
	maxLeaves = 64
	blockLeaf = 8 // leaves of a block
	tableSize = 16 + 256
	maxBins   = 512
	// blocks whose dead leaves are kept at a time, blockRows bytes each: a quarter of a
	// first-level cache
	tileBlocks = 64
	maxVector  = 64 // bytes of the widest vector
)

// bin is a number column or a part of one, as the ranking kernel reads it.
type bin struct {
	missing float64 // stands for NaN
	table   uint32  // where its thresholds begin, in bytes
	feature uint32  // where its feature lies in a row, in bytes
}

// cut is a number column for ranking without vectors: bin first+i has its thresholds from i·size
// on.
type cut struct {
	thresholds []float64
	missing    float64
	feature    int
	first      int
}

// rowBlock is a block of a tree for row lanes. Its entries follow those of the block before.
type rowBlock struct {
	entries uint32
	slot    uint32 // where its dead leaves are kept, in bytes
}

// rowEntry kills leaves of a block where threshold exceeds the complement of the rank. Both bytes
// are repeated four times, the form that is spread over a vector fastest.
type rowEntry struct {
	threshold, kill uint32
	bin             uint32 // where its ranks begin, in bytes
}

// tile is some trees of one output. A tree with fewer blocks than the tile's largest never gets
// to those it lacks.
type tile struct {
	output, trees, blocks          int
	firstTree, firstBlock, entries int
	n                              int // rowBlocks
}

// laneTrees is the trees for tree lanes: groups of width trees.
type laneTrees struct {
	width   int
	counts  []uint32 // by group its number of blocks, and by block its number of entries
	entries []byte   // by entry: bin, rank-128 and kill of every lane
	groups  int
}

// kill is what one node does to one block.
type kill struct {
	bin    uint16
	rank   uint8
	leaves uint8
}

// scoredTree is a tree as QuickScorer sees it.
type scoredTree struct {
	output  int
	scores  []float64
	blocks  [][]kill
	entries int
}

// newScorer returns the scorer of e for instructions k, or nil when it has none. With ordered set
// trees keep their order.
func newScorer(e *Ensemble, c *columns, k *instructions, ordered bool) *scorer {
	if e.vector || len(e.roots) == 0 {
		return nil
	}
	for t := range e.roots {
		if e.end(t)-int(e.roots[t]) > 2*maxLeaves-1 {
			return nil
		}
	}
	s := &scorer{single: e.round32, ordered: ordered, size: k.thresholds}
	begin := s.makeBins(c)
	if len(s.bins)+len(s.sets) > maxBins {
		return nil
	}
	trees := make([]scoredTree, len(e.roots))
	for t := range trees {
		trees[t] = s.tree(e, c, t, begin)
		s.stride = max(s.stride, blockLeaf*len(trees[t].blocks))
	}
	slices.SortStableFunc(trees, func(a, b scoredTree) int {
		if a.output != b.output || ordered {
			return cmp.Compare(a.output, b.output)
		}
		return cmp.Or(cmp.Compare(len(a.blocks), len(b.blocks)), cmp.Compare(a.entries, b.entries))
	})
	if !ordered && k.lanes > 0 {
		group(trees, k.lanes)
	}
	s.scores = make([]float64, pad(len(trees), maxVector)*s.stride)
	s.outputs = make([]uint16, len(trees))
	for t := range trees {
		copy(s.scores[t*s.stride:], trees[t].scores)
		s.outputs[t] = uint16(trees[t].output)
	}
	s.layRows(trees)
	s.layLanes(trees, k.lanes)
	return s
}

// makeBins cuts columns into bins and returns the first bin of each.
func (s *scorer) makeBins(c *columns) (begin []int) {
	for j := range c.list {
		begin = append(begin, len(s.bins)+len(s.sets))
		col := &c.list[j]
		if col.set != nil {
			s.sets = append(s.sets, col)
			continue
		}
		ts := c.thresholds[j]
		if s.single {
			ts = slices.Clone(ts)
			for i, t := range ts {
				ts[i] = float64(floor32(t))
			}
			ts = slices.Compact(ts)
			c.thresholds[j] = ts
		}
		s.cuts = append(s.cuts, cut{ts, col.missing, col.feature, len(s.bins)})
		for part := range slices.Chunk(ts, s.size) {
			size := 8
			if s.single {
				size = 4
			}
			s.bins = append(s.bins, bin{
				missing: col.missing,
				table:   uint32(len(s.bins) * tableSize * size),
				feature: uint32(col.feature * 8),
			})
			if len(s.bins) > maxBins {
				return nil
			}
			s.addTable(part)
		}
	}
	return begin
}

// addTable appends the thresholds of a bin, filled up with +Inf, which is above or equal to
// everything.
func (s *scorer) addTable(ts []float64) {
	var table [tableSize]float64
	for i := range 256 {
		v := math.Inf(1)
		if i < len(ts) {
			v = ts[i]
		}
		table[16+i] = v
		if i%16 == 15 {
			table[i/16] = v
		}
	}
	if !s.single {
		s.table64 = append(s.table64, table[:]...)
		return
	}
	for _, v := range table {
		s.table32 = append(s.table32, float32(v))
	}
}

// tree turns tree t into scores and kills.
func (s *scorer) tree(e *Ensemble, c *columns, t int, begin []int) scoredTree {
	out := scoredTree{output: t % e.outputs}
	var visit func(i uint32) (from, to int)
	visit = func(i uint32) (from, to int) {
		n := &e.nodes[i]
		if n.left == 0 {
			if len(out.scores)%blockLeaf == 0 {
				out.blocks = append(out.blocks, nil)
			}
			out.scores = append(out.scores, math.Float64frombits(n.bits))
			return len(out.scores) - 1, len(out.scores)
		}
		from, mid := visit(n.left)
		_, to = visit(n.left + 1)
		j, threshold := c.of[i], n.threshold()
		if s.single && n.flags&flagCategories == 0 {
			threshold = float64(floor32(threshold))
		}
		rank, _ := slices.BinarySearch(c.thresholds[j], threshold)
		k := kill{bin: uint16(begin[j] + rank/s.size), rank: uint8(rank % s.size)}
		for b := from / blockLeaf; b*blockLeaf < mid; b++ {
			lo, hi := max(from-b*blockLeaf, 0), min(mid-b*blockLeaf, blockLeaf)
			k.leaves = uint8(1<<hi - 1<<lo)
			out.blocks[b] = append(out.blocks[b], k)
			out.entries++
		}
		return from, to
	}
	visit(e.roots[t])
	return out
}

// group reorders trees of the same output and number of blocks so that those in a vector have
// about as many entries in every block: a vector makes as many steps for a block as its largest
// tree has entries there. Each vector begins with the next tree and takes those that lengthen it
// least.
func group(trees []scoredTree, lanes int) {
	const maxCandidates = 256 // trees looked at for each place, against quadratic time
	for at := 0; at < len(trees); at++ {
		longest := [maxLeaves / blockLeaf]int{}
		if at%lanes != 0 {
			for _, t := range trees[at/lanes*lanes : at] {
				for b, kills := range t.blocks {
					longest[b] = max(longest[b], len(kills))
				}
			}
			best, least := at, math.MaxInt
			for i := at; i < min(at+maxCandidates, len(trees)) && trees[i].output == trees[at].output && len(trees[i].blocks) == len(trees[at].blocks); i++ {
				more := 0
				for b, kills := range trees[i].blocks {
					more += max(len(kills)-longest[b], 0)
				}
				if more < least {
					best, least = i, more
				}
			}
			trees[at], trees[best] = trees[best], trees[at]
		}
	}
}

// layRows lays the trees out for row lanes.
func (s *scorer) layRows(trees []scoredTree) {
	for at := 0; at < len(trees); {
		t := tile{output: trees[at].output, firstTree: at, firstBlock: len(s.blocks), entries: len(s.entries)}
		for at+t.trees < len(trees) {
			next := &trees[at+t.trees]
			if next.output != t.output || (t.trees+1)*max(t.blocks, len(next.blocks)) > tileBlocks {
				break
			}
			t.blocks = max(t.blocks, len(next.blocks))
			t.trees++
		}
		for i, tr := range trees[at : at+t.trees] {
			for b, kills := range tr.blocks {
				if len(kills) == 0 {
					// a kernel does one entry at least; this one kills nothing
					kills = []kill{{rank: 255}}
				}
				s.blocks = append(s.blocks, rowBlock{uint32(len(kills)), uint32((i*t.blocks + b) * blockRows)})
				for _, k := range kills {
					s.entries = append(s.entries, rowEntry{uint32(127-k.rank) * 0x01010101, uint32(k.leaves) * 0x01010101, uint32(k.bin) * blockRows})
				}
			}
		}
		t.n = len(s.blocks) - t.firstBlock
		s.tiles = append(s.tiles, t)
		at += t.trees
	}
}

// layLanes lays the trees out for tree lanes.
func (s *scorer) layLanes(trees []scoredTree, width int) {
	l := &s.lanes
	l.width = width
	if width == 0 || len(s.bins)+len(s.sets) > 256 {
		return
	}
	for group := range slices.Chunk(trees, width) {
		l.groups++
		blocks := 0
		for _, t := range group {
			blocks = max(blocks, len(t.blocks))
		}
		l.counts = append(l.counts, uint32(blocks))
		for b := range blocks {
			n := 1
			for _, t := range group {
				if b < len(t.blocks) {
					n = max(n, len(t.blocks[b]))
				}
			}
			l.counts = append(l.counts, uint32(n))
			for i := range n {
				entry := make([]byte, 3*width)
				for lane := range width {
					k := kill{rank: 255}
					if lane < len(group) && b < len(group[lane].blocks) && i < len(group[lane].blocks[b]) {
						k = group[lane].blocks[b][i]
					}
					entry[lane], entry[width+lane], entry[2*width+lane] = uint8(k.bin), k.rank^0x80, k.leaves
				}
				l.entries = append(l.entries, entry...)
			}
		}
	}
}

// memory returns what a scorer takes, in bytes.
func (s *scorer) memory() int {
	return 4*len(s.table32) + 8*len(s.table64) + 12*len(s.entries) + 8*len(s.blocks) + 8*len(s.scores) + len(s.lanes.entries) + binary.Size(s.lanes.counts)
}

// allBins returns how many ranks a row has.
func (s *scorer) allBins() int { return len(s.bins) + len(s.sets) }

// Ranks are complemented for row lanes, and moved to where comparing them as signed bytes is
// comparing them, for tree lanes: xor with these.
const (
	flipRows  = 0x7f // 127 - rank, whose order as signed bytes is the opposite of the ranks'
	flipTrees = 0x80 // rank - 128
)

// rank writes the ranks of rows of x: those of a bin are neighbours, the next bin's begin apart
// bytes later.
func (s *scorer) rank(k *instructions, out []byte, apart int, x []float64, rows, inputs int, flip byte) {
	if len(s.bins) > 0 {
		_ = out[(len(s.bins)-1)*apart+rows-1]
		k.rank(s, out, apart, x, rows, inputs, flip)
	}
	for j, col := range s.sets {
		to := out[(len(s.bins)+j)*apart:][:rows]
		for r := range to {
			v := x[r*inputs+col.feature]
			if s.single {
				v = float64(float32(v))
			}
			to[r] = uint8(col.outside(v)) ^ flip
		}
	}
}

// row adds the scores of one row to dst, by tree lanes.
func (s *scorer) row(k *instructions, dst, x []float64, sc *scratch) {
	s.rank(k, sc.ranks, 1, x, 1, len(x), flipTrees)
	leaf := sc.dead[:s.lanes.groups*s.lanes.width]
	k.lookup(s.allBins())(first(s.lanes.counts), s.lanes.groups, first(s.lanes.entries), &sc.ranks[0], &leaf[0])
	if len(dst) == 1 && !s.ordered {
		dst[0] += k.sum(&leaf[0], len(leaf), &s.scores[0], s.stride*8)
		return
	}
	for t := range s.outputs {
		dst[s.outputs[t]] += s.scores[t*s.stride+int(leaf[t])]
	}
}

// rowsInto adds the scores of at most blockRows rows to sums, blockRows for each output, by row
// lanes.
func (s *scorer) rowsInto(k *instructions, sums, x []float64, rows, inputs int, sc *scratch) {
	s.rank(k, sc.ranks, blockRows, x, rows, inputs, k.flip)
	pass := k.pass(rows)
	for from := 0; from < rows; from += pass.rows {
		for i := range s.tiles {
			t := &s.tiles[i]
			pass.kill(first(s.blocks[t.firstBlock:]), t.n, first(s.entries[t.entries:]), &sc.ranks[from], &sc.dead[0])
			pass.fold(&sc.dead[0], t.trees, t.blocks, &s.scores[t.firstTree*s.stride], s.stride*8, &sc.leaf[0], &sums[t.output*blockRows+from])
		}
	}
}
