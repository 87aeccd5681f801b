package wire

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden chunks")

// sample makes n records of every class.
func sample(n int, seed uint64) *Records {
	rng := rand.New(rand.NewPCG(seed, 1))
	series := []string{"pm25", "temp", "wspm"}
	r := new(Records)
	for i := range n {
		t := 1_700_000_000_000_000 + int64(i)*3_600_000_000
		r.Readings = append(r.Readings, Reading{series[i%3], t, math.Round(rng.Float64()*1000) / 10, int64(i) * 1e9, Flags(rng.IntN(4))})
		l := Label{Task: "pm25-next-hour", Row: t, At: t + 3_600_000_000, ChampionID: "c", ShadowID: ""}
		for _, f := range labelFloats {
			*f(&l) = rng.NormFloat64()
		}
		l.Candidate = math.Inf(1)
		r.Labels = append(r.Labels, l)
		r.Predictions = append(r.Predictions, Prediction{Task: "pm25-next-hour", Row: t, For: t + 3_600_000_000, Value: 1, Lower: 0.5, Upper: 2, Model: "m"})
		r.Events = append(r.Events, Event{t, "drift", "pm25-next-hour", `{"detector":"adwin"}`})
		r.Hosts = append(r.Hosts, Host{t, "cpu_percent", 12.5})
	}
	return r
}

func header(c Class) Header { return Header{Device: "gucheng", Run: Run{1, 2, 3}, Class: c, First: 41} }

// only keeps what belongs to the class.
func only(r *Records, c Class) *Records {
	switch c {
	case ClassReading:
		return &Records{Readings: r.Readings}
	case ClassLabel:
		return &Records{Labels: r.Labels}
	case ClassPrediction:
		return &Records{Predictions: r.Predictions}
	case ClassHost:
		return &Records{Hosts: r.Hosts}
	}
	return &Records{Events: r.Events}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range Classes {
		for _, n := range []int{1, 2, 77, MaxRecords} {
			want := only(sample(n, 3), c)
			b, err := Encode(header(c), want)
			if err != nil {
				t.Fatal(err)
			}
			h, got, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if wantH := (Header{"gucheng", Run{1, 2, 3}, c, 41, n}); h != wantH || h.Last() != 40+uint64(n) {
				t.Errorf("%s: header %+v, want %+v", c, h, wantH)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %d records differ after a round trip", c, n)
			}
			again, err := Encode(h, got)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("%s: what decodes does not encode to the same bytes (%v)", c, err)
			}
		}
	}
}

// TestGolden holds that today's code reads the chunks of version 1 byte for byte. Rewrite them
// with -update only together with a new version.
func TestGolden(t *testing.T) {
	for _, c := range Classes {
		path := filepath.Join("testdata", "v1-"+c.String()+".chunk")
		want := only(sample(9, 5), c)
		if *update {
			b, err := Encode(header(c), want)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: golden chunk reads as %+v (%v), want %+v", c, got, err, want)
		}
	}
}

// classes makes n labels and predictions, of three classes and of some more.
func classes(n int, seed uint64) *Records {
	rng := rand.New(rand.NewPCG(seed, 2))
	r := new(Records)
	for i := range n {
		t := 1_700_000_000_000_000 + int64(i)*60_000_000
		k := 3 + i%2*9
		nan := math.Inf(-1) // as absent values, but comparable
		l := Label{Task: "phase", Row: t, At: t, Truth: float64(i % k), Predicted: 1, Lower: nan, Upper: nan, Persistence: 2, BaselineLo: nan, BaselineHi: nan,
			Classes: k, Chance: rng.Float64(), ChanceOf: Chances{rng.Float64(), nan, 0.25}, SetSize: i % (k + 1), Covered: i%3 > 0}
		r.Labels = append(r.Labels, l)
		p := Prediction{Task: "phase", Row: t, For: t, Value: 1, Lower: nan, Upper: nan}
		for c := range k {
			p.Chances = append(p.Chances, rng.Float32())
			p.Set = append(p.Set, (c+i)%3 == 0)
		}
		r.Predictions = append(r.Predictions, p)
	}
	return r
}

// TestClasses holds that labels and predictions of more than two classes come back as they were, in
// chunks of version 2, and that today's code reads those of this build.
func TestClasses(t *testing.T) {
	for _, c := range []Class{ClassLabel, ClassPrediction} {
		for _, n := range []int{1, 2, 77, MaxRecords} {
			want := only(classes(n, 3), c)
			b, err := Encode(header(c), want)
			if err != nil {
				t.Fatal(err)
			}
			h, got, err := Decode(b)
			if err != nil || !reflect.DeepEqual(got, want) || b[4] != classesVersion {
				t.Fatalf("%s: %d records differ after a round trip, or are of version %d (%v)", c, n, b[4], err)
			}
			if again, err := Encode(h, got); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%s: what decodes does not encode to the same bytes (%v)", c, err)
			}
		}
		path := filepath.Join("testdata", "v2-"+c.String()+".chunk")
		want := only(classes(9, 5), c)
		if *update {
			b, err := Encode(header(c), want)
			if err == nil {
				err = os.WriteFile(path, b, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := Decode(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the golden chunk reads as %+v (%v), want %+v", c, got, err, want)
		}
	}
}

// TestSplit parts records that programs before version 2 read from those that they cannot.
func TestSplit(t *testing.T) {
	many, plain := classes(5, 1), sample(4, 1)
	all := &Records{Labels: append(slices.Clone(many.Labels), plain.Labels...), Predictions: append(slices.Clone(plain.Predictions), many.Predictions...)}
	for _, c := range []Class{ClassLabel, ClassPrediction} {
		a, b := all.Split(c)
		if a.Len(c) != 4 || b.Len(c) != 5 || a.version(c) != formatVersion || b.version(c) != classesVersion {
			t.Errorf("%s: %d plain records and %d of many classes, want 4 and 5", c, a.Len(c), b.Len(c))
		}
		if a, b := plain.Split(c); a.Len(c) != 4 || b.Len(c) != 0 {
			t.Errorf("%s: of plain records %d and %d", c, a.Len(c), b.Len(c))
		}
	}
}

// TestClassesAreBounded: numbers of classes beyond the bound, and columns that end early, are no
// chunk; probabilities without a set have no form.
func TestClassesAreBounded(t *testing.T) {
	for _, p := range []Prediction{{Chances: make([]float32, 3)}, {Chances: make([]float32, MaxClasses+1), Set: make([]bool, MaxClasses+1)}} {
		if _, err := Encode(header(ClassPrediction), &Records{Predictions: []Prediction{p}}); err == nil {
			t.Errorf("%d probabilities and a set of %d are encoded", len(p.Chances), len(p.Set))
		}
	}
	for _, c := range []Class{ClassLabel, ClassPrediction} {
		var w columns
		r := only(classes(20, 1), c)
		w.records(c, r)
		start := len(w.b)
		w.classes(c, r)
		for n := start; n < len(w.b); n++ {
			rd := columnReader{b: w.b[:n], n: 20}
			if out := rd.records(c); rd.err == nil {
				rd.classes(c, out)
			}
			if rd.err == nil {
				t.Fatalf("%s: %d of %d bytes are read as all", c, n, len(w.b))
			}
		}
	}
	for _, v := range []int64{-1, MaxClasses + 1, math.MaxInt64} {
		var w columns
		w.records(ClassPrediction, &Records{Predictions: make([]Prediction, 1)})
		w.ints(1, func(int) int64 { return v })
		rd := columnReader{b: w.b, n: 1}
		if rd.classes(ClassPrediction, rd.records(ClassPrediction)); rd.err == nil {
			t.Errorf("%d classes are read", v)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	r := sample(1, 1)
	for name, f := range map[string]func() error{
		"no records":    func() error { _, err := Encode(header(ClassReading), &Records{}); return err },
		"too many":      func() error { _, err := Encode(header(ClassReading), sample(MaxRecords+1, 1)); return err },
		"unknown class": func() error { _, err := Encode(header(99), r); return err },
		"no device":     func() error { h := header(ClassReading); h.Device = ""; _, err := Encode(h, r); return err },
		"sequence 0":    func() error { h := header(ClassReading); h.First = 0; _, err := Encode(h, r); return err },
		"bad UTF-8": func() error {
			_, err := Encode(header(ClassEvent), &Records{Events: []Event{{Kind: "\xff"}}})
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s: Encode succeeds", name)
		}
	}
}

func TestDecodeRefusesEveryFlippedBit(t *testing.T) {
	b, err := Encode(header(ClassReading), sample(50, 2))
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		for bit := range 8 {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << bit
			if _, _, err := Decode(bad); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d bit %d: err = %v, want ErrCorrupt", i, bit, err)
			}
		}
	}
	for n := range b {
		if _, _, err := Decode(b[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: err = %v, want ErrCorrupt", n, err)
		}
	}
}

// TestSize holds the wire's promise for real-looking telemetry: a twelfth of JSON.
func TestSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	r := new(Records)
	for i := range MaxRecords {
		r.Readings = append(r.Readings, Reading{[]string{"a", "b", "c", "d"}[i%4], 1_700_000_000_000_000 + int64(i/4)*1_000_000, math.Round(20 + rng.NormFloat64()*5), int64(i/4) * 1_000_000_000, 0})
	}
	b, err := Encode(header(ClassReading), r)
	if err != nil {
		t.Fatal(err)
	}
	if per := float64(len(b)) / MaxRecords; per > 13.3 {
		t.Errorf("%.1f bytes per reading, want at most 13.3", per)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range Classes {
		b, err := Encode(header(c), sample(3, 1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, r, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Encode(h, r)
		if err != nil {
			t.Fatalf("decoded records do not encode: %v", err)
		}
		if _, r2, err := Decode(again); err != nil || r2.Len(h.Class) != h.Count {
			t.Fatalf("re-encoded chunk does not decode: %v", err)
		}
	})
}

func TestNames(t *testing.T) {
	for _, c := range Classes {
		b, _ := c.MarshalText()
		var got Class
		if err := got.UnmarshalText(b); err != nil || got != c {
			t.Errorf("class %s reads back as %v (%v)", b, got, err)
		}
	}
	if _, err := ParseClass("bulk"); err == nil {
		t.Error("an unknown class parses")
	}
	r := Run{0xab, 15: 1}
	var got Run
	if err := got.UnmarshalText([]byte(r.String())); err != nil || got != r {
		t.Errorf("run %s reads back as %s (%v)", r, got, err)
	}
	for _, s := range []string{"", "ab", "zz000000000000000000000000000000"} {
		if _, err := ParseRun(s); err == nil {
			t.Errorf("ParseRun(%q) succeeds", s)
		}
	}
}
