package inputs
import ("testing";"math/rand/v2";"math")
func TestZZ(t *testing.T) {
	A, W, T, F, N := 0, 0, 0, 0, 0
	for _, m := range []int{300, 500, 1000, 4000} {
		for _, file := range realFiles {
			rows := realRows(t, file)
			for seed := range uint64(4) {
				mixed := shuffled(rows, seed+1)
				ref, _ := NewReference(mixed[:m], Options{})
				w := NewWatcher(ref)
				for _, row := range mixed[m:] { W++; if r := w.Push(row); r != nil && r.Drift { A++ } }
				moved := make([]float64, ref.NumFeatures())
				for j := range ref.NumFeatures() {
					sd := spread(mixed, j)
					if sd == 0 { continue }
					for part := range 3 {
						T++
						w, at := NewWatcher(ref), m+part*1500
						for i, row := range mixed[at : at+1500] {
							copy(moved, row)
							if i >= 1000 { moved[j] -= sd }
							r := w.Push(moved)
							if r == nil || !r.Drift || i < 1000 { continue }
							F++
							if r.Features[0].Index == j { N++ }
							break
						}
					}
				}
			}
			t.Logf("m=%d %s: %d false alarms in %d rows; shifts %d found %d first %d", m, file, A, W, T, F, N)
		}
	}
	for _, phi := range []float64{0, 0.5, 0.9, 0.97, 0.99} {
		for _, m := range []int{1000, 5000} {
			alarms, watched := 0, 0
			for seed := range uint64(10) {
				rng := rand.New(rand.NewPCG(seed, 5))
				x := make([]float64, 6)
				next := func() []float64 { for j := range x { x[j] = phi*x[j] + math.Sqrt(1-phi*phi)*rng.NormFloat64() }; return x }
				var rows [][]float64
				for range m { rows = append(rows, append([]float64{}, next()...)) }
				ref, _ := NewReference(rows, Options{})
				w := NewWatcher(ref)
				for range 20000 { watched++; if r := w.Push(next()); r != nil && r.Drift { alarms++ } }
			}
			t.Logf("AR %v reference %d: %d alarms in %d rows", phi, m, alarms, watched)
		}
	}
}
