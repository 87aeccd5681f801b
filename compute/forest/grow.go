package forest

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/ensemble"
)

type node struct {
	split
	left, right int // 0 for a leaf
	mean        []float64
	cover       float64
}

// split sends bins 1 to bin left, or with categories the bins in set.
type split struct {
	gain         float64
	feature, bin int
	missingLeft  bool
	categories   bool
	set          [4]uint64
}

func (s *split) goesLeft(b int) bool {
	switch {
	case b == 0:
		return s.missingLeft
	case s.categories:
		return s.set[b/64]>>(b%64)&1 != 0
	}
	return b <= s.bin
}

type tree struct {
	nodes []node
	drew  []uint64 // bit k: it saw the training row at position k
}

// span is a node whose rows are rows[from:to].
type span struct{ node, from, to, depth int }

// group is the rows of a node that share a bin of a column: k sums, their weight and their number.
type group struct {
	bin   int
	sums  []float64
	order float64
}

// smallNode is up to how many rows are sorted by their bins instead of counted into all of them.
const smallNode = 64

// grower grows the trees of one goroutine.
type grower struct {
	d     *Data
	p     *Params
	rng   *rand.Rand
	k     int       // sums per group: 1, or the classes
	prior []float64 // class shares of all rows
	// numbers: the mean of all rows, taken off before squares are summed, or a target far from 0
	// would hide what splits gain
	center float64
	rows   []int32
	spare  []int32
	hist   []float64 // by group
	groups []group
	cols   []int
	acc    []float64
	all    []float64 // sums over the rows of the node
}

func newGrower(d *Data, p *Params) *grower {
	g := &grower{
		d:      d,
		p:      p,
		k:      max(p.Classes, 1),
		spare:  make([]int32, len(d.Train)),
		groups: make([]group, 0, 256),
	}
	g.hist, g.acc = make([]float64, 256*(g.k+2)), make([]float64, g.k+2)
	if p.Classes > 0 {
		g.prior = slices.Clone(g.sum(d.Train))
		for c := range g.k {
			g.prior[c] /= g.prior[g.k]
		}
		return g
	}
	sums := g.sum(d.Train)
	if m := sums[0] / sums[g.k]; !math.IsInf(m, 0) && !math.IsNaN(m) {
		g.center = m
	}
	return g
}

// grow grows tree number index, breadth first so that a cap on leaves costs detail everywhere
// alike.
func (g *grower) grow(index uint64) *tree {
	g.rng = rand.New(rand.NewPCG(g.p.Seed, index+1))
	t := &tree{nodes: make([]node, 1)}
	g.draw(t)
	g.cols = g.cols[:0]
	for j := range g.d.X.Cols() {
		g.cols = append(g.cols, j)
	}
	queue, leaves := []span{{to: len(g.rows)}}, 1
	for at := 0; at < len(queue); at++ {
		s := queue[at]
		rows := g.rows[s.from:s.to]
		g.all = g.sum(rows)
		n := &t.nodes[s.node]
		n.cover = g.all[g.k]
		if leaves < g.p.Leaves && s.depth < g.p.MaxDepth && len(rows) >= 2*g.p.MinRows {
			if n.split = g.best(rows); n.gain > 0 {
				mid := s.from + g.partition(rows, &n.split)
				n.left, n.right = len(t.nodes), len(t.nodes)+1
				l, r := span{n.left, s.from, mid, s.depth + 1}, span{n.right, mid, s.to, s.depth + 1}
				t.nodes = append(t.nodes, node{}, node{})
				queue = append(queue, l, r)
				leaves++
				continue
			}
		}
		n.mean = g.shares()
	}
	return t
}

// draw takes a bootstrap sample, in the order of the rows so that memory is read in order.
func (g *grower) draw(t *tree) {
	all := g.d.Train
	g.rows = g.rows[:0]
	if g.p.Extra {
		g.rows = append(g.rows, all...)
		return
	}
	t.drew = make([]uint64, (len(all)+63)/64)
	count := make([]uint8, len(all))
	for range max(1, int(math.Round(g.p.RowsShare*float64(len(all))))) {
		if i := g.rng.IntN(len(all)); count[i] < 255 {
			count[i]++
		}
	}
	for i, c := range count {
		if c > 0 {
			t.drew[i/64] |= 1 << (i % 64)
		}
		for range c {
			g.rows = append(g.rows, all[i])
		}
	}
	if len(g.spare) < len(g.rows) {
		g.spare = make([]int32, len(g.rows))
	}
}

// add counts a row into a group's sums.
func (g *grower) add(sums []float64, i int32) {
	w := g.d.weight(i)
	if g.p.Classes > 0 {
		sums[int(g.d.Y[i])] += w
	} else {
		sums[0] += float64(w * (g.d.Y[i] - g.center))
	}
	sums[g.k] += w
	sums[g.k+1]++
}

func (g *grower) sum(rows []int32) []float64 {
	sums := make([]float64, g.k+2)
	for _, i := range rows {
		g.add(sums, i)
	}
	return sums
}

// shares are the value of a leaf.
func (g *grower) shares() []float64 {
	out := make([]float64, g.k)
	for c := range out {
		if g.p.Classes > 0 {
			out[c] = (g.all[c] + float64(g.p.Smooth*g.prior[c])) / (g.all[g.k] + g.p.Smooth)
		} else {
			out[c] = g.all[c]/g.all[g.k] + g.center
		}
	}
	return out
}

// term is what a side keeps: the sum of squares over its weight.
func (g *grower) term(sums []float64) float64 {
	s := 0.0
	for _, v := range sums[:g.k] {
		s += float64(v * v)
	}
	return s / sums[g.k]
}

// best looks at a random set of features. A feature without a choice does not count towards the
// set.
func (g *grower) best(rows []int32) (best split) {
	parent := g.term(g.all)
	if g.p.Classes > 0 && slices.Max(g.all[:g.k]) == g.all[g.k] {
		return best // one class only
	}
	want := max(1, int(math.Round(g.p.Features*float64(len(g.cols)))))
	for k := 0; k < len(g.cols) && want > 0; k++ {
		r := k + g.rng.IntN(len(g.cols)-k)
		g.cols[k], g.cols[r] = g.cols[r], g.cols[k]
		s, usable := g.column(g.cols[k], rows, parent)
		if usable {
			want--
		}
		if s.gain > best.gain {
			best = s
		}
	}
	return best
}

// group divides the rows of a node by their bin of column j, in ascending order.
func (g *grower) group(j int, rows []int32) []group {
	col, stride := g.d.X.Col[j], g.k+2
	out := g.groups[:0]
	if len(rows) <= smallNode {
		var room [smallNode]uint16
		keys := room[:len(rows)]
		for k, i := range rows {
			keys[k] = uint16(col[i])<<8 | uint16(k)
		}
		slices.Sort(keys)
		for _, key := range keys {
			b := int(key >> 8)
			if len(out) == 0 || out[len(out)-1].bin != b {
				sums := g.hist[len(out)*stride:][:stride]
				clear(sums)
				out = append(out, group{bin: b, sums: sums})
			}
			g.add(out[len(out)-1].sums, rows[key&0xff])
		}
		return out
	}
	lo, hi := 255, 0
	for _, i := range rows {
		b := int(col[i])
		lo, hi = min(lo, b), max(hi, b)
	}
	clear(g.hist[:(hi-lo+1)*stride])
	for _, i := range rows {
		g.add(g.hist[(int(col[i])-lo)*stride:][:stride], i)
	}
	for b := lo; b <= hi; b++ {
		if sums := g.hist[(b-lo)*stride:][:stride]; sums[g.k+1] > 0 {
			out = append(out, group{bin: b, sums: sums})
		}
	}
	return out
}

// column finds the best split of one feature, or for extremely randomised trees tries one.
func (g *grower) column(j int, rows []int32, parent float64) (best split, usable bool) {
	groups := g.group(j, rows)
	if len(groups) < 2 {
		return best, false
	}
	var missing []float64
	if groups[0].bin == 0 {
		missing, groups = groups[0].sums, groups[1:]
	}
	categorical := g.d.X.Categorical(j)
	if categorical {
		last := g.d.X.Bins(j)
		if n := len(groups); groups[n-1].bin == last {
			groups = groups[:n-1] // rare categories go right
		}
		g.sortCategories(groups)
	}
	from, to := 0, len(groups)-1
	if missing == nil && !categorical {
		to--
	}
	if g.p.Extra && to > from {
		if !categorical { // uniform over the bins between the smallest and the largest
			lo, hi := groups[0].bin, groups[len(groups)-1].bin
			cut := lo + g.rng.IntN(max(hi-lo, 1))
			for from < to && groups[from+1].bin <= cut {
				from++
			}
		} else {
			g.rng.Shuffle(len(groups), func(a, b int) { groups[a], groups[b] = groups[b], groups[a] })
			from = g.rng.IntN(to)
		}
		to = from
	}
	least := 1e-10 * parent // less is rounding
	clear(g.acc)
	at := -1
	for k := 0; k <= to; k++ {
		for c, v := range groups[k].sums {
			g.acc[c] += v
		}
		if k < from {
			continue
		}
		for _, missingLeft := range []bool{false, true} {
			if missingLeft && missing == nil {
				continue
			}
			if gain := g.gain(missing, missingLeft, parent); gain > max(best.gain, least) {
				at = k
				best = split{
					feature:     j,
					bin:         groups[k].bin,
					missingLeft: missingLeft || missing == nil && 2*g.acc[g.k] > g.all[g.k],
					gain:        gain,
				}
			}
		}
	}
	if categorical && at >= 0 {
		best.categories = true
		if missing == nil {
			best.missingLeft = false
		}
		for _, q := range groups[:at+1] {
			best.set[q.bin/64] |= 1 << (q.bin % 64)
		}
	}
	return best, true
}

// sortCategories orders groups by their mean, or by their share of the class that is most
// frequent in the node; of equals the smaller bin goes first.
func (g *grower) sortCategories(groups []group) {
	c := 0
	for k := range g.k {
		if g.all[k] > g.all[c] {
			c = k
		}
	}
	for i := range groups {
		groups[i].order = groups[i].sums[c] / groups[i].sums[g.k]
	}
	slices.SortFunc(groups, func(a, b group) int {
		if o := cmp.Compare(a.order, b.order); o != 0 {
			return o
		}
		return a.bin - b.bin
	})
}

// gain is the decrease of the summed squared error when acc (and the missing rows) go left.
func (g *grower) gain(missing []float64, missingLeft bool, parent float64) float64 {
	k := g.k
	w, n := g.acc[k], g.acc[k+1]
	if missingLeft {
		w, n = w+missing[k], n+missing[k+1]
	}
	if least := float64(g.p.MinRows); n < least || g.all[k+1]-n < least {
		return 0
	}
	var left, right float64
	for c, l := range g.acc[:k] {
		if missingLeft {
			l += missing[c]
		}
		r := g.all[c] - l
		left += float64(l * l)
		right += float64(r * r)
	}
	return left/w + right/(g.all[k]-w) - parent
}

// partition moves the rows that go left to the front and returns their number.
func (g *grower) partition(rows []int32, s *split) int {
	col := g.d.X.Col[s.feature]
	n, m := 0, 0
	for _, i := range rows {
		if s.goesLeft(int(col[i])) {
			rows[n] = i
			n++
		} else {
			g.spare[m] = i
			m++
		}
	}
	copy(rows[n:], g.spare[:m])
	return n
}

// leaf returns the mean of the leaf that a row reaches.
func (t *tree) leaf(x *binned.Matrix, i int) []float64 {
	n := &t.nodes[0]
	for n.left != 0 {
		if n.goesLeft(int(x.Col[n.feature][i])) {
			n = &t.nodes[n.left]
		} else {
			n = &t.nodes[n.right]
		}
	}
	return n.mean
}

// export replaces bins by thresholds and codes, and multiplies leaves by share. Class shares are
// cut to multiples of 2^-52: those of all trees then add up exactly, and to no more than 1.
func (t *tree) export(m *binned.Mapper, share float64, classes int) ensemble.Tree {
	value := func(v float64) float64 {
		if classes > 0 {
			return math.Floor(min(v, 1)*share*(1<<52)) / (1 << 52)
		}
		return v * share
	}
	out := make(ensemble.Tree, len(t.nodes))
	for i := range t.nodes {
		n, o := &t.nodes[i], &out[i]
		o.Cover = n.cover
		switch {
		case n.left != 0:
			o.Feature, o.MissingLeft, o.Left, o.Right = n.feature, n.missingLeft, n.left, n.right
			if n.categories {
				o.Categories = m.Set(n.feature, &n.set)
			} else if o.Threshold = math.MaxFloat64; n.bin < m.Bins(n.feature) {
				// else present against missing
				o.Threshold = m.Threshold(n.feature, n.bin)
			}
		case classes > 2:
			o.Values = make([]float64, classes)
			for c, v := range n.mean {
				o.Values[c] = value(v)
			}
		default:
			o.Value = value(n.mean[len(n.mean)-1])
		}
	}
	return out
}

// counter calls f with 1, 2, … for every call; nil does nothing.
func counter(f func(int)) func() {
	if f == nil {
		return func() {}
	}
	var n atomic.Int64
	return func() { f(int(n.Add(1))) }
}
