package regimes

import (
	"context"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/sequential"
	"skerry.dev/hub/learn"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
	"skerry.dev/test/realdata"
)

const (
	hourUS  = int64(time.Hour / time.Microsecond)
	history = 300 * 24 // hours of the old regime
	future  = 30 * 24  // hours after the training that judge it
)

// hourly is a device's readings by the hour, missing = NaN. The first series is the target.
type hourly struct {
	names  []string
	values [][]float64 // by hour, then by series
}

// source yields the hours from the first up to an hour, one message each.
func (h *hourly) source(upTo int) learn.Source {
	return func(context.Context, string) iter.Seq2[learn.Reading, error] {
		return func(yield func(learn.Reading, error) bool) {
			for i, row := range h.values[:upTo] {
				flags := wire.FlagFirst
				for j, v := range row {
					if math.IsNaN(v) {
						continue
					}
					at := int64(i) * hourUS
					if !yield(learn.Reading{Series: h.names[j], Time: at, Value: v, Arrival: at + 1e6, Flags: flags}, nil) {
						return
					}
					flags = 0
				}
			}
		}
	}
}

func (h *hourly) task(t *testing.T) *spec.Task {
	t.Helper()
	text := fmt.Sprintf("task: next\nkind: forecast\ntarget: {series: %s, horizon: 1h}\nrows: {on: %[1]s, max_age: 3h}\ninputs:\n", h.names[0])
	for _, n := range h.names {
		text += fmt.Sprintf("  - {series: %s, topic: a, path: $.%[1]s}\n", n)
	}
	task, err := spec.ParseTask("test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// generated is a series whose next value a second one drives. What it does so by changes at an
// hour: its sign, or the level that the series goes back to and the hour of its daily cycle.
func generated(change int, moved bool) *hourly {
	h := &hourly{names: []string{"y", "x"}}
	rng := rand.New(rand.NewPCG(1, 2))
	y, x := 0.0, 0.0
	for i := range change + 90*24 + future + 1 {
		switch {
		case moved && i < change:
			y += 0.3*(20-y) + 2*math.Sin(float64(i)*2*math.Pi/24) + x + 0.5*rng.NormFloat64()
		case moved:
			y += 0.3*(45-y) + 3*math.Cos(float64(i)*2*math.Pi/24) + 0.2*x + 0.5*rng.NormFloat64()
		case i < change:
			y = 0.8*x + 0.3*rng.NormFloat64()
		default:
			y = -0.8*x + 0.3*rng.NormFloat64()
		}
		x = 0.5*x + rng.NormFloat64()
		h.values = append(h.values, []float64{y, x})
	}
	return h
}

// station is an hourly record of the air at a real station from an hour of its own on, as a box
// reports it whose wires of PM2.5 and ozone are exchanged at the change, or whose probe of PM2.5
// and place are others from then on: those of the other station.
func station(t *testing.T, name, other string, first, change int, swapped bool) *hourly {
	t.Helper()
	columns := []int{4, 9, 10, 7, 12, 15} // pm25, o3, temp, no2, dewp, wspm
	h := &hourly{names: []string{"pm25", "o3", "temp", "no2", "dewp", "wspm"}}
	_, here := realdata.CSV(t, "fleet", "beijing_air_"+name+".csv.gz")
	_, there := realdata.CSV(t, "fleet", "beijing_air_"+other+".csv.gz")
	for i := range change + 90*24 + future + 1 {
		rows := here
		if i >= change && !swapped {
			rows = there
		}
		row := make([]float64, len(columns))
		for j, c := range columns {
			row[j] = realdata.Number(rows[first+i][c])
		}
		switch {
		case i >= change && swapped:
			row[0], row[1] = row[1], row[0]
		case i >= change:
			row[0] = 20 + 0.5*row[0]
		}
		h.values = append(h.values, row)
	}
	return h
}

// newest is the problem of the rows from an hour on; those before it have no label.
func (h *hourly) newest(t *testing.T, from, to int) selection.Problem {
	t.Helper()
	task := h.task(t)
	s, err := learn.Rows(t.Context(), h.source(to), task, "box")
	if err != nil {
		t.Fatal(err)
	}
	s.Target = slices.Clone(s.Target)
	for i, at := range s.Times {
		if at < int64(from)*hourUS {
			s.Target[i] = math.NaN()
		}
	}
	cfg := task.Engine()
	return selection.Problem{Task: task.Name, Kind: string(task.Kind), Inputs: cfg.Inputs(), TargetIndex: cfg.Target,
		HorizonUS: cfg.Horizon, Devices: []selection.Series{s}, Seed: 1}
}

// TestRegimes trains a champion on the old regime, retrains when the new one is so many days old,
// and scores both on the month that follows. SKERRY_FULL=1 runs it on all worlds instead of one that
// is generated.
func TestRegimes(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("trains for half a minute, many under the race detector: run without -short and -race")
	}
	real := [][2]string{{"aotizhongxin", "changping"}, {"dingling", "gucheng"}, {"gucheng", "dingling"}, {"changping", "aotizhongxin"}}
	days := []int{14, 30, 60, 90}
	type world struct {
		name string
		make func(t *testing.T) *hourly // skips where the data is missing
	}
	worlds := []world{
		{"generated: sign", func(*testing.T) *hourly { return generated(history, false) }},
		{"generated: level, phase", func(*testing.T) *hourly { return generated(history, true) }},
	}
	if os.Getenv("SKERRY_FULL") == "" {
		worlds, days = worlds[:1], []int{14, 30} // all of it takes minutes: make retraining
	} else {
		for k, names := range real {
			swapped := k < 2
			what := map[bool]string{true: "wires exchanged", false: "probe and place"}[swapped]
			worlds = append(worlds, world{names[0] + ": " + what, func(t *testing.T) *hourly {
				return station(t, names[0], names[1], 9000+1500*k, history, swapped)
			}})
		}
	}
	table := &strings.Builder{}
	fmt.Fprintf(table, "%-30s %5s %10s %10s %10s  %-5s %-14s %s\n", "world", "days", "retrained", "champion", "last value", "beats", "verdict", "reason")
	cases, beaten, passed, wrong := 0, 0, 0, 0
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			data := w.make(t)
			retrain := func(upTo int, champion *artifact.Artifact) learn.Output {
				out, err := learn.Run(t.Context(), learn.Input{
					Task:     data.task(t),
					Devices:  []string{"box"},
					Source:   data.source(upTo),
					Champion: champion,
					Digest:   "champion",
					Search:   selection.Options{Trials: 3, Learners: []string{"gbdt", "linear"}, Threads: 1},
					Begun:    func(int) {},
					Found:    func(*selection.Result) {},
				})
				if err != nil {
					t.Fatalf("%s up to hour %d: %v", w.name, upTo, err)
				}
				return out
			}
			champion := retrain(history, nil).Challenger.Artifact
			for _, d := range days {
				now := history + 24*d
				began := time.Now()
				out := retrain(now, champion)
				seconds := time.Since(began).Seconds()
				p := data.newest(t, now+1, now+future)
				score := func(a *artifact.Artifact) selection.Holdout {
					h, err := selection.Evaluate(t.Context(), p, a)
					if err != nil || h.Rows < future*8/10 {
						t.Fatalf("%s: %+v, %v", w.name, h, err)
					}
					return h
				}
				was, is := score(champion), score(out.Challenger.Artifact)
				beats := is.MAE < is.MAEBaseline && is.MAE < was.MAE
				pass := out.Verdict.Outcome == sequential.Pass
				cases++
				if beats {
					beaten++
				}
				if pass {
					passed++
				}
				if pass && !beats {
					wrong++
					t.Errorf("%s, %d days: passed with an error of %.4g, the champion has %.4g and the last value %.4g", w.name, d, is.MAE, was.MAE, is.MAEBaseline)
				}
				fmt.Fprintf(table, "%-30s %5d %10.4f %10.4f %10.4f  %-5v %-14s %s (%.0f s)\n", w.name, d, is.MAE, was.MAE, is.MAEBaseline, beats, out.Verdict.Outcome, out.Verdict.Reason, seconds)
				t.Logf("%d days: %s of %s: %.4f, champion %.4f, last value %.4f, %s", d, out.Challenger.Artifact.Manifest.Learner, out.Challenger.Artifact.Manifest.Params["window"], is.MAE, was.MAE, is.MAEBaseline, out.Verdict.Outcome)
			}
		})
	}
	fmt.Fprintf(table, "%d of %d retrained models beat the last value and the old champion on the month that followed; %d passed, %d of them wrongly\n", beaten, cases, passed, wrong)
	t.Logf("\n%s", table)
	if beaten*10 < cases*9 {
		t.Errorf("%d of %d retrained models beat the last value and the old champion, want nine of ten", beaten, cases)
	}
}
