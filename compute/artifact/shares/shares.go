// Package shares explains single predictions of artifacts: what each of the pipeline's features
// contributes to the score of the model, by exact Shapley values of trees (package treeshap). The
// agent publishes the largest, and the hub shows all.
package shares

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/treeshap"
)

// ErrNone is wrapped by errors about artifacts that have no shares.
var ErrNone = errors.New("no shares of features")

// Explainer explains the point model of one artifact. It keeps scratch: each goroutine needs its own.
type Explainer struct {
	trees   *treeshap.Trees
	names   []string
	classes []string
	phi     []float64
}

// Share is what a feature contributes.
type Share struct {
	Feature string
	Value   float64 // of the feature, as the model sees it; NaN when missing
	Share   float64
}

// Shares are those of one row. Expected and the shares of all features add up to Score.
type Shares struct {
	Class           string  // whose score they are of, of a classification
	Expected, Score float64 // of the training rows, and of the row: before the link
	Features        []Share // the largest first
}

// New prepares the explanation of an artifact. It returns an error that wraps ErrNone when its point
// model is no ensemble of trees, or one that does not hold how many training rows came to each node.
func New(a *artifact.Artifact) (*Explainer, error) {
	m := a.Models[artifact.Point]
	e, ok := m.(*ensemble.Ensemble)
	if !ok {
		return nil, fmt.Errorf("%w: the model is of kind %s, no ensemble of trees", ErrNone, artifact.ModelKind(m))
	}
	t, err := treeshap.New(e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return &Explainer{
		trees:   t,
		names:   a.Pipeline.Names(),
		classes: a.Manifest.Output.Classes,
		phi:     make([]float64, t.Inputs()*t.Outputs()),
	}, nil
}

// Of explains the row whose features, in the pipeline's order, a Runner has computed; class is the
// one to explain where the model scores each of several. It costs the number of leaves times the
// square of the depth: some 0.2 ms for a hundred trees of 31 leaves.
func (x *Explainer) Of(features []float64, class string) (Shares, error) {
	if err := x.trees.Into(x.phi, features); err != nil {
		return Shares{}, err
	}
	s, output := Shares{}, 0
	switch {
	case len(x.classes) == 0:
	case x.trees.Outputs() == 1:
		s.Class = x.classes[len(x.classes)-1]
	default:
		output = max(slices.Index(x.classes, class), 0)
		s.Class = x.classes[output]
	}
	s.Expected = x.trees.Expected()[output]
	s.Score = s.Expected
	width := x.trees.Inputs()
	s.Features = make([]Share, width)
	for j, v := range x.phi[output*width : (output+1)*width] {
		s.Score += v
		s.Features[j] = Share{x.names[j], features[j], v}
	}
	slices.SortStableFunc(s.Features, func(a, b Share) int { return cmp.Compare(math.Abs(b.Share), math.Abs(a.Share)) })
	return s, nil
}
