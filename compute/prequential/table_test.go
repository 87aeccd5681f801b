package prequential

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/drift"
	"skerry.dev/test/realdata"
)

// switching is a table of two classes whose rule turns over in the middle.
func switching(rows int) string {
	rng := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	b.WriteString("at,x,kind,unit,none,class\n")
	for i := range rows {
		x := rng.NormFloat64()
		up := x > 0 != (i >= rows/2)
		fmt.Fprintf(&b, "2024-01-%02dT%02d:00:00Z,%.4f,%s,one,,%s\n", 1+i/24%28, i%24, x, []string{"red", "blue"}[rng.IntN(2)], map[bool]string{true: "up", false: "down"}[up])
	}
	return b.String()
}

func prequentially(t *testing.T, text string, o TableOptions) *TableReport {
	t.Helper()
	o.Name = "test.csv"
	r, err := Table(context.Background(), strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPrequentialClasses(t *testing.T) {
	d := drift.NewADWIN()
	var last *TableRow
	r := prequentially(t, switching(2000), TableOptions{Target: "class", Time: "at", Learners: []string{"hoeffding-tree", "linear"}, Detector: d, Watching: "adwin", Seed: 1,
		Visit: func(r *TableRow) error { c := *r; last = &c; return nil }})
	if r.Rows != 2000 || r.Kind != "classification" || strings.Join(r.Classes, ",") != "down,up" || r.Learner != "hoeffding-tree,linear" {
		t.Errorf("report %+v", r)
	}
	if got := strings.Join(r.Dropped, "; "); got != "unit: one category only; none: no value" {
		t.Errorf("left out: %s", got)
	}
	if a := *r.Metrics.Accuracy; a < 0.75 || a > 0.99 {
		t.Errorf("accuracy %v", a)
	}
	if c, n := *r.Metrics.Coverage, *r.Metrics.SetSize; math.Abs(c-0.9) > 0.03 || n < 1 || n > 2 {
		t.Errorf("sets cover %v with %v classes", c, n)
	}
	if b := *r.Baselines["last"].Accuracy; math.Abs(b-0.5) > 0.05 {
		t.Errorf("the last class is right in %v of a random sequence", b)
	}
	if !slices.ContainsFunc(r.Drifts, func(row int) bool { return row > 1000 && row < 1150 }) {
		t.Errorf("drifts at %v, want one soon after 1000", r.Drifts)
	}
	if len(r.Experts) != 3 || r.Experts[2].Name != "last" {
		t.Errorf("experts %+v", r.Experts)
	}
	if last == nil || last.Row != 1999 || len(last.Classes) != 2 {
		t.Errorf("the last row visited is %+v", last)
	}
	var svg bytes.Buffer
	if err := r.WritePlot(&svg); err != nil || strings.Count(svg.String(), "<polyline") != 2 || !strings.Contains(svg.String(), "drift at row") {
		t.Errorf("plot: %v\n%.400s", err, svg.String())
	}
}

// TestPrequentialDelay holds that labels are used when they are known and not before: each value
// is that of the row before, so with labels one row late or more the last label is useless.
func TestPrequentialDelay(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var b strings.Builder
	b.WriteString("x,y\n")
	y := 0.0
	for range 1500 {
		y += rng.NormFloat64()
		fmt.Fprintf(&b, "%.3f,%.3f\n", rng.NormFloat64(), y)
	}
	want := 0.0
	for _, delay := range []int{0, 1, 10} {
		r := prequentially(t, b.String(), TableOptions{Target: "y", Learners: []string{"linear"}, Delay: delay})
		mae := *r.Baselines["last"].MAE
		expect := 0.8 * math.Sqrt(float64(delay+1)) // of a random walk
		if math.Abs(mae-expect) > 0.15*expect || mae < want {
			t.Errorf("delay %d: the last label is off by %.3f, want about %.3f", delay, mae, expect)
		}
		want = mae
		if r.Rows != 1500 {
			t.Errorf("delay %d: %d rows labelled", delay, r.Rows)
		}
	}
}

func TestPrequentialNumbers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var b strings.Builder
	b.WriteString("x,y\n")
	for i := range 3000 {
		x := rng.NormFloat64()
		scale := 1.0
		if i > 1500 {
			scale = 4
		}
		fmt.Fprintf(&b, "%.4f,%.4f\n", x, 3*x+scale*rng.NormFloat64())
	}
	r := prequentially(t, b.String(), TableOptions{Target: "y", Seed: 1})
	if c := *r.Metrics.Coverage; c < 0.885 || c > 0.915 {
		t.Errorf("coverage %v, want about 0.9", c)
	}
	if w := *r.Metrics.Worst; w < 0.8 {
		t.Errorf("worst coverage of 500 rows %v, want 0.8", w)
	}
	if own, mean := *r.Metrics.MAE, *r.Baselines["mean"].MAE; own > 0.8*mean {
		t.Errorf("MAE %v, that of the mean %v", own, mean)
	}
	again := prequentially(t, b.String(), TableOptions{Target: "y", Seed: 1})
	if *again.Metrics.RMSE != *r.Metrics.RMSE {
		t.Error("the same rows and seed give another error")
	}
}

func TestPrequentialRefuses(t *testing.T) {
	text := "a,b,t\n1,x,2024-01-01\n2,y,2024-01-02\n"
	for _, c := range []struct {
		o    TableOptions
		want string
	}{
		{TableOptions{Target: "c"}, `target: there is no column "c": there are a, b, t`},
		{TableOptions{Target: "t"}, "holds times"},
		{TableOptions{Target: "b", Kind: "regression"}, "a regression needs numbers"},
		{TableOptions{Target: "b", Kind: "ranking"}, "must be classification or regression"},
		{TableOptions{Target: "a", Drop: []string{"b"}}, "no column is left"},
		{TableOptions{Target: "a", Drop: []string{"z"}}, `drop: there is no column "z"`},
		{TableOptions{Target: "b", Time: "z"}, `time: there is no column "z"`},
		{TableOptions{Target: "b", Delay: -1}, "delay -1: must be 0 to"},
		{TableOptions{Target: "b", Learners: []string{"oracle"}}, "must be one of"},
		{TableOptions{Target: "b", Learners: []string{"auto", "knn"}}, "goes with no other learner"},
	} {
		c.o.Name = "test.csv"
		if _, err := Table(context.Background(), strings.NewReader(text), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

// TestAutoOnRealStreams holds the default learner to what river's best single models reach
// (docs/performance/online.md); the larger streams are in test/bench/online.
func TestAutoOnRealStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("plays real streams for a while: run without -short")
	}
	for _, c := range []struct {
		file, target  string
		accuracy, mae float64
	}{{"river_phishing", "is_phishing", 0.89, 0}, {"river_bananas", "target", 0.889, 0}, {"river_trump_approval", "five_thirty_eight", 0, 0.2}, {"river_chick_weights", "weight", 0, 23.11}} {
		f, err := os.Open(realdata.Path(t, "drift", c.file+".csv.gz"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := Table(context.Background(), f, TableOptions{Name: c.file, Target: c.target, Seed: 1})
		f.Close()
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.file, err)
		case c.mae == 0 && *r.Metrics.Accuracy < c.accuracy:
			t.Errorf("%s: accuracy %.4f, want %v", c.file, *r.Metrics.Accuracy, c.accuracy)
		case c.mae > 0 && *r.Metrics.MAE > c.mae:
			t.Errorf("%s: MAE %.4f, want %v", c.file, *r.Metrics.MAE, c.mae)
		}
	}
}
