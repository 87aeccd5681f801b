package forecast

import (
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/state"
)

// The learners that New makes.
const (
	Auto          = "auto"
	HoltWinters   = "holt-winters"
	SeasonalAR    = "seasonal-ar"
	SeasonalNaive = "seasonal-naive"
	Last          = "last"
)

// Names lists the learners.
func Names() []string { return []string{Auto, HoltWinters, SeasonalAR, SeasonalNaive, Last} }

// Describe describes in a line each what the learners are.
func Describe() []string {
	return []string{
		"auto                   those below side by side, weighted by their recent errors over the horizon",
		"holt-winters           exponential smoothing with a damped trend and the seasons: a grid of parameters, weighted in the same way",
		"seasonal-ar            an autoregression on changes against one season ago, by recursive least squares that forget",
		"seasonal-naive         the value one season ago",
		"last                   the newest value",
	}
}

// Limits of the options.
const (
	MaxHorizon = 1000
	MaxSeason  = 2000 // rows
	MaxSeasons = 2
)

// Options of a forecaster. The zero value of a field is its documented default.
type Options struct {
	Learner string // one of Names; default Auto
	// rows after which a pattern repeats, ascending, each 2 to MaxSeason; none is possible, too
	Seasons []int
	// how many rows are predicted at most, 1 to MaxHorizon, and over how many trial forecasts are
	// compared; default 48
	Horizon int
	// of holt-winters' trend per row, above 0 and up to 1, which does not damp; default 0.98
	Damping float64
	// of seasonal-ar: what a row still counts one row later, 0.9 to 1; default 0.9995
	Forget float64
}

func (o *Options) fill() error {
	if o.Learner == "" {
		o.Learner = Auto
	}
	if o.Horizon == 0 {
		o.Horizon = 48
	}
	if o.Damping == 0 {
		o.Damping = 0.98
	}
	if o.Forget == 0 {
		o.Forget = 0.9995
	}
	switch {
	case !slices.Contains(Names(), o.Learner):
		return fmt.Errorf("forecast: learner %q, must be one of auto, holt-winters, seasonal-ar, seasonal-naive and last", o.Learner)
	case o.Horizon < 1 || o.Horizon > MaxHorizon:
		return fmt.Errorf("forecast: horizon %d, must be 1 to %d rows", o.Horizon, MaxHorizon)
	case len(o.Seasons) > MaxSeasons:
		return fmt.Errorf("forecast: %d seasons, must be up to %d", len(o.Seasons), MaxSeasons)
	case !(o.Damping > 0 && o.Damping <= 1):
		return fmt.Errorf("forecast: damping %v, must be above 0 and up to 1", o.Damping)
	case !(o.Forget >= 0.9 && o.Forget <= 1):
		return fmt.Errorf("forecast: forget %v, must be 0.9 to 1", o.Forget)
	}
	o.Seasons = slices.Clone(o.Seasons)
	for k, n := range o.Seasons {
		if n < 2 || n > MaxSeason {
			return fmt.Errorf("forecast: season %d, must be 2 to %d rows", n, MaxSeason)
		}
		if k > 0 && n <= o.Seasons[k-1] {
			return fmt.Errorf("forecast: seasons %d and %d, must ascend", o.Seasons[k-1], n)
		}
	}
	return nil
}

// Forecaster predicts one series. It does not allocate after New, takes the same memory whatever
// comes, and is not safe for concurrent use.
//
// Its cost per value is that of a forecast over the horizon by each model every fourth of the
// horizon, and for seasonal-ar of the square of its lags, a dozen: about six microseconds for
// auto with two seasons.
type Forecaster struct {
	o       Options
	h       *history
	m       model
	longest int // season, 1 without
	gap     int // values in a row that were missing
	strange int // and that were too far outside
	one     [1]float64
}

// Constants of the assumptions of a forecaster.
const (
	maxMagnitude = 1e100 // larger values are missing, so that squares stay finite
	maxState     = 1e250 // no number of a state is larger
	// values farther outside of those that are kept, in widths of their span, are missing
	missingSpans  = 100.0
	restartValues = 8   // unless so many come in a row: then the series starts anew
	rebuildSpans  = 1.0 // a model that predicts a value farther outside is built anew
	forecastSpans = 2.0 // forecasts are cut there
)

// New returns a forecaster that has seen nothing: it predicts zeros.
func New(o Options) (*Forecaster, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	f := &Forecaster{o: o, longest: 1}
	if len(o.Seasons) > 0 {
		f.longest = o.Seasons[len(o.Seasons)-1]
	}
	f.h = newHistory(6*f.longest + 64)
	switch o.Learner {
	case Last:
		f.m = naive{1}
	case SeasonalNaive:
		f.m = naive{f.longest}
		if len(o.Seasons) > 0 {
			f.m = naive{o.Seasons[0]}
		}
	case SeasonalAR:
		f.m = newAutoregression(f.longest, o.Seasons, o.Forget, o.Horizon)
	case HoltWinters:
		f.m = newHoltWinters(&o)
	default:
		f.m = newAuto(&o)
	}
	return f, nil
}

// Options returns the options with their defaults filled in.
func (f *Forecaster) Options() Options { return f.o }

// Learn takes the next value. A NaN, an infinity or a value beyond ±1e100 is missing: the
// forecast takes its place, and after a gap as long as the longest season the season before it.
func (f *Forecaster) Learn(y float64) {
	missing := !(math.Abs(y) <= maxMagnitude)
	if !missing && len(f.h.values()) >= f.longest+restartValues {
		if lo, hi := f.h.around(missingSpans); lo == hi || y >= lo && y <= hi {
			f.strange = 0
		} else if f.strange++; f.strange < restartValues {
			missing = true
		} else {
			f.restart()
		}
	}
	if !missing {
		f.gap = 0
	} else if y = f.fill(); len(f.h.values()) == 0 {
		return
	}
	f.h.push(y, missing)
	f.m.learn(f.h, missing)
}

// fill returns what stands in for a missing value.
func (f *Forecaster) fill() float64 {
	f.gap = min(f.gap+1, f.longest+1)
	if f.gap > f.longest {
		f.h.repeat(f.one[:], f.longest)
	} else {
		f.Forecast(f.one[:])
	}
	return f.one[0]
}

func (f *Forecaster) restart() {
	f.strange, f.gap = 0, 0
	f.h.clear()
	f.m.rebuild(f.h)
}

// Forecast writes the values of the next len(dst) rows, at most the horizon; with more it panics.
// They are finite and at most twice the span of the values kept outside of it.
func (f *Forecaster) Forecast(dst []float64) {
	if len(dst) > f.o.Horizon {
		panic("forecast: more rows than the horizon")
	}
	if len(f.h.values()) == 0 {
		clear(dst)
		return
	}
	f.m.forecast(dst, f.h)
	lo, hi := f.h.around(forecastSpans)
	for k, y := range dst {
		if !(y >= lo) { // nor a NaN, should a model find a way to one
			y = lo
		}
		dst[k] = min(y, hi)
	}
}

// Expert is one model of a forecaster that has several: its mean absolute error in recent trials
// over the horizon, and its weight.
type Expert struct {
	Name   string
	Loss   float64
	Weight float64
}

// Experts lists the models of auto; others have none.
func (f *Forecaster) Experts() []Expert {
	p, ok := f.m.(*panel)
	if !ok || f.o.Learner != Auto {
		return nil
	}
	var out []Expert
	for k, name := range autoNames(&f.o) {
		out = append(out, Expert{name, p.loss[k], p.w[k]})
	}
	return out
}

// Bytes returns about how much memory the forecaster takes.
func (f *Forecaster) Bytes() int { return 160 + 9*cap(f.h.buf) + f.m.bytes() }

// Save appends the state to a snapshot.
func (f *Forecaster) Save(w *state.Writer) {
	f.h.save(w)
	w.Int(int64(f.gap))
	w.Int(int64(f.strange))
	f.m.save(w)
}

// Load restores it, bit for bit, in a forecaster made with the same options.
func (f *Forecaster) Load(r *state.Reader) {
	f.h.load(r)
	f.gap = loadInt(r, 0, f.longest+1)
	f.strange = loadInt(r, 0, restartValues)
	f.m.load(r)
}
