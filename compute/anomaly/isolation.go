package anomaly

import (
	"errors"
	"math"
	"math/rand/v2"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/internal/setting"
	"skerry.dev/compute/state"
)

// isolation cuts the space at random until rows are alone: unusual ones are alone early. After
// Liu, Ting and Zhou, "Isolation Forest" (ICDM 2008). On a stream the forest is grown again from
// the newest rows, as in Ding and Fei, "An Anomaly Detection Approach Based on Isolation Forest
// Algorithm for Streaming Data using Sliding Window" (2013), though by the clock and not by the
// share of alarms.
//
// We differ in missing values, which the paper does not cover: in a cut they take the way of most
// rows.
type isolation struct {
	trees, sample, window, refresh, train int64
	seed                                  uint64

	width  int
	rows   window
	seen   int64 // rows taken
	since  int64 // rows since the forest was grown
	roots  []int64
	nodes  []isolationNode
	pcg    *rand.PCG
	rng    *rand.Rand
	depth  int
	usual  float64 // depth at which rows are alone on average
	sorted []int   // scratch
}

// isolationNode is a cut, or a leaf where left is 0.
type isolationNode struct {
	column      int32
	left, right int32 // within nodes; children lie behind their parents
	missingLeft bool
	at          float64 // rows below it go left; for a leaf the depth that it stands for
}

func newIsolation() *isolation {
	return &isolation{trees: 100, sample: 256, window: 8192, refresh: 512, train: 0, seed: 1}
}

func (f *isolation) settings() []setting.Setting {
	return []setting.Setting{
		setting.Whole("trees", &f.trees, 1, 1000, "trees of the forest"),
		setting.Whole("sample", &f.sample, 8, 1<<14, "rows drawn for each tree"),
		setting.Whole("window", &f.window, 32, 1<<20, "rows that are kept to draw from: the newest, or with train a fair sample of those"),
		setting.Whole("refresh", &f.refresh, 1, 1<<32, "rows after which the forest is grown again"),
		setting.Whole("train", &f.train, 0, 1<<32, "rows to learn from, after which the forest stays; 0 goes on"),
		seed(&f.seed),
	}
}

func (f *isolation) start(schema Schema) error {
	if f.train == 1 {
		return errors.New("train 1: must be 0 or at least 2 rows, one is never alone")
	}
	f.width = len(schema.Columns)
	if err := affordable(8*float64(f.window)*float64(f.width+1) + 48*float64(f.trees)*float64(f.sample)); err != nil {
		return err
	}
	f.rows = newWindow(int(f.window), f.width)
	f.pcg = rand.NewPCG(f.seed, 0x15071a7104)
	f.rng = rand.New(f.pcg)
	return nil
}

// Update implements Scorer. It costs trees times the depth, some microseconds; growing a forest
// costs about trees times sample times its logarithm, some milliseconds, and allocates nothing
// after the first time.
func (f *isolation) Update(x []float64, _ int64) float64 {
	score := 0.0
	if len(f.roots) > 0 {
		score = f.score(x)
	}
	if f.train > 0 && f.seen >= f.train {
		return score
	}
	f.seen++
	f.since++
	switch {
	case f.train == 0:
		f.rows.add(x)
		if f.seen > 1 && f.since >= f.refresh || len(f.roots) == 0 && f.seen >= f.sample {
			f.grow()
		}
	default:
		if int64(f.rows.len()) < f.window {
			f.rows.add(x)
		} else if k := f.rng.Int64N(f.seen); k < f.window {
			// every row so far is kept with the same chance
			clean(f.rows.row(int(k)), x)
		}
		if f.seen == f.train {
			f.grow()
			f.rows.rows = nil
		}
	}
	return score
}

func (f *isolation) score(x []float64) float64 {
	sum := 0.0
	for _, root := range f.roots {
		n := &f.nodes[root]
		for n.left != 0 {
			v := x[n.column]
			left := v < n.at
			if v-v != 0 { // NaN or infinite
				left = n.missingLeft
			}
			if left {
				n = &f.nodes[n.left]
			} else {
				n = &f.nodes[n.right]
			}
		}
		sum += n.at
	}
	return exact.Exp(-math.Ln2 * (sum / float64(len(f.roots))) / f.usual)
}

// grow makes the forest from the rows that are kept.
func (f *isolation) grow() {
	n := min(int(f.sample), f.rows.len())
	f.since, f.nodes, f.roots = 0, f.nodes[:0], f.roots[:0]
	f.usual = pathLength(n)
	for f.depth = 0; 1<<f.depth < n; f.depth++ {
	}
	if len(f.sorted) < f.rows.len() {
		f.sorted = make([]int, f.rows.size)
	}
	if most := int(f.trees) * (2*n - 1); cap(f.nodes) < most {
		f.nodes = make([]isolationNode, 0, most)
	}
	order := f.sorted[:f.rows.len()]
	for i := range order {
		order[i] = i
	}
	for range f.trees {
		for i := range n { // a sample without repetition
			j := i + f.rng.IntN(len(order)-i)
			order[i], order[j] = order[j], order[i]
		}
		f.roots = append(f.roots, int64(len(f.nodes)))
		f.nodes = append(f.nodes, isolationNode{})
		f.split(len(f.nodes)-1, order[:n], 0)
	}
}

func (f *isolation) split(node int, rows []int, depth int) {
	if len(rows) > 1 && depth < f.depth {
		// columns without two values are no cut; after as many tries there may be none
		for range 2 * f.width {
			j := f.rng.IntN(f.width)
			low, high, missing := math.Inf(1), math.Inf(-1), 0
			for _, i := range rows {
				if v := f.rows.row(i)[j]; !math.IsNaN(v) {
					low, high = min(low, v), max(high, v)
				} else {
					missing++
				}
			}
			if !(low < high) {
				continue
			}
			at := low + float64(f.rng.Float64()*(high-low))
			if at <= low {
				at = high
			}
			below := 0
			for _, i := range rows {
				if f.rows.row(i)[j] < at {
					below++
				}
			}
			n := isolationNode{column: int32(j), at: at, missingLeft: 2*below >= len(rows)-missing}
			k := 0
			for i, r := range rows {
				if v := f.rows.row(r)[j]; v < at || math.IsNaN(v) && n.missingLeft {
					rows[i], rows[k] = rows[k], rows[i]
					k++
				}
			}
			n.left, n.right = int32(len(f.nodes)), int32(len(f.nodes)+1)
			f.nodes[node] = n
			f.nodes = append(f.nodes, isolationNode{}, isolationNode{})
			f.split(int(n.left), rows[:k], depth+1)
			f.split(int(n.right), rows[k:], depth+1)
			return
		}
	}
	f.nodes[node] = isolationNode{at: float64(depth) + pathLength(len(rows))}
}

// pathLength is the mean depth at which a search in a random tree of n ends. The paper takes ln m +
// γ for the harmonic number of m, which is a quarter too little for 2; with the next two terms of
// the series it is exact to 1e-3.
func pathLength(n int) float64 {
	switch {
	case n < 2:
		return 0
	case n == 2:
		return 1
	}
	const euler = 0.5772156649015329
	m := float64(n - 1)
	harmonic := exact.Log(m) + euler + 1/(2*m) - 1/(12*float64(m*m))
	return float64(2*harmonic) - float64(2*m)/float64(n)
}

// Limit implements Scorer: the forest ranks rows.
func (f *isolation) Limit() float64 { return 1 }

// Bytes implements Scorer.
func (f *isolation) Bytes() int {
	return f.rows.bytes() + 24*cap(f.nodes) + 8*(cap(f.roots)+cap(f.sorted)) + 256
}

// Save implements Scorer.
func (f *isolation) Save(w *state.Writer) {
	f.rows.save(w)
	w.Int(f.seen)
	w.Int(f.since)
	w.Float(f.usual)
	w.PCG(f.pcg)
	w.Ints(f.roots)
	w.Int(int64(len(f.nodes)))
	for _, n := range f.nodes {
		w.Int(int64(n.column))
		w.Int(int64(n.left))
		w.Int(int64(n.right))
		w.Bool(n.missingLeft)
		w.Float(n.at)
	}
}

// Load implements Scorer.
func (f *isolation) Load(r *state.Reader) {
	f.rows.load(r)
	f.seen, f.since, f.usual = r.Int(), r.Int(), r.Float()
	r.PCG(f.pcg)
	f.roots = r.Ints()
	n := r.Len(40)
	f.nodes = make([]isolationNode, n)
	ok := counted(f.seen, f.since) && int64(len(f.roots)) <= f.trees && (len(f.roots) == 0 || f.usual > 0 && f.usual <= 100)
	for i := range f.nodes {
		column, left, right := r.Int(), r.Int(), r.Int()
		f.nodes[i] = isolationNode{int32(column), int32(left), int32(right), r.Bool(), r.Float()}
		leaf := left == 0 && right == 0 && column == 0
		ok = ok && (leaf && f.nodes[i].at >= 0 && f.nodes[i].at <= 100 || left > int64(i) && right > int64(i) && left < int64(n) && right < int64(n) && column >= 0 && column < int64(f.width) && math.Abs(f.nodes[i].at) <= maxMagnitude)
	}
	for _, root := range f.roots {
		ok = ok && root >= 0 && root < int64(n)
	}
	if ok = ok && r.Err() == nil; !ok {
		r.Fail()
		f.roots, f.nodes = nil, nil
	}
}
