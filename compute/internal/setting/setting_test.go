package setting

import (
	"math"
	"slices"
	"strings"
	"testing"
)

func TestApply(t *testing.T) {
	type mode int
	var (
		n    int64
		rate = 0.5
		free float64
		m    mode
		on   bool
		seed uint64
		text string
	)
	all := []Setting{
		Whole("rows", &n, 1, 9, "rows"), Number("rate", &rate, 0, 1, "rate"), Number("free", &free, math.Inf(-1), math.Inf(1), "free"), Choice("mode", &m, []string{"up", "down", "both"}, "mode"), Flag("two_sided", &on, "flag"),
		Seed(&seed, "seed"), Text("period", &text, "a time", "text"),
	}
	err := Apply("it", all, map[string]string{"Rows": " 7 ", "rate": "0.25", "free": "-1e300", "mode": "Both", "two-sided": "true", "SEED": "18446744073709551615", "period": "2h"})
	if err != nil || n != 7 || rate != 0.25 || free != -1e300 || m != 2 || !on || seed != math.MaxUint64 || text != "2h" {
		t.Fatalf("Apply: %v, and set are %v %v %v %v %v %v %q", err, n, rate, free, m, on, seed, text)
	}
	before := Describe(all)
	for _, c := range []struct{ name, value, want string }{
		{"rows", "0", `it: rows "0": must be a whole number from 1 to 9`}, {"rows", "10", "from 1 to 9"}, {"rows", "99999999999999999999", "from 1 to 9"}, {"rows", "1.5", "from 1 to 9"},
		{"rate", "0", `it: rate "0": must be a number above 0 and below 1`}, {"rate", "1", "below 1"}, {"rate", "NaN", "below 1"}, {"rate", "", "below 1"}, {"free", "NaN", `must be a number`}, {"free", "-Inf", "must be a number"}, {"free", "1e309", "must be a number"},
		{"mode", "left", `it: mode "left": must be up, down or both`}, {"two_sided", "maybe", "must be true or false"}, {"seed", "-1", "a whole number from 0"},
		{"row", "1", `it has no setting "row": there are rows (a whole number from 1 to 9, default 7); rate (`},
	} {
		if err := Apply("it", all, map[string]string{c.name: c.value}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %q: %v, want %q", c.name, c.value, err, c.want)
		}
	}
	if after := Describe(all); !slices.Equal(after, before) {
		t.Errorf("what was refused changed %v to %v", before, after)
	}
	if err := Apply("it", all, map[string]string{"rows": "0", "rate": "7"}); err == nil || !strings.Contains(err.Error(), "rows") || !strings.Contains(err.Error(), "rate") {
		t.Errorf("two wrong settings: %v, want both named", err)
	}
}
