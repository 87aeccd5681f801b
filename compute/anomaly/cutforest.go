package anomaly

import (
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/internal/setting"
	"skerry.dev/compute/state"
)

// cutForest keeps a sample of the rows in trees of random cuts and measures how much a new row
// disturbs them. After Guha, Mishra, Roy and Schrijvers, "Robust Random Cut Forest Based Anomaly
// Detection on Streams" (ICML 2016).
//
// All trees hold the same sample, so that a point is kept once. A new row takes the place of a
// random one with a fixed chance: the ages in the sample are geometric with the mean that the
// settings name, and a day that was usual a week ago is still known. Columns are scaled once, by
// the median and the quartiles of the first rows.
type cutForest struct {
	trees, sample, memory, shingle, train int64
	seed                                  uint64

	width  int    // of a point: shingle rows
	rows   window // points as they came, until the scale is known
	lap    []float64
	laps   int64
	seen   int64 // points
	scaled bool
	middle []float64
	spread []float64
	points []float64 // scaled, by slot
	forest []cutTree
	pcg    *rand.PCG
	rng    *rand.Rand
	p      []float64 // scratch
}

func newCutForest() *cutForest {
	return &cutForest{trees: 40, sample: 256, memory: 8192, shingle: 1, seed: 1}
}

func (f *cutForest) settings() []setting.Setting {
	return []setting.Setting{
		setting.Whole("trees", &f.trees, 1, 1000, "trees"),
		setting.Whole("sample", &f.sample, 16, 1<<13, "points that the trees hold; the memory is trees times sample times columns times shingle times 32 bytes"),
		setting.Whole("memory", &f.memory, 16, 1<<32, "mean age of the points, in rows; at most sample keeps the newest"),
		setting.Whole("shingle", &f.shingle, 1, 64, "rows in a row that are one point, for the shape of single series"),
		setting.Whole("train", &f.train, 0, 1<<32, "rows to learn from, after which the trees stay; 0 goes on"),
		seed(&f.seed),
	}
}

func (f *cutForest) start(schema Schema) error {
	d := len(schema.Columns) * int(f.shingle)
	if f.train > 0 && f.train < f.sample+f.shingle {
		f.sample = max(f.train-f.shingle, 1) // fewer rows make smaller trees
	}
	if err := affordable(float64(f.trees) * float64(f.sample+1) * (32*float64(d) + 72)); err != nil {
		return err
	}
	size := int(f.sample)
	f.width, f.rows = d, newWindow(size, d)
	f.lap, f.p, f.middle, f.spread = make([]float64, d), make([]float64, d), make([]float64, d), make([]float64, d)
	f.points, f.forest = make([]float64, size*d), make([]cutTree, f.trees)
	for i := range f.forest {
		f.forest[i] = newCutTree(size+1, d) // one for the row that is scored
	}
	f.pcg = rand.NewPCG(f.seed, 0xc075)
	f.rng = rand.New(f.pcg)
	return nil
}

// Update implements Scorer. It costs trees times the depth, some ten, times the width of a point:
// a tenth of a millisecond for a few columns.
func (f *cutForest) Update(x []float64, _ int64) float64 {
	copy(f.lap, f.lap[len(x):])
	clean(f.lap[len(f.lap)-len(x):], x)
	if f.laps++; f.laps < f.shingle {
		return 0
	}
	if !f.scaled {
		if f.rows.add(f.lap); f.rows.len() == f.rows.size {
			f.scale()
		}
		return 0
	}
	f.place(f.p, f.lap)
	slot, spare := -1, int(f.sample)
	switch {
	case f.train > 0 && f.laps > f.train:
	case f.memory <= f.sample:
		slot = int(f.seen % f.sample)
	case f.rng.Int64N(f.memory) < f.sample:
		slot = f.rng.IntN(spare)
	}
	sum := 0.0
	for i := range f.forest {
		t := &f.forest[i]
		t.insert(spare, f.p, f.rng)
		sum += t.displacement(spare)
		if slot < 0 {
			t.remove(spare)
		} else {
			t.remove(slot)
			t.leaf[slot], t.leaf[spare] = t.leaf[spare], -1
		}
	}
	if slot >= 0 {
		copy(f.points[slot*f.width:], f.p)
		f.seen++
	}
	c := sum / float64(len(f.forest))
	return c / (c + float64(f.sample)/16)
}

// place writes a point in the scale of the trees. What is missing is taken for the median.
func (f *cutForest) place(dst, p []float64) {
	for j, v := range p {
		dst[j] = 0
		if !math.IsNaN(v) {
			dst[j] = min(max((v-f.middle[j])/f.spread[j], -maxDeviations), maxDeviations)
		}
	}
}

// scale is fixed by the first points, which then go into the trees.
func (f *cutForest) scale() {
	var s []float64
	for j := range f.width {
		s = s[:0]
		for i := range f.rows.len() {
			if v := f.rows.row(i)[j]; !math.IsNaN(v) {
				s = append(s, v)
			}
		}
		f.middle[j], f.spread[j] = 0, 1
		if n := len(s); n > 0 {
			slices.Sort(s)
			f.middle[j] = s[n/2]
			f.spread[j] = (s[n*3/4] - s[n/4]) / 1.35
			if f.spread[j] == 0 {
				_, f.spread[j] = f.rows.moments(j)
			}
			f.spread[j] = max(f.spread[j], float64(1e-6*math.Abs(f.middle[j])), minScale)
		}
	}
	for slot := range f.rows.len() {
		p := f.points[slot*f.width : (slot+1)*f.width]
		f.place(p, f.rows.row(slot))
		for i := range f.forest {
			f.forest[i].insert(slot, p, f.rng)
		}
	}
	f.seen, f.scaled = int64(f.rows.len()), true
	f.rows.rows = nil
}

// Limit implements Scorer: the trees rank rows.
func (f *cutForest) Limit() float64 { return 1 }

// Bytes implements Scorer.
func (f *cutForest) Bytes() int {
	n := f.rows.bytes() + 8*(len(f.points)+5*f.width) + 256
	for i := range f.forest {
		t := &f.forest[i]
		n += 32*len(t.nodes) + 8*len(t.boxes) + 4*(cap(t.free)+len(t.leaf)) + 128
	}
	return n
}

// Save implements Scorer.
func (f *cutForest) Save(w *state.Writer) {
	f.rows.save(w)
	w.Int(f.laps)
	w.Int(f.seen)
	w.Bool(f.scaled)
	w.PCG(f.pcg)
	for _, v := range [][]float64{f.lap, f.middle, f.spread, f.points} {
		w.Floats(v)
	}
	for i := range f.forest {
		f.forest[i].save(w)
	}
}

// Load implements Scorer.
func (f *cutForest) Load(r *state.Reader) {
	f.rows.load(r)
	f.laps, f.seen, f.scaled = r.Int(), r.Int(), r.Bool()
	r.PCG(f.pcg)
	for _, v := range [][]float64{f.lap, f.middle, f.spread, f.points} {
		r.FloatsInto(v)
	}
	ok := counted(f.laps, f.seen) && (!f.scaled && f.rows.len() < f.rows.size || f.scaled && f.seen >= f.sample && f.rows.len() == 0)
	for _, v := range f.points {
		ok = ok && math.Abs(v) <= maxDeviations
	}
	for j := range f.middle {
		ok = ok && math.Abs(f.middle[j]) <= maxMagnitude && (!f.scaled || f.spread[j] >= minScale && f.spread[j] <= 2*maxMagnitude) && (math.IsNaN(f.lap[j]) || math.Abs(f.lap[j]) <= maxMagnitude)
	}
	if !ok {
		r.Fail()
	}
	used := 0
	if f.scaled && r.Err() == nil {
		used = int(f.sample)
	}
	for i := range f.forest {
		f.forest[i].load(r, f.points, used)
	}
	if r.Err() != nil {
		f.scaled, f.rows.rows = false, nil
		for i := range f.forest {
			f.forest[i].reset()
		}
	}
}
