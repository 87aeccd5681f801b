package drift

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/state"
)

// TestRegistry holds that every setting of every detector can be read back, that its default is
// allowed and that what is not allowed is refused by a message that says what is.
func TestRegistry(t *testing.T) {
	if names := Names(); len(names) != 14 || !slices.IsSorted(names) {
		t.Errorf("Names() = %v", names)
	}
	for _, name := range Names() {
		all, err := Settings(name)
		if err != nil || len(all) == 0 || Summary(name) == "" {
			t.Fatalf("%s: %d settings, summary %q, %v", name, len(all), Summary(name), err)
		}
		again := map[string]string{}
		for _, s := range all {
			again[s.Name] = s.Value
			if s.Help == "" || s.Allowed == "" {
				t.Errorf("%s: %+v lacks a word", name, s)
			}
			for _, bad := range []string{"", "x", "-3", "NaN", "1e308"} {
				_, err := New(name, map[string]string{s.Name: bad})
				if err == nil || !strings.Contains(err.Error(), s.Name) || !strings.Contains(err.Error(), s.Allowed) || !strings.Contains(err.Error(), `"`+bad+`"`) {
					t.Errorf("%s with %s %q: error %v, want one that says what is allowed", name, s.Name, bad, err)
				}
			}
		}
		d, err := New(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), again)
		if err != nil {
			t.Fatalf("%s with its defaults: %v", name, err)
		}
		if got := Current(d); !slices.Equal(got, all) {
			t.Errorf("%s: settings %v after %v", name, got, all)
		}
		if _, err := New(name, map[string]string{"treshold": "1"}); err == nil || !strings.Contains(err.Error(), `"treshold"`) || !strings.Contains(err.Error(), all[0].Name) {
			t.Errorf("%s with an unknown setting: %v", name, err)
		}
	}
	for _, c := range []struct {
		name     string
		settings map[string]string
		words    string
	}{
		{"nosuch", nil, "there are adwin, cusum"},
		{"kswin", map[string]string{"recent": "60"}, "at most half of the window of 100"},
		{"ddm", map[string]string{"warning_level": "4"}, "at most drift_level, which is 3"},
		{"fhddm", map[string]string{"short": "200"}, "at most the window of 100"},
		{"hddm-w", map[string]string{"drift_confidence": "0.1"}, "at most warning_confidence"},
		{"page-hinkley", map[string]string{"mode": "down", "semantics": "river-0.7"}, "rises only"},
		{"ewma", map[string]string{"run_length": "200"}, "100 or 400"},
	} {
		if d, err := New(c.name, c.settings); err == nil || !strings.Contains(err.Error(), c.words) || d != nil {
			t.Errorf("New(%s, %v) = %v, %v, want an error with %q", c.name, c.settings, d, err, c.words)
		}
	}
	if _, err := New("adwin", map[string]string{"clock": "0", "delta": "7"}); err == nil || !strings.Contains(err.Error(), "clock") || !strings.Contains(err.Error(), "delta") {
		t.Errorf("two wrong settings: %v, want both named", err)
	}
	if Current(nil) != nil || Summary("nosuch") != "" {
		t.Error("a detector that is none has settings")
	}
	if _, err := Settings("nosuch"); err == nil {
		t.Error("an unknown detector has settings")
	}
}

// TestFirst holds that taking many values at once is the same as one by one.
func TestFirst(t *testing.T) {
	for _, settings := range []map[string]string{{"threshold": "5"}, {"threshold": "5", "mode": "up"}, {"threshold": "5", "mode": "down"}, {"threshold": "5", "semantics": "river-0.7"}} {
		rng := rand.New(rand.NewPCG(3, 0))
		xs := make([]float64, 20000)
		for i := range xs {
			xs[i] = rng.Float64() + float64(i/3000%2)/2
			if i%1000 == 7 {
				xs[i] = 1e300
			}
		}
		d, err := New("page-hinkley", settings)
		if err != nil {
			t.Fatal(err)
		}
		one := d.(*PageHinkley)
		many := *one
		var want, got []int
		for i, x := range xs {
			if one.Update(x) {
				want = append(want, i)
			}
		}
		for i := 0; i < len(xs); i++ {
			end := min(len(xs), i+1+rng.IntN(700))
			n := many.First(xs[i:end])
			if i += n; i < end {
				got = append(got, i)
			} else {
				i = end - 1
			}
		}
		var a, b state.Writer
		one.Save(&a)
		many.Save(&b)
		if len(want) < 5 || !slices.Equal(got, want) || !bytes.Equal(a.B, b.B) {
			t.Errorf("%v: First finds %v, Update %v", settings, got, want)
		}
	}
}
