package drift

import (
	"hash/fnv"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/state"
)

// goldenBits are the hashes of the states that detectors have after a stream of sums of floats,
// which every processor must reach.
//
//	GOARCH=386 go test ./compute/drift -run Bits
var goldenBits = map[string]uint64{
	"adwin":        0xeb340fa589739e99,
	"cusum":        0x88aab59ea7e12bf1,
	"ddm":          0x48fe34df5c58b0e2,
	"eddm":         0xd5206f37e0d66c72,
	"ewma":         0xef256bc4d336ae84,
	"fhddm":        0x548478bb74490c5d,
	"hddm-a":       0xf04aa50484cea8c,
	"hddm-w":       0xb2972ebf8559e959,
	"ks":           0xc7ccf2f08ddac85b,
	"kswin":        0x730a4aed466423a3,
	"page-hinkley": 0xafeff063bd6e81de,
	"rddm":         0x6dd20e79c024f4ad,
	"seed":         0x266c7da98476d33f,
	"stepd":        0xba164e8fbd4f1021,
}

// TestBits holds the state of every detector, bit for bit, to what it was when this was written,
// on any architecture.
func TestBits(t *testing.T) {
	for _, name := range Names() {
		rng := rand.New(rand.NewPCG(9, 0))
		d, err := New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		for i := range 20000 {
			x := (rng.Float64() + rng.Float64() + rng.Float64()) / 3
			if i/2500%2 == 1 {
				x = float64(x*0.5) + 0.3
			}
			d.Update(x)
			if i%500 == 499 {
				var w state.Writer
				d.Save(&w)
				h.Write(w.B)
			}
		}
		if got := h.Sum64(); got != goldenBits[name] {
			t.Errorf("%q: %#x, want %#x", name, got, goldenBits[name])
		}
	}
}
