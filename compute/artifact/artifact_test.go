package artifact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"skerry.dev/compute/drift/inputs"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/neural"
)

var update = flag.Bool("update", false, "write the golden files")

const hour = 3600 * 1_000_000

// sample returns a small artifact with one model of every kind.
func sample(t testing.TB) *Artifact {
	t.Helper()
	impute := 1.5
	inputs := []feature.Input{{Name: "pm25", Unit: "µg/m³", Max: 1500}, {Name: "wd", Categories: []string{"N", "S"}}}
	a := &Artifact{
		Manifest: Manifest{Task: "pm25-next-hour", Kind: KindForecast, HorizonUS: hour, Inputs: inputs, Output: Output{Series: "pm25"},
			Learner: "gbdt", Params: map[string]string{"leaves": "3"}, Seed: 7, Rows: 100, TrainFrom: hour, TrainTo: 200 * hour,
			Metrics: map[string]float64{"mae": 9.5}, CreatedFrom: []string{"dataset:1"}},
		Pipeline: &feature.Pipeline{Inputs: inputs, Tolerance: hour / 2, Rows: 3, Columns: []feature.Column{
			{Name: "pm25", Op: feature.OpValue, Impute: &impute, Center: 1, Scale: 2},
			{Name: "pm25_lag_1h", Op: feature.OpLag, Lag: hour, Impute: &impute},
			{Name: "day_sin", Op: feature.OpDaySin}}},
		Models:      map[Role]Predictor{},
		Calibration: Calibration{Level: 0.9, Scores: []float64{0.1, 0.5, 1.25}},
		Reference:   []Reference{{Quantiles: []float64{1, 2, 30}, Missing: 0.25}, {Missing: 1}},
	}
	trees, err := ensemble.New(3, ensemble.Identity, []float64{0.5}, false, []ensemble.Tree{
		{{Feature: 1, Threshold: 2, MissingLeft: true, Left: 1, Right: 2}, {Value: -1}, {Value: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	lin, err := linear.New(3, ensemble.Identity, []float64{-4}, []float64{0.5, 0.25, 1})
	if err != nil {
		t.Fatal(err)
	}
	mlp, err := neural.New([]int{3, 2, 1}, ensemble.Identity, 2, 5, []float64{0, 1, 1, 2, 3, -1, 0.5, 0, 0.5, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	a.Models[Point], a.Models[Lower], a.Models[Upper] = trees, lin, mlp
	times := []int64{10 * hour, 11 * hour, 12 * hour, 13 * hour}
	values := []float64{1, 0, 5, 1, math.NaN(), 0, 2, 1}
	if a.Vectors, err = MakeVectors(a, times, values, 3); err != nil {
		t.Fatal(err)
	}
	return a
}

// usual returns a reference of so many columns.
func usual(t testing.TB, columns int) *inputs.Reference {
	t.Helper()
	rows := make([][]float64, 200)
	for i := range rows {
		for k := range columns {
			rows[i] = append(rows[i], math.Sin(float64(i*(k+1))))
		}
	}
	r, err := inputs.NewReference(rows, inputs.Options{Functions: 4})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestUsualRows carries the reference of rows through the file, and refuses every damage to it.
func TestUsualRows(t *testing.T) {
	a := sample(t)
	a.Usual = usual(t, 3)
	b := encode(t, a)
	d, err := DecodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if d.Usual == nil || !bytes.Equal(encode(t, d), b) {
		t.Error("usual rows do not survive the file")
	}
	from, cut := bytes.Index(b, []byte(tagUsual)), encode(t, sample(t))
	for i := from; i < from+(len(b)-len(cut)); i += 7 {
		c := bytes.Clone(b)
		c[i] ^= 0x10
		if _, err := DecodeBytes(c); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

func encode(t testing.TB, a *Artifact) []byte {
	t.Helper()
	b, err := Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	a := sample(t)
	b := encode(t, a)
	d, err := DecodeBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	if d.Digest != Digest(b) || d.Size != int64(len(b)) {
		t.Errorf("digest %s of %d bytes, want %s of %d", d.Digest, d.Size, Digest(b), len(b))
	}
	if !reflect.DeepEqual(d.Manifest, a.Manifest) || !reflect.DeepEqual(d.Pipeline, a.Pipeline) || !reflect.DeepEqual(d.Calibration, a.Calibration) {
		t.Errorf("decoded %+v\nwant %+v", d.Manifest, a.Manifest)
	}
	if err := d.SelfTest(); err != nil {
		t.Error(err)
	}
	if again := encode(t, d); !bytes.Equal(again, b) {
		t.Error("a decoded artifact encodes to other bytes")
	}
}

// TestGolden holds that today's code reads yesterday's files and that Encode has not changed
// under the same version.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "v1.skerry")
	b := encode(t, sample(t))
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, err := DecodeBytes(golden)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SelfTest(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(golden, b) {
		t.Errorf("%s differs from what Encode writes now: a change of the format needs a new version", path)
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	b := encode(t, sample(t))
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x40
		if _, err := DecodeBytes(bad); err == nil {
			t.Fatalf("a flipped bit at byte %d of %d went unnoticed", i, len(b))
		} else if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("flipped bit at byte %d: %v wraps neither ErrCorrupt nor ErrVersion", i, err)
		}
	}
	for n := range b {
		if _, err := DecodeBytes(b[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("the first %d of %d bytes: %v, want ErrCorrupt", n, len(b), err)
		}
	}
	if _, err := DecodeBytes(append(bytes.Clone(b), 0)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte too many: %v, want ErrCorrupt", err)
	}
	if _, err := Decode(bytes.NewReader(b), int64(len(b))+1); err == nil {
		t.Error("a size beyond the file went unnoticed")
	}
}

func TestSelfTestNoticesAnotherModel(t *testing.T) {
	for _, role := range []Role{Point, Lower} {
		a := sample(t)
		a.Vectors.Want[role][1] = math.Nextafter(a.Vectors.Want[role][1]*1.00001, 9)
		if err := a.SelfTest(); !errors.Is(err, ErrSelfTest) {
			t.Errorf("%s: SelfTest of changed vectors = %v, want ErrSelfTest", role, err)
		}
	}
	a := sample(t)
	a.Vectors.Want[Lower][1] *= 1 + 1e-9 // rounding of another architecture
	if err := a.SelfTest(); err != nil {
		t.Errorf("SelfTest within tolerance: %v", err)
	}
}

func TestCheck(t *testing.T) {
	for name, spoil := range map[string]func(*Artifact){
		"task":        func(a *Artifact) { a.Manifest.Task = "" },
		"kind":        func(a *Artifact) { a.Manifest.Kind = "guess" },
		"horizon":     func(a *Artifact) { a.Manifest.HorizonUS = 0 },
		"inputs":      func(a *Artifact) { a.Manifest.Inputs = nil },
		"target":      func(a *Artifact) { a.Manifest.Output.Input = 2 },
		"point":       func(a *Artifact) { delete(a.Models, Point) },
		"upper alone": func(a *Artifact) { delete(a.Models, Lower) },
		"role":        func(a *Artifact) { a.Models["middle"] = a.Models[Point] },
		"width":       func(a *Artifact) { a.Models[Point] = &Constant{N: 2, Values: []float64{1}} },
		"outputs":     func(a *Artifact) { a.Models[Point] = &Constant{N: 3, Values: []float64{1, 2}} },
		"scores":      func(a *Artifact) { a.Calibration.Scores = []float64{2, 1} },
		"reference":   func(a *Artifact) { a.Reference = a.Reference[:1] },
		"quantiles":   func(a *Artifact) { a.Reference[0].Quantiles = []float64{math.NaN()} },
		"vectors":     func(a *Artifact) { a.Vectors.Tail = 99 },
		"pipeline":    func(a *Artifact) { a.Pipeline.Columns[0].Series = 9 },
		"usual rows":  func(a *Artifact) { a.Usual = usual(t, 2) },
		"metrics":     func(a *Artifact) { a.Manifest.Metrics["mae"] = math.NaN() },
	} {
		a := sample(t)
		spoil(a)
		if _, err := Encode(a); err == nil {
			t.Errorf("Encode with a bad %s gave no error", name)
		}
	}
}

func TestRunner(t *testing.T) {
	a := sample(t)
	r, err := NewRunner(a)
	if err != nil {
		t.Fatal(err)
	}
	h := feature.NewHistory(2, 8)
	h.Push(10*hour, []float64{1, 0})
	h.Push(11*hour, []float64{5, 1})
	point, lower, upper, err := r.Predict(h, 0)
	// Columns: (5-1)/2 = 2, lag 1, sin(11/24): trees 0.5-1; linear -4+1+0.25+0.2588; network
	// 5+2·(…) lies above.
	if err != nil || point != -0.5 || math.Abs(lower-(-4+1+0.25+math.Sin(2*math.Pi*11/24))) > 1e-12 || upper < lower {
		t.Errorf("Predict = %v, %v, %v, %v", point, lower, upper, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _, _ = r.Predict(h, 1) }); n != 0 && !race.Enabled { // pools give less back then
		t.Errorf("Predict allocates %v times, want 0", n)
	}
	if _, _, _, err := r.Predict(h, 2); err == nil {
		t.Error("Predict of a row that is not there gave no error")
	}
}

func TestRunnerClassifies(t *testing.T) {
	a := sample(t)
	a.Manifest.Kind, a.Manifest.HorizonUS = KindClassification, 0
	a.Manifest.Output = Output{Input: -1, Classes: []string{"off", "on"}}
	a.Models = map[Role]Predictor{Point: &Constant{N: 3, Values: []float64{0.75}}}
	a.Vectors = Vectors{}
	r, err := NewRunner(a)
	if err != nil {
		t.Fatal(err)
	}
	h := feature.NewHistory(2, 8)
	h.Push(10*hour, []float64{1, 0})
	point, lower, _, err := r.Predict(h, 0)
	if err != nil || point != 1 || !math.IsNaN(lower) || r.Classes()[0] != 0.25 {
		t.Errorf("Predict = %v, %v, %v with classes %v, want class 1 at 0.75", point, lower, err, r.Classes())
	}
	if p, _, _, err := (Model{r}).Predict(h, 0); err != nil || p != 0.75 {
		t.Errorf("as a Model it predicts %v, %v, want the probability of class 1", p, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, sample(f)), true)
	a := sample(f)
	a.Usual = usual(f, 3)
	f.Add(encode(f, a), true)
	f.Add([]byte(magic), false)
	f.Fuzz(func(t *testing.T, b []byte, repair bool) {
		if repair {
			b = bytes.Clone(b)
			reseal(b)
		}
		a, err := DecodeBytes(b)
		if err != nil {
			return
		}
		_ = a.SelfTest()
		again, err := Encode(a)
		if err != nil {
			t.Fatalf("a decoded artifact does not encode: %v", err)
		}
		d, err := DecodeBytes(again)
		if err != nil {
			t.Fatalf("an encoded artifact does not decode: %v", err)
		}
		if twice := encode(t, d); !bytes.Equal(twice, again) {
			t.Fatal("encoding is not stable")
		}
	})
}

// reseal writes right checksums into b, so that the fuzzer gets behind them.
func reseal(b []byte) {
	for at := headerBytes; at+sectionBytes <= len(b); {
		n := int(binary.LittleEndian.Uint32(b[at+4:]))
		if n < 0 || n > len(b)-at-sectionBytes {
			return
		}
		binary.LittleEndian.PutUint32(b[at+8+n:], crc32.Checksum(b[at:at+8+n], castagnoli))
		at += sectionBytes + n
	}
}
