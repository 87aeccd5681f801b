package drift

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"skerry.dev/test/realdata"
)

// TestConformance holds the detectors to the alarm positions that river 0.7.0 gives on the shared
// streams.
func TestConformance(t *testing.T) {
	raw, err := os.ReadFile(realdata.Path(t, "drift", "conformance_expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		DriftAt map[string]map[string][]int `json:"drift_at"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	_, rows := realdata.CSV(t, "drift", "conformance_streams.csv.gz")
	streams := map[string][]float64{}
	for _, r := range rows {
		x, err := strconv.ParseFloat(r[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		streams[r[0]] = append(streams[r[0]], x)
	}
	if len(streams) != 7 {
		t.Fatalf("%d streams, want 7", len(streams))
	}
	makers := map[string]func() Detector{}
	for name, spec := range map[string]struct {
		detector string
		settings map[string]string
	}{
		"ADWIN": {"adwin", map[string]string{"semantics": "river-0.7"}}, "DDM": {"ddm", map[string]string{"semantics": "river-0.7"}}, "EDDM": {"eddm", map[string]string{"semantics": "river-0.7"}},
		"HDDM_A": {"hddm-a", nil}, "HDDM_W": {"hddm-w", map[string]string{"semantics": "river-0.7"}}, "PageHinkley": {"page-hinkley", map[string]string{"semantics": "river-0.7"}},
		"PageHinkley_t10": {"page-hinkley", map[string]string{"semantics": "river-0.7", "threshold": "10"}},
	} {
		makers[name] = func() Detector {
			d, err := New(spec.detector, spec.settings)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	makers["NewADWIN"], makers["NewPageHinkley"] = func() Detector { return NewADWIN() }, func() Detector { return NewPageHinkley() }
	compared := 0
	for name, xs := range streams {
		for det, mk := range makers {
			want, ok := doc.DriftAt[name][strings.TrimPrefix(det, "New")]
			if !ok {
				continue // the detectors of errors have none on streams of other numbers
			}
			compared++
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
	if compared != 7*5+4*4 {
		t.Errorf("%d comparisons, want %d", compared, 7*5+4*4)
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
	// scipy.special.kolmogi(0.05) = 1.3581; the two-sample form with n = m = 100 is
	// 1.3581·sqrt(2/100).
	if got := criticalDistance(100, 100, 0.05); math.Abs(got-0.19206) > 1e-4 {
		t.Errorf("criticalDistance = %v, want 0.19206", got)
	}
}
