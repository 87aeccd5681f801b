package inputs

import (
	"math"
	"math/rand/v2"
	"testing"

	"skerry.dev/compute/internal/race"
	"skerry.dev/test/realdata"
)

// realRows returns the numeric columns of a public file, in its order.
func realRows(t testing.TB, file string) [][]float64 {
	t.Helper()
	head, recs := realdata.CSV(t, file)
	var columns []int
	for j := range len(head) {
		numeric := true
		for _, rec := range recs[:200] {
			numeric = numeric && (rec[j] == "" || !math.IsNaN(realdata.Number(rec[j])))
		}
		if numeric {
			columns = append(columns, j)
		}
	}
	rows := make([][]float64, 0, len(recs))
	for _, rec := range recs {
		row := make([]float64, len(columns))
		for k, j := range columns {
			row[k] = realdata.Number(rec[j])
		}
		rows = append(rows, row)
	}
	return rows
}

func shuffled(rows [][]float64, seed uint64) [][]float64 {
	out := append([][]float64{}, rows...)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

var realFiles = []string{"tabular/ccpp.csv.gz", "tabular/california_housing.csv.gz", "forecast/steel_energy.csv.gz", "drift/elec2.csv.gz"}

// spread returns the standard deviation of a column.
func spread(rows [][]float64, j int) float64 {
	mean, squares := 0.0, 0.0
	for _, r := range rows {
		mean += r[j] / float64(len(rows))
	}
	for _, r := range rows {
		squares += (r[j] - mean) * (r[j] - mean) / float64(len(rows))
	}
	return math.Sqrt(squares)
}

// TestRealRows holds, at the defaults and for every test, that shuffled rows of public files
// cause at most one false alarm in 10,000, and that a shift of one feature by one standard
// deviation is found within 500 rows, and that feature named first, in nine of ten cases.
func TestRealRows(t *testing.T) {
	if race.Enabled {
		t.Skip("judges by many rows, which takes long under the race detector: run without -race")
	}
	for _, test := range []Test{KolmogorovSmirnov, PSI, Wasserstein} {
		for _, file := range realFiles {
			rows := realRows(t, file)
			alarms, watched := 0, 0
			found, first, tried, delay := 0, 0, 0, 0
			for seed := range uint64(4) {
				mixed := shuffled(rows, seed+1)
				ref, err := NewReference(mixed[:2000], Options{Test: test})
				if err != nil {
					t.Fatal(err)
				}
				w := NewWatcher(ref)
				for _, row := range mixed[2000:] {
					watched++
					if r := w.Push(row); r != nil && r.Drift {
						alarms++
					}
				}
				moved := make([]float64, ref.NumFeatures())
				for j := range ref.NumFeatures() {
					sd := spread(mixed, j)
					if sd == 0 {
						continue
					}
					for part := range 4 {
						tried++
						w, at := NewWatcher(ref), 2000+part*1500
						for i, row := range mixed[at : at+1000+500] {
							copy(moved, row)
							if i >= 1000 {
								moved[j] += sd * float64(1-2*(part%2))
							}
							r := w.Push(moved)
							if r == nil || !r.Drift || i < 1000 {
								continue
							}
							found++
							delay += i - 999
							if r.Features[0].Index == j {
								first++
							}
							break
						}
					}
				}
			}
			t.Logf("%s %s: %d false alarms in %d rows; of %d shifts %d found, %d named first, after %.0f rows", test, file, alarms, watched, tried, found, first, float64(delay)/float64(max(found, 1)))
			if alarms*10000 > watched {
				t.Errorf("%s %s: %d false alarms in %d rows, want at most one in 10,000", test, file, alarms, watched)
			}
			if first*10 < tried*9 {
				t.Errorf("%s %s: of %d shifts %d were found and named first, want nine of ten", test, file, tried, first)
			}
		}
	}
}
