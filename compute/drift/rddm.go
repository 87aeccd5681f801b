package drift

import (
	"math"

	"skerry.dev/compute/state"
)

// RDDM is a DDM that stays sensitive in long concepts: after MaxConcept values it takes its rate
// anew from the last StableConcept ones, a warning that lasts WarnLimit values becomes a drift,
// and a drift starts from the values since its warning. After Barros, Cabral, Gonçalves and
// Santos, "RDDM: Reactive Drift Detection Method", Expert Systems with Applications 90 (2017), in
// the form of MOA. It takes errors: a value above 0.5 is one. It keeps StableConcept bytes; an
// update costs a square root, a drift a pass over the bytes. Use NewRDDM and set fields before
// the first value.
type RDDM struct {
	// MinSamples is the number of values before anything is watched.
	MinSamples int64
	// WarningLevel and DriftLevel are in standard deviations of the lowest rate.
	WarningLevel, DriftLevel float64
	// MaxConcept, StableConcept and WarnLimit are numbers of values.
	MaxConcept, StableConcept, WarnLimit int64

	rddmState
	kept []byte // ring of the last StableConcept values
}

type rddmState struct {
	n                            int64 // of the next value, from 1
	p, s                         float64
	pMin, sMin, best             float64
	stored, first, last          int64
	warnAt, warnPos              int64 // -1 outside a warning
	seen                         int64
	restarting, alarmed, warning bool
}

// NewRDDM returns a detector with the settings of the paper: 129 samples, 1.773 and 2.258
// deviations, concepts of 40 000 and 7000 values, warnings of 1400.
func NewRDDM() *RDDM {
	d := &RDDM{
		MinSamples:    129,
		WarningLevel:  1.773,
		DriftLevel:    2.258,
		MaxConcept:    40000,
		StableConcept: 7000,
		WarnLimit:     1400,
	}
	d.rddmState = rddmState{
		n:       1,
		p:       1,
		pMin:    math.MaxFloat64,
		sMin:    math.MaxFloat64,
		best:    math.MaxFloat64,
		last:    -1,
		warnAt:  -1,
		warnPos: -1,
	}
	return d
}

// Update implements Detector.
func (d *RDDM) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.kept == nil {
		d.kept = make([]byte, d.StableConcept)
	}
	if d.restarting {
		d.replay()
	}
	e := wrong(x)
	d.last = (d.last + 1) % d.StableConcept
	d.kept[d.last] = byte(e)
	if d.stored < d.StableConcept {
		d.stored++
	} else {
		d.first = (d.first + 1) % d.StableConcept
		if d.warnPos == d.last {
			d.warnPos = -1
		}
	}
	d.add(e)
	d.seen++
	d.warning = false
	if d.n <= d.MinSamples {
		return false
	}
	level := d.p + d.s
	if level < d.best {
		d.pMin, d.sMin, d.best = d.p, d.s, level
	}
	switch {
	case level > d.pMin+float64(d.DriftLevel*d.sMin):
		if d.warnAt == -1 {
			d.forget()
		}
		d.alarmed, d.restarting = true, true
	case level > d.pMin+float64(d.WarningLevel*d.sMin):
		if d.warnAt != -1 && d.warnAt+d.WarnLimit <= d.seen {
			d.forget()
			d.warnAt, d.warnPos = -1, -1
			d.alarmed, d.restarting = true, true
			break
		}
		d.warning = true
		if d.warnAt == -1 {
			d.warnAt, d.warnPos = d.seen, d.last
		}
	default:
		d.warnAt, d.warnPos = -1, -1
		d.restarting = d.n > d.MaxConcept
	}
	return d.alarmed
}

// add takes an error into the rate.
func (d *RDDM) add(e float64) {
	d.p += (e - d.p) / float64(d.n)
	d.s = math.Sqrt(float64(d.p*(1-d.p)) / float64(d.n))
	d.n++
}

// forget keeps nothing but the newest value.
func (d *RDDM) forget() { d.first, d.stored = d.last, 1 }

// replay takes the rate anew from the values kept, after a drift those since its warning. Without
// a drift the old minimum stands.
func (d *RDDM) replay() {
	d.n, d.p, d.s = 1, 1, 0
	if d.alarmed {
		d.pMin, d.sMin, d.best = math.MaxFloat64, math.MaxFloat64, math.MaxFloat64
	}
	if d.warnPos != -1 {
		d.first = d.warnPos
		if d.stored = d.last - d.first + 1; d.stored <= 0 {
			d.stored += d.StableConcept
		}
	}
	for k := range d.stored {
		e := float64(d.kept[(d.first+k)%d.StableConcept])
		d.p += (e - d.p) / float64(d.n)
		d.s = math.Sqrt(float64(d.p*(1-d.p)) / float64(d.n))
		if d.alarmed && d.n > d.MinSamples && d.p+d.s < d.best {
			d.pMin, d.sMin, d.best = d.p, d.s, d.p+d.s
		}
		d.n++
	}
	d.warnAt, d.warnPos = -1, -1
	d.restarting, d.alarmed = false, false
}

// Warning implements Warner.
func (d *RDDM) Warning() bool { return d.warning }

// Save implements Detector.
func (d *RDDM) Save(w *state.Writer) {
	for _, v := range d.ints() {
		w.Int(*v)
	}
	for _, v := range d.floats() {
		w.Float(*v)
	}
	w.Bool(d.restarting)
	w.Bool(d.alarmed)
	w.Bool(d.warning)
	w.String(string(d.kept))
}

// Load implements Detector.
func (d *RDDM) Load(r *state.Reader) {
	s := rddmState{}
	for _, v := range s.ints() {
		*v = r.Int()
	}
	for _, v := range s.floats() {
		*v = r.Float()
	}
	s.restarting, s.alarmed, s.warning = r.Bool(), r.Bool(), r.Bool()
	kept := []byte(r.String())
	size := d.StableConcept
	need(r, s.n >= 1 && counted(s.n, s.seen) && s.warnAt >= -1 && s.warnAt <= s.seen && unit(s.p, s.s) && finite(s.pMin, s.sMin, s.best))
	need(r, len(kept) == 0 && s.seen == 0 && s.stored == 0 || int64(len(kept)) == size && s.last >= 0)
	need(r, s.stored >= 0 && s.stored <= size && s.first >= 0 && s.first < size && s.last >= -1 && s.last < size && s.warnPos >= -1 && s.warnPos < size)
	for _, e := range kept {
		need(r, e <= 1)
	}
	if r.Err() != nil {
		return
	}
	d.rddmState, d.kept = s, nil
	if len(kept) > 0 {
		d.kept = kept
	}
}

func (s *rddmState) ints() []*int64 {
	return []*int64{&s.n, &s.stored, &s.first, &s.last, &s.warnAt, &s.warnPos, &s.seen}
}

func (s *rddmState) floats() []*float64 {
	return []*float64{&s.p, &s.s, &s.pMin, &s.sMin, &s.best}
}
