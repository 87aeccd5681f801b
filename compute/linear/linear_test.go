package linear

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/ensemble"
)

func TestPredictInto(t *testing.T) {
	m, err := New(2, ensemble.Identity, []float64{1, -1}, []float64{2, 3, 0, 5})
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]float64, 2)
	if err := m.PredictInto(dst, []float64{10, 100}); err != nil || dst[0] != 321 || dst[1] != 499 {
		t.Errorf("PredictInto(10, 100) = %v, %v, want 321 499", dst, err)
	}
	if err := m.PredictInto(dst, []float64{math.NaN(), 0}); !errors.Is(err, ErrMissing) || !math.IsNaN(dst[1]) {
		t.Errorf("PredictInto(NaN, 0) = %v, %v, want NaN and ErrMissing", dst, err)
	}
	if err := m.PredictInto(dst, []float64{1}); !errors.Is(err, ErrShape) {
		t.Errorf("PredictInto(1) = %v, want ErrShape", err)
	}
}

func FuzzDecode(f *testing.F) {
	m, err := New(2, ensemble.Softmax, []float64{1, -1}, []float64{2, 3, 0, 5})
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
		if again, _ := m.AppendBinary(nil); !bytes.Equal(again, b) || len(b) != m.Size() {
			t.Fatal("decoded model encodes to other bytes")
		}
		if err := m.PredictInto(make([]float64, m.Outputs()), make([]float64, m.Inputs())); err != nil {
			t.Fatal(err)
		}
	})
}

// TestLinks holds every link against its definition, written out here.
func TestLinks(t *testing.T) {
	sigmoid := func(s float64) float64 { return 1 / (1 + math.Exp(-s)) }
	for name, tt := range map[string]struct {
		link ensemble.Link
		want func(a, b float64) (float64, float64)
	}{
		"identity": {ensemble.Identity, func(a, b float64) (float64, float64) { return a, b }},
		"logistic": {ensemble.Logistic, func(a, b float64) (float64, float64) { return sigmoid(a), sigmoid(b) }},
		"softmax": {ensemble.Softmax, func(a, b float64) (float64, float64) {
			return sigmoid(a - b), sigmoid(b - a) // of two classes
		}},
	} {
		m, err := New(1, tt.link, []float64{0.5, -1}, []float64{2, -3})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range []float64{0, 1, -1, 0.25, 30, -1000} {
			got := make([]float64, 2)
			if err := m.PredictInto(got, []float64{x}); err != nil {
				t.Fatal(err)
			}
			a, b := tt.want(0.5+2*x, -1-3*x)
			// exp is rounded once here and once there
			if math.Abs(got[0]-a) > 1e-12*math.Abs(a)+1e-300 || math.Abs(got[1]-b) > 1e-12*math.Abs(b)+1e-300 {
				t.Errorf("%s: PredictInto(%v) = %v, want %v %v", name, x, got, a, b)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	many := make([]float64, MaxOutputs+1)
	for name, tt := range map[string]struct {
		inputs        int
		link          ensemble.Link
		bias, weights []float64
		want          string
	}{
		"no inputs":          {0, ensemble.Identity, []float64{1}, nil, "0 inputs, 1 outputs"},
		"too many inputs":    {MaxInputs + 1, ensemble.Identity, []float64{1}, make([]float64, MaxInputs+1), "4097 inputs"},
		"no outputs":         {1, ensemble.Identity, nil, nil, "0 outputs"},
		"too many outputs":   {1, ensemble.Identity, many, many, "257 outputs"},
		"too few weights":    {2, ensemble.Identity, []float64{1}, []float64{1}, "1 weights"},
		"softmax of one":     {1, ensemble.Softmax, []float64{1}, []float64{1}, "with 1 outputs"},
		"an unknown link":    {1, ensemble.Softmax + 1, []float64{1, 2}, []float64{1, 2}, "link"},
		"a bias of NaN":      {1, ensemble.Identity, []float64{math.NaN()}, []float64{1}, "not finite"},
		"an infinite weight": {1, ensemble.Identity, []float64{1}, []float64{math.Inf(-1)}, "not finite"},
	} {
		if _, err := New(tt.inputs, tt.link, tt.bias, tt.weights); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: New = %v, want %q", name, err, tt.want)
		}
	}
}

// TestModelIsItsOwn: what New was given may change afterwards, and a row of weights cannot grow
// into the next.
func TestModelIsItsOwn(t *testing.T) {
	bias, weights := []float64{1, 2}, []float64{3, 4, 5, 6}
	m, err := New(2, ensemble.Identity, bias, weights)
	if err != nil {
		t.Fatal(err)
	}
	bias[0], weights[0] = 99, 99
	_ = append(m.Weights(0), 77)
	if m.Inputs() != 2 || m.Outputs() != 2 || m.Link() != ensemble.Identity || !slices.Equal(m.Bias(), []float64{1, 2}) ||
		!slices.Equal(m.Weights(0), []float64{3, 4}) || !slices.Equal(m.Weights(1), []float64{5, 6}) {
		t.Errorf("bias %v, weights %v and %v, want those that it was made of", m.Bias(), m.Weights(0), m.Weights(1))
	}
	dst, x := make([]float64, 2), []float64{1, 1}
	if n := testing.AllocsPerRun(100, func() {
		if err := m.PredictInto(dst, x); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("PredictInto allocates %v times, want 0", n)
	}
}

// TestDecodeRefuses damages a good encoding in one place each.
func TestDecodeRefuses(t *testing.T) {
	m, err := New(2, ensemble.Softmax, []float64{1, -1}, []float64{2, 3, 0, 5})
	if err != nil {
		t.Fatal(err)
	}
	good, err := m.AppendBinary([]byte("before"))
	if err != nil || string(good[:6]) != "before" || len(good) != 6+m.Size() {
		t.Fatalf("AppendBinary(%q) = %d bytes, %v; want them behind it, %d", "before", len(good), err, m.Size())
	}
	good = good[6:]
	set := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	nan := bytes.Clone(good)
	binary.LittleEndian.PutUint64(nan[headerSize:], math.Float64bits(math.NaN()))
	for name, b := range map[string][]byte{
		"empty":             nil,
		"half a header":     good[:6],
		"cut":               good[:len(good)-1],
		"longer":            append(bytes.Clone(good), 0),
		"another version":   set(0, 2),
		"an unknown link":   set(1, 99),
		"a reserved byte":   set(2, 1),
		"more inputs":       set(4, 3),
		"millions":          set(7, 0x7f),
		"fewer outputs":     set(8, 1),
		"millions of those": set(11, 0xff),
		"a NaN":             nan,
	} {
		if _, err := Decode(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Decode = %v, want ErrCorrupt", name, err)
		}
	}
}
