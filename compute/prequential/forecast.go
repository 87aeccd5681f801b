package prequential

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"skerry.dev/compute/conformal"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/online/forecast"
	"skerry.dev/compute/tabular"
)

// ForecastOptions of a prequential forecast of a column: after each row the next Horizon rows are
// predicted, and each forecast is scored when its row comes.
type ForecastOptions struct {
	Name     string          // of the file, for messages
	Table    tabular.Options // how the file is written
	Target   string
	Horizon  int
	Seasons  []int // nil: found in the first rows; empty: none
	Learner  string
	Level    float64             // of intervals; default 0.9
	Progress func(row, rows int) // may be nil
	// rows with a value, and what was predicted for them Horizon rows before; may be nil
	Visit func(r *TableRow) error
}

// ForecastReport is what such a run measured. Rows count from 0, without the header.
type ForecastReport struct {
	File    string           `json:"file"`
	Rows    int              `json:"rows"` // that have a value
	Target  string           `json:"target"`
	Learner string           `json:"learner"`
	Horizon int              `json:"horizon"`
	Season  []int            `json:"season"`       // rows; empty when there is none
	Found   bool             `json:"season_found"` // in the first rows, not given
	Metrics *ForecastMetrics `json:"metrics"`
	// last and seasonal; without a season both are the last value
	Baselines map[string]*ForecastMetrics `json:"baselines"`
	// of auto; losses are mean absolute errors of recent trials
	Experts []ExpertSummary `json:"experts"`
	Speed   float64         `json:"rows_per_second"`
	Bytes   int             `json:"state_bytes"`
	Curve   []CurvePoint    `json:"-"`
}

// ForecastMetrics are the errors at the horizon, and their means over the horizons from 1 on. The
// unit of MASE is the mean absolute change of the column against one season ago, the first where
// there are two.
type ForecastMetrics struct {
	ForecastErrors
	Coverage *float64        `json:"coverage,omitempty"` // of the intervals at the horizon
	Width    *float64        `json:"interval_width,omitempty"`
	Mean     *ForecastErrors `json:"mean"`
}

// ForecastErrors are nil where nothing was scored.
type ForecastErrors struct {
	MAE   *float64 `json:"mae"`
	RMSE  *float64 `json:"rmse"`
	SMAPE *float64 `json:"smape"` // percent, 0 to 200
	MASE  *float64 `json:"mase"`  // nil, too, where the column repeats exactly
}

// Forecast runs a forecaster over a column of a table, see compute/tabular. Rows are taken for
// equally far apart.
func Forecast(ctx context.Context, r io.Reader, o ForecastOptions) (*ForecastReport, error) {
	f, err := tabular.Read(r, o.Table)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	run, err := newForecastRun(f, &o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	if err := run.play(ctx); err != nil {
		return nil, err
	}
	return run.rep, nil
}

// forecastRun is a column that is predicted.
type forecastRun struct {
	o        *ForecastOptions
	rep      *ForecastReport
	y        []float64
	own      *forecasts
	last     *forecasts
	seasonal *forecasts
	adaptive *conformal.Adaptive
	bands    []band // of the newest Horizon rows
	// mean absolute error at the horizon: the half-width that the conformal factor multiplies
	size    float64
	scored  float64
	covered float64
	issued  float64
	width   float64
	errors  float64 // since the last point of the curve
	lasts   float64
	points  int
}

// band is the interval around what was predicted Horizon rows ahead.
type band struct{ lower, upper, half float64 }

// sizeRows is the memory of the mean absolute error at the horizon, in rows.
const sizeRows = 500

func newForecastRun(f *frame.Frame, o *ForecastOptions) (*forecastRun, error) {
	c, err := named(f, "target", o.Target)
	if err != nil {
		return nil, err
	}
	if c.Type != frame.Number {
		return nil, fmt.Errorf("target %q holds %s: a forecast needs numbers", c.Name, map[frame.Type]string{frame.Time: "times", frame.Category: "text"}[c.Type])
	}
	if c.Missing() == c.Len() {
		return nil, fmt.Errorf("target %q holds no value", c.Name)
	}
	if o.Horizon < 1 || o.Horizon > forecast.MaxHorizon {
		return nil, fmt.Errorf("horizon %d: must be 1 to %d rows", o.Horizon, forecast.MaxHorizon)
	}
	if c.Len() <= o.Horizon {
		return nil, fmt.Errorf("%d rows are too few to score a forecast %d rows ahead", c.Len(), o.Horizon)
	}
	if o.Level == 0 {
		o.Level = 0.9
	}
	r := &forecastRun{
		o:        o,
		y:        c.Values,
		adaptive: conformal.NewAdaptive(o.Level, sizeRows),
		bands:    make([]band, o.Horizon),
	}
	seasons := o.Seasons
	if seasons == nil {
		seasons = forecast.FindSeasons(r.y, len(r.y))
	}
	if r.own, err = newForecasts(o.Learner, seasons, o.Horizon); err != nil {
		return nil, err
	}
	if r.last, err = newForecasts(forecast.Last, seasons, o.Horizon); err != nil {
		return nil, err
	}
	if r.seasonal, err = newForecasts(forecast.SeasonalNaive, seasons, o.Horizon); err != nil {
		return nil, err
	}
	r.rep = &ForecastReport{
		File:    o.Name,
		Target:  c.Name,
		Learner: r.own.f.Options().Learner,
		Horizon: o.Horizon,
		Season:  append([]int{}, seasons...),
		Found:   o.Seasons == nil,
		Experts: []ExpertSummary{},
	}
	return r, nil
}

func (r *forecastRun) play(ctx context.Context) error {
	began := time.Now()
	for i, y := range r.y {
		if i%256 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.o.Progress != nil {
				r.o.Progress(i, len(r.y))
			}
		}
		if !math.IsNaN(y) {
			r.rep.Rows++
			if err := r.score(i, y); err != nil {
				return err
			}
		}
		for _, s := range []*forecasts{r.own, r.last, r.seasonal} {
			s.next(i, y)
		}
		r.interval(i)
	}
	r.finish(time.Since(began))
	return nil
}

// score compares what was predicted for row i with its value.
func (r *forecastRun) score(i int, y float64) error {
	for _, s := range []*forecasts{r.own, r.last, r.seasonal} {
		s.score(i, y)
	}
	p, ok := r.own.of(i, r.o.Horizon)
	if !ok {
		return nil
	}
	b := &r.bands[i%r.o.Horizon]
	off := min(math.Abs(y-p), math.MaxFloat64)
	if !math.IsNaN(b.lower) {
		inside := y >= b.lower && y <= b.upper
		r.adaptive.Update(off/b.half, inside, float64(r.o.Horizon))
		r.issued++
		r.width += b.upper - b.lower
		if inside {
			r.covered++
		}
	}
	r.scored++
	r.size += (off - r.size) / min(r.scored, sizeRows)
	last, _ := r.last.of(i, r.o.Horizon)
	r.point(i, off, math.Abs(y-last))
	if r.o.Visit == nil {
		return nil
	}
	return r.o.Visit(&TableRow{
		Row:       i,
		Truth:     y,
		Predicted: p,
		Lower:     b.lower,
		Upper:     b.upper,
		ModelLoss: math.NaN(),
	})
}

// interval goes around the forecast just made of the row Horizon after i.
func (r *forecastRun) interval(i int) {
	b := &r.bands[i%r.o.Horizon]
	*b = band{math.NaN(), math.NaN(), math.NaN()}
	if p, ok := r.own.of(i+r.o.Horizon, r.o.Horizon); ok && r.size > 0 {
		h := r.adaptive.Factor(3) * r.size
		*b = band{p - h, p + h, r.size}
	}
}

func (r *forecastRun) point(row int, off, last float64) {
	r.errors += off
	r.lasts += last
	if r.points++; r.points == max(1, len(r.y)/curvePoints) {
		n := float64(r.points)
		r.rep.Curve = append(r.rep.Curve, CurvePoint{row, r.errors / n, r.lasts / n})
		r.errors, r.lasts, r.points = 0, 0, 0
	}
}

func (r *forecastRun) finish(took time.Duration) {
	unit := seasonalChange(r.y, r.rep.Season)
	rep := r.rep
	rep.Metrics = r.own.metrics(unit)
	if r.issued > 0 {
		rep.Metrics.Coverage, rep.Metrics.Width = finite(r.covered/r.issued), finite(r.width/r.issued)
	}
	rep.Baselines = map[string]*ForecastMetrics{"last": r.last.metrics(unit), "seasonal": r.seasonal.metrics(unit)}
	rep.Speed, rep.Bytes = float64(len(r.y))/max(took.Seconds(), 1e-9), r.own.f.Bytes()
	for _, e := range r.own.f.Experts() {
		rep.Experts = append(rep.Experts, ExpertSummary(e))
	}
}

// seasonalChange is the mean absolute change against one season ago, the unit of MASE.
func seasonalChange(y []float64, seasons []int) float64 {
	season := 1
	if len(seasons) > 0 {
		season = seasons[0]
	}
	sum, n := 0.0, 0.0
	for i := season; i < len(y); i++ {
		if d := math.Abs(y[i] - y[i-season]); !math.IsNaN(d) {
			sum += d
			n++
		}
	}
	return sum / n
}

// WritePlot draws the error at the horizon over the rows as an SVG picture, with that of the last
// value.
func (r *ForecastReport) WritePlot(w io.Writer) error {
	t := &TableReport{
		Kind:    "regression",
		Target:  fmt.Sprintf("%s, %d rows ahead,", r.Target, r.Horizon),
		Learner: r.Learner,
		Curve:   r.Curve,
	}
	return t.WritePlot(w)
}

// forecasts is a forecaster with the forecasts it made after each of the newest rows, and their
// errors by horizon.
type forecasts struct {
	f             *forecast.Forecaster
	made          []float64 // Horizon numbers for each of the newest Horizon rows
	began         int       // the first row after which there is a forecast, -1 before
	horizon       int
	abs, sq, perc []float64 // sums by horizon
	n             []float64
}

func newForecasts(learner string, seasons []int, horizon int) (*forecasts, error) {
	f, err := forecast.New(forecast.Options{Learner: learner, Seasons: seasons, Horizon: horizon})
	if err != nil {
		return nil, err
	}
	s := &forecasts{f: f, made: make([]float64, horizon*horizon), began: -1, horizon: horizon}
	s.abs, s.sq, s.perc, s.n = make([]float64, horizon), make([]float64, horizon), make([]float64, horizon), make([]float64, horizon)
	return s, nil
}

// next learns row i and predicts those after it. Before the first value there is nothing to go on.
func (s *forecasts) next(i int, y float64) {
	if s.f.Learn(y); s.began < 0 {
		if math.IsNaN(y) {
			return
		}
		s.began = i
	}
	at := i % s.horizon * s.horizon
	s.f.Forecast(s.made[at : at+s.horizon])
}

// of returns what was predicted for a row so many rows before it.
func (s *forecasts) of(row, ahead int) (p float64, ok bool) {
	from := row - ahead
	if s.began < 0 || from < s.began {
		return 0, false
	}
	return s.made[from%s.horizon*s.horizon+ahead-1], true
}

func (s *forecasts) score(i int, y float64) {
	for k := range s.n {
		p, ok := s.of(i, k+1)
		if !ok {
			return // shorter horizons reach back less far
		}
		s.n[k]++
		s.abs[k] += math.Abs(y - p)
		s.sq[k] += (y - p) * (y - p)
		s.perc[k] += forecast.Percentage(y, p)
	}
}

func (s *forecasts) metrics(unit float64) *ForecastMetrics {
	m, mean := &ForecastMetrics{Mean: &ForecastErrors{}}, [4]float64{}
	if s.n[s.horizon-1] == 0 {
		return m
	}
	for k, n := range s.n { // shorter horizons were scored at least as often
		e := [4]float64{s.abs[k] / n, math.Sqrt(s.sq[k] / n), s.perc[k] / n, s.abs[k] / n / unit}
		for j, v := range e {
			mean[j] += v / float64(s.horizon)
		}
		m.ForecastErrors = errorsOf(e)
	}
	*m.Mean = errorsOf(mean)
	return m
}

func errorsOf(e [4]float64) ForecastErrors {
	return ForecastErrors{finite(e[0]), finite(e[1]), finite(e[2]), finite(e[3])}
}

// finite returns nil for what JSON cannot express.
func finite(v float64) *float64 {
	if v-v != 0 {
		return nil
	}
	return &v
}
