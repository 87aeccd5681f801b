package drift

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/state"
)

// FuzzLoad holds that no snapshot makes a detector panic, then or later, and that what loads is
// saved and loaded again as the same.
//
//	go test ./compute/drift -run '^$' -fuzz FuzzLoad -fuzztime 60s
func FuzzLoad(f *testing.F) {
	for i, name := range Names() {
		rng := rand.New(rand.NewPCG(uint64(i), 0))
		d, err := New(name, nil)
		if err != nil {
			f.Fatal(err)
		}
		for range 1500 {
			d.Update(rng.Float64())
		}
		var w state.Writer
		d.Save(&w)
		f.Add(uint8(i), w.B)
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		name := Names()[int(which)%len(Names())]
		d, _ := New(name, nil)
		r := &state.Reader{B: b}
		d.Load(r)
		if r.Err() == nil {
			var once, twice state.Writer
			d.Save(&once)
			again, _ := New(name, nil)
			r := &state.Reader{B: once.B}
			again.Load(r)
			again.Save(&twice)
			if r.Err() != nil || !bytes.Equal(once.B, twice.B) {
				t.Errorf("%s: a snapshot that loads is not loaded as it was saved: %v", name, r.Err())
			}
		}
		for i := range 300 {
			d.Update(float64(i%3) / 2)
		}
	})
}
