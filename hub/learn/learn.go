// Package learn goes from a task and what its devices have measured to a challenger and the verdict
// about it. It decides nothing: what to do with the challenger is the caller's part.
//
// Training rows are built by the same engine that runs on the devices, from the readings in the
// order the devices accepted them: what a model is trained on is what it will be shown. The
// challenger is trained on all rows, and judged at rolling origins on rows newer than what was
// learned there, see selection.Retrain.
//
// The package is pure: it imports no store and no bus, reads through the functions of its [Input]
// and writes nothing.
package learn

import (
	"context"
	"iter"

	"skerry.dev/compute/artifact"
	"skerry.dev/hub/selection"
	"skerry.dev/sync/spec"
)

// Input is what to learn from.
type Input struct {
	Task    *spec.Task
	Devices []string // those that run the task
	Source  Source
	// Module returns the code of a module that features name.
	Module func(ctx context.Context, name string) ([]byte, error)
	// Published yields what a device published, in any order; nil where nobody knows.
	Published func(ctx context.Context, device string) iter.Seq2[Published, error]
	// Champion is the artifact in force, nil when there is none, and Digest its name. It must fit the
	// task, see [Fits].
	Champion *artifact.Artifact
	Digest   string
	// Lineage are the ids that the artifact is made from.
	Lineage []string
	// Search describes how much effort to spend; its Progress is called by Run as well.
	Search selection.Options
	// Begun is called with the number of rows before the search and Found with what it found
	// before that is judged, for reports of progress.
	Begun func(rows int)
	Found func(*selection.Result)
}

// Published is what a device published for a row: the value or, of a classification, the probability
// that it gave the truth.
type Published struct {
	Row   int64 // event time, microseconds
	Value float64
}

// Output is the challenger and the verdict about it.
type Output struct {
	Rows       int // that the problem has, labelled or not
	Challenger *selection.Result
	Verdict    selection.Verdict
}

// Fits returns selection.ErrOtherProblem, and in what, where an artifact does not fit a task: its file
// has other inputs, classes or another horizon now.
func Fits(t *spec.Task, a *artifact.Artifact) error {
	p := shape(t)
	return p.Fits(a)
}

// Compare judges a challenger that was learned before against the champion. Of the input it uses
// neither Search nor its reports.
func Compare(ctx context.Context, in Input, challenger *artifact.Artifact) (selection.Verdict, error) {
	p, err := problem(ctx, &in)
	if err != nil {
		return selection.Verdict{}, err
	}
	return selection.Judge(ctx, p, in.Champion, challenger)
}

// Run learns a challenger and judges it against the champion. The same input and a number of trials
// in Search give the same artifact and verdict; see selection.Retrain.
func Run(ctx context.Context, in Input) (Output, error) {
	var out Output
	p, err := problem(ctx, &in)
	if err != nil {
		return out, err
	}
	p.Seed = 1
	p.Lineage, p.Champion = in.Lineage, in.Digest
	for i := range p.Devices {
		out.Rows += len(p.Devices[i].Times)
	}
	in.Begun(out.Rows)
	if out.Challenger, out.Verdict, err = selection.Retrain(ctx, p, in.Search, in.Champion); err != nil {
		return out, err
	}
	in.Found(out.Challenger)
	return out, nil
}
