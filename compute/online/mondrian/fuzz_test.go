package mondrian_test

import (
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/mondrian"
	"skerry.dev/compute/state"
)

// pair returns a classifier and a regressor of the rings' rows.
func pair(t testing.TB) (*mondrian.Classifier, *mondrian.Regressor) {
	in := make([]online.Input, 3)
	o := mondrian.Options{Trees: 3, MaxBytes: 1 << 20}
	c, err := mondrian.NewClassifier(online.Schema{Classes: 2, Inputs: in}, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := mondrian.NewRegressor(online.Schema{Inputs: in}, o)
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

// FuzzLoad gives forests damaged states: none may panic or loop, and what is taken must go on
// working.
func FuzzLoad(f *testing.F) {
	c, r := pair(f)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 20 {
		x, class := rings(rng, i)
		c.Learn(x, class, 1)
		r.Learn(x, x[1], 1)
	}
	var a, b state.Writer
	c.Save(&a)
	r.Save(&b)
	f.Add(a.B)
	f.Add(b.B)
	f.Fuzz(func(t *testing.T, s []byte) {
		c, r := pair(t)
		from := &state.Reader{B: s}
		c.Load(from)
		takenC := from.Err() == nil
		from = &state.Reader{B: s}
		r.Load(from)
		takenR := from.Err() == nil
		rng := rand.New(rand.NewPCG(5, 6))
		p := make([]float64, 2)
		for i := range 200 {
			x, class := rings(rng, i)
			if takenC {
				c.Classify(p, x)
				c.Learn(x, class, 1)
			}
			if takenR {
				r.Predict(x)
				r.Learn(x, float64(class), 1)
			}
		}
	})
}
