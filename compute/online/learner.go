// Package online learns from one labelled row at a time, on the device.
//
// It has the contract of online learners, what they share (moments that forget, rows turned into
// columns, the newest labels as inputs) and the simple ones: naive Bayes, nearest neighbours,
// linear models and correctors of another model's predictions. Trees are in hoeffding and
// mondrian; learner makes them all by name, and committee lets them predict together.
package online

import (
	"fmt"

	"skerry.dev/compute/state"
)

// Schema describes the rows of a stream.
type Schema struct {
	Inputs  []Input
	Classes int // of the target, 0 for a number
}

// Input is one column of a row.
type Input struct {
	Name       string
	Categories int // the values are codes 0 to Categories-1; 0 for numbers
}

// Limits of a schema.
const (
	MaxInputs  = 4096
	MaxClasses = 256

	MaxCategories = 1024
)

// Check reports why a learner of classes, or else of numbers, cannot work on the schema; nil when
// it can.
func (s *Schema) Check(classes bool) error {
	switch {
	case len(s.Inputs) == 0 || len(s.Inputs) > MaxInputs:
		return fmt.Errorf("online: %d inputs, must be 1 to %d", len(s.Inputs), MaxInputs)
	case classes && (s.Classes < 2 || s.Classes > MaxClasses):
		return fmt.Errorf("online: %d classes, must be 2 to %d", s.Classes, MaxClasses)
	case !classes && s.Classes != 0:
		return fmt.Errorf("online: %d classes for a learner of numbers, must be 0", s.Classes)
	}
	for i, in := range s.Inputs {
		if in.Categories < 0 || in.Categories > MaxCategories {
			return fmt.Errorf("online: input %d %q has %d categories, must be 0 (a number) to %d", i, in.Name, in.Categories, MaxCategories)
		}
	}
	return nil
}

// Learner is what classifiers and regressors have in common.
//
// Rows are in the order of Schema.Inputs; a value that is NaN or infinite is missing, and so is a
// category that is no code of its input. A row is never kept nor changed. A learner never
// diverges: whatever rows it is given, its predictions are finite, and after bad rows it recovers
// as fast as its memory is short. In the steady state neither predicting nor learning allocates.
// The same rows, options and seed give the same bits, on every architecture. A learner is not
// safe for concurrent use.
type Learner interface {
	// Bytes returns about how much memory the state takes. Learners that grow keep it below the
	// budget that their options name.
	Bytes() int
	// Save and Load carry the state over a restart, bit for bit, into a learner made with the
	// same schema and options.
	Save(w *state.Writer)
	Load(r *state.Reader)
}

// Classifier learns to distinguish classes.
type Classifier interface {
	Learner
	// Classify writes the probability of each class to p, whose length is Schema.Classes: no less
	// than 0, with sum 1, all equal before anything was learned.
	Classify(p, x []float64)
	// Learn takes the class of a row, 0 to Classes-1; another number is ignored. weight is how
	// often the row counts; one that is not positive and finite is ignored with its row.
	Learn(x []float64, class int, weight float64)
}

// Regressor learns a number.
type Regressor interface {
	Learner
	// Predict returns the expected target, 0 before anything was learned.
	Predict(x []float64) float64
	// Learn takes the target of a row; a NaN or an infinity is ignored. weight is as for a
	// Classifier.
	Learn(x []float64, y, weight float64)
}
