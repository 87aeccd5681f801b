package drift

import (
	"compress/gzip"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"skerry.dev/compute/internal/race"
)

// recipe makes a stream again; testdata/positions.py says how.
type recipe struct {
	Kind   string
	Seed   uint64
	Parts  [][]float64
	Digits string
}

func (r *recipe) values() []float64 {
	var out []float64
	for _, c := range r.Digits {
		out = append(out, float64(c-'0'))
	}
	rng := rand.New(rand.NewPCG(r.Seed, 0))
	for _, part := range r.Parts {
		for range int(part[0]) {
			switch r.Kind {
			case "bernoulli":
				if rng.Float64() < part[1] {
					out = append(out, 1)
				} else {
					out = append(out, 0)
				}
			case "gaussian":
				z := -6.0
				for range 12 {
					z += rng.Float64()
				}
				out = append(out, part[1]+float64(part[2]*z))
			}
		}
	}
	return out
}

// recorded holds the positions at which river and MOA alarm and warn.
type recorded struct {
	River, MOA string
	Streams    map[string]*recipe
	Runs       []struct {
		Of, Detector, Stream string
		Settings             map[string]string
		Drifts               []int
		Warnings             []int // start, length, start, length
	}
}

func readRecorded(t *testing.T) *recorded {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "positions.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var rec recorded
	if err := json.NewDecoder(zr).Decode(&rec); err != nil {
		t.Fatal(err)
	}
	return &rec
}

// TestPositions holds every detector to the alarms and warnings of its reference, river 0.26.1 or
// MOA 2024.07.0.
func TestPositions(t *testing.T) {
	rec := readRecorded(t)
	streams := map[string][]float64{}
	for name, r := range rec.Streams {
		streams[name] = r.values()
	}
	runs, alarms := map[string]int{}, map[string]int{}
	for i, run := range rec.Runs {
		if race.Enabled && i%10 != 0 {
			continue
		}
		d, err := New(run.Detector, run.Settings)
		if err != nil {
			t.Fatal(err)
		}
		drifts, warnings := []int{}, []int{}
		warner, warns := d.(Warner)
		for i, x := range streams[run.Stream] {
			if d.Update(x) {
				drifts = append(drifts, i)
			}
			if !warns || !warner.Warning() {
				continue
			}
			if n := len(warnings); n > 0 && warnings[n-2]+warnings[n-1] == i {
				warnings[n-1]++
			} else {
				warnings = append(warnings, i, 1)
			}
		}
		runs[run.Detector]++
		alarms[run.Detector] += len(drifts)
		if !slices.Equal(drifts, run.Drifts) {
			t.Errorf("%s %v on %s: drifts = %v, %s has %v", run.Detector, run.Settings, run.Stream, drifts, run.Of, run.Drifts)
		}
		if !slices.Equal(warnings, run.Warnings) {
			t.Errorf("%s %v on %s: warnings = %v, %s has %v", run.Detector, run.Settings, run.Stream, warnings, run.Of, run.Warnings)
		}
	}
	for _, name := range Names() {
		if name == "ks" || race.Enabled {
			continue // no other library has it, or most runs were left out
		}
		t.Logf("%s: %d runs, %d alarms", name, runs[name], alarms[name])
		if alarms[name] < 50 {
			t.Errorf("%s: only %d alarms to compare in %d runs", name, alarms[name], runs[name])
		}
	}
}
