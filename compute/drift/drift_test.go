package drift

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"skerry.dev/compute/state"
)

func dataDir(t *testing.T) string {
	dir := os.Getenv("SKERRY_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "drift")); err != nil {
		t.Skipf("no data at %s: set SKERRY_DATA to the shared data folder", dir)
	}
	return dir
}

// TestConformance holds the detectors to the alarm positions that river 0.7.0 gives on the shared streams.
func TestConformance(t *testing.T) {
	dir := dataDir(t)
	raw, err := os.ReadFile(filepath.Join(dir, "drift", "conformance_expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		DriftAt map[string]map[string][]int `json:"drift_at"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "drift", "conformance_streams.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(zr).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	streams := map[string][]float64{}
	for _, r := range rows[1:] {
		x, err := strconv.ParseFloat(r[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		streams[r[0]] = append(streams[r[0]], x)
	}
	if len(streams) != 7 {
		t.Fatalf("%d streams, want 7", len(streams))
	}
	makers := map[string]func() Detector{
		"ADWIN":           func() Detector { return NewADWIN() },
		"PageHinkley":     func() Detector { return NewPageHinkley() },
		"PageHinkley_t10": func() Detector { p := NewPageHinkley(); p.Threshold = 10; return p },
	}
	for name, xs := range streams {
		for det, mk := range makers {
			want, ok := doc.DriftAt[name][det]
			if !ok {
				t.Errorf("no expectation for %s on %s", det, name)
			}
			d := mk()
			got := []int{}
			for i, x := range xs {
				if d.Update(x) {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s on %s = %v, want %v", det, name, got, want)
			}
		}
	}
}

// TestSaveLoad holds that a detector resumes bit for bit.
func TestSaveLoad(t *testing.T) {
	for name, mk := range map[string]func() Detector{"adwin": func() Detector { return NewADWIN() }, "page-hinkley": func() Detector { return NewPageHinkley() }} {
		rng := rand.New(rand.NewPCG(1, 2))
		a := mk()
		for range 1500 {
			a.Update(rng.Float64())
		}
		var w state.Writer
		a.Save(&w)
		b := mk()
		r := state.Reader{B: w.B}
		b.Load(&r)
		if r.Err() != nil || len(r.B) != 0 {
			t.Fatalf("%s: load: %v, %d bytes left", name, r.Err(), len(r.B))
		}
		for i := range 3000 {
			x := rng.Float64()
			if i > 1000 {
				x += 0.5
			}
			if got, want := b.Update(x), a.Update(x); got != want {
				t.Fatalf("%s: step %d: %v, want %v", name, i, got, want)
			}
		}
		var wa, wb state.Writer
		a.Save(&wa)
		b.Save(&wb)
		if !bytes.Equal(wa.B, wb.B) {
			t.Errorf("%s: states differ after resume", name)
		}
		for cut := 0; cut < len(w.B); cut += 7 {
			mk().Load(&state.Reader{B: w.B[:cut]})
		}
	}
}

func TestKolmogorovSmirnov(t *testing.T) {
	ref := []float64{1, 2, 3, 4}
	if got := KolmogorovSmirnov(ref, []float64{4, 3, 2, 1}); got != 0 {
		t.Errorf("same sample: %v, want 0", got)
	}
	if got := KolmogorovSmirnov(ref, []float64{10, 11}); got != 1 {
		t.Errorf("disjoint: %v, want 1", got)
	}
	if got := KolmogorovSmirnov(ref, []float64{1, 2, 9, 9}); got != 0.5 {
		t.Errorf("half moved: %v, want 0.5", got)
	}
	// scipy.special.kolmogi(0.05) = 1.3581; the two-sample form with n = m = 100 is 1.3581·sqrt(2/100).
	if got := CriticalDistance(100, 100, 0.05); math.Abs(got-0.19206) > 1e-4 {
		t.Errorf("CriticalDistance = %v, want 0.19206", got)
	}
}
