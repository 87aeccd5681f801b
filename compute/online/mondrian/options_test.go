package mondrian_test

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/online"
	"skerry.dev/compute/online/mondrian"
	"skerry.dev/compute/online/onlinetest"
	"skerry.dev/compute/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestBadSettings checks that an error names the setting, its value and what is allowed.
func TestBadSettings(t *testing.T) {
	_, err := mondrian.NewClassifier(onlinetest.Schema(0), mondrian.Options{Trees: -1, Step: math.NaN(), Dirichlet: 1000, Unit: 7})
	for _, want := range []string{"0 classes, must be 2 to 256", "Trees is -1, allowed is 1 to 1000", "Step is NaN", "Dirichlet is 1000", "Unit is 7, allowed is RootRange, Range or Own"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	_, err = mondrian.NewRegressor(onlinetest.Schema(3), mondrian.Options{MaxBytes: 1000})
	for _, want := range []string{"3 classes for a learner of numbers, must be 0", "MaxBytes is 1000, allowed is"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

// rings returns a row within or without a circle, with an input that says nothing; which side is
// which changes every 4000 rows.
func rings(rng *rand.Rand, i int) (x []float64, class int) {
	x = []float64{rng.Float64()*2 - 1, rng.Float64()*2 - 1, rng.Float64()}
	if float64(x[0]*x[0])+float64(x[1]*x[1]) < 0.6 {
		class = 1
	}
	if i/4000%2 == 1 {
		class = 1 - class
	}
	if rng.IntN(20) == 0 {
		x[rng.IntN(3)] = math.NaN()
	}
	return x, class
}

// TestFollowsDriftWithinItsBudget plays a drift to a forest that has to give up old trees to stay
// within its budget, and so forgets what no longer holds.
func TestFollowsDriftWithinItsBudget(t *testing.T) {
	if race.Enabled {
		t.Skip("judges by many rows, which takes long under the race detector: run without -race")
	}
	s := online.Schema{Classes: 2, Inputs: make([]online.Input, 3)}
	const budget = 1 << 20
	c, err := mondrian.NewClassifier(s, mondrian.Options{MaxBytes: budget})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	p := make([]float64, 2)
	var before, after float64
	for i := range 8000 {
		x, class := rings(rng, i)
		c.Classify(p, x)
		if p[class] > 0.5 {
			if i >= 3000 && i < 4000 {
				before += 1.0 / 1000
			} else if i >= 7000 {
				after += 1.0 / 1000
			}
		}
		c.Learn(x, class, 1)
		if c.Bytes() > budget {
			t.Fatalf("row %d: %d bytes of %d", i, c.Bytes(), budget)
		}
	}
	t.Logf("accuracy %.3f before and %.3f after the drift, %d nodes", before, after, c.Nodes())
	if before < 0.9 || after < 0.85 {
		t.Errorf("accuracy %.3f before and %.3f after the drift", before, after)
	}
}

// TestVariants learns with every option that changes what a tree does.
func TestVariants(t *testing.T) {
	if race.Enabled {
		t.Skip("judges by many rows, which takes long under the race detector: run without -race")
	}
	s := online.Schema{Classes: 2, Inputs: make([]online.Input, 3)}
	for _, o := range []mondrian.Options{{}, {Unit: mondrian.Range}, {Unit: mondrian.Own}, {Leaves: true}, {KeepPure: true}, {Trees: 1}, {Step: 0.1, Dirichlet: 2}} {
		c, err := mondrian.NewClassifier(s, o)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(5, 6))
		p, right := make([]float64, 2), 0
		for i := range 3000 {
			x, class := rings(rng, i)
			if c.Classify(p, x); i >= 2000 && p[class] > 0.5 {
				right++
			}
			c.Learn(x, class, 1)
		}
		t.Logf("%+v: %.3f, %d nodes", o, float64(right)/1000, c.Nodes())
		least := 850
		if o.KeepPure || o.Trees == 1 { // boxes that swallow the other class, or no average
			least = 700
		}
		if right < least {
			t.Errorf("%+v: accuracy %.3f", o, float64(right)/1000)
		}
	}
}

// TestSameBitsEverywhere compares the states after 3000 rows with those that amd64 gave; run with
// GOARCH=386, or on arm64, it holds those to the same bits.
func TestSameBitsEverywhere(t *testing.T) {
	in := make([]online.Input, 3)
	c, err := mondrian.NewClassifier(online.Schema{Classes: 2, Inputs: in}, mondrian.Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	r, err := mondrian.NewRegressor(online.Schema{Inputs: in}, mondrian.Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 3000 {
		x, class := rings(rng, i)
		c.Learn(x, class, 1)
		r.Learn(x, float64(class)+rng.Float64(), 1)
	}
	var a, b state.Writer
	c.Save(&a)
	r.Save(&b)
	x, y := sha256.Sum256(a.B), sha256.Sum256(b.B)
	got := "classifier " + hex.EncodeToString(x[:8]) + "\nregressor " + hex.EncodeToString(y[:8]) + "\n"
	file := filepath.Join("testdata", "states.golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("states are\n%swant\n%s", got, want)
	}
}
