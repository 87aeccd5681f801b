package anomaly

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/internal/race"
	"skerry.dev/compute/metric"
	"skerry.dev/test/realdata"
)

// lines returns the lines of a public table after its header, or skips the test.
func lines(t *testing.T, name ...string) [][]string {
	t.Helper()
	if testing.Short() || race.Enabled {
		t.Skip("whole benchmarks take some seconds: run without -short and -race")
	}
	_, rows := realdata.CSV(t, append([]string{"anomaly"}, name...)...)
	return rows
}

func cell(t *testing.T, s string) float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestNAB runs the default for single series over the whole corpus, as a device would: each
// series once, from its first row on. What it reached when this was written is in
// docs/performance/anomaly.md.
func TestNAB(t *testing.T) {
	rows := lines(t, "nab.csv.gz")
	b, err := os.ReadFile(realdata.Path(t, "anomaly", "nab_windows.json"))
	if err != nil {
		t.Fatal(err)
	}
	var limits map[string][][2]string
	if err := json.Unmarshal(b, &limits); err != nil {
		t.Fatal(err)
	}
	var corpus []metric.NABSeries
	var s Scorer
	for i, r := range rows {
		at, err := time.Parse(time.DateTime, r[1])
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 || rows[i-1][0] != r[0] {
			if s, err = New("auto", nil, Schema{Columns: []string{"value"}, Timed: true}); err != nil {
				t.Fatal(err)
			}
			corpus = append(corpus, metric.NABSeries{})
		}
		c := &corpus[len(corpus)-1]
		for _, l := range limits[r[0]] {
			for end, text := range l {
				if strings.HasPrefix(text, r[1]) {
					if end == 0 {
						c.Windows = append(c.Windows, [2]int{})
					}
					c.Windows[len(c.Windows)-1][end] = len(c.Scores)
				}
			}
		}
		c.Scores = append(c.Scores, s.Update([]float64{cell(t, r[2])}, at.UnixMicro()))
	}
	want := []float64{67, 58, 72}
	for k, p := range metric.NABProfiles() {
		r := metric.NAB(corpus, p)
		t.Logf("%s: %.2f, %d of %d windows, %d false alarms, threshold %.3f", p.Name, r.Score, r.Found, r.Windows, r.False, r.Threshold)
		if r.Windows != 116 || r.Score < want[k] {
			t.Errorf("%s: %+v, want 116 windows and a score of at least %v", p.Name, r, want[k])
		}
	}
	if r := metric.NABAt(corpus, metric.NABProfiles()[0], s.Limit()); r.Score < 66 {
		t.Errorf("at its own limit %v the default scores %.2f, want at least 66", s.Limit(), r.Score)
	}
}

// TestSKAB learns from the first 400 rows of each experiment, as the leaderboard does.
func TestSKAB(t *testing.T) {
	rows := lines(t, "skab.csv.gz")
	var s Scorer
	var hit, wrong, missed float64
	x := make([]float64, 8)
	n := 0
	for i, r := range rows {
		if strings.HasPrefix(r[0], "anomaly-free") {
			continue
		}
		if i == 0 || rows[i-1][0] != r[0] {
			n = 0
			var err error
			if s, err = New("pca", map[string]string{"train": "400"}, Schema{Columns: make([]string, 8), Timed: true}); err != nil {
				t.Fatal(err)
			}
		}
		for j := range x {
			x[j] = cell(t, r[2+j])
		}
		raised := s.Update(x, int64(i)) >= s.Limit()
		if n++; n <= 400 {
			continue
		}
		switch {
		case raised && r[10] == "1":
			hit++
		case raised:
			wrong++
		case r[10] == "1":
			missed++
		}
	}
	f1 := hit / (hit + (wrong+missed)/2)
	t.Logf("F1 %.3f", f1)
	if f1 < 0.76 {
		t.Errorf("F1 %.3f, want at least 0.76", f1)
	}
}

// TestADBench compares the forest that learned from all rows with scikit-learn's, whose mean over
// these tables is 0.800.
func TestADBench(t *testing.T) {
	tables := []string{"shuttle", "cardio", "smtp", "pageblocks", "mammography", "annthyroid", "campaign", "optdigits", "yeast"}
	mean := 0.0
	for _, table := range tables {
		rows := lines(t, "adbench", table+".csv.gz")
		d := len(rows[0]) - 1
		s, err := New("isolation-forest", map[string]string{"train": strconv.Itoa(len(rows))}, Schema{Columns: make([]string, d)})
		if err != nil {
			t.Fatal(err)
		}
		all := make([][]float64, len(rows))
		var y, scores []float64
		for i, r := range rows {
			for _, c := range r {
				all[i] = append(all[i], cell(t, c))
			}
			y = append(y, all[i][d])
			s.Update(all[i][:d], int64(i))
		}
		for i := range all {
			scores = append(scores, s.Update(all[i][:d], int64(i)))
		}
		mean += metric.AUC(y, scores, nil) / float64(len(tables))
	}
	t.Logf("mean AUROC %.4f", mean)
	if mean < 0.795 {
		t.Errorf("mean AUROC %.4f, want at least 0.795", mean)
	}
}

// TestNothingFromTheFuture: the scores of a series do not change with what comes after it.
func TestNothingFromTheFuture(t *testing.T) {
	rows := lines(t, "nab.csv.gz")
	at := slices.IndexFunc(rows, func(r []string) bool { return strings.HasSuffix(r[0], "nyc_taxi.csv") })
	short, long := []float64{}, []float64{}
	for _, n := range []int{3000, 4000} {
		s, err := New("seasonal", nil, Schema{Columns: []string{"value"}, Timed: true})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range rows[at : at+n] {
			v := cell(t, r[2])
			if i >= 3000 {
				v = 1e6
			}
			score := s.Update([]float64{v}, int64(i)*30*minute)
			if n == 3000 {
				short = append(short, score)
			} else {
				long = append(long, score)
			}
		}
	}
	if !slices.Equal(short, long[:3000]) {
		t.Error("scores changed with rows that came later")
	}
}
