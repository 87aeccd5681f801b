package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/online/forecast"
	"skerry.dev/compute/tabular"
)

// series is one of the competition: what forecasters may learn from, and the 48 hours that follow.
type series struct{ train, test []float64 }

const (
	m4Horizon = 48
	// of the seasonal naive forecast and of the unit of MASE, by the competition's rules
	m4Season = 24
)

func readM4(path string) ([]series, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := tabular.Read(f, tabular.Options{})
	if err != nil {
		return nil, err
	}
	var columns [3]*frame.Column
	for k, name := range []string{"series", "value", "split"} {
		if columns[k], err = t.Column(name); err != nil {
			return nil, err
		}
	}
	var all []series
	last := -1.0
	for i, y := range columns[1].Values {
		if id := columns[0].Values[i]; id != last {
			all, last = append(all, series{}), id
		}
		s := &all[len(all)-1]
		if columns[2].Categories[int(columns[2].Values[i])] == "test" {
			s.test = append(s.test, y)
		} else {
			s.train = append(s.train, y)
		}
	}
	for i, s := range all {
		if len(s.test) != m4Horizon || len(s.train) <= m4Season {
			return nil, fmt.Errorf("%s: series %d has %d values to learn from and %d to foresee, must be more than %d and %d", path, i+1, len(s.train), len(s.test), m4Season, m4Horizon)
		}
	}
	return all, nil
}

// m4Row is what is compared. Seasons nil lets each series find its own.
type m4Row struct {
	learner string
	seasons []int
}

var m4Rows = []m4Row{
	{forecast.Last, []int{24}}, {forecast.SeasonalNaive, []int{24}}, {forecast.SeasonalAR, []int{24}}, {forecast.HoltWinters, []int{24}}, {forecast.Auto, []int{24}},
	{forecast.SeasonalAR, []int{24, 168}}, {forecast.HoltWinters, []int{24, 168}}, {forecast.Auto, []int{24, 168}}, {forecast.Auto, nil},
}

func m4(ctx context.Context, path string, back int) error {
	all, err := readM4(path)
	if err != nil {
		return err
	}
	for k, s := range all { // the last 48 values are predicted wherever the series ends
		y := slices.Concat(s.train, s.test)
		y = y[:len(y)-back]
		all[k] = series{y[:len(y)-m4Horizon], y[len(y)-m4Horizon:]}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "M4 hourly, %d series\tseasons\tsMAPE\tMASE\tseconds\n", len(all))
	for _, r := range m4Rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		began := time.Now()
		smape, mase, err := r.score(all)
		if err != nil {
			return err
		}
		seasons := fmt.Sprint(r.seasons)
		if r.seasons == nil {
			seasons = "found in each series"
		}
		fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f\t%.1f\n", r.learner, seasons, smape, mase, time.Since(began).Seconds())
	}
	if back == 0 {
		fmt.Fprintln(w, "published: seasonal naive 13.912 / 1.193, Theta 18.138 / 2.455, MLP 13.842 / 2.607, winner (Smyl) 9.328 / 0.893")
	}
	return w.Flush()
}

// score learns each series value by value and scores the one forecast at its end: the means over
// the series.
func (r *m4Row) score(all []series) (smape, mase float64, err error) {
	dst := make([]float64, m4Horizon)
	for _, s := range all {
		seasons := r.seasons
		if seasons == nil {
			seasons = forecast.FindSeasons(s.train, len(s.train))
		}
		f, err := forecast.New(forecast.Options{Learner: r.learner, Seasons: seasons, Horizon: m4Horizon})
		if err != nil {
			return 0, 0, err
		}
		for _, y := range s.train {
			f.Learn(y)
		}
		f.Forecast(dst)
		smape += forecast.SMAPE(s.test, dst) / float64(len(all))
		mase += forecast.MASE(s.test, dst, s.train, m4Season) / float64(len(all))
	}
	return smape, mase, nil
}
