package engine

import (
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"skerry.dev/compute/metric"
	"skerry.dev/test/realdata"
)

// domain is a real data set as a task sees it: rows of its inputs, and truths that come late.
type domain struct {
	cfg    Config
	rows   [][]Reading
	labels []Reading // by row, of a regression
	delay  int       // rows that labels come late
	quiet  int       // rows of the horizon or the delay, for the comparison
}

func open(name string) Series { return Series{Name: name, Min: math.NaN(), Max: math.NaN()} }

func forecast(t testing.TB, file, target string, inputs []string, kinds map[string][]string, step, horizon time.Duration) domain {
	head, rows := realdata.CSV(t, file)
	c := Config{Task: file, Kind: Forecast, Horizon: horizon.Microseconds(), Tolerance: horizon.Microseconds() / 2, On: 0, MaxAge: (3 * step).Microseconds(), Level: 0.9, Adapt: true}
	for _, n := range append([]string{target}, inputs...) {
		s := open(n)
		s.Categories = kinds[n]
		c.Series = append(c.Series, s)
	}
	d := domain{cfg: c, quiet: int(horizon / step)}
	for i, r := range rows {
		at := 1_500_000_000_000_000 + int64(i)*step.Microseconds()
		var msg []Reading
		for k, s := range c.Series {
			v := realdata.Number(r[head[s.Name]])
			if s.Categories != nil {
				v = float64(slices.Index(s.Categories, r[head[s.Name]]))
			}
			msg = append(msg, Reading{k, at, v})
		}
		d.rows = append(d.rows, msg)
	}
	return d
}

func regression(t testing.TB, file string, inputs []string, kind Kind, step time.Duration, delay int, truth func(head map[string]int, r []string) float64) domain {
	head, rows := realdata.CSV(t, file)
	c := Config{Task: file, Kind: kind, Target: -1, Tolerance: 1e6, On: 0, MaxAge: (3 * step).Microseconds(), Level: 0.9, Adapt: true}
	for _, n := range inputs {
		c.Series = append(c.Series, open(n))
	}
	d := domain{cfg: c, delay: delay, quiet: delay}
	for i, r := range rows {
		at := 1_500_000_000_000_000 + int64(i)*step.Microseconds()
		var msg []Reading
		for k, s := range c.Series {
			msg = append(msg, Reading{k, at, realdata.Number(r[head[s.Name]])})
		}
		d.rows = append(d.rows, msg)
		d.labels = append(d.labels, Reading{LabelSeries, at, truth(head, r)})
	}
	return d
}

func remaining(t testing.TB) domain {
	inputs := []string{"s2", "s3", "s4", "s7", "s8", "s9", "s11", "s12", "s13", "s14", "s15", "s17", "s20", "s21"}
	head, rows := realdata.CSV(t, "pdm/cmapss_fd001_train.csv.gz")
	last := map[string]float64{}
	for _, r := range rows {
		last[r[head["unit"]]] = max(last[r[head["unit"]]], realdata.Number(r[head["cycle"]]))
	}
	// five engines run at once, each a row a minute
	units := map[int][][]string{}
	for _, r := range rows {
		u, _ := strconv.Atoi(r[head["unit"]])
		units[u] = append(units[u], r)
	}
	next := 6
	live := [][][]string{units[1], units[2], units[3], units[4], units[5]}
	c := Config{Task: "rul", Kind: Regression, Target: -1, Tolerance: 1e6, On: 0, MaxAge: 60e6, Level: 0.9, Adapt: true}
	for _, n := range inputs {
		c.Series = append(c.Series, open(n))
	}
	d := domain{cfg: c, delay: 100, quiet: 100}
	for at := int64(1_600_000_000_000_000); ; at += 60e6 {
		any := false
		for k := range live {
			if len(live[k]) == 0 {
				if units[next] == nil {
					continue
				}
				live[k] = units[next]
				next++
			}
			any = true
			r := live[k][0]
			live[k] = live[k][1:]
			ts := at + int64(k)*5e6
			var msg []Reading
			for i, n := range inputs {
				msg = append(msg, Reading{i, ts, realdata.Number(r[head[n]])})
			}
			d.rows = append(d.rows, msg)
			d.labels = append(d.labels, Reading{LabelSeries, ts, min(125, last[r[head["unit"]]]-realdata.Number(r[head["cycle"]]))})
		}
		if !any {
			return d
		}
	}
}

func domains(t testing.TB) map[string]domain {
	col := func(name string) func(map[string]int, []string) float64 {
		return func(head map[string]int, r []string) float64 { return realdata.Number(r[head[name]]) }
	}
	return map[string]domain{
		"steel": forecast(t, "forecast/steel_energy.csv.gz", "Usage_kWh", []string{"Lagging_Current_Reactive.Power_kVarh", "Leading_Current_Reactive_Power_kVarh", "CO2(tCO2)", "Lagging_Current_Power_Factor", "Leading_Current_Power_Factor", "Load_Type"},
			map[string][]string{"Load_Type": {"Light_Load", "Medium_Load", "Maximum_Load"}}, 15*time.Minute, time.Hour),
		"ETTh1":   forecast(t, "forecast/etth1.csv.gz", "OT", []string{"HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL"}, nil, time.Hour, 24*time.Hour),
		"bike":    regression(t, "tabular/bike_sharing_hour.csv.gz", []string{"hr", "workingday", "weathersit", "temp", "hum", "windspeed"}, Regression, time.Hour, 24, col("cnt")),
		"C-MAPSS": remaining(t),
	}
}

// TestIntervalsOnDomains: intervals of real data cover what they promise, and are no worse than
// the plainest of all: a constant half-width, the quantile of the last 500 errors that were known.
func TestIntervalsOnDomains(t *testing.T) {
	for name, d := range domains(t) {
		t.Run(name, func(t *testing.T) {
			s := play(t, d)
			own, constant := s.own, s.constant
			if own.Coverage < 0.88 || own.Coverage > 0.92 || own.Score > 1.03*constant.Score || own.Widest > 12*own.Width {
				t.Error("intervals cover too little or too much, or are worse than constant ones by more than 3 %, or grow without bound")
			}
			t.Logf("MAE %.4g; published %+v; constant %+v; ratio %.3f", s.mae, own, constant, own.Score/constant.Score)
		})
	}
}

type played struct {
	mae           float64
	own, constant metric.IntervalSummary
}

func play(t testing.TB, d domain) (s played) {
	e, err := New(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	var labels []Label
	take := func(o *Output) { labels = append(labels, o.Labels...) }
	for i, msg := range d.rows {
		take(e.Ingest(NoArrival, msg))
		if d.labels != nil && i >= d.delay {
			take(e.Ingest(NoArrival, d.labels[i-d.delay:i-d.delay+1]))
		}
	}
	var rows []metric.Interval
	n := 0.0
	for _, l := range labels {
		if !math.IsNaN(l.Predicted) {
			n++
			s.mae += (math.Abs(l.Truth-l.Predicted) - s.mae) / n
		}
		rows = append(rows, metric.Interval{Truth: l.Truth, Predicted: l.Predicted, Lower: l.Lower, Upper: l.Upper})
	}
	s.own, s.constant = metric.CompareIntervals(rows, d.cfg.Level, scoreWindow, d.quiet, 0)
	return s
}

// TestAlarmsOnCleanData: at its defaults an anomaly task alarms on one row of a hundred of a test
// rig that runs without a fault, and on the faults of the runs after it.
func TestAlarmsOnCleanData(t *testing.T) {
	head, rows := realdata.CSV(t, "anomaly/skab.csv.gz")
	cfg := Config{Task: "rig", Kind: Anomaly, Target: -1, On: 0, MaxAge: 60e6, Level: 0.9}
	names := []string{"Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage", "VolumeFlowRateRMS"}
	for _, n := range names {
		cfg.Series = append(cfg.Series, open(n))
	}
	e := mustNew(t, cfg)
	count := map[string][2]int{} // rows and alarms, of clean runs and of rows with and without a fault
	for i, r := range rows {
		var msg []Reading
		for k, n := range names {
			msg = append(msg, Reading{k, 1_600_000_000_000_000 + int64(i)*1e6, realdata.Number(r[head[n]])})
		}
		kind := "clean"
		if r[head["series"]] != "anomaly-free/anomaly-free" {
			kind = map[string]string{"1": "fault", "1.0": "fault"}[r[head["anomaly"]]]
		}
		for _, p := range e.Ingest(NoArrival, msg).Predictions {
			c := count[kind]
			c[0]++
			if p.Alarm {
				c[1]++
			}
			count[kind] = c
		}
	}
	share := func(kind string) float64 { return float64(count[kind][1]) / float64(max(count[kind][0], 1)) }
	t.Logf("alarms: %.3f of %d clean rows, %.3f of %d with a fault, %.3f of the others", share("clean"), count["clean"][0], share("fault"), count["fault"][0], share(""))
	if share("clean") > 0.01 || share("fault") == 0 {
		t.Error("too many false alarms, or none of a fault")
	}
}
