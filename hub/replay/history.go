package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"

	"skerry.dev/compute/engine"
	"skerry.dev/hub/lake"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Missing is something that a state follows from and that the hub does not have.
type Missing struct {
	// What is "readings", "marks", "file", "model", "series", "state" or "program".
	What string `json:"what"`
	Run  string `json:"run,omitempty"` // of the device, where it belongs to one
	// sequence numbers of the run, where these are missing
	From int64 `json:"from,omitempty"`
	To   int64 `json:"to,omitempty"`
	// event times of the readings before and behind it, microseconds; 0: there is none
	After  int64  `json:"after_time,omitempty"`
	Before int64  `json:"before_time,omitempty"`
	Why    string `json:"why"`
}

// String says what is missing in a line.
func (m Missing) String() string {
	if m.To == 0 {
		return m.What + ": " + m.Why
	}
	return fmt.Sprintf("%s %d to %d of run %s: %s", m.What, m.From, m.To, m.Run, m.Why)
}

// maxMissing bounds what is listed; what is beyond is counted in the last.
const maxMissing = 100

// errEnough ends a history that nobody needs the rest of.
var errEnough = errors.New("enough")

// player takes a device's history step by step.
type player interface {
	mark(run, task string, m spec.Mark) error
	// message takes the readings of one message. The slice is valid during the call.
	message(arrival int64, readings []lake.Reading) error
	missing(m Missing)
}

// history gives p what a device's engines took, in its order. It ends without an error when p
// returns errEnough. Memory does not grow with the history.
func (r *Replayer) history(ctx context.Context, device string, p player) error {
	runs, err := r.db.Read().Runs(ctx, device)
	if err != nil {
		return err
	}
	h := walk{ctx: ctx, p: p, started: map[string]int64{}}
	for _, run := range runs {
		h.started[run.Run] = run.StartedAt
	}
	next, stop := iter.Pull2(r.lake.Events(ctx, device))
	defer stop()
	h.events = next
	if err := h.nextMark(); err != nil {
		return err
	}
	for rd, err := range r.lake.Readings(ctx, device, nil, math.MinInt64, math.MaxInt64) {
		if err == nil {
			err = h.reading(rd)
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	err = h.flush()
	for err == nil && h.pending != nil {
		err = h.apply()
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// walk merges readings and marks.
type walk struct {
	ctx     context.Context
	p       player
	started map[string]int64 // by run, microseconds
	events  func() (lake.Event, error, bool)

	holes    []Missing  // events that are missing before the next mark
	pending  *spec.Mark // the next one
	of       lake.Event // that it comes with
	eventSeq int64      // of the newest event of eventRun
	eventRun int64

	ordinal int64 // of the run of the newest reading; 0 before
	run     string
	seq     int64 // of the newest reading of the run
	last    int64 // its event time
	earlier int64 // readings of the runs before this one, as far as they are here or known missing
	base    map[int64]int64
	batch   []lake.Reading
	arrival int64
}

// nextMark reads the events up to the next mark.
func (w *walk) nextMark() error {
	w.pending = nil
	for {
		e, err, ok := w.events()
		if !ok {
			w.tellHoles()
			return nil
		}
		if err != nil {
			return err
		}
		if e.RunOrdinal != w.eventRun {
			w.eventRun, w.eventSeq = e.RunOrdinal, 0
		}
		if e.Seq > w.eventSeq+1 {
			w.holes = append(w.holes, Missing{
				What: "marks",
				Run:  e.Run,
				From: w.eventSeq + 1,
				To:   e.Seq - 1,
				Why:  "events of the device are not in the lake: what engines took beside readings may be among them",
			})
		}
		w.eventSeq = e.Seq
		if e.Kind != spec.MarkKind {
			continue
		}
		m, err := spec.ParseMark(e.Detail)
		if err != nil {
			w.holes = append(w.holes, Missing{What: "marks", Run: e.Run, From: e.Seq, To: e.Seq, Why: err.Error()})
			continue
		}
		w.pending, w.of = &m, e
		return nil
	}
}

// tellHoles reports the events that are missing before what comes next: that is where they belong
// at the latest.
func (w *walk) tellHoles() {
	for _, m := range w.holes[:min(len(w.holes), maxMissing)] {
		w.p.missing(m)
	}
	w.holes = w.holes[:0]
}

// before reports whether the next mark stands before a reading.
func (w *walk) before(r *lake.Reading) bool {
	if w.pending == nil {
		return false
	}
	return w.of.RunOrdinal < r.RunOrdinal || w.of.RunOrdinal == r.RunOrdinal && int64(w.pending.After) < r.Seq
}

// apply gives the player the next mark.
func (w *walk) apply() error {
	m, e := w.pending, w.of
	w.tellHoles()
	if w.base == nil {
		w.base = map[int64]int64{}
	}
	if m.Op == spec.MarkClock {
		w.base[e.RunOrdinal] = m.Base
	}
	if m.Op == spec.MarkTask {
		w.ends(e, int64(m.State.Earlier))
	}
	if err := w.p.mark(e.Run, e.Task, *m); err != nil {
		return err
	}
	return w.nextMark()
}

// ends notices that the runs before one have stored more readings than there are.
func (w *walk) ends(e lake.Event, earlier int64) {
	if e.RunOrdinal <= w.ordinal { // of a file that changed
		return
	}
	if here := w.earlier + w.seq; earlier > here {
		w.p.missing(Missing{
			What:  "readings",
			Run:   w.run,
			From:  w.seq + 1,
			To:    w.seq + earlier - here,
			After: w.last,
			Why:   "the device had stored them when its next run began, and they are not in the lake",
		})
	}
	w.ordinal, w.run, w.seq, w.earlier = e.RunOrdinal, e.Run, 0, earlier
}

// reading takes the next reading.
func (w *walk) reading(r lake.Reading) error {
	first := wire.Flags(r.Flags)&wire.FlagFirst != 0
	for w.before(&r) {
		if err := w.flush(); err != nil {
			return err
		}
		if err := w.apply(); err != nil {
			return err
		}
	}
	if r.RunOrdinal != w.ordinal {
		if err := w.flush(); err != nil {
			return err
		}
		w.earlier += w.seq
		w.ordinal, w.run, w.seq = r.RunOrdinal, r.Run, 0
	}
	if r.Seq > w.seq+1 {
		if err := w.flush(); err != nil {
			return err
		}
		w.p.missing(Missing{
			What:   "readings",
			Run:    r.Run,
			From:   w.seq + 1,
			To:     r.Seq - 1,
			After:  w.last,
			Before: r.Time,
			Why:    "they are not in the lake: lost on the device, not yet sent, or left out as repeats",
		})
	}
	w.seq, w.last = r.Seq, r.Time
	if first {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(w.batch) == 0 {
		base, ok := w.base[r.RunOrdinal]
		if !ok {
			base = w.started[r.Run]
		}
		w.arrival = base + r.Mono/1e3
	}
	w.batch = append(w.batch, r)
	return nil
}

// flush gives the player the message that is complete.
func (w *walk) flush() error {
	if len(w.batch) == 0 {
		return nil
	}
	err := w.p.message(w.arrival, w.batch)
	w.batch = w.batch[:0]
	return err
}

// elsewhere says how the program that a mark is of differs from this one, "" when it does not.
func elsewhere(s *spec.MarkState) string {
	switch {
	case s.Version != engine.StateVersion:
		return fmt.Sprintf("the agent's engine had version %d, the hub's has %d", s.Version, engine.StateVersion)
	case s.Arch != runtime.GOARCH:
		return fmt.Sprintf("the agent ran on %s, the hub on %s: trees agree to the bit, other models and what devices learn to about 1e-6", s.Arch, runtime.GOARCH)
	}
	return ""
}
