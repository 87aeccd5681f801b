package linear

import (
	"bytes"
	"errors"
	"math"
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
