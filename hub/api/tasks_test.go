package api

import (
	"math"
	"testing"

	"skerry.dev/hub/meta"
)

// TestQuality sums up matured predictions; those with a part that is no number do not count.
func TestQuality(t *testing.T) {
	nan := meta.Float(0)
	nan = nan / nan
	got := quality([]meta.LabelPoint{
		{Truth: 10, Predicted: 11, Persistence: 14, Lower: 9, Upper: 12},
		{Truth: 10, Predicted: 7, Persistence: 12, Lower: 6, Upper: 8},
		{Truth: nan, Predicted: 7, Persistence: 12},
		{Truth: 10, Predicted: nan, Persistence: 12},
		{Truth: 10, Predicted: 7, Persistence: nan},
	})
	if want := (RecentQuality{Labels: 2, MAE: 2, MAEPersistence: 3, Coverage: 0.5}); got != want {
		t.Errorf("quality = %+v, want %+v", got, want)
	}
	if none := quality(nil); none.Labels != 0 || !math.IsNaN(float64(none.MAE)) {
		t.Errorf("quality of nothing = %+v, want no number", none)
	}
}

// TestClassQuality sums up predictions of two classes, whose numbers are probabilities of the
// second, and of more, whose numbers are those of classes.
func TestClassQuality(t *testing.T) {
	nan := meta.Float(math.NaN())
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	two := classQuality([]meta.LabelPoint{
		{Truth: 1, Predicted: 0.8, Persistence: 0.25, Lower: 0.3, Upper: 1},   // right, one class
		{Truth: 0, Predicted: 0.6, Persistence: 0.25, Lower: 0, Upper: 1},     // wrong, both
		{Truth: 1, Predicted: 0.4, Persistence: 0.25, Lower: nan, Upper: nan}, // wrong, nothing known: both
		{Truth: 1, Predicted: 0.1, Persistence: 0.25, Lower: 0, Upper: 0.7},   // wrong and not in the set
		{Truth: nan, Predicted: 0.5, Persistence: 0.5},
		{Truth: 1, Predicted: nan, Persistence: 0.5},
	})
	if c := two.Classes; two.Labels != 4 || two.MAE != 0.75 || two.MAEPersistence != 0.75 || two.Coverage != 0.75 || c.SetSize != 1.5 ||
		!near(c.LogLoss, -(math.Log(0.8)+math.Log(0.4)+math.Log(0.4)+math.Log(0.1))/4) || !near(c.LogLossBaseline, -(3*math.Log(0.25)+math.Log(0.75))/4) {
		t.Errorf("two classes: %+v %+v", two, two.Classes)
	}
	many := classQuality([]meta.LabelPoint{
		{Classes: 5, Truth: 4, Predicted: 4, Persistence: 3, Lower: nan, Upper: nan, Chance: 0.5, BaselineChance: 0.25, SetSize: 2, Covered: true},
		{Classes: 5, Truth: 0, Predicted: 4, Persistence: 0, Lower: nan, Upper: nan, Chance: 0, BaselineChance: 0.5, SetSize: 1},
		{Classes: 5, Truth: 1, Predicted: nan, Persistence: nan, Chance: nan, BaselineChance: nan},
	})
	if c := many.Classes; many.Labels != 2 || many.MAE != 0.5 || many.MAEPersistence != 0.5 || many.Coverage != 0.5 || c.SetSize != 1.5 ||
		!near(c.LogLoss, (math.Log(2)+math.Log(1e4))/2) || !near(c.LogLossBaseline, (math.Log(4)+math.Log(2))/2) {
		t.Errorf("many classes: %+v %+v", many, many.Classes)
	}
	if none := classQuality(nil); none.Labels != 0 || none.Classes != nil || !math.IsNaN(float64(none.MAE)) {
		t.Errorf("quality of nothing = %+v, want no number", none)
	}
}
