package engine

import (
	"errors"
	"fmt"
	"math"

	"skerry.dev/compute/online/committee"
	"skerry.dev/compute/state"
)

// warmRows is how many of the newest rows a model is tried on when it arrives; the rows before
// them feed its look-back.
const warmRows = HistoryRows - 64

// Shadow puts a candidate beside the champion and tries it at once on the rows in the history
// whose truth is known. It replaces an earlier candidate, and it ends a probation: the previous
// champion is gone then.
func (e *Engine) Shadow(m Loaded) error {
	if m.Model == nil || m.ID == "" {
		return errors.New("engine: shadow: no model")
	}
	if e.scorer != nil {
		return errNoModels
	}
	candidate, err := e.slotOf(m)
	if err != nil {
		return err
	}
	e.epoch++
	e.shadow, e.previous, e.trial = candidate, false, Paired{}
	e.eachKnown(func(back int, truth float64) {
		c, _, _, bad := e.raw(&e.shadow, back)
		if bad {
			e.trial.NonFinite++
			return
		}
		if e.hist.Time(back) <= candidate.TrainTo {
			return // it has seen the answer
		}
		inc, _, _, _ := e.raw(&e.champion, back)
		if math.IsNaN(inc) {
			inc = e.last(back)
		}
		if !math.IsNaN(c) && !math.IsNaN(inc) {
			loss := e.lossOf(truth)
			e.trial.Warm++
			e.trial.add(e.hist.Time(back), loss(inc), loss(c))
		}
	})
	return nil
}

// eachKnown calls f, oldest first, for the newest rows of a forecast whose truth lies in the
// history.
func (e *Engine) eachKnown(f func(back int, truth float64)) {
	if e.cfg.Kind != Forecast {
		return
	}
	for back := min(e.hist.Len(), warmRows) - 1; back > 0; back-- {
		due := e.hist.Time(back) + e.cfg.Horizon
		for b := back - 1; b >= 0; b-- {
			t := e.hist.Time(b)
			if t > due {
				break
			}
			if due-t <= e.cfg.Tolerance && (b == 0 || e.hist.Time(b-1) > due) {
				if y := e.hist.Row(b)[e.cfg.Target]; !math.IsNaN(y) {
					f(back, y)
				}
				break
			}
		}
	}
}

// Activate makes the candidate with this ID the champion. The previous champion stays beside it,
// so that Revert can bring it back, until Settle. The corrector and the interval start from the
// new model's errors on the rows in the history.
func (e *Engine) Activate(id string) error {
	if !e.shadow.use || e.previous || e.shadow.ID != id {
		return fmt.Errorf("engine: activate %s: it is not in shadow", short(id))
	}
	e.epoch++
	e.champion, e.shadow = e.shadow, e.champion
	e.previous, e.trial = true, Paired{}
	e.warm()
	return nil
}

// Revert undoes an Activate that has not been settled. Without a previous champion the task falls
// back to its baselines.
func (e *Engine) Revert() error {
	if !e.previous {
		return errors.New("engine: revert: there is no activation to undo")
	}
	e.epoch++
	e.champion, e.shadow = e.shadow, slot{}
	e.previous, e.trial = false, Paired{}
	e.warm()
	return nil
}

// Settle ends a probation or withdraws a candidate: the shadow slot becomes empty.
func (e *Engine) Settle() {
	e.epoch++
	e.shadow, e.previous, e.trial = slot{}, false, Paired{}
}

// Reset drops the champion as well: the task falls back to its baselines.
func (e *Engine) Reset() {
	e.Settle()
	e.champion = slot{}
	e.warm()
}

// Install makes m the champion without a trial, as at a restart or when the previous model must
// come back after its slot was settled.
func (e *Engine) Install(m Loaded) error {
	if m.Model == nil || m.ID == "" {
		return errors.New("engine: install: no model")
	}
	if e.scorer != nil {
		return errNoModels
	}
	champion, err := e.slotOf(m)
	if err != nil {
		return err
	}
	e.Settle()
	e.champion = champion
	e.warm()
	return nil
}

// resetter is a correction that can forget one model for the next.
type resetter interface{ Reset() }

// warm prepares what depends on the champion: the experts' weights, the corrections and the
// conformal scores. What the local learners have learned stays.
func (e *Engine) warm() {
	e.beginWatch()
	if e.experts == nil {
		return
	}
	e.experts.Reset()
	e.echo.Reset()
	corrections := e.experts.Members()[1:e.ofModel]
	for _, m := range corrections {
		if m.Class != nil {
			m.Class.(resetter).Reset()
		} else {
			m.Value.(resetter).Reset()
		}
	}
	if !e.champion.use {
		return
	}
	e.eachKnown(func(back int, truth float64) {
		p, lo, hi, bad := e.raw(&e.champion, back)
		if bad || math.IsNaN(p) {
			return
		}
		origin := e.origin(back)
		for i := range e.out1 {
			e.out1[i] = math.NaN() // the local learners have seen these rows
		}
		e.expertsAt(back, p, e.last(back), origin)
		y := e.target(truth, origin)
		w := e.experts.Width()
		for k, m := range corrections {
			o := e.out1[(k+1)*w : (k+2)*w]
			if m.Class != nil {
				m.Class.Classify(o, e.x)
				m.Class.Learn(e.x, int(y), 1)
			} else {
				o[0] = m.Value.Predict(e.x)
				m.Value.Learn(e.x, y, 1)
			}
		}
		e.experts.Score(e.out1, y)
		e.spread.Into(e.why[:], p, math.NaN())
		if i, ok := e.interval.Make(e.halves(p, lo, hi), 2*e.mae.Mean()); ok {
			e.interval.Update(&i, truth-p, 0)
		}
	})
}

// Recalibrate makes the intervals anew for the level of the configuration, from the newest errors,
// after a Load of a state that was made for another.
func (e *Engine) Recalibrate() {
	if e.many() {
		e.sets.Restart()
		return
	}
	e.interval.Restart()
}

// Trial returns what the running trial or probation has measured; ok is false when none runs. On
// probation the champion counts as the candidate.
func (e *Engine) Trial() (p Paired, probation, ok bool) {
	p = e.trial
	p.Blocks = p.Blocks.Clone()
	return p, e.previous, e.shadow.use || e.previous
}

// Stats returns how many messages, rows and predictions of each kind there have been.
func (e *Engine) Stats() Stats { return e.stats }

// Champion and ShadowID return the digests in the slots, "" when empty.
func (e *Engine) Champion() string {
	if e.champion.use {
		return e.champion.ID
	}
	return ""
}

// ShadowID returns the digest in the shadow slot, be it a candidate or the previous champion.
func (e *Engine) ShadowID() string {
	if e.shadow.use {
		return e.shadow.ID
	}
	return ""
}

func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

const (
	snapshotVersion = 10
	// withoutBlocks is the version before a trial's losses were kept by event time; it is still read,
	// and its trial begins anew.
	withoutBlocks = 9
	// fixedOdds is the version before mixture.Duel weighed the two sides; it is still read.
	fixedOdds = 8
	// oneSide is the version before the experts that need no model were also weighed alone; it is still
	// read.
	oneSide = 7
	// absoluteLosses is the version before a classification was judged by its log loss and windows of
	// errors were longer; it is still read. What compares or watches losses of classes begins anew.
	absoluteLosses = 6
	// oneInterval is the version before intervals were made in several ways; it is still read.
	oneInterval = 5
	// withoutClock is the version before arrival times; it is still read. What waited when it was
	// saved fires with the next message.
	withoutClock = 4
)

// Save appends the whole state to b.
func (e *Engine) Save(b []byte) []byte {
	w := state.Writer{B: b}
	w.Int(snapshotVersion)
	w.String(e.Champion())
	w.String(e.ShadowID())
	w.Bool(e.previous)
	w.Int(e.epoch)
	for _, v := range e.trial.ints() {
		w.Int(*v)
	}
	for _, v := range e.trial.floats() {
		w.Float(*v)
	}
	for _, v := range []int64{e.trial.From, e.trial.To} {
		w.Int(v)
	}
	e.trial.Blocks.Save(&w)
	w.Int(e.arrived)
	w.Bool(e.settled)
	e.join.save(&w)
	w.B = e.hist.AppendBinary(w.B)
	if e.scorer != nil {
		e.scorer.save(&w)
		e.saveStats(&w)
		return w.B
	}
	e.pend.save(&w)
	e.experts.Save(&w)
	if e.recent != nil {
		e.recent.Save(&w)
	}
	e.echo.Save(&w)
	e.saveUncertainty(&w)
	for _, t := range e.trails() {
		t.Save(&w)
	}
	for _, d := range e.detectors {
		d.Save(&w)
	}
	w.Bool(e.watch != nil)
	if e.watch != nil {
		e.watch.Save(&w)
	}
	e.saveStats(&w)
	return w.B
}

// saveUncertainty appends what makes intervals or sets.
func (e *Engine) saveUncertainty(w *state.Writer) {
	if e.scores != nil {
		e.scores.save(w)
	}
	if e.many() {
		e.sets.Save(w)
		e.usual.save(w)
		return
	}
	e.spread.Save(w)
	e.interval.Save(w)
	e.persist.Save(w)
}

func (e *Engine) loadUncertainty(r *state.Reader, version int64) {
	if e.scores != nil && version > absoluteLosses {
		e.scores.load(r)
	}
	if e.many() {
		e.sets.Load(r)
		e.usual.load(r)
		return
	}
	e.spread.Load(r)
	if version > oneInterval {
		e.interval.Load(r)
	} else {
		e.interval.LoadAdaptive(r)
	}
	e.persist.Load(r)
}

func (e *Engine) saveStats(w *state.Writer) {
	for _, v := range append(e.stats.ints(), e.lost.ints()...) {
		w.Int(*v)
	}
}

// ModelGoneError is returned by [Engine.Load] when everything was restored but a model: the task
// goes on without it.
type ModelGoneError struct {
	ID  string // digest of the first that is gone
	Err error
}

func (e *ModelGoneError) Error() string {
	return fmt.Sprintf("engine: snapshot names model %s: %v", short(e.ID), e.Err)
}

func (e *ModelGoneError) Unwrap() error { return e.Err }

// Load restores a state saved by an engine with the same configuration. resolve finds the models
// named in it. After an error other than a *ModelGoneError the engine must not be used.
func (e *Engine) Load(b []byte, resolve func(id string) (Loaded, error)) error {
	r := &state.Reader{B: b}
	version := r.Int()
	if version < withoutClock || version > snapshotVersion {
		return fmt.Errorf("engine: snapshot version %d, this program reads %d to %d", version, withoutClock, snapshotVersion)
	}
	var gone *ModelGoneError
	for _, s := range []*slot{&e.champion, &e.shadow} {
		*s = slot{}
		if id := r.String(); id != "" && r.Err() == nil {
			m, err := resolve(id)
			if err == nil {
				*s, err = e.slotOf(m)
			}
			if err != nil && gone == nil {
				gone = &ModelGoneError{id, err}
			}
		}
	}
	e.previous, e.epoch = r.Bool(), r.Int()
	for _, v := range e.trial.ints() {
		*v = r.Int()
	}
	e.loadTrial(r, version)
	if e.arrived = NoArrival; version > withoutClock {
		e.arrived, e.settled = r.Int(), r.Bool()
	}
	e.join.load(r, version)
	if r.Err() != nil {
		return fmt.Errorf("engine: %w", r.Err())
	}
	rest, err := e.hist.DecodeBinary(r.B)
	if err != nil {
		return err
	}
	r.B = rest
	e.champion.follow(e.hist)
	e.shadow.follow(e.hist)
	e.join.empty = emptyRows(e.hist)
	if e.scorer != nil {
		e.scorer.load(r, version)
		return e.finish(r, version)
	}
	if version > oneSide {
		e.pend.load(r, version, e.experts.Room())
	} else {
		e.pend.load(r, version, e.experts.RoomBefore())
	}
	form := committee.Today
	switch {
	case version <= oneSide:
		form = committee.OneSide
	case version <= fixedOdds:
		form = committee.FixedOdds
	}
	e.experts.LoadForm(r, form)
	if e.recent != nil {
		e.recent.Load(r)
	}
	e.echo.Load(r)
	e.loadUncertainty(r, version)
	for _, t := range e.trails() {
		t.Load(r)
	}
	for _, d := range e.detectors {
		d.Load(r)
	}
	if e.scores != nil && version <= absoluteLosses {
		e.trial = Paired{}
		e.detectors = nil
		if err := e.newDetectors(); err != nil {
			return err
		}
	}
	watched := r.Bool()
	if e.beginWatch(); gone != nil && watched && e.watch == nil {
		r.B = r.B[max(len(r.B)-8*e.ending(version), 0):] // only its model could read it
	} else if watched != (e.watch != nil) {
		r.Fail()
	}
	if e.watch != nil && r.Err() == nil {
		e.watch.Load(r)
	}
	if err := e.finish(r, version); err != nil {
		return err
	}
	if gone == nil {
		return nil
	}
	if e.champion.use && !e.previous {
		e.Settle()
	} else {
		e.Reset()
	}
	return gone
}

// loadTrial reads the sums of a trial.
func (e *Engine) loadTrial(r *state.Reader, version int64) {
	if version <= withoutBlocks {
		for range 5 {
			r.Float()
		}
		e.trial = Paired{}
		return
	}
	for _, v := range e.trial.floats() {
		*v = r.Float()
	}
	e.trial.From, e.trial.To = r.Int(), r.Int()
	e.trial.Blocks.Load(r)
}

// ending is how many numbers stand at the end of a snapshot.
func (e *Engine) ending(version int64) int {
	if version > oneInterval {
		return len(e.stats.ints()) + len(e.lost.ints())
	}
	return len(e.stats.ints())
}

// finish reads what stands at the end of every snapshot.
func (e *Engine) finish(r *state.Reader, version int64) error {
	for _, v := range append(e.stats.ints(), e.lost.ints()...)[:e.ending(version)] {
		*v = r.Int()
	}
	if r.Err() == nil && len(r.B) != 0 {
		r.Fail()
	}
	if r.Err() != nil {
		return fmt.Errorf("engine: %w", r.Err())
	}
	return nil
}

func (p *Paired) ints() []*int64 { return []*int64{&p.Rows, &p.Labelled, &p.Warm, &p.NonFinite} }

func (p *Paired) floats() []*float64 {
	return []*float64{&p.SumIncumbent, &p.SumCandidate, &p.SumDiff, &p.SumDisagreement}
}

func (u *Unmatched) ints() []*int64 { return []*int64{&u.Labels, &u.InARow, &u.Time, &u.Nearest} }

func (s *Stats) ints() []*int64 {
	return []*int64{&s.Rows, &s.Predictions, &s.Labels, &s.Late, &s.Drifts, &s.InputDrifts, &s.Anomalies, &s.GivenUp, &s.NonFinite}
}

type saver interface {
	Save(*state.Writer)
	Load(*state.Reader)
}

func (e *Engine) trails() []saver {
	return []saver{&e.scale, &e.level, &e.mae, &e.base, &e.cover}
}
