package inputs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Report describes how the newest rows compare with the reference. It is made when a drift begins,
// when more features join it and when it is over.
type Report struct {
	// Row is the position of the newest row, the first row is 0.
	Row int64
	// Drift is false when the rows look like the reference again.
	Drift bool
	// Features are responsible for the drift, most responsible first. They are empty when it is
	// over.
	Features []Feature
	// Joint is the test of all features together.
	Joint Joint
}

// Feature is what became of one feature.
type Feature struct {
	Index int
	// Statistic is that of the reference's test and PValue the probability that rows of the
	// reference, as closely as they follow each other, have one as large: 1 for a feature that is
	// named by the joint test alone.
	Statistic, PValue float64
	// Shift is the difference of the means in standard deviations of the reference, 0 where it
	// has none; PSI and Wasserstein (in ranks, at most 0.5) are the distances of these names;
	// Missing is the share of missing values in the window.
	Shift, PSI, Wasserstein, Missing float64
}

// Joint is the outcome of the joint test.
type Joint struct {
	Drift bool
	// the squared distance of the means of its functions; 0 and 1 without a joint test
	Statistic, PValue float64
}

// Watcher compares rows with a reference. It is not safe for concurrent use.
type Watcher struct {
	ref    *Reference
	ring   []block
	block  int // the one being filled
	filled int // rows in it
	blocks int // full ones
	rows   int64
	named  []bool // features in the present drift
	joint  bool   // the joint test is
	alone  int    // looks in a row at which the joint test found something

	// Scratch, no part of the state.
	window         block
	present, alien []float64
	ranks          []float64
	statistics     []float64
	pValues        []float64
	order          []int
	jointTotal     float64
	jointOne       float64
	parts, scores  []float64
	report         Report
}

// block counts Every rows.
type block struct {
	counts []int32   // of the bins of all features, one feature after the other
	sums   []float64 // of the values present
	joint  []float64 // of the functions
}

// recoveredP is the p-value above which a feature's drift is over.
const recoveredP = 0.05

// NewWatcher returns a watcher without rows. It reports from the first full window on.
func NewWatcher(ref *Reference) *Watcher {
	d, bins, functions := len(ref.features), 0, 0
	for i := range ref.features {
		bins += len(ref.features[i].upTo)
	}
	if ref.joint != nil {
		functions = len(ref.joint.functions)
	}
	make1 := func() block {
		return block{make([]int32, bins), make([]float64, d), make([]float64, functions)}
	}
	w := &Watcher{
		ref:        ref,
		ring:       make([]block, ref.opts.Window/ref.opts.Every),
		named:      make([]bool, d),
		window:     make1(),
		present:    make([]float64, d),
		alien:      make([]float64, d),
		ranks:      make([]float64, d),
		statistics: make([]float64, d),
		pValues:    make([]float64, d),
		order:      make([]int, d),
		parts:      make([]float64, functions),
		scores:     make([]float64, d),
		report:     Report{Features: make([]Feature, 0, d)},
	}
	for i := range w.ring {
		w.ring[i] = make1()
	}
	return w
}

// Push takes the next row, of NumFeatures values of which missing ones are NaN, and returns a
// report when there is news, else nil. The report belongs to the watcher and is valid until the
// next call. The row is not kept. Push panics when the row's length is wrong. Most rows cost a
// search per feature and a few operations per function of the joint test; every Every-th one a
// comparison of all bins.
func (w *Watcher) Push(row []float64) *Report {
	if len(row) != len(w.ref.features) {
		panic(fmt.Sprintf("inputs: a row of %d values, the reference has %d", len(row), len(w.ref.features)))
	}
	w.add(row)
	w.rows++
	if w.filled < w.ref.opts.Every {
		return nil
	}
	if w.turn(); w.blocks < len(w.ring) {
		return nil
	}
	w.measure()
	return w.judge()
}

// add counts a row into the block being filled.
func (w *Watcher) add(row []float64) {
	b := &w.ring[w.block]
	if w.filled == 0 {
		clear(b.counts)
		clear(b.sums)
		clear(b.joint)
	}
	at := 0
	for j, v := range row {
		m := &w.ref.features[j]
		bin := m.bin(v)
		b.counts[at+bin]++
		at += len(m.upTo)
		if bin > 0 {
			b.sums[j] += v
		}
		w.ranks[j] = m.rank(bin)
	}
	if w.ref.joint != nil {
		w.ref.joint.add(b.joint, w.ranks)
	}
	w.filled++
}

// turn ends the block.
func (w *Watcher) turn() {
	w.filled = 0
	w.blocks = min(w.blocks+1, len(w.ring))
	if w.block++; w.block == len(w.ring) {
		w.block = 0
	}
}

// measure sums up the blocks and takes the statistics of the window.
func (w *Watcher) measure() {
	clear(w.window.counts)
	clear(w.window.sums)
	clear(w.window.joint)
	for i := range w.ring {
		// from the oldest on, so that sums are the same whatever block that is
		b := &w.ring[(w.block+i)%len(w.ring)]
		for k, c := range b.counts {
			w.window.counts[k] += c
		}
		for k, s := range b.sums {
			w.window.sums[k] += s
		}
		for k, s := range b.joint {
			w.window.joint[k] += s
		}
	}
	n := float64(w.ref.opts.Window)
	at := 0
	for j := range w.ref.features {
		m := &w.ref.features[j]
		w.statistics[j] = m.statistic(w.ref.opts.Test, w.window.counts[at:at+len(m.upTo)], n)
		w.alien[j] = m.alien(w.window.counts[at:at+len(m.upTo)], n)
		w.present[j] = n - float64(w.window.counts[at])
		at += len(m.upTo)
	}
	if w.ref.joint != nil {
		w.jointTotal, w.jointOne = w.ref.joint.statistic(w.parts, w.window.joint, n)
	}
}

// judge turns statistics into a report, nil when there is no news. Half of what a look may spend
// goes to the single features and half to the joint test.
//
// A feature that begins to move leaves those it goes with before it leaves its own range. So what
// the joint test finds alone waits for a whole window: by then the feature is known, or it is
// dependence that has changed.
func (w *Watcher) judge() *Report {
	o := &w.ref.opts
	level := o.FalseAlarms * float64(o.Every) / 10000
	if w.ref.joint != nil {
		level /= 2
	}
	per := 1/float64(o.Window) + 1/float64(w.ref.rows)
	for j := range w.pValues {
		w.pValues[j] = w.ref.features[j].pValue(o.Test, w.statistics[j], w.alien[j], float64(o.Window), per)
		w.order[j] = j
	}
	jointP := 1.0
	if w.ref.joint != nil {
		jointP = w.ref.joint.pValue(w.jointTotal, w.jointOne, per)
	}
	slices.SortFunc(w.order, w.compare)
	found := 0 // Benjamini and Hochberg: the last p-value, in order, below its share of the level
	for i, j := range w.order {
		if w.pValues[j] <= level*float64(i+1)/float64(len(w.order)) {
			found = i + 1
		}
	}
	was := w.drifting()
	news := false
	for j, p := range w.pValues {
		if w.named[j] && p > recoveredP {
			w.named[j] = false
		}
	}
	for _, j := range w.order[:found] {
		news = news || !w.named[j]
		w.named[j] = true
	}
	if jointP > level {
		w.alone = 0
	} else if w.alone = min(w.alone, len(w.ring)) + 1; found > 0 || w.alone > len(w.ring) {
		news = news || !was && !w.joint
		w.joint = true
	}
	w.joint = w.joint && jointP <= recoveredP
	over := was && !w.drifting()
	if !news && !over {
		return nil
	}
	w.report = Report{
		Row:      w.rows - 1,
		Drift:    !over,
		Features: w.report.Features[:0],
		Joint:    Joint{jointP <= level, w.jointTotal, jointP},
	}
	if over {
		return &w.report
	}
	if found == 0 {
		found = w.blamed()
	}
	for _, j := range w.order[:found] {
		w.report.Features = append(w.report.Features, w.describe(j))
	}
	return &w.report
}

func (w *Watcher) drifting() bool { return w.joint || slices.Contains(w.named, true) }

// compare orders features by p-value, and those whose p-values are both 0 or 1 by how far their
// statistic exceeds what the reference's own windows reach.
func (w *Watcher) compare(a, b int) int {
	if c := cmp.Compare(w.pValues[a], w.pValues[b]); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(w.excess(b), w.excess(a)), cmp.Compare(a, b))
}

func (w *Watcher) excess(j int) float64 {
	m := &w.ref.features[j]
	return energy(w.ref.opts.Test, w.statistics[j]) / (m.inflate * m.chance(w.ref.opts.Test))
}

// blamed puts in front of the order the features whose functions moved most, where only the joint
// test has found something, and returns how many they are: those with at least half of the most,
// at least two and at most five.
func (w *Watcher) blamed() int {
	w.ref.joint.blame(w.scores, w.parts)
	slices.SortFunc(w.order, w.compareScores)
	n := 0
	for n < min(5, len(w.order)) && (n < 2 || 2*w.scores[w.order[n]] >= w.scores[w.order[0]]) {
		n++
	}
	return n
}

func (w *Watcher) compareScores(a, b int) int {
	return cmp.Or(cmp.Compare(w.scores[b], w.scores[a]), cmp.Compare(a, b))
}

// describe reports what became of a feature in the window.
func (w *Watcher) describe(j int) Feature {
	at := 0
	for k := range j {
		at += len(w.ref.features[k].upTo)
	}
	m := &w.ref.features[j]
	n := float64(w.ref.opts.Window)
	counts := w.window.counts[at : at+len(m.upTo)]
	f := Feature{
		Index:       j,
		Statistic:   w.statistics[j],
		PValue:      w.pValues[j],
		PSI:         m.psi(counts, n),
		Wasserstein: m.wasserstein(counts, n),
		Missing:     float64(counts[0]) / n,
	}
	if m.sd > 0 && w.present[j] > 0 {
		if f.Shift = (w.window.sums[j]/w.present[j] - m.mean) / m.sd; math.IsInf(f.Shift, 0) {
			f.Shift = math.Copysign(maxMagnitude, f.Shift)
		}
	}
	return f
}
