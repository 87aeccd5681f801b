package encode_test

import (
	"context"
	"encoding/csv"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/encode"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/linear/linearfit"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/neural/neuralfit"
	"skerry.dev/compute/tabular"
	"skerry.dev/test/realdata"
)

// table is a public data set with its rows split.
type table struct {
	name    string
	classes int // 0 for a regression
	data    encode.Data
	test    []int32
}

// load reads a table. own names the part of its column "split" to test on; without it the hash
// split of the data's README holds.
func load(t *testing.T, path, name, target string, classify bool, categories, drop []string) *table {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	types := map[string]frame.Type{}
	for _, c := range categories {
		types[c] = frame.Category
	}
	if classify {
		types[target] = frame.Category
	}
	f, err := tabular.Read(file, tabular.Options{Types: types})
	if err != nil {
		t.Fatal(err)
	}
	out := &table{name: name}
	var names []string
	for i := range f.Columns {
		if c := &f.Columns[i]; c.Name != target && !slices.Contains(drop, c.Name) {
			names, out.data.Levels = append(names, c.Name), append(out.data.Levels, len(c.Categories))
		}
	}
	out.data.Cols, out.data.Names = len(names), names
	if out.data.X, err = f.Matrix(names...); err != nil {
		t.Fatal(err)
	}
	y, err := f.Column(target)
	if err != nil {
		t.Fatal(err)
	}
	out.data.Y, out.classes = y.Values, len(y.Categories)
	_, own, byColumn := strings.Cut(name, "/")
	var split *frame.Column
	if byColumn {
		if split, err = f.Column("split"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range out.data.Y {
		test := (uint32(i)*2654435761>>16)%5 == 0
		if byColumn {
			part := split.Categories[int(split.Values[i])]
			if part != "train" && part != own {
				continue
			}
			test = part == own
		}
		if test {
			out.test = append(out.test, int32(i))
		} else {
			out.data.Train = append(out.data.Train, int32(i))
		}
	}
	return out
}

// loss is the log loss on the test rows, or the root mean squared error in deviations of the
// training target.
func (tb *table) loss(t *testing.T, e *encode.Encoder, m encode.Model) float64 {
	t.Helper()
	p, err := encode.NewPredictor(e, m)
	if err != nil {
		t.Fatal(err)
	}
	var y, said, train []float64
	dst := make([]float64, m.Outputs())
	for _, i := range tb.test {
		if err := p.PredictInto(dst, tb.data.X[int(i)*tb.data.Cols:(int(i)+1)*tb.data.Cols]); err != nil {
			t.Fatal(err)
		}
		y, said = append(y, tb.data.Y[i]), append(said, dst...)
	}
	if tb.classes > 0 {
		return metric.LogLoss(y, said, nil, m.Outputs())
	}
	mean := 0.0
	for _, i := range tb.data.Train {
		train = append(train, tb.data.Y[i])
		mean += tb.data.Y[i] / float64(len(tb.data.Train))
	}
	return metric.RMSE(y, said, nil) / metric.RMSE(train, slices.Repeat([]float64{mean}, len(train)), nil)
}

// few are the tables of a plain run. SKERRY_TABLES=all takes all of them, about ten minutes on
// one processor, and prints the table of docs/performance/neural.md.
var few = []string{"clf_vertebral3", "clf_ionosphere", "reg_auto_mpg"}

// TestAgainstScikitLearn holds that networks and linear models at their defaults are on average
// at least as good as scikit-learn's, whose figures are in testdata.
func TestAgainstScikitLearn(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("trains for a while: run without -short and -race")
	}
	every := os.Getenv("SKERRY_TABLES") == "all"
	theirs := map[string][2]float64{}
	for _, r := range records(t, "testdata/sklearn.csv") {
		lin, err := strconv.ParseFloat(r[1], 64)
		mlp, err2 := strconv.ParseFloat(r[2], 64)
		if err != nil || err2 != nil {
			t.Fatal(r)
		}
		theirs[r[0]] = [2]float64{lin, mlp}
	}
	var linRatio, mlpRatio, n float64
	run := func(name, file, target string, classify bool, categories, drop []string) {
		if !every && !slices.Contains(few, name) {
			return
		}
		tb := load(t, realdata.Path(t, file), name, target, classify, categories, drop)
		l, p := linearfit.Params{}, neuralfit.Params{}
		switch {
		case tb.classes > 2:
			l.Objective, l.Classes, p.Objective, p.Classes = linearfit.Softmax, tb.classes, neuralfit.Softmax, tb.classes
		case tb.classes > 0:
			l.Objective, p.Objective = linearfit.Logistic, neuralfit.Logistic
		}
		at := time.Now()
		lin, err := linearfit.Fit(context.Background(), tb.data, l)
		if err != nil {
			t.Fatal(err)
		}
		linTime := time.Since(at)
		at = time.Now()
		mlp, err := neuralfit.Fit(context.Background(), tb.data, p)
		if err != nil {
			t.Fatal(err)
		}
		mlpTime := time.Since(at)
		a, b := tb.loss(t, lin.Encoder, lin.Model), tb.loss(t, mlp.Encoder, mlp.Network)
		linRatio, mlpRatio, n = linRatio+a/theirs[name][0], mlpRatio+b/theirs[name][1], n+1
		t.Logf("| %s | %d | %.4g | %.4g | %.3f | %.1f s | %.4g | %.4g | %.3f | %.1f s |", name, len(tb.data.Train),
			theirs[name][0], a, a/theirs[name][0], linTime.Seconds(), theirs[name][1], b, b/theirs[name][1], mlpTime.Seconds())
	}
	for _, r := range records(t, realdata.Path(t, "tabular/meta/index.csv")) {
		var categories []string
		if r[6] != "" {
			categories = strings.Split(r[6], ";")
		}
		run(strings.TrimSuffix(r[0], ".csv.gz"), "tabular/meta/"+r[0], "target", r[1] == "clf", categories, nil)
	}
	run("adult", "tabular/adult.csv.gz", "income", true, nil, []string{"split"})
	run("adult/test", "tabular/adult.csv.gz", "income", true, nil, []string{"split"})
	for _, name := range []string{"occupancy", "occupancy/test1", "occupancy/test2"} {
		run(name, "tabular/occupancy.csv.gz", "Occupancy", true, nil, []string{"split", "date"})
	}
	run("ai4i2020", "pdm/ai4i2020.csv.gz", "Machine failure", true, nil, []string{"UID", "Product ID", "TWF", "HDF", "PWF", "OSF", "RNF"})
	run("bike_hour", "tabular/bike_sharing_hour.csv.gz", "cnt", false, []string{"season", "weathersit"}, []string{"instant", "dteday", "casual", "registered"})
	run("california", "tabular/california_housing.csv.gz", "median_house_value", false, nil, nil)
	run("ccpp", "tabular/ccpp.csv.gz", "PE", false, nil, nil)
	if linRatio, mlpRatio = linRatio/n, mlpRatio/n; linRatio > 1.02 || mlpRatio > 1 || math.IsNaN(linRatio+mlpRatio) {
		t.Errorf("losses are %.3f and %.3f times those of scikit-learn's linear models and networks, want at most 1", linRatio, mlpRatio)
	}
	t.Logf("mean ratios over %v tables: linear %.3f, network %.3f", n, linRatio, mlpRatio)
}

// records returns the lines of a CSV file after the first.
func records(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}
