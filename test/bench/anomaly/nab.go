package main

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// series is one of the corpus: times in microseconds, values, and the labelled windows as their
// first and last rows.
type series struct {
	name    string
	times   []int64
	values  []float64
	windows [][2]int
}

// loadNAB reads the corpus in its order.
func loadNAB(dir string) ([]series, error) {
	b, err := os.ReadFile(filepath.Join(dir, "anomaly", "nab_windows.json"))
	if err != nil {
		return nil, err
	}
	var limits map[string][][2]string
	if err := json.Unmarshal(b, &limits); err != nil {
		return nil, fmt.Errorf("nab_windows.json: %w", err)
	}
	var corpus []series
	err = eachLine(filepath.Join(dir, "anomaly", "nab.csv.gz"), func(rec []string) error {
		if len(corpus) == 0 || corpus[len(corpus)-1].name != rec[0] {
			corpus = append(corpus, series{name: rec[0]})
		}
		s := &corpus[len(corpus)-1]
		at, err := time.Parse(time.DateTime, rec[1])
		if err != nil {
			return err
		}
		v, err := strconv.ParseFloat(rec[2], 64)
		s.times, s.values = append(s.times, at.UnixMicro()), append(s.values, v)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range corpus {
		s := &corpus[i]
		for _, l := range limits[s.name] {
			w := [2]int{-1, -1}
			for end, text := range l {
				at, err := time.Parse("2006-01-02 15:04:05.000000", text)
				if err != nil {
					return nil, err
				}
				for k, t := range s.times {
					if t == at.UnixMicro() {
						w[end] = k
						break
					}
				}
			}
			if w[0] < 0 || w[1] < w[0] {
				return nil, fmt.Errorf("%s: no rows at the ends of the window %v", s.name, l)
			}
			s.windows = append(s.windows, w)
		}
	}
	return corpus, nil
}

// eachLine visits the lines of a compressed table after its header.
func eachLine(path string, visit func(rec []string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	r := csv.NewReader(z)
	r.ReuseRecord = true
	for n := 0; ; n++ {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n > 0 {
			err = visit(rec)
		}
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n+1, err)
		}
	}
}
