// Package streams reads the public streams that learners are compared on and plays them
// prequentially, for tests and benchmarks.
package streams

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"skerry.dev/compute/online"
	"skerry.dev/compute/tabular"
)

// Stream holds the rows of a file in its order.
type Stream struct {
	Schema online.Schema
	X      [][]float64
	Class  []int     // for classes
	Y      []float64 // for numbers
}

// Read reads a table, see compute/tabular, whose column target is what is learned: classes in the
// order in which they come up, or a number when regression is set. Columns in without are left
// out; a value that is no number is missing.
func Read(r io.Reader, target string, regression bool, without ...string) (*Stream, error) {
	t, err := tabular.Open(r, tabular.Options{})
	if err != nil {
		return nil, fmt.Errorf("read stream: %w", err)
	}
	s, names := &Stream{}, tabular.Names(t.Fields())
	at := slices.Index(names, target)
	if at < 0 {
		return nil, fmt.Errorf("read stream: no column %q", target)
	}
	var inputs []int
	for i, name := range names {
		if i != at && !slices.Contains(without, name) {
			inputs = append(inputs, i)
			s.Schema.Inputs = append(s.Schema.Inputs, online.Input{Name: name})
		}
	}
	classes := map[string]int{}
	for n := 1; ; n++ {
		cells, err := t.Next()
		if errors.Is(err, io.EOF) {
			s.Schema.Classes = len(classes)
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read stream: %w", err)
		}
		row := make([]float64, len(inputs))
		for j, i := range inputs {
			if row[j], err = cells[i].Number(); err != nil {
				row[j] = math.NaN()
			}
		}
		s.X = append(s.X, row)
		if regression {
			y, err := cells[at].Number()
			if err != nil {
				return nil, fmt.Errorf("read stream: row %d: %w", n, err)
			}
			s.Y = append(s.Y, y)
			continue
		}
		name := strings.Clone(cells[at].String())
		c, known := classes[name]
		if !known {
			c = len(classes)
			classes[name] = c
		}
		s.Class = append(s.Class, c)
	}
}

// Accuracy plays a stream to a classifier, which predicts each row before it learns it, and
// returns the share of rows that it got right.
func (s *Stream) Accuracy(c online.Classifier) float64 {
	p, right := make([]float64, s.Schema.Classes), 0
	for i, x := range s.X {
		c.Classify(p, x)
		best := 0
		for k, v := range p {
			if v > p[best] {
				best = k
			}
		}
		if best == s.Class[i] {
			right++
		}
		c.Learn(x, s.Class[i], 1)
	}
	return float64(right) / float64(len(s.X))
}

// Part returns the rows from first to before last, which it shares.
func (s *Stream) Part(first, last int) *Stream {
	p := &Stream{Schema: s.Schema, X: s.X[first:last]}
	if s.Class != nil {
		p.Class = s.Class[first:last]
	}
	if s.Y != nil {
		p.Y = s.Y[first:last]
	}
	return p
}

// Error is Accuracy for numbers: the mean absolute error.
func (s *Stream) Error(r online.Regressor) float64 {
	var sum float64
	for i, x := range s.X {
		sum += math.Abs(r.Predict(x) - s.Y[i])
		r.Learn(x, s.Y[i], 1)
	}
	return sum / float64(len(s.X))
}
