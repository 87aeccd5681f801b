package anomaly

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/state"
)

// tested are scorers with settings that bring a few thousand rows into the steady state.
var tested = map[string]struct {
	name     string
	settings map[string]string
	columns  int
	timed    bool
}{
	"seasonal":             {"seasonal", map[string]string{"history": "500", "period": "2h"}, 1, true},
	"seasonal of three":    {"seasonal", map[string]string{"history": "300", "hold": "10"}, 3, true},
	"seasonal by rows":     {"seasonal", map[string]string{"history": "300", "period": "48"}, 1, false},
	"seasonal without":     {"seasonal", map[string]string{"history": "300", "likelihood": "500"}, 1, false},
	"cuts of the newest":   {"random-cut-forest", map[string]string{"trees": "4", "sample": "32", "memory": "32"}, 2, false},
	"pca":                  {"pca", map[string]string{"train": "300"}, 4, true},
	"pca refreshed":        {"pca", map[string]string{"train": "200", "refresh": "150", "smooth": "1"}, 4, true},
	"isolation":            {"isolation-forest", map[string]string{"trees": "20", "window": "300", "refresh": "100", "sample": "64"}, 4, false},
	"isolation trained":    {"isolation-forest", map[string]string{"trees": "20", "window": "200", "train": "400"}, 4, false},
	"half-space":           {"half-space-trees", map[string]string{"depth": "6", "window": "100"}, 4, false},
	"half-space runs":      {"half-space-trees", map[string]string{"depth": "6", "window": "100", "likelihood": "300"}, 4, false},
	"half-space trained":   {"half-space-trees", map[string]string{"depth": "6", "train": "150", "hold": "20"}, 4, false},
	"cuts":                 {"random-cut-forest", map[string]string{"trees": "8", "sample": "64"}, 4, false},
	"cuts trained":         {"random-cut-forest", map[string]string{"trees": "8", "sample": "64", "train": "200"}, 3, false},
	"cuts of a few points": {"random-cut-forest", map[string]string{"trees": "4", "sample": "32", "shingle": "4"}, 1, true},
}

const minute = int64(60_000_000)

// stream draws rows that move together with the time of day; one value in thirty is missing.
func stream(n, columns int, seed uint64) [][]float64 {
	rng := rand.New(rand.NewPCG(seed, 1))
	rows := make([][]float64, n)
	for i := range rows {
		common := math.Sin(float64(i)/20) + 0.2*rng.NormFloat64()
		rows[i] = make([]float64, columns)
		for j := range rows[i] {
			rows[i][j] = 10*float64(j) + float64(1+j)*common + 0.1*rng.NormFloat64()
			if j%2 == 1 {
				rows[i][j] = math.Round(rows[i][j]) // columns with few values have ties
			}
			if rng.IntN(30) == 0 {
				rows[i][j] = math.NaN()
			}
		}
	}
	return rows
}

// fewer is n, or a quarter of it under the race detector.
func fewer(n int) int {
	if race.Enabled {
		return n / 4
	}
	return n
}

// each runs a check on every scorer; made returns a new one.
func each(t *testing.T, check func(t *testing.T, columns int, made func() Scorer)) {
	for name, c := range tested {
		t.Run(name, func(t *testing.T) {
			check(t, c.columns, func() Scorer {
				s, err := New(c.name, c.settings, Schema{Columns: make([]string, c.columns), Timed: c.timed})
				if err != nil {
					t.Fatal(err)
				}
				return s
			})
		})
	}
}

func saved(s Scorer) []byte {
	var w state.Writer
	s.Save(&w)
	return w.B
}

func TestEveryNameIsTested(t *testing.T) {
	for _, k := range kinds {
		found := false
		for _, c := range tested {
			found = found || c.name == k.name
		}
		if !found {
			t.Errorf("%s has no row in the suite", k.name)
		}
	}
}

func TestSameRowsSameBits(t *testing.T) {
	each(t, func(t *testing.T, columns int, made func() Scorer) {
		a, b := made(), made()
		some := false
		for i, x := range stream(2500, columns, 1) {
			before := slices.Clone(x)
			p, q := a.Update(x, int64(i)*minute), b.Update(x, int64(i)*minute)
			if math.Float64bits(p) != math.Float64bits(q) || !(p >= 0 && p <= 1) {
				t.Fatalf("row %d: scores %v and %v", i, p, q)
			}
			for j := range x {
				if math.Float64bits(x[j]) != math.Float64bits(before[j]) {
					t.Fatalf("row %d was %v and is %v", i, before, x)
				}
			}
			some = some || p > 0
		}
		if !some || !bytes.Equal(saved(a), saved(b)) {
			t.Errorf("a score above 0: %v; states equal: %v", some, bytes.Equal(saved(a), saved(b)))
		}
	})
}

func TestSaveAndResume(t *testing.T) {
	each(t, func(t *testing.T, columns int, made func() Scorer) {
		rng := rand.New(rand.NewPCG(2, 2))
		a, b := made(), made()
		for i, x := range stream(2500, columns, 3) {
			if i < 3 || rng.IntN(150) == 0 {
				s := saved(b)
				b = made()
				r := &state.Reader{B: s}
				if b.Load(r); r.Err() != nil || len(r.B) != 0 {
					t.Fatalf("row %d: load leaves %d bytes, %v", i, len(r.B), r.Err())
				}
				if !bytes.Equal(saved(b), s) {
					t.Fatalf("row %d: what was loaded saves otherwise", i)
				}
			}
			if p, q := a.Update(x, int64(i)*minute), b.Update(x, int64(i)*minute); math.Float64bits(p) != math.Float64bits(q) {
				t.Fatalf("row %d: %v without and %v with restarts", i, p, q)
			}
		}
		if !bytes.Equal(saved(a), saved(b)) {
			t.Error("the states differ")
		}
	})
}

// TestFewRows: forests that are grown from the fewest rows that settings allow give scores that
// are scores.
func TestFewRows(t *testing.T) {
	for _, settings := range []map[string]string{{"train": "2"}, {"refresh": "1", "trees": "10"}, {"refresh": "1", "sample": "8", "trees": "10"}} {
		s, err := New("isolation-forest", settings, Schema{Columns: []string{"a", "b"}})
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range stream(60, 2, 12) {
			if p := s.Update(x, int64(i)); !(p >= 0 && p <= 1) {
				t.Fatalf("%v: score %v of row %d", settings, p, i)
			}
			again, _ := New("isolation-forest", settings, Schema{Columns: []string{"a", "b"}})
			r := &state.Reader{B: saved(s)}
			if again.Load(r); r.Err() != nil {
				t.Fatalf("%v: the state after row %d does not load", settings, i)
			}
		}
	}
}

// TestChangeThatStays: a switch that is turned on, another level and another constant are alarms
// when they come, and the usual state some hundred rows later; the way back is another change. A
// detector that is told to keep what it learned goes on. What learns as it goes needs no telling.
func TestChangeThatStays(t *testing.T) {
	const change, back, end = 2000, 4000, 6000
	rng := rand.New(rand.NewPCG(8, 1))
	for name, value := range map[string]func(on float64) float64{
		"switch":   func(on float64) float64 { return on },
		"level":    func(on float64) float64 { return 20 + 8*on + rng.NormFloat64() },
		"constant": func(on float64) float64 { return 5 + on },
	} {
		for accept, most := range map[string]int{"400": 410, "100": 110, "0": back - change} {
			s, err := New("pca", map[string]string{"accept": accept}, Schema{Columns: []string{"a", "b"}, Timed: true})
			if err != nil {
				t.Fatal(err)
			}
			alarms := [3]int{}
			for i := range end {
				on := 0.0
				if i >= change && i < back {
					on = 1
				}
				if s.Update([]float64{10 + rng.NormFloat64(), value(on)}, int64(i)) >= s.Limit() {
					switch {
					case i < change:
						alarms[0]++
					case i < back:
						alarms[1]++
					default:
						alarms[2]++
					}
				}
			}
			if alarms[0] > 20 || alarms[1] < most-most/5 || alarms[1] > most+20 || accept != "0" && (alarms[2] < most-most/5 || alarms[2] > most+20) {
				t.Errorf("%s, accept=%s: %d alarms before the change, after it and after the way back, want some %d for each change", name, accept, alarms, most)
			}
		}
	}
}

func TestDamagedStates(t *testing.T) {
	each(t, func(t *testing.T, columns int, made func() Scorer) {
		a := made()
		rows := stream(700, columns, 4)
		for i, x := range rows {
			a.Update(x, int64(i)*minute)
		}
		s := saved(a)
		rng := rand.New(rand.NewPCG(5, 5))
		for k := range fewer(120) {
			bad := slices.Clone(s)
			if k%3 == 0 {
				bad = bad[:rng.IntN(len(bad))]
			} else {
				for range 1 + rng.IntN(4) {
					bad[rng.IntN(len(bad))] = []byte{0, 1, 0x7f, 0xf0, 0xff, byte(rng.Uint32())}[rng.IntN(6)]
				}
			}
			b := made()
			r := &state.Reader{B: bad}
			b.Load(r)
			if k%3 == 0 && r.Err() == nil {
				t.Fatalf("a state cut to %d of %d bytes is accepted", len(bad), len(s))
			}
			for i, x := range rows { // whether it was taken or refused, what is there works
				if p := b.Update(x, int64(700+i)*minute); !(p >= 0 && p <= 1) {
					t.Fatalf("damage %d: score %v", k, p)
				}
				if i > 300 {
					break
				}
			}
		}
	})
}

// TestExtremeStates puts numbers that break sums and counters in the place of numbers of a
// snapshot: what is taken all the same goes on with scores that are scores, and saves a state
// that is taken again.
func TestExtremeStates(t *testing.T) {
	each(t, func(t *testing.T, columns int, made func() Scorer) {
		a := made()
		rows := stream(800, columns, 4)
		for i, x := range rows[:700] {
			a.Update(x, int64(i)*minute)
		}
		s := saved(a)
		words := len(s) / 8
		// all near the ends, fewer between
		for at := 0; at < words; at += 1 + max(0, min(at, words-at)-fewer(12)) {
			for _, v := range []uint64{1<<63 - 1, 1 << 63, math.Float64bits(math.MaxFloat64), math.Float64bits(-1e300)} {
				bad := slices.Clone(s)
				binary.LittleEndian.PutUint64(bad[8*at:], v)
				b := made()
				r := &state.Reader{B: bad}
				if b.Load(r); r.Err() != nil {
					continue
				}
				for i, x := range rows[700:] {
					if p := b.Update(x, int64(700+i)*minute); !(p >= 0 && p <= 1) {
						t.Fatalf("number %d as %#x: score %v of row %d", at, v, p, i)
					}
				}
				r = &state.Reader{B: saved(b)}
				if made().Load(r); r.Err() != nil {
					t.Fatalf("number %d as %#x is taken, but what it becomes is not", at, v)
				}
			}
		}
	})
}

// FuzzLoad: no bytes make Load panic, and a state that is taken saves to bytes that are taken
// again and mean the same.
func FuzzLoad(f *testing.F) {
	names := slices.Sorted(maps.Keys(tested))
	made := func(t testing.TB, which uint8) (Scorer, [][]float64) {
		c := tested[names[int(which)%len(names)]]
		s, err := New(c.name, c.settings, Schema{Columns: make([]string, c.columns), Timed: c.timed})
		if err != nil {
			t.Fatal(err)
		}
		return s, stream(450, c.columns, 1)
	}
	for k := range names {
		s, rows := made(f, uint8(k))
		for i, x := range rows {
			s.Update(x, int64(i)*minute)
		}
		f.Add(uint8(k), saved(s))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		s, rows := made(t, which)
		r := &state.Reader{B: b}
		if s.Load(r); r.Err() != nil {
			return
		}
		again, _ := made(t, which)
		r = &state.Reader{B: saved(s)}
		if again.Load(r); r.Err() != nil || !bytes.Equal(saved(again), saved(s)) {
			t.Fatalf("what was taken is not taken again: %v", r.Err())
		}
		for i, x := range rows[:50] {
			if p, q := s.Update(x, int64(450+i)*minute), again.Update(x, int64(450+i)*minute); p != q || !(p >= 0 && p <= 1) {
				t.Fatalf("row %d: scores %v and %v", i, p, q)
			}
		}
	})
}

func TestWildValuesAreForgotten(t *testing.T) {
	wild := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, math.MaxFloat64, 5e-324, 1e18, -7}
	each(t, func(t *testing.T, columns int, made func() Scorer) {
		a := made()
		rng := rand.New(rand.NewPCG(6, 6))
		for i, x := range stream(1500+fewer(4500), columns, 7) {
			at := int64(i) * minute
			if i > 1000 && i < 1200 || i < 20 {
				for j := range x {
					x[j] = wild[rng.IntN(len(wild))]
				}
				at = []int64{math.MinInt64, math.MaxInt64, 0, at}[i%4]
			}
			if p := a.Update(x, at); !(p >= 0 && p <= 1) {
				t.Fatalf("row %d: score %v of %v", i, p, x)
			}
		}
		b := made()
		r := &state.Reader{B: saved(a)}
		if b.Load(r); r.Err() != nil {
			t.Errorf("the state after wild rows does not load: %v", r.Err())
		}
	})
}

func TestSteadyStateAndMemory(t *testing.T) {
	each(t, func(t *testing.T, columns int, made func() Scorer) {
		a := made()
		rows := stream(4000, columns, 8)
		for i, x := range rows {
			a.Update(x, int64(i)*minute)
		}
		held := a.Bytes()
		i := len(rows)
		if per := testing.AllocsPerRun(600, func() {
			a.Update(rows[i%len(rows)], int64(i)*minute)
			i++
		}); per > 0 {
			t.Errorf("Update allocates %v times a row", per)
		}
		for ; i < 4000+fewer(8000); i++ {
			a.Update(rows[i%len(rows)], int64(i)*minute)
		}
		if now := a.Bytes(); held <= 0 || now > held+held/4 {
			t.Errorf("%d bytes after 4000 rows, %d after 12000", held, now)
		}
		if n := len(saved(a)); n > 12*held {
			t.Errorf("a snapshot of %d bytes for %d in memory", n, held)
		}
	})
}

func TestAnomaliesStandOut(t *testing.T) {
	each(t, func(t *testing.T, columns int, made func() Scorer) {
		a := made()
		if a.(*configured).likelihood != nil {
			t.Skip("a likelihood looks at runs, not at single rows: it has a test of its own")
		}
		usual, odd := []float64{}, []float64{}
		for i, x := range stream(5000, columns, 9) {
			bad := i > 1500 && i%250 == 0
			if bad {
				for j := range x {
					x[j] = 10*float64(j) + 15*float64(1+j)
				}
			}
			s := a.Update(x, int64(i)*minute)
			switch {
			case bad:
				odd = append(odd, s)
			case i > 1500:
				usual = append(usual, s)
			}
		}
		slices.Sort(usual)
		slices.Sort(odd)
		if high, low := usual[len(usual)*97/100], odd[len(odd)/2]; !(low > high) {
			t.Errorf("the median score of anomalies is %v, 97 %% of the others are up to %v", low, high)
		}
	})
}

func TestNew(t *testing.T) {
	one, three := Schema{Columns: []string{"a"}, Timed: true}, Schema{Columns: []string{"a", "b", "c"}}
	for _, c := range []struct {
		name     string
		settings map[string]string
		schema   Schema
		want     string
	}{
		{"seasonl", nil, one, `no anomaly detector "seasonl": there are auto, half-space-trees`},
		{"pca", map[string]string{"trian": "5"}, three, `pca has no setting "trian": there are train (a whole number from 10 to 1048576, default 400)`},
		{"pca", map[string]string{"train": "5", "variance": "2"}, three, `train "5": must be a whole number from 10`},
		{"pca", map[string]string{"train": "5", "variance": "2"}, three, `variance "2": must be a number above 0 and below 1`},
		{"seasonal", map[string]string{"period": "5"}, one, `period "5": must be a duration`},
		{"seasonal", map[string]string{"period": "24h"}, three, `period "24h": must be a number of rows`},
		{"half-space-trees", map[string]string{"likelihood": "20"}, three, `likelihood "20": must be 0 or a whole number from 100`},
		{"isolation-forest", map[string]string{"seed": "-1"}, three, `seed "-1": must be a whole number from 0`},
		{"auto", nil, Schema{}, "0 columns: must be 1 to 4096"},
		{"isolation-forest", map[string]string{"train": "1"}, three, "train 1: must be 0 or at least 2 rows"},
		{"random-cut-forest", map[string]string{"trees": "1000", "sample": "8192", "shingle": "64"}, three, "random-cut-forest: the state would take"},
		{"half-space-trees", map[string]string{"trees": "1000", "depth": "16", "window": "65536"}, Schema{Columns: make([]string, 4096)}, "must be at most 2147 MB"},
		{"isolation-forest", map[string]string{"window": "1048576"}, Schema{Columns: make([]string, 4096)}, "the state would take"},
		{"pca", map[string]string{"train": "1048576"}, Schema{Columns: make([]string, 512)}, "the state would take"},
		{"seasonal", map[string]string{"history": "1048576"}, Schema{Columns: make([]string, 4096)}, "the state would take"},
	} {
		if _, err := New(c.name, c.settings, c.schema); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%q, %v) = %v, want %q", c.name, c.settings, err, c.want)
		}
	}
	for _, c := range []struct {
		name   string
		schema Schema
		want   string
	}{
		{"auto", one, "seasonal"}, {"", three, "isolation-forest"}, {"Auto", Schema{Columns: []string{"a", "b"}, Timed: true}, "pca"}, {"Half_Space Trees", one, "half-space-trees"},
	} {
		if got := Resolve(c.name, c.schema); got != c.want {
			t.Errorf("Resolve(%q) = %q, want %q", c.name, got, c.want)
		}
	}
	for _, n := range Names() {
		s, err := New(n, map[string]string{"Likelihood": "200"}, three)
		if err != nil {
			t.Errorf("New(%q): %v", n, err)
			continue
		}
		if got := Current(s); len(got) < 3 || got[len(got)-1].Value != "200" {
			t.Errorf("Current of %s = %v", n, got)
		}
		if n != "auto" && Summary(n) == "" {
			t.Errorf("%s has no summary", n)
		}
		if l := s.Limit(); l != 0.5 {
			t.Errorf("%s: limit %v of a likelihood, want 0.5", n, l)
		}
	}
}
