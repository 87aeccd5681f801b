package hoeffding

// pool keeps what was dropped for what grows next, so that an ensemble that goes on replacing
// trees, or a tree at its budget, need not allocate. What it holds never decides anything: a
// loaded learner starts without.
type pool struct {
	limit, bytes int
	nodes        []*node
	leaves       []*leaf
	numbers      [][]float64
}

// spare is the part of a budget that a pool may hold, as a divisor.
const spare = 8

// put keeps a slice of statistics.
func (p *pool) put(s []float64) {
	if b := 8 * len(s); b > 0 && p.bytes+b <= p.limit {
		p.bytes += b
		p.numbers = append(p.numbers, s)
	}
}

// get returns n zeros: from the newest kept slices when one of them fits.
func (p *pool) get(n int) []float64 {
	for i := len(p.numbers) - 1; i >= 0 && i >= len(p.numbers)-16; i-- {
		if s := p.numbers[i]; len(s) == n {
			last := len(p.numbers) - 1
			p.numbers[i], p.numbers[last] = p.numbers[last], nil
			p.numbers = p.numbers[:last]
			p.bytes -= 8 * n
			clear(s)
			return s
		}
	}
	return make([]float64, n)
}

func (p *pool) putLeaf(l *leaf) {
	for c, s := range l.stats {
		p.put(s)
		l.stats[c] = nil
	}
	p.put(l.model)
	l.model = nil
	if b := leafBytes + 24*cap(l.stats) + 4*cap(l.own); p.bytes+b <= p.limit {
		p.bytes += b
		p.leaves = append(p.leaves, l)
	}
}

// getLeaf returns a leaf with room for k statistics.
func (p *pool) getLeaf(k int) *leaf {
	n := len(p.leaves)
	if n == 0 {
		return &leaf{stats: make([][]float64, k)}
	}
	l := p.leaves[n-1]
	p.leaves[n-1] = nil
	p.leaves = p.leaves[:n-1]
	p.bytes -= leafBytes + 24*cap(l.stats) + 4*cap(l.own)
	if cap(l.stats) < k {
		l.stats = make([][]float64, k)
	}
	*l = leaf{stats: l.stats[:k], own: l.own[:0]}
	return l
}

func (p *pool) putNode(n *node) {
	if b := nodeBytes + 8*len(n.counts) + 8*cap(n.children); p.bytes+b <= p.limit {
		p.bytes += b
		*n = node{counts: n.counts, children: n.children[:0]}
		p.nodes = append(p.nodes, n)
	}
}

func (p *pool) getNode(classes int) *node {
	k := len(p.nodes)
	if k == 0 {
		return &node{counts: make([]float64, classes)}
	}
	n := p.nodes[k-1]
	p.nodes[k-1] = nil
	p.nodes = p.nodes[:k-1]
	p.bytes -= nodeBytes + 8*len(n.counts) + 8*cap(n.children)
	clear(n.counts)
	return n
}
