package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"skerry.dev/compute/online"
	"skerry.dev/compute/online/hoeffding/streams"
)

// generated is a stream in the manner of MOA's random tree generator: a tree of depth 5, whose
// splits are at random on random inputs and whose leaves are of a random class, labels inputs
// that are uniform in [0, 1).
func generated(rows, inputs int) *streams.Stream {
	rng := rand.New(rand.NewPCG(42, 1))
	const depth = 5
	var feature [1 << depth]int
	var threshold [1 << depth]float64
	var label [1 << depth]int
	for i := range feature {
		feature[i], threshold[i], label[i] = rng.IntN(inputs), 0.2+0.6*rng.Float64(), rng.IntN(2)
	}
	s := &streams.Stream{}
	s.Schema.Classes = 2
	for i := range inputs {
		s.Schema.Inputs = append(s.Schema.Inputs, online.Input{Name: fmt.Sprintf("x%d", i)})
	}
	for range rows {
		x := make([]float64, inputs)
		for j := range x {
			x[j] = rng.Float64()
		}
		at := 1
		for range depth {
			at *= 2
			if x[feature[at/2]] > threshold[at/2] {
				at++
			}
		}
		s.X, s.Class = append(s.X, x), append(s.Class, label[at-1<<depth])
	}
	return s
}

// peer is a program that plays the same rows to another library's learners.
type peer struct {
	name    string
	command []string // before the file, the number of inputs, the learner and the seconds
}

// speed times our learners and those of peers on the same rows.
func speed(rows, inputs int, peers []peer, patience int) error {
	runtime.GOMAXPROCS(1)
	s := generated(rows, inputs)
	file := ""
	if len(peers) > 0 {
		dir, err := os.MkdirTemp("", "skerry-bench-online")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		file = filepath.Join(dir, "rows.f64")
		if err := write(file, s); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d rows of %d inputs, test then train, one core\taccuracy\trows/s\tstate kB\tallocations a row, first half\tsecond half", rows, inputs)
	for _, p := range peers {
		fmt.Fprintf(w, "\t%s", p.name)
	}
	fmt.Fprintln(w)
	for _, l := range classifiers {
		c, err := l.make(s.Schema, 1)
		if err != nil {
			return err
		}
		var begin, half, end runtime.MemStats
		runtime.ReadMemStats(&begin)
		began := time.Now()
		first, second := s.Part(0, rows/2), s.Part(rows/2, rows)
		accuracy := first.Accuracy(c) / 2
		runtime.ReadMemStats(&half)
		accuracy += second.Accuracy(c) / 2
		took := time.Since(began)
		runtime.ReadMemStats(&end)
		fmt.Fprintf(w, "%s\t%.4f\t%.0f\t%d\t%.3f\t%.3f", l.name, accuracy, float64(rows)/took.Seconds(), c.Bytes()/1000, float64(half.Mallocs-begin.Mallocs)/float64(rows/2), float64(end.Mallocs-half.Mallocs)/float64(rows-rows/2))
		for _, p := range peers {
			out, err := exec.Command(p.command[0], slices.Concat(p.command[1:], []string{file, fmt.Sprint(inputs), l.peer, fmt.Sprint(patience)})...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("run %s of %s: %w: %s", l.peer, p.name, err, out)
			}
			fmt.Fprintf(w, "\t%s", strings.TrimSpace(string(out)))
		}
		fmt.Fprintln(w)
		w.Flush()
	}
	return nil
}

// write writes the inputs and then the class of each row as little-endian numbers.
func write(file string, s *streams.Stream) error {
	var b []byte
	for i, x := range s.X {
		for _, v := range x {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(s.Class[i])))
	}
	return os.WriteFile(file, b, 0o600)
}
