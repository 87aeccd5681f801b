package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"text/tabwriter"
	"time"

	"gonum.org/v1/gonum/mat"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/frame"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/linear/linearfit"
	"skerry.dev/compute/tabular"
)

// The protocol of ETTh1: twelve, four and four months of thirty days of hours, each channel
// scaled with the mean and deviation of the first twelve, every hour of the last four an origin
// whose 96 hours lie in them.
const (
	ettTrain   = 12 * 30 * 24
	ettValid   = ettTrain + 4*30*24
	ettTest    = ettValid + 4*30*24
	ettHorizon = 96
	ettLags    = feature.MaxLookback - 1
	hourUS     = 3_600_000_000
)

// penalties are tried for each channel: the one with the least error on the validation months is
// taken.
var penalties = []float64{1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1}

// channel is one column of ETTh1.
type channel struct {
	name string
	z    []float64 // in deviations from the mean of the training months
	pipe *feature.Pipeline
	x    *mat.Dense // rows of the pipeline's columns; the first ettLags hours have none
}

func readETTh1(path string) ([]*channel, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := tabular.Read(f, tabular.Options{})
	if err != nil {
		return nil, err
	}
	var all []*channel
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Type == frame.Time {
			continue
		}
		if c.Type != frame.Number || c.Len() < ettTest || c.Missing() > 0 {
			return nil, fmt.Errorf("%s: column %q must have numbers in at least %d rows, all present", path, c.Name, ettTest)
		}
		ch := &channel{name: c.Name, z: make([]float64, ettTest)}
		mean, square := 0.0, 0.0
		for _, v := range c.Values[:ettTrain] {
			mean += v / ettTrain
		}
		for _, v := range c.Values[:ettTrain] {
			square += (v - mean) * (v - mean) / ettTrain
		}
		for i := range ch.z {
			ch.z[i] = (c.Values[i] - mean) / math.Sqrt(square)
		}
		all = append(all, ch)
	}
	if len(all) != 7 {
		return nil, fmt.Errorf("%s: %d columns of numbers, must be 7", path, len(all))
	}
	return all, nil
}

// features computes the pipeline an agent would run, row by row: the newest value less each of
// those before it.
func (c *channel) features() error {
	c.pipe = &feature.Pipeline{
		Inputs:    []feature.Input{{Name: c.name}},
		Tolerance: hourUS / 2,
		Rows:      feature.MaxLookback,
	}
	for lag := range ettLags {
		c.pipe.Columns = append(c.pipe.Columns, feature.Column{
			Name: fmt.Sprintf("%s less %d h ago", c.name, lag+1),
			Op:   feature.OpDiff,
			Lag:  int64(lag+1) * hourUS,
		})
	}
	e, err := feature.NewEvaluator(c.pipe)
	if err != nil {
		return err
	}
	h := feature.NewHistory(1, feature.MaxLookback)
	c.x = mat.NewDense(len(c.z), ettLags, nil)
	for i, z := range c.z {
		if h.Push(int64(i)*hourUS, []float64{z}); i >= ettLags {
			if err := e.Into(c.x.RawRowView(i), h); err != nil {
				return err
			}
		}
	}
	return nil
}

// targets are the changes from an origin to the hours after it, one row per origin.
func (c *channel) targets(from, to int) *mat.Dense {
	y := mat.NewDense(to-from, ettHorizon, nil)
	for i := range to - from {
		for k := range ettHorizon {
			y.Set(i, k, c.z[from+i+k+1]-c.z[from+i])
		}
	}
	return y
}

// fit solves ridge regressions for all horizons at once: they share the products of the columns,
// which linearfit would sum anew for each. The bias is free.
func (c *channel) fit() (m *linear.Model, penalty float64, err error) {
	from, to := ettLags, ettTrain-ettHorizon
	n := float64(to - from)
	x, y := mat.DenseCopyOf(c.x.Slice(from, to, 0, ettLags)), c.targets(from, to)
	xm, ym := center(x), center(y)
	var g mat.SymDense
	g.SymOuterK(1/n, x.T())
	var b mat.Dense
	b.Mul(x.T(), y)
	b.Scale(1/n, &b)
	best := math.Inf(1)
	for _, l2 := range penalties {
		a := mat.NewSymDense(ettLags, nil)
		a.CopySym(&g)
		for j := range ettLags {
			a.SetSym(j, j, a.At(j, j)+l2)
		}
		var chol mat.Cholesky
		if !chol.Factorize(a) {
			continue // the columns depend on each other; a larger penalty follows
		}
		var w mat.Dense
		if err := chol.SolveTo(&w, &b); err != nil {
			return nil, 0, err
		}
		bias, weights := make([]float64, ettHorizon), make([]float64, 0, ettHorizon*ettLags)
		for k := range ettHorizon {
			bias[k] = ym[k]
			for j := range ettLags {
				weights = append(weights, w.At(j, k))
				bias[k] -= w.At(j, k) * xm[j]
			}
		}
		try, err := linear.New(ettLags, ensemble.Identity, bias, weights)
		if err != nil {
			return nil, 0, err
		}
		if mse, _, err := c.score(try, ettTrain, ettValid); err != nil {
			return nil, 0, err
		} else if mse < best {
			best, m, penalty = mse, try, l2
		}
	}
	if m == nil {
		return nil, 0, errors.New("no penalty leaves the columns independent")
	}
	return m, penalty, nil
}

// center subtracts the means of the columns and returns them.
func center(x *mat.Dense) []float64 {
	rows, cols := x.Dims()
	mean := make([]float64, cols)
	for i := range rows {
		for j, v := range x.RawRowView(i) {
			mean[j] += v / float64(rows)
		}
	}
	for i := range rows {
		r := x.RawRowView(i)
		for j := range r {
			r[j] -= mean[j]
		}
	}
	return mean
}

// score returns the errors over the windows whose hours lie in [from, to): the mean over origins
// and hours. A nil model predicts no change.
func (c *channel) score(m *linear.Model, from, to int) (mse, mae float64, err error) {
	out, n := make([]float64, ettHorizon), 0.0
	for t := from - 1; t+ettHorizon < to; t++ {
		if m != nil {
			if err := m.PredictInto(out, c.x.RawRowView(t)); err != nil {
				return 0, 0, err
			}
		}
		for k, d := range out {
			e := c.z[t+k+1] - c.z[t] - d
			n++
			mse += e * e
			mae += math.Abs(e)
		}
	}
	return mse / n, mae / n, nil
}

func etth1(ctx context.Context, path string) error {
	began := time.Now()
	all, err := readETTh1(path)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "ETTh1, %d h ahead\tpenalty\tMSE\tMAE\tlast value: MSE\tMAE\n", ettHorizon)
	var sum [4]float64
	for _, c := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.features(); err != nil {
			return err
		}
		m, penalty, err := c.fit()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		mse, mae, err := c.score(m, ettValid, ettTest)
		if err != nil {
			return err
		}
		lastMSE, lastMAE, err := c.score(nil, ettValid, ettTest)
		if err != nil {
			return err
		}
		for k, v := range []float64{mse, mae, lastMSE, lastMAE} {
			sum[k] += v / float64(len(all))
		}
		fmt.Fprintf(w, "%s\t%g\t%.4f\t%.4f\t%.4f\t%.4f\n", c.name, penalty, mse, mae, lastMSE, lastMAE)
		if c == all[len(all)-1] {
			if err := c.shipped(ctx, m, penalty); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		c.x = nil // 29 MB
	}
	fmt.Fprintf(w, "all\t\t%.4f\t%.4f\t%.4f\t%.4f\n", sum[0], sum[1], sum[2], sum[3])
	fmt.Fprintf(w, "published: NLinear 0.374 / 0.394, DLinear 0.375 / 0.399, Autoformer 0.449 / 0.459; last value 1.294 / 0.713. %.0f s\n", time.Since(began).Seconds())
	return w.Flush()
}

// shipped holds the table to what an agent would run. For the longest horizon linearfit must find
// the weights that the shared products gave, and an artifact of pipeline and model, written,
// read, self-tested and fed value by value, must give the same bits.
func (c *channel) shipped(ctx context.Context, m *linear.Model, penalty float64) error {
	from, to, last := ettLags, ettTrain-ettHorizon, ettHorizon-1
	d := linearfit.Data{Cols: ettLags}
	for i := from; i < to; i++ {
		d.X, d.Y = append(d.X, c.x.RawRowView(i)...), append(d.Y, c.z[i+ettHorizon]-c.z[i])
	}
	same, err := linearfit.Train(ctx, d, linearfit.Params{L2: penalty})
	if err != nil {
		return err
	}
	for j, v := range same.Weights(0) {
		if math.Abs(v-m.Weights(last)[j]) > 1e-6 {
			return fmt.Errorf("weight %d is %v, linearfit finds %v", j, m.Weights(last)[j], v)
		}
	}
	one, err := linear.New(ettLags, ensemble.Identity, m.Bias()[last:], m.Weights(last))
	if err != nil {
		return err
	}
	a := &artifact.Artifact{
		Pipeline: c.pipe,
		Models:   map[artifact.Role]artifact.Predictor{artifact.Point: one},
		Manifest: artifact.Manifest{
			Task:      "etth1",
			Kind:      artifact.KindForecast,
			HorizonUS: ettHorizon * hourUS,
			Inputs:    c.pipe.Inputs,
			Output:    artifact.Output{Series: c.name},
			Learner:   "ridge",
			Rows:      int64(to - from),
		},
	}
	times := make([]int64, ettLags+2)
	for i := range times {
		times[i] = int64(ettTrain+i) * hourUS
	}
	if a.Vectors, err = artifact.MakeVectors(a, times, c.z[ettTrain:ettTrain+len(times)], 2); err != nil {
		return err
	}
	b, err := artifact.Encode(a)
	if err != nil {
		return err
	}
	if a, err = artifact.DecodeBytes(b); err != nil {
		return err
	}
	if err := a.SelfTest(); err != nil {
		return err
	}
	r, err := artifact.NewRunner(a)
	if err != nil {
		return err
	}
	h, out := feature.NewHistory(1, feature.MaxLookback), make([]float64, ettHorizon)
	for i, z := range c.z {
		if h.Push(int64(i)*hourUS, []float64{z}); i < ettValid-1 || i+ettHorizon >= ettTest {
			continue
		}
		got, _, _, err := r.Predict(h, 0)
		if err != nil {
			return err
		}
		if err := m.PredictInto(out, c.x.RawRowView(i)); err != nil {
			return err
		}
		if got != out[last] {
			return fmt.Errorf("hour %d: the artifact says %v, the table counts %v", i, got, out[last])
		}
	}
	return nil
}
