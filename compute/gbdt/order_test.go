package gbdt

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRowsInAnyOrder holds that the order of Train says nothing: not even when its first and last
// rows are as far apart as if it held all between.
func TestRowsInAnyOrder(t *testing.T) {
	x, y := table(rand.New(rand.NewPCG(21, 1)), 400, 3)
	d := Data{X: matrix(t, x, 3), Y: y}
	want, _ := train(t, d, Params{Rounds: 5}).Ensemble.AppendBinary(nil)
	rows := rand.New(rand.NewPCG(22, 1)).Perm(398)
	d.Train = []int32{0}
	for _, i := range rows {
		d.Train = append(d.Train, int32(i+1))
	}
	d.Train = append(d.Train, 399)
	given := slices.Clone(d.Train)
	if got, _ := train(t, d, Params{Rounds: 5}).Ensemble.AppendBinary(nil); !bytes.Equal(got, want) {
		t.Error("the model of shuffled rows differs from that of the same rows in order")
	}
	if !slices.Equal(d.Train, given) {
		t.Error("Train reordered its argument")
	}
}

// TestRowsOnlyOnce holds that a row that is listed twice, whose scores would be added to twice,
// is refused.
func TestRowsOnlyOnce(t *testing.T) {
	x, y := table(rand.New(rand.NewPCG(23, 1)), 100, 2)
	for name, d := range map[string]Data{
		"Train": {Train: []int32{1, 2, 3, 2}}, "Valid": {Train: []int32{1, 2}, Valid: []int32{4, 4}}, "both": {Train: []int32{1, 2}, Valid: []int32{2}}, "all and Valid": {Valid: []int32{7}},
	} {
		d.X, d.Y = matrix(t, x, 2), y
		if _, err := Train(context.Background(), d, Params{Rounds: 1}); err == nil {
			t.Errorf("Train with a row twice in %s gave no error", name)
		}
	}
}

// TestWeightsOfOtherRowsDoNotCount holds that weights of rows that are in neither Train nor Valid
// change nothing.
func TestWeightsOfOtherRowsDoNotCount(t *testing.T) {
	x, y := table(rand.New(rand.NewPCG(24, 1)), 300, 2)
	var want []byte
	for _, other := range []float64{1, math.NaN(), 1e9} {
		d := Data{X: matrix(t, x, 2), Y: y, Weight: make([]float64, 300)}
		for i := range d.Weight {
			if d.Weight[i] = other; i%3 > 0 {
				d.Weight[i] = float64(1 + i%5)
				d.Train = append(d.Train, int32(i))
			}
		}
		got, _ := train(t, d, Params{Rounds: 5}).Ensemble.AppendBinary(nil)
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("the model differs when rows that are not trained on weigh %v", other)
		}
	}
}
