package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// parseSettings reads what --set was given.
func parseSettings(given []string) (map[string]string, error) {
	settings := map[string]string{}
	for _, s := range given {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("--set %q: must be key=value", s)
		}
		settings[strings.TrimSpace(k)] = v
	}
	return settings, nil
}

// parseCell reads a number, NaN for a cell without one.
func parseCell(cell string) (float64, error) {
	if cell = strings.TrimSpace(cell); cell == "" || cell == "NA" || strings.EqualFold(cell, "nan") {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a finite number", cell)
	}
	return v, nil
}

// each reads columns of a file, all of them when none is named, which visit is told of by a first
// call with row -1 and their names.
func (f *driftFlags) each(cmd *cobra.Command, path string, columns []string, visit func(row, line int, at string, cells []string) error) error {
	in, err := openData(cmd, path)
	if err != nil {
		return err
	}
	defer in.Close()
	r, err := unpack(in)
	if err != nil {
		return err
	}
	cr := csv.NewReader(r)
	cr.ReuseRecord = true
	header, err := cr.Read()
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	header = slices.Clone(header)
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	if len(columns) == 0 {
		columns = header
		if err := visit(-1, 1, "", header); err != nil {
			return err
		}
	}
	places := make([]int, len(columns))
	for i, c := range columns {
		if places[i] = slices.Index(header, c); places[i] < 0 {
			return fmt.Errorf("no column %q: there are %s", c, strings.Join(header, ", "))
		}
	}
	at := slices.IndexFunc(header, func(h string) bool {
		return f.timeColumn != "" && h == f.timeColumn || f.timeColumn == "" && slices.Contains(timeNames, strings.ToLower(h))
	})
	if f.timeColumn != "" && at < 0 {
		return fmt.Errorf("no column %q: there are %s", f.timeColumn, strings.Join(header, ", "))
	}
	key, only, filtered := strings.Cut(f.where, "=")
	filter := slices.Index(header, key)
	if f.where != "" && (!filtered || filter < 0) {
		return fmt.Errorf("--where %q: must be column=value with one of the columns %s", f.where, strings.Join(header, ", "))
	}
	cells := make([]string, len(columns))
	for row := 0; ; {
		rec, err := cr.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		if filtered && rec[filter] != only {
			continue
		}
		for i, p := range places {
			cells[i] = rec[p]
		}
		when := ""
		if at >= 0 {
			when = rec[at]
		}
		line, _ := cr.FieldPos(0)
		if err := visit(row, line, when, cells); err != nil {
			return err
		}
		row++
	}
}
