package ingest

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"time"

	"skerry.dev/compute/metric"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// summary adds up what the chunks of one batch brought, as the events that the batch appends to
// the feed. The zero value is empty. It belongs to one transaction: one that runs again begins
// with an empty one.
type summary struct {
	tasks  map[string]feed.LabelSum
	series map[string]int64
	drifts []feed.Event
	// what devices report to run: labels and drift of other tasks ask for no training. Where a device
	// is missing it runs whatever it names.
	runs   map[string]map[string]bool
	latest int64 // labels of later times come from a wrong clock
}

// counts reports whether what a device says of a task may ask for a training.
func (s *summary) counts(device, task string) bool {
	runs, known := s.runs[device]
	return spec.ValidName(task) && (!known || runs[task])
}

// maxSeriesName is the longest name of a series that a task file may use, in bytes. Readings of
// longer ones, and labels and drift of tasks whose name is not valid, can be no task's.
const maxSeriesName = 127

// add counts a chunk that was stored for the first time.
func (s *summary) add(h wire.Header, r *wire.Records) error {
	if s.tasks == nil {
		s.tasks, s.series = map[string]feed.LabelSum{}, map[string]int64{}
	}
	for i := range r.Labels {
		l := &r.Labels[i]
		if !s.counts(h.Device, l.Task) || s.latest > 0 && l.At > s.latest {
			continue
		}
		sum := s.tasks[l.Task]
		sum.Labels++
		sum.Newest = max(sum.Newest, l.At)
		if l.ChampionID != "" {
			model, base := math.Abs(l.Truth-l.Champion), math.Abs(l.Truth-l.Persistence)
			if l.Classes > 0 { // the numbers are those of classes
				model, base = metric.LogLossOf(l.ChanceOf.Champion), metric.LogLossOf(l.ChanceOf.Baseline)
			}
			model, base = sum.Model+model, sum.Base+base
			if finite(model) && finite(base) {
				sum.Scored, sum.Model, sum.Base = sum.Scored+1, model, base
			}
		}
		s.tasks[l.Task] = sum
	}
	for i := range r.Readings {
		if name := r.Readings[i].Series; len(name) <= maxSeriesName {
			s.series[name]++
		}
	}
	if h.Class != wire.ClassEvent {
		return nil
	}
	for i := range r.Events {
		e := &r.Events[i]
		model, ok := modelOf(e)
		if !ok || !s.counts(h.Device, e.Task) {
			continue
		}
		drift, err := feed.New(feed.KindDrift, e.Task, h.Device, feed.Drift{Time: e.Time, Model: model})
		if err != nil {
			return err
		}
		s.drifts = append(s.drifts, drift)
	}
	return nil
}

// aheadOfClock is how far beyond the hub's clock times may lie.
const aheadOfClock = int64(24 * time.Hour / time.Microsecond)

// report appends the events of the chunks that a transaction stores to the feed.
func report(ctx context.Context, q *meta.Queries, fresh []*chunk, now int64) error {
	s := summary{runs: map[string]map[string]bool{}, latest: now + aheadOfClock}
	for _, c := range fresh {
		device := c.header.Device
		if s.runs[device] == nil && (len(c.records.Labels) > 0 || c.header.Class == wire.ClassEvent) {
			names, err := q.DeviceTaskNames(ctx, device)
			if err != nil {
				return err
			}
			s.runs[device] = map[string]bool{}
			for _, n := range names {
				s.runs[device][n] = true
			}
		}
		if err := s.add(c.header, c.records); err != nil {
			return err
		}
	}
	events, err := s.events()
	if err != nil {
		return err
	}
	return feed.Append(ctx, q, events...)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// modelOf returns the hub's model in whose errors a device found drift, "" for those of its
// baselines; ok is false for any other event, which requests no model.
func modelOf(e *wire.Event) (model string, ok bool) {
	var d struct {
		Model *string `json:"model"`
	}
	if e.Kind != feed.KindDrift || json.Unmarshal([]byte(e.Detail), &d) != nil || d.Model == nil || len(*d.Model) > maxModelName {
		return "", false
	}
	return *d.Model, true
}

// maxModelName bounds the name of a model, in bytes; a digest has 64.
const maxModelName = 256

// perEvent is the most tasks and series of one event. The longest names, every byte escaped in
// six, keep it within feed.MaxDetail.
const perEvent = 60

// events returns the batch's events: the sums, in more than one event when there are many tasks or
// series, then the drifts in the order of the chunks.
func (s *summary) events() ([]feed.Event, error) {
	tasks := slices.Collect(slices.Chunk(slices.Sorted(maps.Keys(s.tasks)), perEvent))
	series := slices.Collect(slices.Chunk(slices.Sorted(maps.Keys(s.series)), perEvent))
	var out []feed.Event
	for i := range max(len(tasks), len(series)) {
		var a feed.Applied
		if i < len(tasks) {
			a.Tasks = map[string]feed.LabelSum{}
			for _, name := range tasks[i] {
				a.Tasks[name] = s.tasks[name]
			}
		}
		if i < len(series) {
			a.Series = map[string]int64{}
			for _, name := range series[i] {
				a.Series[name] = s.series[name]
			}
		}
		e, err := feed.New(feed.KindApplied, "", "", a)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return append(out, s.drifts...), nil
}

// maxHashes is the most tasks of one device that a state event names; with names of 63 bytes and
// hashes of 64 they keep it within feed.MaxDetail.
const maxHashes = 400

var hashPattern = regexp.MustCompile("^[0-9a-z]{1,64}$")

// catchUp appends to the feed the labels that a device sent of tasks before it was known to run
// them.
func catchUp(ctx context.Context, q *meta.Queries, device string, names []string, now int64) error {
	var s summary
	s.tasks = map[string]feed.LabelSum{}
	for _, task := range names {
		n, newest, err := q.DeviceLabels(ctx, task, device, now+aheadOfClock)
		if err != nil {
			return err
		}
		if n > 0 {
			s.tasks[task] = feed.LabelSum{Labels: n, Newest: newest}
		}
	}
	events, err := s.events()
	if err != nil {
		return err
	}
	return feed.Append(ctx, q, events...)
}

// stateEvent makes the event of a reported state. It names the tasks whose name and hash are what
// an agent gives, of very many only the first.
func stateEvent(r *spec.Reported) (feed.Event, error) {
	st := feed.State{Tasks: map[string]string{}}
	for _, name := range slices.Sorted(maps.Keys(r.Tasks)) {
		if hash := r.Tasks[name].SpecHash; spec.ValidName(name) && hashPattern.MatchString(hash) && len(st.Tasks) < maxHashes {
			st.Tasks[name] = hash
		}
	}
	return feed.New(feed.KindState, "", r.Device, st)
}
