package anomaly

import (
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/internal/setting"
	"skerry.dev/compute/state"
)

// halfspace counts how many rows of the last window lie in the part of the space where a row
// falls, which is halved at random, depth by depth: few rows in a large part are unusual. After
// Tan, Ting and Liu, "Fast Anomaly Detection for Streaming Data" (IJCAI 2011).
//
// The paper takes columns between 0 and 1 for granted. We keep the rows of a window and lay the
// ranges by them when it is over, so that the scale follows the stream and one wild value is gone
// after the next window; the extremes of each column, a hundredth of the rows at either end, do
// not stretch it.
type halfspace struct {
	trees, depth, window, train int64
	seed                        uint64

	width     int
	rows      window
	seen      int64
	ready     bool
	low, high []float64 // the range of each column
	// of each inner node, by tree and node; the children of node i are 2i+1 and 2i+2
	column    []int32
	at        []float64 // where it is halved, in ranges
	mass      []float64 // rows of the window in each node
	pcg       *rand.PCG
	rng       *rand.Rand
	z, sorted []float64 // scratch
}

func newHalfspace() *halfspace { return &halfspace{trees: 25, depth: 10, window: 250, seed: 1} }

func (h *halfspace) settings() []setting.Setting {
	return []setting.Setting{
		setting.Whole("trees", &h.trees, 1, 1000, "trees"),
		setting.Whole("depth", &h.depth, 1, 16, "times that the space is halved; the memory doubles with each"),
		setting.Whole("window", &h.window, 16, 1<<16, "rows that are counted: after as many the new ones become the reference, or with train a fair sample of those is it"),
		setting.Whole("train", &h.train, 0, 1<<32, "rows to learn from, after which the reference stays; 0 goes on"),
		seed(&h.seed),
	}
}

func (h *halfspace) start(schema Schema) error {
	d := len(schema.Columns)
	inner := 1<<h.depth - 1
	if err := affordable(28*float64(h.trees)*float64(inner+1) + 8*float64(h.window)*float64(d)); err != nil {
		return err
	}
	h.width, h.rows = d, newWindow(int(h.window), d)
	h.low, h.high, h.z, h.sorted = make([]float64, d), make([]float64, d), make([]float64, d), make([]float64, 0, h.window)
	h.column, h.at = make([]int32, int(h.trees)*inner), make([]float64, int(h.trees)*inner)
	h.mass = make([]float64, int(h.trees)*(2*inner+1))
	h.pcg = rand.NewPCG(h.seed, 0x4a1f5bace)
	h.rng = rand.New(h.pcg)
	least, most := make([]float64, d), make([]float64, d)
	for t := range int(h.trees) {
		// a work range around a random centre, which reaches beyond the range of the rows
		for j := range d {
			c := h.rng.Float64()
			r := 2 * max(c, 1-c)
			least[j], most[j] = c-r, c+r
		}
		h.halve(t*inner, 0, inner, least, most)
	}
	return nil
}

func (h *halfspace) halve(tree, node, inner int, least, most []float64) {
	if node >= inner {
		return
	}
	j := h.rng.IntN(h.width)
	at := (least[j] + most[j]) / 2
	h.column[tree+node], h.at[tree+node] = int32(j), at
	low, high := least[j], most[j]
	most[j] = at
	h.halve(tree, 2*node+1, inner, least, most)
	least[j], most[j] = at, high
	h.halve(tree, 2*node+2, inner, least, most)
	least[j] = low
}

// Update implements Scorer. It costs trees times the depth, twice: for the score, and for the
// counts when the window is over.
func (h *halfspace) Update(x []float64, _ int64) float64 {
	score := 0.0
	if h.ready {
		score = h.score(x)
	}
	if h.train > 0 && h.seen >= h.train {
		return score
	}
	h.seen++
	switch {
	case h.train == 0 || h.rows.len() < h.rows.size:
		h.rows.add(x)
	default:
		// every row so far is kept with the same chance
		if k := h.rng.Int64N(h.seen); k < h.window {
			clean(h.rows.row(int(k)), x)
		}
	}
	if h.train == 0 && h.rows.len() == h.rows.size || h.seen == h.train {
		h.count()
	}
	return score
}

// scaled writes to z where in the ranges a row lies. Missing values lie in the middle.
func (h *halfspace) scaled(x []float64) {
	for j := range h.z {
		h.z[j] = 0.5
		if v, ok := bounded(x[j]); ok {
			span := h.high[j] - h.low[j]
			switch {
			case span > 0:
				h.z[j] = (v - h.low[j]) / span
			case v < h.low[j]:
				h.z[j] = -2
			case v > h.low[j]:
				h.z[j] = 3
			}
		}
	}
}

func (h *halfspace) score(x []float64) float64 {
	h.scaled(x)
	inner := 1<<h.depth - 1
	few := 0.1 * float64(h.rows.size)
	sum := 0.0
	for t := range int(h.trees) {
		mass := h.mass[t*(2*inner+1):][:2*inner+1]
		node, weight := 0, 1.0
		for node < inner && mass[node] > few {
			node = h.child(t*inner, node)
			weight *= 2
		}
		sum += float64(mass[node] * weight)
	}
	// 0.5 where rows are as dense as on average
	return 1 / (1 + sum/(float64(h.trees)*float64(h.rows.size)))
}

func (h *halfspace) child(tree, node int) int {
	if h.z[h.column[tree+node]] < h.at[tree+node] {
		return 2*node + 1
	}
	return 2*node + 2
}

// count lays the ranges and counts the rows of the window, which then begins anew.
func (h *halfspace) count() {
	n := h.rows.len()
	for j := range h.width {
		s := h.sorted[:0]
		for i := range n {
			if v := h.rows.row(i)[j]; !math.IsNaN(v) {
				s = append(s, v)
			}
		}
		h.low[j], h.high[j] = 0, 0
		if k := len(s); k > 0 {
			slices.Sort(s)
			h.low[j], h.high[j] = s[k/100], s[k-1-k/100]
		}
	}
	clear(h.mass)
	inner := 1<<h.depth - 1
	unit := float64(h.rows.size) / float64(n)
	for i := range n {
		h.scaled(h.rows.row(i))
		for t := range int(h.trees) {
			mass, node := h.mass[t*(2*inner+1):], 0
			mass[0] += unit
			for node < inner {
				node = h.child(t*inner, node)
				mass[node] += unit
			}
		}
	}
	h.rows.rows, h.rows.next, h.ready = h.rows.rows[:0], 0, true
}

// Limit implements Scorer: the trees rank rows.
func (h *halfspace) Limit() float64 { return 1 }

// Bytes implements Scorer.
func (h *halfspace) Bytes() int {
	return h.rows.bytes() + 4*len(h.column) + 8*(len(h.at)+len(h.mass)+len(h.low)+len(h.high)+len(h.z)+cap(h.sorted)) + 256
}

// Save implements Scorer. The trees come from the seed.
func (h *halfspace) Save(w *state.Writer) {
	h.rows.save(w)
	w.Int(h.seen)
	w.Bool(h.ready)
	w.PCG(h.pcg)
	w.Floats(h.low)
	w.Floats(h.high)
	w.Floats(h.mass)
}

// Load implements Scorer.
func (h *halfspace) Load(r *state.Reader) {
	h.rows.load(r)
	h.seen, h.ready = r.Int(), r.Bool()
	r.PCG(h.pcg)
	r.FloatsInto(h.low)
	r.FloatsInto(h.high)
	r.FloatsInto(h.mass)
	ok := counted(h.seen) && (h.train > 0 || h.rows.len() < h.rows.size)
	for j := range h.low {
		ok = ok && h.low[j] >= -maxMagnitude && h.low[j] <= h.high[j] && h.high[j] <= maxMagnitude
	}
	for _, m := range h.mass {
		ok = ok && m >= 0 && m <= 2*float64(h.rows.size)
	}
	if !ok {
		r.Fail()
		h.ready = false
		h.rows.rows = nil
	}
}
