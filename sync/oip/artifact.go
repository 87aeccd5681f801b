package oip

import (
	"context"
	"fmt"
	"math"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
)

// FromArtifact serves an artifact. The request carries rows in event-time order: tensor "rows" of
// FP64 [n, inputs], missing = null, and "time" of INT64 [n], microseconds. The answer has one
// value per row in "prediction" (in the target's unit), "lower" and "upper"; each row is
// predicted from itself and the rows before it, as on a device that has seen nothing else. Of a
// classification "prediction" is the number of the most probable class, and "probabilities" [n,
// classes] has every class's.
func FromArtifact(name, version string, a *artifact.Artifact) Model {
	return &artifactModel{name: name, version: version, a: a}
}

type artifactModel struct {
	name, version string
	a             *artifact.Artifact
}

// Metadata implements Model.
func (m *artifactModel) Metadata() ModelMetadata {
	md := ModelMetadata{
		Name:     m.name,
		Platform: "skerry_" + m.a.Manifest.Learner,
		Inputs: []TensorMetadata{
			{Name: "rows", Datatype: "FP64", Shape: []int64{-1, int64(len(m.a.Manifest.Inputs))}},
			{Name: "time", Datatype: "INT64", Shape: []int64{-1}},
		},
		Outputs: []TensorMetadata{
			{Name: "prediction", Datatype: "FP64", Shape: []int64{-1}},
			{Name: "lower", Datatype: "FP64", Shape: []int64{-1}},
			{Name: "upper", Datatype: "FP64", Shape: []int64{-1}},
		},
	}
	if k := len(m.a.Manifest.Output.Classes); k > 0 {
		md.Outputs = append(md.Outputs, TensorMetadata{Name: probabilities, Datatype: "FP64", Shape: []int64{-1, int64(k)}})
	}
	if m.version != "" {
		md.Versions = []string{m.version}
	}
	return md
}

// Infer implements Model.
func (m *artifactModel) Infer(ctx context.Context, r *InferRequest) (*InferResponse, error) {
	rows, times, err := m.tensors(r)
	if err != nil {
		return nil, err
	}
	runner, err := artifact.NewRunner(m.a)
	if err != nil {
		return nil, err
	}
	width := len(m.a.Manifest.Inputs)
	h := feature.NewHistory(width, max(m.a.Pipeline.Rows, 1))
	n := len(times)
	out := [3][]float64{make([]float64, n), make([]float64, n), make([]float64, n)}
	var classes []float64
	for i, t := range times {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		row := rows[i*width : (i+1)*width]
		h.Push(int64(t), row)
		p, lo, hi, err := runner.Predict(h, 0)
		if err != nil {
			return nil, err
		}
		base := 0.0
		if m.a.Manifest.Kind == artifact.KindForecast {
			base = row[m.a.Manifest.Output.Input]
		}
		classes = append(classes, runner.Classes()...)
		out[0][i], out[1][i], out[2][i] = base+p, base+lo, base+hi
	}
	resp := &InferResponse{ModelName: m.name, ModelVersion: m.version, ID: r.ID}
	for k, name := range []string{"prediction", "lower", "upper"} {
		if len(r.Outputs) == 0 || wants(r.Outputs, name) {
			resp.Outputs = append(resp.Outputs, Tensor{
				Name:     name,
				Datatype: "FP64",
				Shape:    []int64{int64(n)},
				Floats:   out[k],
			})
		}
	}
	if k := len(runner.Classes()); k > 0 && (len(r.Outputs) == 0 || wants(r.Outputs, probabilities)) {
		resp.Outputs = append(resp.Outputs, Tensor{
			Name:     probabilities,
			Datatype: "FP64",
			Shape:    []int64{int64(n), int64(k)},
			Floats:   classes,
		})
	}
	return resp, nil
}

// probabilities names the output of a classification.
const probabilities = "probabilities"

func wants(outputs []RequestedOutput, name string) bool {
	for _, o := range outputs {
		if o.Name == name {
			return true
		}
	}
	return false
}

func (m *artifactModel) tensors(r *InferRequest) (rows, times []float64, err error) {
	width := int64(len(m.a.Manifest.Inputs))
	for i := range r.Inputs {
		t := &r.Inputs[i]
		switch {
		case t.Name == "rows" && (t.Datatype == "FP64" || t.Datatype == "FP32") && len(t.Shape) == 2 && t.Shape[1] == width:
			rows = t.Floats
		case t.Name == "time" && t.Datatype == "INT64" && len(t.Shape) == 1:
			times = t.Floats
		default:
			return nil, nil, fmt.Errorf("%w: tensor %q of %s %v: want \"rows\" of FP64 [n, %d] and \"time\" of INT64 [n]", ErrInput, t.Name, t.Datatype, t.Shape, width)
		}
	}
	if rows == nil || times == nil || int64(len(rows)) != int64(len(times))*width {
		return nil, nil, fmt.Errorf("%w: want \"rows\" of FP64 [n, %d] and \"time\" of INT64 [n] for the same n", ErrInput, width)
	}
	for i := 1; i < len(times); i++ {
		if times[i] < times[i-1] {
			return nil, nil, fmt.Errorf("%w: time goes back at row %d", ErrInput, i)
		}
	}
	for i, v := range rows {
		if math.IsInf(v, 0) {
			return nil, nil, fmt.Errorf("%w: row %d holds an infinite value", ErrInput, i/int(width))
		}
	}
	return rows, times, nil
}
