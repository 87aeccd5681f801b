package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLoadsTheSharedModel reads a model as it is written for all contestants, where a row goes
// left below the threshold: exactly at it, it goes right.
func TestLoadsTheSharedModel(t *testing.T) {
	var b []byte
	put := func(v ...int32) {
		for _, n := range v {
			b = binary.LittleEndian.AppendUint32(b, uint32(n))
		}
	}
	bits := func(f float32) int32 { return int32(math.Float32bits(f)) }
	put(1, 2, 3) // a tree, two features, three nodes: left, right, feature, threshold or value
	put(1, 2, 1, bits(0.5))
	put(-1, -1, 0, bits(-3))
	put(-1, -1, 0, bits(7))
	path := filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range map[float64]float64{0.4: -3, 0.5: 7, 0.6: 7} {
		got := []float64{0}
		if err := e.PredictInto(got, []float64{9, x}); err != nil || got[0] != want {
			t.Errorf("at %v: %v, want %v (%v)", x, got[0], want, err)
		}
	}
}

// TestMeasure counts the time of passes by row.
func TestMeasure(t *testing.T) {
	passes := 0
	median, least := measure(3, time.Millisecond, 10, func() { passes++ })
	if !(least > 0 && median >= least) || passes < 4 {
		t.Errorf("median %v, least %v, %d passes", median, least, passes)
	}
}
