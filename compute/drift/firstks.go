package drift

import (
	"slices"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// FirstKS compares the newest Window values with the first Reference ones by the distance of
// Kolmogorov and Smirnov, every Every values. The first values stay the reference for good, so it
// reports that a stream has left its beginning, where the other detectors report that it has
// changed. It reports once, and again only after the distance has halved. It keeps Reference and
// Window values; a comparison costs a sort of Window values. Use NewFirstKS and set fields before
// the first value.
type FirstKS struct {
	// Reference, Window and Every are numbers of values.
	Reference, Window, Every int64
	// Alpha is the probability of a false alarm at one comparison of independent values.
	Alpha float64

	n       int64     // values after the reference
	first   []float64 // the reference, in ascending order once it is full
	ring    []float64
	sample  []float64 // scratch
	away    bool
	limit   float64 // the distance at which it alarms
	nearest float64 // the distance at the last comparison
}

// NewFirstKS returns a detector with a reference of 1000 values, a window of 128 compared every
// 64, and alpha 0.001.
func NewFirstKS() *FirstKS { return &FirstKS{Reference: 1000, Window: 128, Every: 64, Alpha: 0.001} }

// Distance returns the distance at the last comparison, in [0, 1].
func (d *FirstKS) Distance() float64 { return d.nearest }

// prepare makes the buffers.
func (d *FirstKS) prepare() {
	d.first, d.ring, d.sample = make([]float64, 0, d.Reference), make([]float64, 0, d.Window), make([]float64, d.Window)
	d.limit = criticalDistance(d.Reference, d.Window, d.Alpha)
}

// criticalDistance is what two samples of n and m independent values from one distribution exceed
// with probability alpha, asymptotically: sqrt(ln(2/alpha)/2 · (n+m)/(n·m)).
func criticalDistance(n, m int64, alpha float64) float64 {
	return hoeffding(float64(n)*float64(m)/float64(n+m), exact.Log(2/alpha))
}

// Update implements Detector.
func (d *FirstKS) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.first == nil {
		d.prepare()
	}
	if int64(len(d.first)) < d.Reference {
		if d.first = append(d.first, x); int64(len(d.first)) == d.Reference {
			slices.Sort(d.first)
		}
		return false
	}
	if int64(len(d.ring)) < d.Window {
		d.ring = append(d.ring, x)
	} else {
		d.ring[d.n%d.Window] = x
	}
	if d.n++; int64(len(d.ring)) < d.Window || d.n%d.Every != 0 {
		return false
	}
	copy(d.sample, d.ring)
	d.nearest = KolmogorovSmirnov(d.first, d.sample)
	switch {
	case d.nearest > d.limit && !d.away:
		d.away = true
		return true
	case d.nearest < d.limit/2:
		d.away = false
	}
	return false
}

// Save implements Detector.
func (d *FirstKS) Save(w *state.Writer) {
	w.Int(d.n)
	w.Floats(d.first)
	w.Floats(d.ring)
	w.Bool(d.away)
	w.Float(d.nearest)
}

// Load implements Detector.
func (d *FirstKS) Load(r *state.Reader) {
	n, first, ring, away, nearest := r.Int(), r.Floats(), r.Floats(), r.Bool(), r.Float()
	kept := int64(len(ring))
	need(r, counted(n) && int64(len(first)) <= d.Reference && kept <= d.Window && unit(nearest))
	need(r, kept == min(n, d.Window) && (n == 0 || int64(len(first)) == d.Reference))
	need(r, int64(len(first)) < d.Reference || slices.IsSorted(first))
	for _, values := range [][]float64{first, ring} {
		for _, x := range values {
			need(r, usable(x))
		}
	}
	if r.Err() != nil {
		return
	}
	e := FirstKS{Reference: d.Reference, Window: d.Window, Every: d.Every, Alpha: d.Alpha}
	if len(first) > 0 {
		e.prepare()
		e.n, e.first, e.ring, e.away, e.nearest = n, append(e.first, first...), append(e.ring, ring...), away, nearest
	}
	*d = e
}
