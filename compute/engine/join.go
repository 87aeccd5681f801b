package engine

import (
	"math"
	"slices"
	"sort"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/state"
)

// point is a value at a time.
type point struct {
	t int64
	v float64
}

// joiner turns readings into rows in event-time order. Per series it keeps the newest value at or
// before the last fired row and everything after it.
type joiner struct {
	cfg    *Config
	series [][]point // sorted by time
	due    []int64   // instants of rows that wait for the watermark, sorted (rows on a series)
	// event time that the watermark stands behind: the largest one read, or later when readings
	// have stopped
	newest   int64
	read     int64 // largest event time of a reading
	fired    int64 // time of the last row
	started  bool
	truth    []point // readings of a forecast's target that labels may still need, sorted
	rowBuf   []float64
	anyFired bool
	empty    int // rows without any value at the end of those fired, see next
	held     int // rows without a new reading that the present call has fired, see next

	overtaken Overtaken
}

// MaxWaiting is how many readings of a series wait for the watermark: with more of them it moves on,
// whatever the lateness.
const MaxWaiting = 32768

// maxHeld is how many rows of a cadence one call fires beside those that a reading falls into.
const maxHeld = 4096

func newJoiner(cfg *Config) *joiner {
	return &joiner{
		cfg:    cfg,
		series: make([][]point, len(cfg.Series)),
		rowBuf: make([]float64, len(cfg.Series)),
		read:   math.MinInt64,
	}
}

// watermark is the event time up to which rows are complete.
func (j *joiner) watermark() int64 {
	if !j.started {
		return math.MinInt64
	}
	w := j.newest - j.cfg.Lateness
	for _, s := range j.series {
		if n := len(s) - MaxWaiting; n >= 0 { // the newest row that fired keeps its reading
			w = max(w, s[n].t)
		}
	}
	return w
}

// settle moves the watermark as far as a silence lets it: rows on a series are complete up to the
// newest reading, and a cadence has gone on for the time that nothing came. A reading that is sent
// again after an interruption of its sender still finds its place behind the newest one.
func (j *joiner) settle() {
	ahead := j.cfg.Lateness
	if j.cfg.Every > 0 {
		ahead = j.cfg.silence()
	}
	j.newest = max(j.newest, j.read+ahead)
}

// add takes one reading and reports whether it came behind the watermark.
func (j *joiner) add(r Reading) (late bool) {
	late = j.started && r.Time < j.watermark()
	if late && r.Series == j.cfg.On {
		j.overtaken.Readings++
		j.overtaken.InARow++
		w := j.watermark()
		j.overtaken.Behind, j.overtaken.Room = w-r.Time, 0
		if room := j.newest - w; room < j.cfg.Lateness {
			j.overtaken.Room = max(room, 1)
		}
	}
	if !j.started || r.Time > j.newest {
		if !j.started && j.cfg.Every > 0 {
			// the first row is the first multiple not before the first reading
			j.fired = floorTo(r.Time-1, j.cfg.Every)
			j.anyFired = true
		}
		j.newest, j.started = r.Time, true
	}
	j.read = max(j.read, r.Time)
	j.series[r.Series] = insert(j.series[r.Series], point{r.Time, r.Value})
	if r.Series == j.cfg.Target && j.cfg.Kind == Forecast {
		j.truth = insert(j.truth, point{r.Time, r.Value})
	}
	if r.Series == j.cfg.On && !late && (!j.anyFired || r.Time > j.fired) && !math.IsNaN(r.Value) {
		if i, dup := slices.BinarySearch(j.due, r.Time); !dup {
			j.due = slices.Insert(j.due, i, r.Time)
			j.overtaken.InARow = 0
		}
	}
	return late
}

func floorTo(t, step int64) int64 {
	r := t % step
	if r < 0 {
		r += step
	}
	return t - r
}

// insert keeps s sorted by time; a second value at the same time is ignored, as the gate before
// the engine flags it. Readings come nearly in order, so it searches from the end.
func insert(s []point, p point) []point {
	i := len(s)
	for i > 0 && s[i-1].t > p.t {
		i--
	}
	if i > 0 && s[i-1].t == p.t {
		return s
	}
	return slices.Insert(s, i, p)
}

// next returns the time of the next row that is due at or before limit. A cadence goes on without
// readings for as many rows as the history has: after that one more row without a value changes
// nothing that a feature sees, and the cadence waits for the next reading. It also does after
// maxHeld rows, in one call, into which no reading fell. However far apart the times of readings
// are, and however fine the cadence is, a message makes a bounded number of rows.
func (j *joiner) next(limit int64) (int64, bool) {
	if j.cfg.Every > 0 {
		t := j.fired + j.cfg.Every
		if j.anyFired && (j.empty >= HistoryRows || j.held >= maxHeld) {
			from, ok := j.ahead()
			if !ok {
				return 0, false
			}
			if u := floorTo(from-1, j.cfg.Every); u > j.fired {
				t = u + j.cfg.Every
			}
		}
		if !j.anyFired || t > limit {
			return 0, false
		}
		return t, true
	}
	if len(j.due) == 0 || j.due[0] > limit {
		return 0, false
	}
	return j.due[0], true
}

// ahead returns the time of the first reading behind the newest row.
func (j *joiner) ahead() (t int64, ok bool) {
	for _, s := range j.series {
		for _, p := range s {
			if p.t > j.fired {
				if !ok || p.t < t {
					t, ok = p.t, true
				}
				break
			}
		}
	}
	return t, ok
}

// fire joins the row at t: for each series its newest value not younger than t and not older than
// MaxAge, else NaN.
func (j *joiner) fire(t int64) []float64 {
	j.empty++
	fresh := false
	for i, s := range j.series {
		j.rowBuf[i] = math.NaN()
		k := upTo(s, t)
		fresh = fresh || k > 0 && s[k-1].t > j.fired
		if k > 0 && t-s[k-1].t <= j.cfg.MaxAge {
			if j.rowBuf[i] = s[k-1].v; !math.IsNaN(s[k-1].v) {
				j.empty = 0
			}
		}
		if k > 1 { // only the newest at or before t can serve later rows
			j.series[i] = behind(s, k-1)
		}
	}
	if !fresh {
		j.held++
	}
	j.fired, j.anyFired = t, true
	if len(j.due) > 0 && j.due[0] <= t {
		j.due = behind(j.due, 1)
	}
	return j.rowBuf
}

// trim forgets the readings that no row behind the watermark can use. fire does so as well, but the
// series that rows fire on may be silent for ever while others go on.
func (j *joiner) trim(watermark int64) {
	if j.cfg.Every > 0 {
		return // any reading is followed by a row
	}
	for i, s := range j.series {
		if len(s) <= HistoryRows {
			continue
		}
		if k := upTo(s, watermark); k > 1 {
			j.series[i] = behind(s, k-1)
		}
	}
}

// behind returns s without its first k elements: moved to the front when they are few, so that a
// steady stream allocates nothing, and where they are when they are many, so that a long queue is
// not moved with every row.
func behind[T any](s []T, k int) []T {
	if len(s)-k <= 64 {
		return slices.Delete(s, 0, k)
	}
	return s[k:]
}

// upTo returns how many of s are at or before t.
func upTo(s []point, t int64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].t > t })
}

// truthAt returns the target's value that held at t, if it was read within tolerance before t. A
// reading that stands for "missing" is no truth.
func (j *joiner) truthAt(t, tolerance int64) (float64, bool) {
	k := upTo(j.truth, t)
	if k == 0 {
		return math.NaN(), false
	}
	p := j.truth[k-1]
	return p.v, t-p.t <= tolerance && !math.IsNaN(p.v)
}

// forgetTruth drops target readings that no label due at or after t can need.
func (j *joiner) forgetTruth(t int64) {
	k := 0
	for k < len(j.truth) && j.truth[k].t < t-j.cfg.Tolerance {
		k++
	}
	j.truth = behind(j.truth, k)
}

func (j *joiner) save(w *state.Writer) {
	w.Int(j.newest)
	w.Int(j.read)
	w.Int(j.fired)
	w.Bool(j.started)
	w.Bool(j.anyFired)
	w.Ints(j.due)
	savePoints(w, j.truth)
	for _, s := range j.series {
		savePoints(w, s)
	}
}

func (j *joiner) load(r *state.Reader, version int64) {
	j.newest = r.Int()
	if j.read = j.newest; version > withoutClock {
		j.read = r.Int()
	}
	j.fired, j.started, j.anyFired = r.Int(), r.Bool(), r.Bool()
	j.due = r.Ints()
	j.truth = loadPoints(r)
	for i := range j.series {
		j.series[i] = loadPoints(r)
	}
}

func savePoints(w *state.Writer, s []point) {
	w.Int(int64(len(s)))
	for _, p := range s {
		w.Int(p.t)
		w.Float(p.v)
	}
}

func loadPoints(r *state.Reader) []point {
	s := make([]point, r.Len(16))
	for i := range s {
		s[i] = point{r.Int(), r.Float()}
	}
	return s
}

// emptyRows counts the rows without any value at the end of a history.
func emptyRows(h *feature.History) int {
	for n := range h.Len() {
		for _, v := range h.Row(n) {
			if !math.IsNaN(v) {
				return n
			}
		}
	}
	return h.Len()
}
