package selection

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
	"skerry.dev/test/realdata"
)

const hourUS = int64(time.Hour / time.Microsecond)

var winds = []string{"N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"}

// beijing is the next hour's PM2.5 at stations, each a device; a row is an hour in which PM2.5
// was measured.
func beijing(t testing.TB, stations ...string) Problem {
	t.Helper()
	names := []string{"pm25", "pm10", "so2", "no2", "co", "o3", "temp", "pres", "dewp", "rain", "wd", "wspm"}
	p := Problem{Task: "pm25-next-hour", Kind: artifact.KindForecast, HorizonUS: hourUS, OffsetUS: 8 * hourUS, Seed: 1}
	for _, n := range names {
		in := feature.Input{Name: n}
		if n == "wd" {
			in.Categories = winds
		}
		p.Inputs = append(p.Inputs, in)
	}
	for _, station := range stations {
		s := Series{Device: station}
		at := map[int64]float64{}
		_, rows := realdata.CSV(t, "fleet", "beijing_air_"+station+".csv.gz")
		for _, r := range rows {
			if r[4] == "" {
				continue
			}
			n := func(i int) int { v, _ := strconv.Atoi(r[i]); return v }
			tm := time.Date(n(0), time.Month(n(1)), n(2), n(3), 0, 0, 0, time.UTC).UnixMicro() - 8*hourUS
			row := make([]float64, len(names))
			for j := range row {
				row[j] = realdata.Number(r[4+j])
			}
			row[10] = math.NaN()
			for k, w := range winds {
				if w == r[14] {
					row[10] = float64(k)
				}
			}
			at[tm] = row[0]
			s.Times, s.Values = append(s.Times, tm), append(s.Values, row)
		}
		for i, tm := range s.Times {
			y, ok := at[tm+hourUS]
			if !ok {
				y = math.NaN()
			}
			s.Target, s.Baseline = append(s.Target, y), append(s.Baseline, s.Values[i][0])
		}
		p.Devices = append(p.Devices, s)
	}
	return p
}

// before returns the problem's rows up to a share of its time.
func (p Problem) before(share float64) Problem {
	first, last := span(&p)
	cut := first + int64(share*float64(last-first))
	devices := make([]Series, len(p.Devices))
	for d, s := range p.Devices {
		n := 0
		for n < len(s.Times) && s.Times[n]+p.HorizonUS <= cut {
			n++
		}
		devices[d] = Series{Device: s.Device, Times: s.Times[:n], Values: s.Values[:n], Target: s.Target[:n], Baseline: s.Baseline[:n]}
	}
	p.Devices = devices
	return p
}

// after returns the problem without labels up to a share of its time; rows stay as history.
func (p Problem) after(share float64) Problem {
	first, last := span(&p)
	cut := first + int64(share*float64(last-first))
	devices := make([]Series, len(p.Devices))
	for d, s := range p.Devices {
		devices[d] = s
		devices[d].Target = append([]float64(nil), s.Target...)
		for i, at := range s.Times {
			if at <= cut {
				devices[d].Target[i] = math.NaN()
			}
		}
	}
	p.Devices = devices
	return p
}

// TestBeijing holds that a model from the first 40 % of time beats the last value by at least 4 %
// on the rest, averaged over stations that stand for devices. SKERRY_FULL=1 runs the default
// search on all four stations instead of a single setting.
func TestBeijing(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("trains on real data, minutes under the race detector: run without -short and -race")
	}
	stations := []string{"aotizhongxin", "changping", "dingling", "gucheng"}
	opts := Options{Trials: 1, Threads: 2, Learners: []string{"gbdt"}}
	if os.Getenv("SKERRY_FULL") != "" {
		opts = Options{Threads: 2}
	}
	all := beijing(t, stations...)
	started := time.Now()
	r, err := Run(context.Background(), all.before(0.4), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("trained in %.1f s: %s, %d bytes, holdout %+v", time.Since(started).Seconds(), r.Artifact.Manifest.Learner, len(r.Bytes), r.Holdout)
	for _, e := range r.Leaderboard {
		t.Logf("%-7s %s folds %d relative %.4f %6.2f s %6.2f µs %8d bytes", e.Learner, fmt.Sprint(e.Params), e.Folds, e.Relative, e.Seconds, e.LatencyUS, e.Bytes)
	}
	t.Logf("features: %v", r.Features)
	rest := all.after(0.4)
	ratio := 0.0
	for d := range rest.Devices {
		one := rest
		one.Devices = rest.Devices[d : d+1]
		h, err := Evaluate(context.Background(), one, r.Artifact)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: ratio %.4f, %+v", one.Devices[0].Device, h.MAE/h.MAEBaseline, h)
		ratio += h.MAE / h.MAEBaseline / float64(len(rest.Devices))
	}
	t.Logf("mean ratio %.4f", ratio)
	if ratio > 0.96 {
		t.Errorf("mean MAE over that of the last value is %.4f, want at most 0.96", ratio)
	}
	v, err := Judge(context.Background(), rest, nil, r.Artifact)
	if err != nil || v.Outcome != "pass" {
		t.Errorf("Judge against the last value = %+v, %v, want pass", v, err)
	}
	t.Logf("verdict %+v", v)
}
