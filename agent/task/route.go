package task

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"skerry.dev/agent/gate"
	"skerry.dev/agent/source"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// routes maps a plan's series to stable numbers and to the tasks' engines.
type routes struct {
	ids    []uint32
	names  []string
	sync   []bool
	idOf   []uint32 // of labels by id: the number of the series of ids; else 0, which is none
	rowsOf []int    // of ids: the series whose readings make the rows that they name; else -1
	limits []gate.Limits
	tasks  [][]int // task → series → engine series, or noSeries
}

const noSeries = math.MinInt

// inbound is a message with its own copy of the readings.
type inbound struct {
	source.Message
	readings []source.Reading
}

var inbounds = sync.Pool{New: func() any { return new(inbound) }}

// route prepares the mapping of a plan's series.
func (r *Runtime) route(p *source.Plan) *routes {
	if rt := r.plans[p]; rt != nil {
		return rt
	}
	rt := &routes{}
	specs := make([]*spec.Task, len(r.tasks))
	for i, t := range r.tasks {
		specs[i] = t.spec
	}
	number := func(name string) uint32 {
		id, ok := r.ids[name]
		if !ok {
			id = uint32(len(r.ids) + 1)
			r.ids[name] = id
			r.newIDs[name] = id
		}
		return id
	}
	for _, s := range p.Series() {
		byID := uint32(0)
		if s.ByID != "" {
			byID = number(s.ByID)
		}
		rows := -1
		if s.IDs {
			rows, _ = p.Index(s.RowsOf()) // it is an input
		}
		rt.idOf, rt.rowsOf = append(rt.idOf, byID), append(rt.rowsOf, rows)
		rt.ids, rt.names, rt.sync = append(rt.ids, number(s.Name)), append(rt.names, s.Name), append(rt.sync, s.Sync)
		rt.limits = append(rt.limits, gate.LimitsOf(&s, specs))
	}
	for _, t := range r.tasks {
		m := make([]int, len(rt.names))
		for i, n := range rt.names {
			m[i] = noSeries
			if k, ok := t.spec.EngineSeries(n); ok {
				m[i] = k
			}
		}
		rt.tasks = append(rt.tasks, m)
	}
	r.gate.Keep(r.seenPages())
	r.plans = map[*source.Plan]*routes{p: rt}
	return rt
}

// message passes one message through gate, engines and into the open commit.
func (r *Runtime) message(ctx context.Context, in *inbound) {
	began := time.Now()
	rt := r.route(in.Plan)
	if r.open.began.IsZero() {
		r.open.began = began
	}
	if in.ClockOK {
		r.watch(in.Arrival)
	}
	mono := r.arrived(in.Arrival, began)
	r.inputs = r.inputs[:0]
	r.place.before = r.place.after
	first := wire.FlagFirst
	r.tellApart(rt, in)
	for _, rd := range inOrder(rt, in.readings) {
		if rows := rt.rowsOf[rd.Series]; rows >= 0 && !r.makesRow(rows, rd.Time) {
			continue // of what made no row nobody may find the time
		}
		if rd.ID != "" {
			at, ok := r.gate.TimeOf(rt.idOf[rd.Series], source.Key(rd.ID))
			r.opts.ByID(rt.names[rd.Series], rd.ID, ok, in.Arrival)
			if !ok && in.Stray != nil {
				in.Stray(rt.names[rd.Series], rd.ID)
			}
			if !ok {
				continue
			}
			rd.Time, rd.HasTime = at, true
		}
		flags, repeated, changes := r.gate.Admit(rt.ids[rd.Series], &in.Message, rd, rt.limits[rd.Series])
		if repeated {
			r.opts.Metrics.Repeated.Inc()
			continue
		}
		for _, c := range changes {
			r.event(c.Kind, "", rd.Time, map[string]any{"series": rt.names[rd.Series], "what": c.What, "since": stamp(c.Since), "readings": c.Readings, "value": c.Value})
		}
		x := input{
			series: rt.ids[rd.Series],
			time:   rd.Time,
			value:  rd.Value,
			flags:  flags,
			at:     rd.Series,
		}
		r.inputs = append(r.inputs, x)
		if rt.sync[rd.Series] {
			r.open.Batch.Readings = append(r.open.Batch.Readings, wire.Reading{
				Series: rt.names[rd.Series],
				Time:   x.time,
				Value:  x.value,
				Mono:   mono,
				Flags:  x.flags | first,
			})
			first = 0
			r.place.after++
			r.open.records++
		}
		r.opts.Metrics.flagged(x.flags)
		if x.flags&wire.FlagFuture != 0 {
			r.opts.Ahead(rt.names[rd.Series], in.Arrival, rd.Time-in.Arrival)
		}
		if x.flags&wire.FlagConflict != 0 {
			r.opts.Clash(rt.names[rd.Series], in.Arrival)
			if in.Clash != nil {
				in.Clash(rt.names[rd.Series])
			}
		}
	}
	stored := len(r.open.Batch.Readings)
	r.opts.Metrics.Accepted.Add(float64(len(r.inputs)))
	if len(r.inputs) > 0 {
		r.gateRows++
		r.open.Journal = appendMessage(r.open.Journal, in.Arrival, r.inputs)
		late := false
		for i, t := range r.tasks {
			late = r.feed(t, rt.tasks[i], in.Arrival) || late
		}
		if late { // the flag is for people; engines judge lateness by their own watermark
			for k := stored - 1; k >= 0 && k >= stored-len(r.inputs); k-- {
				r.open.Batch.Readings[k].Flags |= wire.FlagLate
			}
		}
	}
	if in.Ack != nil {
		r.open.acks = append(r.open.acks, in.Ack)
	}
	*in = inbound{readings: in.readings[:0]}
	inbounds.Put(in)
	if r.due(began) {
		r.sealNow(ctx)
	}
}

// rowPlace is a time of the rows that a series of ids is of.
type rowPlace struct {
	series int
	time   int64
}

// tellApart gives the rows of a message times of their own where other ids have had theirs: see
// [gate.Gate.Apart]. What stands beside an id moves with it.
func (r *Runtime) tellApart(rt *routes, in *inbound) {
	clear(r.places)
	for i := range in.readings {
		if rt.rowsOf[in.readings[i].Series] < 0 || !in.readings[i].HasTime {
			continue
		}
		rd := in.readings[i] // a copy: its time is what the message says
		at := r.gate.Apart(rt.ids[rd.Series], rd.Value, rd.Time, func(t int64) bool {
			id, ok := r.places[rowPlace{rd.Series, t}]
			return ok && id != rd.Value
		})
		r.places[rowPlace{rd.Series, at}] = rd.Value
		if at == rd.Time {
			continue
		}
		for k := range in.readings {
			if x := &in.readings[k]; x.HasTime && x.Elem == rd.Elem && x.Time == rd.Time {
				x.Time = at
			}
		}
		r.opts.Forgive(rt.names[rt.rowsOf[rd.Series]], source.ForgivenShared)
	}
}

// inOrder returns the readings of a message with ids behind the readings that they name, and labels
// that are found by an id behind those.
func inOrder(rt *routes, readings []source.Reading) []source.Reading {
	rank := func(rd *source.Reading) int {
		switch {
		case rd.ID != "":
			return 2
		case rt.rowsOf[rd.Series] >= 0:
			return 1
		}
		return 0
	}
	byRank := func(a, b source.Reading) int { return rank(&a) - rank(&b) }
	if !slices.IsSortedFunc(readings, byRank) {
		slices.SortStableFunc(readings, byRank)
	}
	return readings
}

// makesRow reports whether a reading of the message is one of a series at a time, and may make a
// row.
func (r *Runtime) makesRow(series int, at int64) bool {
	return slices.ContainsFunc(r.inputs, func(x input) bool {
		return x.at == series && x.time == at && x.flags&(wire.Blocked|wire.Missing) == 0
	})
}

// feed offers the accepted inputs of a message to one task.
func (r *Runtime) feed(t *running, to []int, arrival int64) (late bool) {
	r.scratch = r.scratch[:0]
	for _, in := range r.inputs {
		if in.flags&wire.Blocked != 0 {
			continue
		}
		if k := to[in.at]; k != noSeries {
			r.scratch = append(r.scratch, engineReading(k, in))
		}
	}
	if len(r.scratch) == 0 {
		return false
	}
	began := time.Now()
	t.changed = true
	r.markIdle(t, arrival)
	o := t.engine.Ingest(arrival, r.scratch)
	spent := time.Since(began)
	if len(o.Predictions) > 0 {
		r.latency.Predict.Add(spent / time.Duration(len(o.Predictions)))
		r.opts.Metrics.PredictSeconds.Observe(spent.Seconds() / float64(len(o.Predictions)))
	}
	r.emit(t, o, arrival)
	return o.Late > 0
}
