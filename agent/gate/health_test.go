package gate

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/state"
	"skerry.dev/sync/wire"
	"skerry.dev/test/realdata"
)

// judged offers the next reading of an hourly series.
func judged(h *health, v float64) wire.Flags {
	f := h.judge(v)
	h.add(h.readings*time.Hour.Microseconds(), v, f)
	return f
}

// TestHealthOnRealSensors watches eight stations as they are, and with faults put in: a value
// held for two days, and one reading far off. The first must hardly be flagged, the others must.
func TestHealthOnRealSensors(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(realdata.Path(t, "fleet"), "beijing_air_*.csv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal("no stations in the folder", err)
	}
	const held = 48
	rows, stuck, spikes := 0, 0, 0
	faults, foundSpike, foundStuck, waited := 0, 0, 0, 0
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "beijing_air_"), ".csv.gz")
		for _, values := range realdata.Station(t, name) {
			values = slices.DeleteFunc(values, math.IsNaN)
			var h, faulty health
			found := true // since the last value that was held
			for i, v := range values {
				f := judged(&h, v)
				rows++
				if f&wire.FlagStuck != 0 {
					stuck++
				}
				if f&wire.FlagSpike != 0 {
					spikes++
				}
				switch at := i % 3000; {
				case i > 3000 && at == 1000: // far beyond what there was
					faults++
					if judged(&faulty, v+10*farthest(values[:i])) == wire.FlagSpike {
						foundSpike++
					}
				case i > 3000 && at >= 2000 && at < 2000+held:
					if at == 2000 {
						found = false
					}
					if judged(&faulty, values[i-at+2000]+0.25)&wire.FlagStuck != 0 && !found {
						foundStuck++
						waited += at - 2000
						found = true
					}
				default:
					judged(&faulty, v)
				}
			}
		}
	}
	t.Logf("%d readings: %d taken for stuck, %d for spikes; %d of %d faults found as spikes, %d as stuck after %d rows on average", rows, stuck, spikes, foundSpike, faults, foundStuck, waited/max(foundStuck, 1))
	if stuck > rows/2000 || spikes > rows/10_000 {
		t.Errorf("%d and %d of %d readings are flagged: at most %d and %d", stuck, spikes, rows, rows/2000, rows/10_000)
	}
	// carbon monoxide in steps of 100 stands still for two days by itself
	if foundSpike < faults || foundStuck < faults*3/4 {
		t.Errorf("%d spikes and %d stuck of %d faults are found", foundSpike, foundStuck, faults)
	}
}

// farthest is the largest step between neighbours.
func farthest(v []float64) (far float64) {
	for i := 1; i < len(v); i++ {
		far = max(far, math.Abs(v[i]-v[i-1]))
	}
	return far
}

func TestHealthResumes(t *testing.T) {
	var a health
	for i := range 500 {
		judged(&a, math.Sin(float64(i)))
	}
	var w state.Writer
	a.save(&w)
	var b health
	r := &state.Reader{B: w.B}
	if b.load(r); r.Err() != nil || len(r.B) != 0 {
		t.Fatal(r.Err(), len(r.B))
	}
	for i := range 500 {
		v := math.Sin(float64(i / 20))
		if i == 250 {
			v = 100
		}
		if f, g := judged(&a, v), judged(&b, v); f != g {
			t.Fatalf("reading %d: %b as it went on, %b after a restart", i, f, g)
		}
	}
	if judged(&a, 1e9)&wire.FlagSpike == 0 {
		t.Error("1e9 is no spike")
	}
}
