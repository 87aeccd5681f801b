package replay

import (
	"fmt"
	"math"
	"strings"

	"skerry.dev/compute/engine"
	"skerry.dev/hub/lake"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// machine is one task of a device as it was: its engine, and what is missing to be sure of it.
type machine struct {
	task     string
	models   *models
	fallback *spec.Task
	// probe is called with every row, see engine.Probe
	probe func(*engine.Prediction)
	// after is called when an engine has taken something, with what followed
	after    func(*engine.Output) error
	progress func(Progress)

	spec     *spec.Task
	engine   *engine.Engine
	gone     bool
	marked   bool // a mark of the task has come
	differs  string
	lacks    []Missing
	readings int64
	scratch  []engine.Reading
}

// missing implements player.
func (m *machine) missing(x Missing) {
	if n := len(m.lacks); n == maxMissing {
		m.lacks[n-1].Why = "this and more: a hundred ranges are listed at most"
		return
	}
	m.lacks = append(m.lacks, x)
}

// begin makes an engine for a task file, whose lists stand in the state's order; state is what was
// learned before, nil for nothing.
func (m *machine) begin(t *spec.Task, state []byte) error {
	e, err := engine.New(t.Engine())
	if err != nil {
		return fmt.Errorf("task %q: %w", t.Name, err)
	}
	if state != nil {
		if err := e.Load(state, m.models.engine); err != nil {
			return fmt.Errorf("task %q goes on with another file: %w", t.Name, err)
		}
	}
	e.Probe(m.probe)
	m.spec, m.engine = t, e
	return nil
}

// mark implements player.
func (m *machine) mark(run, task string, x spec.Mark) error {
	if task != m.task {
		return nil
	}
	m.marked = true
	if m.engine != nil && x.Settled && !m.engine.Settled() {
		if err := m.after(m.engine.End()); err != nil {
			return err
		}
	}
	switch x.Op {
	case spec.MarkTask:
		return m.taskMark(run, x.State)
	case spec.MarkIdle: // that it was settled is all
		return nil
	case spec.MarkGone:
		m.gone = true
		return nil
	case spec.MarkLost:
		m.missing(Missing{What: "state", Run: run, Why: "the device has lost it: " + x.Why})
		return nil
	}
	if m.engine == nil {
		m.missing(Missing{What: "marks", Run: run, Why: fmt.Sprintf("%q came before the task's beginning", x.Op)})
		return nil
	}
	switch x.Op {
	case spec.MarkKnown:
		m.scratch = m.scratch[:0]
		for _, k := range x.Known {
			if s, ok := m.spec.EngineSeries(k.Series); ok {
				m.scratch = append(m.scratch, engine.Reading{Series: s, Time: k.Time, Value: k.Value})
			}
		}
		return m.after(m.engine.Ingest(x.At, m.scratch))
	case spec.MarkRewind:
		m.engine.Rewind(x.At, x.Ahead)
		return nil
	}
	if err := m.control(x); err != nil {
		m.missing(Missing{What: "model", Run: run, Why: fmt.Sprintf("%s of %s: %v", x.Op, short(x.Digest), err)})
	}
	return nil
}

// control changes the models as the device did.
func (m *machine) control(x spec.Mark) error {
	switch x.Op {
	case spec.MarkShadow, spec.MarkInstall:
		l, err := m.models.engine(x.Digest)
		if err != nil {
			return err
		}
		if x.Op == spec.MarkShadow {
			return m.engine.Shadow(l)
		}
		return m.engine.Install(l)
	case spec.MarkActivate:
		return m.engine.Activate(x.Digest)
	case spec.MarkRevert:
		return m.engine.Revert()
	case spec.MarkSettle:
		m.engine.Settle()
	case spec.MarkReset:
		m.engine.Reset()
	}
	return nil
}

// taskMark begins the task or lets it go on.
func (m *machine) taskMark(run string, s *spec.MarkState) error {
	m.gone, m.differs = false, elsewhere(s)
	t, err := m.file(s)
	if err != nil {
		m.missing(Missing{What: "file", Run: run, Why: err.Error()})
		m.engine = nil
		return nil
	}
	switch {
	case s.Anew:
		m.lacks = nil // nothing of before has a part in it
		return m.begin(t, nil)
	case m.engine == nil:
		m.missing(Missing{What: "marks", Run: run, Why: "the task had learned before its agent sent marks"})
		return m.begin(t, nil)
	case t.Hash != m.spec.Hash:
		if err := m.begin(t, m.engine.Save(nil)); err != nil {
			m.missing(Missing{What: "state", Run: run, Why: err.Error()})
			return m.begin(t, nil)
		}
	}
	if s.Recalibrated {
		m.engine.Recalibrate()
	}
	return nil
}

// file is the task file that a mark means, in the order of its state.
func (m *machine) file(s *spec.MarkState) (*spec.Task, error) {
	t := m.fallback
	if s.Source != "" {
		var err error
		if t, err = spec.ParseTask(m.task, strings.NewReader(s.Source)); err != nil {
			return nil, fmt.Errorf("the hub cannot read the device's task file: %w", err)
		}
	}
	if t == nil || t.Hash != s.Hash {
		return nil, fmt.Errorf("the hub does not have the task file with hash %s", short(s.Hash))
	}
	if why := s.Learned.Changes(t); why != nil {
		return nil, fmt.Errorf("the device's state was made for another task: %s", strings.Join(why, "; "))
	}
	return t.InOrder(s.Learned), nil
}

// message implements player.
func (m *machine) message(arrival int64, readings []lake.Reading) error {
	before := m.readings / progressEvery
	m.readings += int64(len(readings))
	if m.engine == nil && !m.marked && m.fallback != nil {
		if m.uses(readings) {
			m.missing(Missing{What: "marks", Run: readings[0].Run, After: readings[0].Time, Why: "the agent of that time sent none: what its engine took beside readings is not known"})
			if err := m.begin(m.fallback, nil); err != nil {
				return err
			}
		}
	}
	if m.engine == nil || m.gone {
		return nil
	}
	m.scratch = m.scratch[:0]
	for i := range readings {
		r := &readings[i]
		f := wire.Flags(r.Flags)
		k, ok := m.spec.EngineSeries(r.Series)
		if !ok || f&wire.Blocked != 0 {
			continue
		}
		v := r.Value
		if f&wire.Missing != 0 {
			v = math.NaN()
		}
		m.scratch = append(m.scratch, engine.Reading{Series: k, Time: r.Time, Value: v})
	}
	if len(m.scratch) == 0 {
		return nil
	}
	o := m.engine.Ingest(arrival, m.scratch)
	if m.progress != nil && m.readings/progressEvery != before {
		p := Progress{Readings: m.readings, Rows: m.engine.Status().Rows}
		if h := m.engine.History(); h.Len() > 0 {
			p.At = h.Time(0)
		}
		m.progress(p)
	}
	return m.after(o)
}

// uses reports whether the fallback's task reads any of the readings.
func (m *machine) uses(readings []lake.Reading) bool {
	for i := range readings {
		if _, ok := m.fallback.EngineSeries(readings[i].Series); ok {
			return true
		}
	}
	return false
}

// unsynced adds the inputs of the task that never come to the hub.
func (m *machine) unsynced() {
	if m.spec == nil {
		return
	}
	for _, in := range m.spec.Inputs {
		if in.Sync == "none" || m.spec.Sync.Readings == "none" {
			m.missing(Missing{What: "series", Why: fmt.Sprintf("readings of %q are not sent to the hub: sync is none in the task file", in.Series)})
		}
	}
}

func short(digest string) string { return digest[:min(len(digest), 12)] }
