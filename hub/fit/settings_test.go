package fit

import (
	"math"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	n, f, b, s := 1, 2.0, false, ""
	known := []setting{{"rounds", &n, "trees"}, {"rate", &f, "step"}, {"balanced", &b, "true or false"}, {"mode", &s, "any"}}
	if err := (Settings{"rounds": "7", "rate": "0.25", "balanced": "true", "mode": "x"}).apply("gbdt", known); err != nil || n != 7 || f != 0.25 || !b || s != "x" {
		t.Errorf("apply = %v with %d, %v, %v, %q", err, n, f, b, s)
	}
	err := (Settings{"round": "7", "rate": "fast", "balanced": "maybe"}).apply("gbdt", known)
	for _, want := range []string{`no setting "round": did you mean "rounds"?`, `rate="fast": must be a number`, `balanced="maybe": must be true or false`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("apply = %v, want %q in it", err, want)
		}
	}
}

// TestTrialAdd holds that a loss curve that ended early goes on as it ended, and that the best
// round is that of the mean over the folds.
func TestTrialAdd(t *testing.T) {
	tr := &trial{curve: make([]float64, 4)}
	tr.add([]float64{4, 1, 2, 3})
	if tr.round != 2 || tr.loss != 1 {
		t.Fatalf("one fold: round %d with loss %v, want 2 with 1", tr.round, tr.loss)
	}
	tr.add([]float64{5, 4, 1})
	if tr.round != 3 || tr.loss != 3 || math.IsNaN(tr.curve[3]) || tr.curve[3] != 4 {
		t.Errorf("two folds: round %d with loss %v, curve %v, want 3 with 3", tr.round, tr.loss, tr.curve)
	}
}

// TestHashFold holds the split of the data's README: a fifth of the rows, the same everywhere.
func TestHashFold(t *testing.T) {
	var count [Folds]int
	for i := range 10_000 {
		count[hashFold(i)]++
		if want := uint32(uint64(i)*2654435761%(1<<32)>>16) % 5; hashFold(i) != want || hashTest(i) != (want == 0) {
			t.Fatalf("row %d is in fold %d, want %d", i, hashFold(i), want)
		}
	}
	for k, n := range count {
		if n < 1800 || n > 2200 {
			t.Errorf("fold %d has %d of 10000 rows", k, n)
		}
	}
}
