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
		r.Predictions = append(r.Predictions, Prediction{"pm25-next-hour", t, t + 3_600_000_000, 1, 0.5, 2, "m"})
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
