package drift

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkUpdate measures a value: errors at a rate of 0.2, and for the detectors of any numbers
// those of a normal distribution as well.
//
//	go test ./compute/drift -run '^$' -bench Update -count 6
func BenchmarkUpdate(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 0))
	errs, numbers := make([]float64, 1<<16), make([]float64, 1<<16)
	for i := range errs {
		if rng.Float64() < 0.2 {
			errs[i] = 1
		}
		numbers[i] = 0.5 + 0.1*rng.NormFloat64()
	}
	run := func(name string, d Detector, xs []float64) {
		b.Run(name, func(b *testing.B) {
			for _, x := range xs { // the window has grown
				d.Update(x)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				d.Update(xs[i&(1<<16-1)])
				i++
			}
		})
	}
	for _, name := range Names() {
		d, err := New(name, nil)
		if err != nil {
			b.Fatal(err)
		}
		run("detector="+name, d, errs)
	}
	for _, name := range []string{"adwin", "cusum", "kswin", "page-hinkley", "seed"} {
		d, err := New(name, nil)
		if err != nil {
			b.Fatal(err)
		}
		run("stream=numbers/detector="+name, d, numbers)
	}
	run("detector=NewADWIN", NewADWIN(), errs)
	run("detector=NewPageHinkley", NewPageHinkley(), errs)
	for name, p := range map[string]*PageHinkley{"NewTwoSidedPageHinkley": NewTwoSidedPageHinkley(), "NewPageHinkley": NewPageHinkley()} {
		// First, whose figure is that of 1024 values
		b.Run("values=1024/detector="+name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				p.First(errs[i : i+1024])
				i = (i + 1024) & (1<<16 - 1)
			}
		})
	}
}
