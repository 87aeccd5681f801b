package anomaly

import (
	"math"

	"skerry.dev/compute/internal/setting"
	"skerry.dev/compute/state"
)

// seasonal watches single series and adds up what is surprising about a value: see [New]. Several
// columns are watched apart, and the most surprising one counts.
type seasonal struct {
	history int64
	tail    float64
	hold    int64
	period  string
	limit   float64

	series []watch
}

// watch is the state of one series. Each history is of one feature, and each feature sees what
// the others do not.
type watch struct {
	values  history // the level, both ways
	changes history // from one value to the next
	// from what the time of day leads to expect, else from the median of the last values
	gaps    history
	means   history // of the last 20 values: slow departures
	spreads history // of the last 20 values: noise that comes, or a sensor that is stuck
	coarse  novelty
	fine    novelty
	profile profile
	recent  recent
	peaks   peaks
}

const (
	shortValues  = 20 // values in the means and spreads
	kindNats     = 8  // nats for a histogram of a new kind: as much as one value in 3000
	medianValues = 35 // values whose median is expected where there is no period
	alarmNats    = 30 // default limit, in nats over the five features and the two novelties
)

func newSeasonal() *seasonal {
	return &seasonal{history: 4096, tail: 0.02, hold: 100, limit: alarmNats}
}

func (s *seasonal) settings() []setting.Setting {
	return []setting.Setting{
		setting.Whole("history", &s.history, 100, 1<<20, "values that are remembered; the memory is 80 bytes for each"),
		setting.Number("tail", &s.tail, 0, 0.5, "share of the remembered values that are the tail"),
		holding(&s.hold),
		setting.Text("period", &s.period, `a duration such as 24h, a number of rows for streams without times, or "none"`, "length of the season (default 24h, none without times)"),
		setting.Number("limit", &s.limit, 0, 1e6, "surprise that is an alarm, in nats, and has the score 0.5"),
	}
}

func (s *seasonal) start(schema Schema) error {
	period, bins, err := seasonPeriod(s.period, schema.Timed)
	if err != nil {
		return err
	}
	if err := affordable(float64(len(schema.Columns)) * (80*float64(s.history) + 16*float64(s.hold) + 8*float64(rounds+1)*float64(bins))); err != nil {
		return err
	}
	s.series = make([]watch, len(schema.Columns))
	for i := range s.series {
		h := newHistory(int(s.history), s.tail)
		s.series[i] = watch{
			values:  h,
			changes: h,
			gaps:    h,
			means:   h,
			spreads: h,
			coarse:  newNovelty(5, 30, 13.28),
			fine:    newNovelty(8, 52, 20),
			recent:  newRecent(relearnValues + 64),
			peaks:   newPeaks(int(s.hold)),
		}
		if period > 0 {
			s.series[i].profile = newProfile(period, bins)
		}
	}
	return nil
}

// Update implements Scorer. It costs some tens of microseconds a column, most of it to keep the
// histories sorted.
func (s *seasonal) Update(x []float64, t int64) float64 {
	top := 0.0
	for i := range s.series {
		if v, ok := bounded(x[i]); ok {
			top = max(top, s.series[i].update(v, t))
		}
	}
	return top / (top + s.limit)
}

func (w *watch) update(v float64, t int64) float64 {
	last, seen := 0.0, w.recent.len()
	if seen > 0 {
		last = w.recent.back(0)
	}
	w.recent.add(v)
	sum := w.values.either(v)
	w.values.add(v)
	if seen > 0 {
		d := math.Abs(v - last)
		sum += w.changes.above(d)
		w.changes.add(d)
	}
	if seen >= shortValues {
		mean, spread := w.moments()
		sum += w.means.either(mean) + w.spreads.either(spread)
		w.means.add(mean)
		w.spreads.add(spread)
	}
	if w.profile.period > 0 && t != noTime {
		if expected, ok := w.profile.update(t, v); ok {
			gap := math.Abs(v - expected)
			sum += w.gaps.above(gap)
			w.gaps.add(gap)
		}
	}
	if w.coarse.update(&w.recent) {
		sum += kindNats
	}
	if w.fine.update(&w.recent) {
		sum += kindNats
	}
	if !w.peaks.add(sum) {
		return 0
	}
	return sum
}

// noTime marks a missing time, as in compute/frame.
const noTime = math.MinInt64

// moments are the mean and the standard deviation of the last values.
func (w *watch) moments() (mean, sd float64) {
	for k := range shortValues {
		mean += w.recent.back(k)
	}
	mean /= shortValues
	for k := range shortValues {
		d := w.recent.back(k) - mean
		sd += float64(d * d)
	}
	return mean, math.Sqrt(sd / shortValues)
}

// Limit implements Scorer.
func (s *seasonal) Limit() float64 { return 0.5 }

// part is one piece of what a watch remembers.
type part interface {
	bytes() int
	save(*state.Writer)
	load(*state.Reader)
}

// parts lists what a watch remembers, in the order in which it is saved.
func (w *watch) parts() []part {
	p := []part{&w.values, &w.changes, &w.gaps, &w.means, &w.spreads, &w.coarse, &w.fine}
	if w.profile.period > 0 {
		p = append(p, &w.profile)
	}
	return append(p, &w.recent, &w.peaks)
}

// Bytes implements Scorer.
func (s *seasonal) Bytes() int {
	n := 512 * len(s.series)
	for i := range s.series {
		for _, p := range s.series[i].parts() {
			n += p.bytes()
		}
	}
	return n
}

// Save implements Scorer.
func (s *seasonal) Save(out *state.Writer) {
	for i := range s.series {
		for _, p := range s.series[i].parts() {
			p.save(out)
		}
	}
}

// Load implements Scorer.
func (s *seasonal) Load(r *state.Reader) {
	for i := range s.series {
		for _, p := range s.series[i].parts() {
			p.load(r)
		}
	}
}
