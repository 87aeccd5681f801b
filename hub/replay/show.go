package replay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"skerry.dev/compute/engine"
	"skerry.dev/hub/meta"
)

// Status says what a replay has shown of a prediction.
type Status string

// The outcomes.
const (
	Equal    Status = "equal"    // the bits that were published
	Unknown  Status = "unknown"  // something that it follows from is missing
	Computed Status = "computed" // nothing is missing, and nothing of the row came to the hub to compare with
	Differs  Status = "differs"  // nothing is missing, and the bits are others
)

// Values are what was predicted for a row. NaN is null in JSON.
type Values struct {
	Value meta.Float `json:"value" doc:"in units of the target; of two classes the probability of the second, of more the number of the most probable"`
	Lower meta.Float `json:"lower"`
	Upper meta.Float `json:"upper"`
	Model string     `json:"model,omitempty" doc:"digest of the artifact; empty: the task's baselines"`
	// of a classification with more than two classes
	Chances []float32 `json:"chances,omitempty" doc:"probability of each class, of more than two"`
	Set     []bool    `json:"set,omitempty" doc:"whether the truth may be the class"`
}

func sameBits(a, b meta.Float) bool {
	return math.Float64bits(float64(a)) == math.Float64bits(float64(b)) || math.IsNaN(float64(a)) && math.IsNaN(float64(b))
}

func (v *Values) equal(o *Values) bool {
	return sameBits(v.Value, o.Value) && sameBits(v.Lower, o.Lower) && sameBits(v.Upper, o.Upper) &&
		v.Model == o.Model && slices.Equal(v.Chances, o.Chances) && slices.Equal(v.Set, o.Set)
}

// Prediction is a recomputed prediction.
type Prediction struct {
	Device    string      `json:"device"`
	Task      string      `json:"task"`
	Row       int64       `json:"row" doc:"time of the row, microseconds"`
	For       int64       `json:"for" doc:"time that is predicted, microseconds"`
	Status    Status      `json:"status" enum:"equal,unknown,computed,differs" doc:"equal: the bits that were published; unknown: something it follows from is missing; computed: nothing of the row came to the hub to compare with; differs: nothing is missing and the bits are others"`
	Reason    string      `json:"reason,omitempty"`
	Computed  Values      `json:"computed"`
	Published *Values     `json:"published,omitempty" doc:"what the device published, where it came to the hub as a prediction or with a label"`
	Missing   []Missing   `json:"missing,omitempty" doc:"what the state follows from and the hub does not have"`
	Explained Explanation `json:"explained"`
	Progress  Progress    `json:"replayed"`
}

// published is what came to the hub of a row.
type published struct {
	values []Values
	// without a model and sets: of a label
	labels []Values
}

// match reports whether computed is what was published, and what is to be shown for it.
func (p *published) match(computed *Values) (equal bool, shown *Values) {
	for i := range p.values {
		if shown = &p.values[i]; shown.equal(computed) {
			return true, shown
		}
	}
	if shown != nil {
		return false, shown
	}
	for i := range p.labels {
		shown = &p.labels[i]
		if sameBits(shown.Value, computed.Value) && sameBits(shown.Lower, computed.Lower) && sameBits(shown.Upper, computed.Upper) {
			return true, shown
		}
	}
	return false, shown
}

// found is a row that is looked for.
type found struct {
	computed *Values // nil: not found yet
	at       int64   // that is predicted
	lacks    []Missing
	differs  string
}

// status compares a row with what was published of it.
func (f *found) status(p *published) (s Status, reason string, shown *Values) {
	equal, shown := p.match(f.computed)
	switch {
	case equal:
		return Equal, "", shown
	case len(f.lacks) > 0:
		return Unknown, "the state at that time follows from what is missing: " + f.lacks[len(f.lacks)-1].String(), shown
	case shown == nil:
		return Computed, "the row is not among the predictions that the device sends, and no label has come for it", nil
	case f.differs != "":
		return Differs, f.differs, shown
	}
	return Differs, "the device computed something else from the same: the two programs may be of different builds", shown
}

// search looks for rows in a task's history.
type search struct {
	machine
	rows         map[int64]*found
	left         int
	last         int64 // of the rows
	seen         bool  // a row at or behind the last
	newest       int64 // row so far
	around       [2]int64
	one          int64 // the only row that is looked for, and its explanation
	explained    *Explanation
	explainError error
}

// row is the probe.
func (s *search) row(p *engine.Prediction) {
	s.newest = p.Row
	if p.Row < s.one && (s.around[0] == 0 || p.Row > s.around[0]) {
		s.around[0] = p.Row
	}
	if p.Row > s.one && (s.around[1] == 0 || p.Row < s.around[1]) {
		s.around[1] = p.Row
	}
	s.seen = s.seen || p.Row >= s.last
	f := s.rows[p.Row]
	if f == nil || f.computed != nil {
		return
	}
	f.computed, f.at, f.lacks, f.differs = valuesOf(p), p.For, slices.Clone(s.lacks), s.differs
	s.left--
	if s.explained != nil {
		s.explainError = s.explained.take(&s.machine, p)
	}
}

// valuesOf is a prediction as the device sends it.
func valuesOf(p *engine.Prediction) *Values {
	v := &Values{
		Value: meta.Float(p.Value),
		Lower: meta.Float(p.Lower),
		Upper: meta.Float(p.Upper),
		Model: p.Champion,
	}
	if len(p.Classes) > 2 {
		v.Set = slices.Clone(p.Set)
		for _, c := range p.Classes {
			v.Chances = append(v.Chances, float32(c))
		}
	}
	return v
}

// find plays a device's history up to the last of some rows.
func (r *Replayer) find(ctx context.Context, device, task string, s *search, progress func(Progress)) error {
	if err := r.take(ctx); err != nil {
		return err
	}
	defer r.leave()
	fallback, err := r.fallback(ctx, device, task)
	if err != nil {
		return err
	}
	r.running(Running{Device: device, Task: task})
	s.task, s.fallback = task, fallback
	s.progress = func(p Progress) {
		r.running(Running{device, task, p})
		if progress != nil {
			progress(p)
		}
	}
	s.models = &models{ctx: ctx, load: r.load, loaded: map[string]*model{}}
	s.probe = s.row
	s.after = func(*engine.Output) error {
		if s.left == 0 || s.seen {
			return errEnough
		}
		return nil
	}
	s.left = len(s.rows)
	if err := r.history(ctx, device, s); err != nil {
		return err
	}
	if s.engine == nil && !s.marked {
		return fmt.Errorf("device %q, task %q: %w", device, task, ErrNoTask)
	}
	if s.engine != nil && !s.gone && s.left > 0 && !s.seen {
		s.engine.End() // what waits for the watermark has fired in a silence, if it was published
	}
	return nil
}

// ErrNoRow is wrapped by errors about a time at which a task has no row.
var ErrNoRow = errors.New("no row")

// Show recomputes the prediction of a task's row at a time, microseconds, and explains it. progress
// is called now and then; nil: it is not. An error wraps [ErrNoTask] or [ErrNoRow] when there is
// no such task or row.
func (r *Replayer) Show(ctx context.Context, device, task string, row int64, progress func(Progress)) (*Prediction, error) {
	f := &found{}
	s := &search{rows: map[int64]*found{row: f}, last: row, one: row, explained: &Explanation{}}
	if err := r.find(ctx, device, task, s, progress); err != nil {
		return nil, err
	}
	if s.explainError != nil {
		return nil, s.explainError
	}
	if f.computed == nil {
		return nil, s.noRow(row)
	}
	s.machine.unsynced()
	f.lacks = append(f.lacks, s.lacks[min(len(s.lacks), len(f.lacks)):]...)
	p := &Prediction{
		Device:    device,
		Task:      task,
		Row:       row,
		For:       f.at,
		Computed:  *f.computed,
		Missing:   f.lacks,
		Explained: *s.explained,
		Progress:  Progress{Readings: s.readings, Rows: s.engine.Status().Rows, At: s.newest},
	}
	pub, err := r.published(ctx, device, task, row, row)
	if err != nil {
		return nil, err
	}
	of := pub[row]
	if of == nil {
		of = &published{}
	}
	p.Status, p.Reason, p.Published = f.status(of)
	return p, nil
}

// noRow says where there are rows.
func (s *search) noRow(row int64) error {
	near := "there is none yet"
	switch a, b := s.around[0], s.around[1]; {
	case a != 0 && b != 0:
		near = fmt.Sprintf("the nearest are at %s and %s", stamp(a), stamp(b))
	case a != 0:
		near = "the newest is at " + stamp(a)
	case b != 0:
		near = "the first is at " + stamp(b)
	}
	err := fmt.Errorf("%w at %s: %s", ErrNoRow, stamp(row), near)
	if len(s.lacks) > 0 {
		err = fmt.Errorf("%w; missing: %s", err, s.lacks[len(s.lacks)-1])
	}
	return err
}

func stamp(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }

// published reads what came to the hub of rows in [from, to].
func (r *Replayer) published(ctx context.Context, device, task string, from, to int64) (map[int64]*published, error) {
	out := map[int64]*published{}
	of := func(row int64) *published {
		if out[row] == nil {
			out[row] = &published{}
		}
		return out[row]
	}
	for p, err := range r.lake.Predictions(ctx, device, task, from, to) {
		if err != nil {
			return nil, err
		}
		v := Values{Value: meta.Float(p.Value), Lower: meta.Float(p.Lower), Upper: meta.Float(p.Upper), Model: p.Model}
		if len(p.Chances) > 0 {
			v.Chances, v.Set = p.Chances, p.Set
		}
		of(p.Row).values = append(of(p.Row).values, v)
	}
	for l, err := range r.lake.Labels(ctx, device, task, from, to) {
		if err != nil {
			return nil, err
		}
		of(l.Row).labels = append(of(l.Row).labels, Values{Value: meta.Float(l.Predicted), Lower: meta.Float(l.Lower), Upper: meta.Float(l.Upper), Model: l.ChampionID})
	}
	return out, nil
}

// Checked is the outcome for predictions that were drawn at random.
type Checked struct {
	Device  string       `json:"device"`
	Task    string       `json:"task"`
	Sent    int64        `json:"sent" doc:"predictions of the task that came to the hub"`
	Drawn   int          `json:"drawn"`
	Equal   int          `json:"equal" doc:"that came to the bits that were published"`
	Unknown int          `json:"unknown" doc:"whose state follows from something that is missing"`
	Differs int          `json:"differs"`
	Rows    []CheckedRow `json:"rows"`
	Missing []Missing    `json:"missing,omitempty"`
}

// CheckedRow is the outcome of one.
type CheckedRow struct {
	Row    int64  `json:"row" doc:"microseconds"`
	Model  string `json:"model,omitempty" doc:"digest; empty: the task's baselines"`
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// MaxDrawn is how many predictions a check draws at most.
const MaxDrawn = 10_000

// Check recomputes up to n predictions of a task with rows in [from, to], drawn at random by seed
// from those that came to the hub, in one replay.
func (r *Replayer) Check(ctx context.Context, device, task string, from, to int64, n int, seed uint64, progress func(Progress)) (*Checked, error) {
	if n < 1 || n > MaxDrawn {
		return nil, fmt.Errorf("check %d predictions: must be 1 to %d", n, MaxDrawn)
	}
	out := &Checked{Device: device, Task: task, Rows: []CheckedRow{}}
	rng := rand.New(rand.NewPCG(seed, 0x736b))
	var drawn []drawnRow
	for p, err := range r.lake.Predictions(ctx, device, task, from, to) {
		if err != nil {
			return nil, err
		}
		out.Sent++
		v := drawnRow{p.Row, Values{Value: meta.Float(p.Value), Lower: meta.Float(p.Lower), Upper: meta.Float(p.Upper), Model: p.Model}}
		if len(p.Chances) > 0 {
			v.Chances, v.Set = p.Chances, p.Set
		}
		if len(drawn) < n { // Vitter, "Random sampling with a reservoir", 1985, algorithm R
			drawn = append(drawn, v)
		} else if k := rng.Int64N(out.Sent); k < int64(n) {
			drawn[k] = v
		}
	}
	if out.Drawn = len(drawn); out.Drawn == 0 {
		return out, nil
	}
	s := &search{rows: map[int64]*found{}, last: math.MinInt64}
	for _, d := range drawn {
		s.rows[d.row] = &found{}
		s.last = max(s.last, d.row)
	}
	if err := r.find(ctx, device, task, s, progress); err != nil {
		return nil, err
	}
	slices.SortFunc(drawn, func(a, b drawnRow) int { return int(min(max(a.row-b.row, -1), 1)) })
	for _, d := range drawn {
		c := CheckedRow{Row: d.row, Model: d.Model, Status: Unknown, Reason: "the replay comes to no row at that time"}
		if f := s.rows[d.row]; f.computed != nil {
			c.Status, c.Reason, _ = f.status(&published{values: []Values{d.Values}})
		}
		switch c.Status {
		case Equal:
			out.Equal++
		case Differs:
			out.Differs++
		default:
			out.Unknown++
		}
		out.Rows = append(out.Rows, c)
	}
	s.machine.unsynced()
	out.Missing = s.lacks
	return out, nil
}

// drawnRow is a prediction that was drawn.
type drawnRow struct {
	row int64
	Values
}
