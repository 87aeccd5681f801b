// Package streams reads the public streams that learners are compared on and plays them
// prequentially, for tests and benchmarks.
package streams

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"

	"skerry.dev/compute/online"
)

// Stream holds the rows of a file in its order.
type Stream struct {
	Schema online.Schema
	X      [][]float64
	Class  []int     // for classes
	Y      []float64 // for numbers
}

// Read reads a compressed table with a header, whose column target is what is learned: classes in
// the order in which they come up, or a number when regression is set. Columns in without are
// left out; a value that is no number is missing.
func Read(r io.Reader, target string, regression bool, without ...string) (*Stream, error) {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("read stream: %w", err)
	}
	lines, err := csv.NewReader(zr).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read stream: %w", err)
	}
	skip := map[string]bool{target: true}
	for _, name := range without {
		skip[name] = true
	}
	s, at := &Stream{}, -1
	for i, name := range lines[0] {
		if name == target {
			at = i
		}
		if !skip[name] {
			s.Schema.Inputs = append(s.Schema.Inputs, online.Input{Name: name})
		}
	}
	if at < 0 {
		return nil, fmt.Errorf("read stream: no column %q", target)
	}
	classes := map[string]int{}
	for n, line := range lines[1:] {
		row := make([]float64, 0, len(s.Schema.Inputs))
		for i, cell := range line {
			if skip[lines[0][i]] {
				continue
			}
			v, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				v = math.NaN()
			}
			row = append(row, v)
		}
		s.X = append(s.X, row)
		if regression {
			y, err := strconv.ParseFloat(line[at], 64)
			if err != nil {
				return nil, fmt.Errorf("read stream: row %d: %q is no number", n+1, line[at])
			}
			s.Y = append(s.Y, y)
			continue
		}
		c, known := classes[line[at]]
		if !known {
			c = len(classes)
			classes[line[at]] = c
		}
		s.Class = append(s.Class, c)
	}
	s.Schema.Classes = len(classes)
	return s, nil
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
