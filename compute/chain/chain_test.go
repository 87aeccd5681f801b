package chain

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/linear"
)

// copier returns a linear model that hands its inputs on.
func copier(t testing.TB, n int) *linear.Model {
	t.Helper()
	w := make([]float64, n*n)
	for i := range n {
		w[i*n+i] = 1
	}
	m, err := linear.New(n, ensemble.Identity, make([]float64, n), w)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSteps(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		name          string
		before, after []Stage
		x, want       []float64
	}{
		{"l1", []Stage{{Op: NormL1, To: 2}}, nil, []float64{-1, 3, 8}, []float64{-0.25, 0.75, 8}},
		{"l2", []Stage{{Op: NormL2, From: 1, To: 3}}, nil, []float64{7, 3, -4}, []float64{7, 0.6, -0.8}},
		{"max", []Stage{{Op: NormMax, To: 3}}, nil, []float64{1, -4, 2}, []float64{0.25, -1, 0.5}},
		{"zero row", []Stage{{Op: NormL2, To: 3}}, nil, []float64{0, 0, 0}, []float64{0, 0, 0}},
		{"affine", []Stage{{Op: Affine, From: 1, To: 3, Values: []float64{1, 2, 0, -1}}}, nil, []float64{1, 5, 6}, []float64{1, 8, -6}},
		{"remap", []Stage{{Op: Remap, From: 2, To: 3, Values: []float64{4, 9}}}, nil, []float64{1, 5, 1}, []float64{1, 5, 9}},
		{"remap outside", []Stage{{Op: Remap, From: 2, To: 3, Values: []float64{4, 9}}}, nil, []float64{1, 5, 2}, []float64{1, 5, -1}},
		{"remap fraction", []Stage{{Op: Remap, From: 2, To: 3, Values: []float64{4, 9}}}, nil, []float64{1, 5, 0.5}, []float64{1, 5, -1}},
		{"exp", nil, []Stage{{Op: Exponential}}, []float64{0, 1, -1}, []float64{1, math.E, 1 / math.E}},
		{"logistic", nil, []Stage{{Op: Logistic}}, []float64{0, 800, -800}, []float64{0.5, 1, 0}},
		{"square", nil, []Stage{{Op: SignedSquare}}, []float64{2, -3, 0}, []float64{4, -9, 0}},
		{"softplus", nil, []Stage{{Op: Log1pExp}}, []float64{0, 1000, -1000}, []float64{math.Ln2, 1000, 0}},
		{"step", nil, []Stage{{Op: Step}}, []float64{0, 1e-9, -1}, []float64{0, 1, 0}},
		{"shares", nil, []Stage{{Op: NormSum}}, []float64{1, 1, 2}, []float64{0.25, 0.25, 0.5}},
		{"no shares", nil, []Stage{{Op: NormSum}}, []float64{0, 0, 0}, []float64{1. / 3, 1. / 3, 1. / 3}},
		{"scale", nil, []Stage{{Op: Scale, Values: []float64{1, 2, 0, 1, -1, 3}}}, []float64{1, 2, 3}, []float64{3, 2, 8}},
		{"softmax", nil, []Stage{{Op: Softmax}}, []float64{0, 0, 0}, []float64{1. / 3, 1. / 3, 1. / 3}},
	} {
		m, err := New(tt.before, copier(t, 3), tt.after)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		x, got := append([]float64(nil), tt.x...), make([]float64, 3)
		if err := m.PredictInto(got, x); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		for k := range got {
			if math.Abs(got[k]-tt.want[k]) > 1e-15*max(1, math.Abs(tt.want[k])) || x[k] != tt.x[k] {
				t.Errorf("%s of %v = %v, want %v; the row is now %v", tt.name, tt.x, got, tt.want, x)
				break
			}
		}
		b, err := m.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := Decode(b)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if again, _ := d.AppendBinary(nil); !bytes.Equal(again, b) {
			t.Errorf("%s: decoded encodes to other bytes", tt.name)
		}
	}
	trees, err := ensemble.New(1, ensemble.Identity, []float64{0}, false, []ensemble.Tree{{{Threshold: 0, MissingLeft: true, Left: 1, Right: 2}, {Value: -1}, {Value: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New([]Stage{{Op: ZeroMissing, To: 1}}, trees, nil)
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range map[float64]float64{1e-36: -1, ZeroThreshold: -1, math.Nextafter(ZeroThreshold, 1): 1, -5: -1} {
		var got [1]float64
		if err := m.PredictInto(got[:], []float64{x}); err != nil || got[0] != want {
			t.Errorf("zero as missing: %v gives %v (%v), want %v", x, got[0], err, want)
		}
	}
	var got [1]float64
	if err := m.PredictInto(got[:], []float64{nan}); err != nil || got[0] != -1 {
		t.Errorf("a missing value gives %v (%v), want -1", got[0], err)
	}
	if err := m.PredictInto(got[:], []float64{1, 2}); !errors.Is(err, ErrShape) {
		t.Errorf("a long row: %v", err)
	}
	one := []float64{1}
	if n := testing.AllocsPerRun(100, func() { _ = m.PredictInto(got[:], one) }); n > 0 && !race.Enabled { // its pool gives less back then
		t.Errorf("PredictInto allocates %v times", n)
	}
}

func TestRefusals(t *testing.T) {
	inner := copier(t, 2)
	for want, s := range map[string][2][]Stage{
		"columns 0 to 3":       {{{Op: NormL1, To: 3}}, nil},
		"columns 1 to 1":       {{{Op: NormL1, From: 1, To: 1}}, nil},
		"unknown operation 64": {{{Op: Exponential, To: 1}}, nil},
		"unknown operation 1":  {nil, {{Op: ZeroMissing}}},
		"1 values, want 4":     {{{Op: Affine, To: 2, Values: []float64{1}}}, nil},
		"table of 0":           {{{Op: Remap, To: 1}}, nil},
		"not finite":           {nil, {{Op: Scale, Values: []float64{1, 1, 1, math.NaN()}}}},
		"17 steps":             {make([]Stage, 17), nil},
	} {
		if _, err := New(s[0], inner, s[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New with %v: %v, want %q", s, err, want)
		}
	}
	if _, err := New(nil, nil, nil); err == nil {
		t.Error("no model is accepted")
	}
	m, err := New([]Stage{{Op: NormL1, To: 2}, {Op: Affine, To: 2, Values: []float64{1, 2, 3, 4}}}, inner, []Stage{{Op: Step}})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := m.AppendBinary(nil)
	for n := range b {
		if _, err := Decode(b[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes decode: %v", n, len(b), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	m, err := New([]Stage{{Op: NormL1, To: 2}, {Op: Remap, To: 1, Values: []float64{1, 0}}}, copier(f, 2), []Stage{{Op: NormSum}})
	if err != nil {
		f.Fatal(err)
	}
	b, _ := m.AppendBinary(nil)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := m.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x decodes and encodes to %x (%v)", b, again, err)
		}
		_ = m.PredictInto(make([]float64, m.Outputs()), make([]float64, m.Inputs()))
	})
}
