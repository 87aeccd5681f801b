package feature

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

const minute = hour / 60

// peers are the results of other libraries, made by testdata/peers.py.
type peers struct {
	Minutes   []int64               `json:"minutes"`
	X         []*float64            `json:"x"`
	Columns   map[string][]*float64 `json:"columns"`
	Hourly    []float64             `json:"hourly"`
	Spectra   map[string]spectra    `json:"spectra"`
	Data      []float64             `json:"data"`
	Quantiles []float64             `json:"quantiles"`
	Probe     []float64             `json:"probe"`
	Placed    []float64             `json:"placed"`
}

type spectra struct {
	Low      float64 `json:"low"`
	High     float64 `json:"high"`
	Power    float64 `json:"band_power"`
	Dominant float64 `json:"dominant"`
}

func readPeers(t *testing.T) *peers {
	t.Helper()
	b, err := os.ReadFile("testdata/peers.json")
	if err != nil {
		t.Fatal(err)
	}
	p := new(peers)
	if err := json.Unmarshal(b, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func number(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}

// near reports whether two results agree to 1e-9 of their size, which is more than orders of
// summation differ by, or are both missing.
func near(got, want float64) bool {
	return math.Abs(got-want) <= 1e-9*max(1, math.Abs(want)) || math.IsNaN(got) && math.IsNaN(want)
}

// TestPandas holds windows over irregular rows to pandas and NumPy.
func TestPandas(t *testing.T) {
	peers := readPeers(t)
	columns := []Column{
		{Name: "median", Op: OpMedian, Window: 6 * hour}, {Name: "q30", Op: OpQuantile, Window: 6 * hour, Level: 0.3}, {Name: "range", Op: OpRange, Window: 6 * hour}, {Name: "count", Op: OpCount, Window: 6 * hour},
		{Name: "energy", Op: OpEnergy, Window: 6 * hour}, {Name: "slope", Op: OpSlope, Window: 6 * hour}, {Name: "crossings", Op: OpCrossings, Window: 6 * hour}, {Name: "spike", Op: OpSpike, Window: 6 * hour, Limit: 1.5},
		{Name: "rows_median", Op: OpMedian, Rows: 5}, {Name: "last", Op: OpLast}, {Name: "diff2", Op: OpDiff2, Rows: 2}, {Name: "lag", Op: OpLag, Rows: 3}, {Name: "ew_mean", Op: OpEWMean, HalfLife: 4 * hour},
		{Name: "ew_std", Op: OpEWStd, HalfLife: 4 * hour}, {Name: "since", Op: OpSince},
	}
	if len(columns) != len(peers.Columns) {
		t.Fatalf("%d columns, the peers have %d", len(columns), len(peers.Columns))
	}
	p := &Pipeline{Inputs: []Input{{Name: "x"}}, Columns: columns, Rows: len(peers.X)}
	e, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHistory(1, p.Rows)
	got := make([]float64, p.Width())
	for k := range peers.X {
		h.Push(peers.Minutes[k]*minute, []float64{number(peers.X[k])})
		if err := e.Into(got, h); err != nil {
			t.Fatal(err)
		}
		for i, c := range columns {
			if want := number(peers.Columns[c.Name][k]); !near(got[i], want) {
				t.Errorf("%s at row %d = %v, want %v", c.Name, k, got[i], want)
			}
		}
	}
}

// TestSciPy holds spectra to scipy.signal.periodogram.
func TestSciPy(t *testing.T) {
	peers := readPeers(t)
	for name, points := range map[string]int{"32": 32, "20": 20} {
		want := peers.Spectra[name]
		p := &Pipeline{Inputs: []Input{{Name: "x"}}, Rows: 32, Distance: hour, Columns: []Column{
			{Op: OpBandPower, Rows: points, Low: want.Low, High: want.High}, {Op: OpDominant, Rows: points},
			{Op: OpBandPower, Window: int64(points) * hour, Low: want.Low, High: want.High}, {Op: OpDominant, Window: int64(points) * hour}}}
		h := NewHistory(1, 32)
		for k, v := range peers.Hourly {
			h.Push(int64(k)*hour, []float64{v})
		}
		got := evaluate(t, p, h)
		for i, w := range []float64{want.Power, want.Dominant, want.Power, want.Dominant} {
			if !near(got[i], w) || w == 0 {
				t.Errorf("%s points, column %d = %v, want %v", name, i, got[i], w)
			}
		}
	}
}

// TestQuantileTransformer holds places to scikit-learn's, which has ties at 0, in the middle, here.
func TestQuantileTransformer(t *testing.T) {
	peers := readPeers(t)
	for k, v := range peers.Probe {
		if got := placeIn(peers.Quantiles, v); !near(got, peers.Placed[k]) {
			t.Errorf("place of %v = %v, want %v", v, got, peers.Placed[k])
		}
	}
}

func evaluate(t *testing.T, p *Pipeline, h *History) []float64 {
	t.Helper()
	e, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float64, p.Width())
	if err := e.Into(got, h); err != nil {
		t.Fatal(err)
	}
	return got
}
