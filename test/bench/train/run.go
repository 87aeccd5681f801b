package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"time"

	"skerry.dev/compute/binned"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/gbdt"
	"skerry.dev/compute/metric"
	"skerry.dev/compute/tabular"
	"skerry.dev/hub/fit"
)

// layout is what shape.json holds.
type layout struct {
	Columns     int   `json:"columns"`
	Categorical []int `json:"categorical"`
}

// once trains on a prepared table and prints the result.
func once(dir string, threads int, profile string) error {
	if threads < 1 {
		return errors.New("--one needs one number of threads")
	}
	var s layout
	b, err := os.ReadFile(filepath.Join(dir, "shape.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	train, err := read(dir, "train", s)
	if err != nil {
		return err
	}
	test, err := read(dir, "test", s)
	if err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	began := time.Now()
	m, err := binned.Fit(train.x, binned.MaxBins, threads)
	if err != nil {
		return err
	}
	x, err := m.Apply(train.x, threads)
	if err != nil {
		return err
	}
	bin := time.Now()
	train.x.Columns = nil // the values are not needed any more
	debug.FreeOSMemory()
	model, err := gbdt.Train(context.Background(), gbdt.Data{
		X: x,
		Y: train.y,
	}, gbdt.Params{
		Objective:        gbdt.Logistic,
		Rounds:           100,
		Leaves:           31,
		LearningRate:     0.1,
		L2:               1,
		OneHotCategories: 1,
		CategorySmooth:   1,
		CategoryL2:       0.1,
		CategoryGroup:    1,
		Threads:          threads,
	})
	if err != nil {
		return err
	}
	ended := time.Now()
	p, row := make([]float64, len(test.y)), make([]float64, s.Columns)
	for i := range p {
		for j := range row {
			row[j] = test.x.Columns[j].Values[i]
		}
		if err := model.Ensemble.PredictInto(p[i:i+1], row); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(result{"", bin.Sub(began).Seconds(), ended.Sub(bin).Seconds(), metric.AUC(test.y, p, nil), fit.PeakRSS()})
}

type table struct {
	x binned.Table
	y []float64
}

// read loads a table column by column.
func read(dir, name string, s layout) (t table, err error) {
	y, err := floats(filepath.Join(dir, name+".y"), 1)
	if err != nil {
		return t, err
	}
	x, err := floats(filepath.Join(dir, name+".x"), s.Columns)
	if err != nil {
		return t, err
	}
	t.y, t.x.Rows = y[0], len(y[0])
	for j, v := range x {
		t.x.Columns = append(t.x.Columns, binned.Column{
			Values:     v,
			Stride:     1,
			Categories: slices.Contains(s.Categorical, j),
		})
	}
	return t, nil
}

// floats reads rows of cols float32 numbers into columns.
func floats(path string, cols int) ([][]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	out := make([][]float64, cols)
	rows := int(info.Size()) / 4 / cols
	for j := range out {
		out[j] = make([]float64, rows)
	}
	buf := make([]byte, 4*cols*1024)
	for i := 0; i < rows; {
		n, err := io.ReadFull(f, buf)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		for at := 0; at+4*cols <= n; at += 4 * cols {
			for j := range out {
				out[j][i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(buf[at+4*j:])))
			}
			i++
		}
	}
	return out, nil
}

// prepare writes a table, unless it is there.
func prepare(dir, name, data string) error {
	if _, err := os.Stat(filepath.Join(dir, "shape.json")); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var s layout
	var err error
	switch name {
	case "higgs-200k":
		s, err = higgs(dir, 200_000)
	case "higgs-1m":
		s, err = higgs(dir, 1_000_000)
	case "adult-600k":
		s, err = adult(dir, data, 600_000)
	default:
		err = fmt.Errorf("must be higgs-200k, higgs-1m or adult-600k")
	}
	if err != nil {
		return err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "shape.json"), b, 0o644)
}

// higgs makes rows of 28 numbers, every third skewed, and two classes that depend on some twenty
// of them and their products.
func higgs(dir string, rows int) (layout, error) {
	const cols = 28
	rng := rand.New(rand.NewPCG(7, 28))
	generate := func(n int, middle float64) (x, y []float32, z []float64) {
		for range n {
			var r [cols]float64
			for j := range r {
				if r[j] = rng.NormFloat64(); j%3 == 0 {
					r[j] = math.Exp(0.7 * r[j])
				}
				x = append(x, float32(r[j]))
			}
			v := r[0]*r[1] - 0.7*r[2] + math.Sin(2*r[3]) + 0.4*r[6]*r[7] + 0.3*math.Abs(r[9])*r[10] - 0.3*r[12] + 0.2*r[13]*r[14]
			if r[4] > 0.3 {
				v += 0.5 * r[5]
			}
			if r[21] > 0 {
				v -= 0.25 * r[20]
			}
			z = append(z, v)
			if v+0.8*rng.NormFloat64() > middle {
				y = append(y, 1)
			} else {
				y = append(y, 0)
			}
		}
		return x, y, z
	}
	_, _, z := generate(20_000, 0)
	slices.Sort(z)
	middle := z[len(z)/2]
	for name, n := range map[string]int{"train": rows, "test": 50_000} {
		rng = rand.New(rand.NewPCG(7, uint64(n)))
		x, y, _ := generate(n, middle)
		if err := write(dir, name, x, y); err != nil {
			return layout{}, err
		}
	}
	return layout{Columns: cols}, nil
}

// adult repeats the training rows of the census table.
func adult(dir, data string, rows int) (layout, error) {
	f, err := os.Open(filepath.Join(data, "tabular", "adult.csv.gz"))
	if err != nil {
		return layout{}, fmt.Errorf("needs the public data sets: give their folder with --data: %w", err)
	}
	defer f.Close()
	t, err := tabular.Read(f, tabular.Options{})
	if err != nil {
		return layout{}, err
	}
	var s layout
	var x, y [2][]float32
	var cols []*frame.Column
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Name != "split" && c.Name != "income" {
			if c.Type == frame.Category {
				s.Categorical = append(s.Categorical, len(cols))
			}
			cols = append(cols, c)
		}
	}
	s.Columns = len(cols)
	split, err := t.Column("split")
	if err != nil {
		return s, err
	}
	income, err := t.Column("income")
	if err != nil {
		return s, err
	}
	for i := range t.Rows {
		k := int(split.Values[i]) // train comes first
		for _, c := range cols {
			x[k] = append(x[k], float32(c.Values[i]))
		}
		y[k] = append(y[k], float32(income.Values[i]))
	}
	n := len(y[0])
	for i := n; i < rows; i++ {
		x[0], y[0] = append(x[0], x[0][(i%n)*s.Columns:(i%n+1)*s.Columns]...), append(y[0], y[0][i%n])
	}
	if err := write(dir, "train", x[0], y[0]); err != nil {
		return s, err
	}
	return s, write(dir, "test", x[1], y[1])
}

func write(dir, name string, x, y []float32) error {
	for ext, v := range map[string][]float32{".x": x, ".y": y} {
		b := make([]byte, 0, 4*len(v))
		for _, w := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(w))
		}
		if err := os.WriteFile(filepath.Join(dir, name+ext), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
