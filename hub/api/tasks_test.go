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
