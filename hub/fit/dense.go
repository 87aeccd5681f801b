package fit

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/encode"
	"skerry.dev/compute/linear/linearfit"
	"skerry.dev/compute/neural"
	"skerry.dev/compute/neural/neuralfit"
)

func init() {
	trainers["linear"] = fitLinear
	trainers["neural"] = fitNeural
}

// table lays the data out row by row, as encode takes them.
func (w *work) table(balanced bool) encode.Data {
	width := len(w.cols)
	d := encode.Data{
		Table:  encode.Table{X: make([]float64, width*len(w.y)), Cols: width, Levels: make([]int, width)},
		Y:      w.y,
		Weight: w.w,
		Train:  w.rows,
	}
	for j, c := range w.cols {
		in := w.shape.inputs[j]
		d.Names, d.Levels[j] = append(d.Names, in.Name), len(in.Categories)
		for i, v := range c {
			d.X[i*width+j] = v
		}
	}
	if balanced {
		y := make([]float64, len(w.rows))
		var given []float64
		for k, i := range w.rows {
			y[k] = w.y[i]
			if w.w != nil {
				given = append(given, w.w[i])
			}
		}
		d.Weight = make([]float64, len(w.y))
		for k, v := range encode.Balanced(y, given) {
			d.Weight[w.rows[k]] = v
		}
	}
	return d
}

// fitLinear trains ridge regression or penalised logistic and softmax regression; with alpha a
// quantile.
func fitLinear(ctx context.Context, w *work) (*trained, error) {
	p := linearfit.Params{Threads: w.threads}
	balanced := false
	if err := w.set.apply("linear", []setting{
		{"alpha", &p.Alpha, "predict this quantile instead of the mean"}, {"l1", &p.L1, "penalty on absolute weights"}, {"l2", &p.L2, "penalty on squared weights; default: chosen by cross-validation"},
		{"mix", &p.Mix, "share of the chosen penalty that is l1; default 0"}, {"iterations", &p.Iterations, "at most"}, {"balanced", &balanced, "true or false: all classes weigh the same"},
	}); err != nil {
		return nil, err
	}
	switch classes := len(w.shape.classes); {
	case w.shape.kind != artifact.KindClassification && p.Alpha != 0:
		p.Objective = linearfit.Quantile
	case w.shape.kind != artifact.KindClassification:
		p.Objective = linearfit.Squared
	case classes == 2:
		p.Objective = linearfit.Logistic
	default:
		p.Objective, p.Classes = linearfit.Softmax, classes
	}
	m, err := linearfit.Fit(ctx, w.table(balanced && len(w.shape.classes) > 0), p)
	if err != nil {
		return nil, err
	}
	params := map[string]string{"l1": strconv.FormatFloat(m.L1, 'g', 6, 64), "l2": strconv.FormatFloat(m.L2, 'g', 6, 64)}
	maps.Copy(params, w.set)
	return &trained{model: m.Model, columns: m.Encoder.Columns, params: params}, nil
}

// fitNeural trains a multilayer perceptron.
func fitNeural(ctx context.Context, w *work) (*trained, error) {
	p := neuralfit.Params{Seed: w.seed, Threads: w.threads}
	objective, hidden, activation, norm, quantise, balanced := "", "", "", "", "", false
	if err := w.set.apply("neural", []setting{
		{"objective", &objective, "squared, absolute, huber or quantile"}, {"alpha", &p.Alpha, "quantile: which"}, {"hidden", &hidden, "widths of the hidden layers, for example 64x32"},
		{"activation", &activation, "relu or gelu"}, {"norm", &norm, "none, batch or layer"}, {"dropout", &p.Dropout, "0 to below 1"}, {"epochs", &p.Epochs, "at most"}, {"batch", &p.Batch, "rows of a step"},
		{"learning_rate", &p.LearningRate, ""}, {"weight_decay", &p.WeightDecay, ""}, {"patience", &p.Patience, "epochs without a better loss"}, {"clip", &p.Clip, "numbers are bent towards ±clip"},
		{"dim", &p.Dim, "numbers of an embedding"}, {"quantise", &quantise, "int8 or float16 weights"}, {"balanced", &balanced, "true or false: all classes weigh the same"},
	}); err != nil {
		return nil, err
	}
	if hidden != "" {
		for s := range strings.SplitSeq(hidden, "x") {
			n, err := strconv.Atoi(s)
			if err != nil || n < 1 || n > neural.MaxWidth {
				return nil, fmt.Errorf("setting hidden=%q: must be widths of 1 to %d such as 64x32", hidden, neural.MaxWidth)
			}
			p.Hidden = append(p.Hidden, n)
		}
	}
	var err error
	if p.Activation, err = oneOf("activation", activation, map[string]neural.Activation{"": p.Activation, "relu": neural.ReLU, "gelu": neural.GELU}); err != nil {
		return nil, err
	}
	if p.Norm, err = oneOf("norm", norm, map[string]neuralfit.Norm{"": p.Norm, "none": neuralfit.NoNorm, "batch": neuralfit.BatchNorm, "layer": neuralfit.LayerNorm}); err != nil {
		return nil, err
	}
	switch classes := len(w.shape.classes); {
	case w.shape.kind != artifact.KindClassification:
		p.Objective = neuralfit.Objective(objective)
	case objective != "":
		return nil, fmt.Errorf("setting objective=%q: a classification has log loss", objective)
	case classes == 2:
		p.Objective = neuralfit.Logistic
	default:
		p.Objective, p.Classes = neuralfit.Softmax, classes
	}
	epochs := 0
	p.Progress = func(_ int, loss float64) bool {
		epochs++
		w.report("training, epoch", epochs, 0, loss)
		return true
	}
	m, err := neuralfit.Fit(ctx, w.table(balanced && len(w.shape.classes) > 0), p)
	if err != nil {
		return nil, err
	}
	net := m.Network
	if quantise != "" {
		kind, err := oneOf("quantise", quantise, map[string]neural.Precision{"int8": neural.Int8, "float16": neural.Float16})
		if err != nil {
			return nil, err
		}
		if net, err = net.Quantise(kind, m.Low, m.High); err != nil {
			return nil, err
		}
	}
	params := map[string]string{"epochs": strconv.Itoa(m.Epochs)}
	if b := net.ErrorBound(); b > 0 && !math.IsInf(b, 0) {
		params["error_bound"] = strconv.FormatFloat(b, 'g', 6, 64)
	}
	maps.Copy(params, w.set)
	return &trained{model: net, columns: m.Encoder.Columns, params: params}, nil
}

// oneOf looks a setting's value up.
func oneOf[T any](name, v string, known map[string]T) (T, error) {
	if t, ok := known[v]; ok {
		return t, nil
	}
	var names []string
	for k := range known {
		if k != "" {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	var none T
	return none, fmt.Errorf("setting %s=%q: must be %s", name, v, strings.Join(names, " or "))
}
