package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/compute/tabular"
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

// numberOf reads a number, NaN for a cell without one.
func numberOf(c *tabular.Cell) (float64, error) {
	if c.Missing() {
		return math.NaN(), nil
	}
	v, err := c.Number()
	if err != nil || math.IsInf(v, 0) {
		return 0, fmt.Errorf("%q is not a finite number", c.String())
	}
	return v, nil
}

// each reads columns of a file, all of them when none is named, which begin is told of before the
// first row. The cells are valid during the visit.
func (f *driftFlags) each(cmd *cobra.Command, path string, columns []string, begin func(columns []string), visit func(row, line int, at string, cells []tabular.Cell) error) error {
	in, err := openData(cmd, path)
	if err != nil {
		return err
	}
	defer in.Close()
	t, err := tabular.Open(in, tabular.Options{})
	if err != nil {
		return err
	}
	names := tabular.Names(t.Fields())
	if len(columns) == 0 {
		columns = names
	}
	begin(columns)
	places := make([]int, len(columns))
	for i, c := range columns {
		if places[i] = tabular.Find(names, c); places[i] < 0 {
			return fmt.Errorf("no column %q: there are %s", c, strings.Join(names, ", "))
		}
	}
	at := tabular.FindTime(names)
	if f.timeColumn != "" {
		if at = tabular.Find(names, f.timeColumn); at < 0 {
			return fmt.Errorf("no column %q: there are %s", f.timeColumn, strings.Join(names, ", "))
		}
	}
	key, only, filtered := strings.Cut(f.where, "=")
	filter := slices.Index(names, key)
	if f.where != "" && (!filtered || filter < 0) {
		return fmt.Errorf("--where %q: must be column=value with one of the columns %s", f.where, strings.Join(names, ", "))
	}
	cells := make([]tabular.Cell, len(columns))
	for row := 0; ; {
		rec, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		if filtered && rec[filter].String() != only {
			continue
		}
		for i, p := range places {
			cells[i] = rec[p]
		}
		when := ""
		if at >= 0 {
			when = rec[at].String()
		}
		if err := visit(row, t.Line(), when, cells); err != nil {
			return err
		}
		row++
	}
}
