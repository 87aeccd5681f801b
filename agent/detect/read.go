package detect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"skerry.dev/compute/tabular"
)

// each reads columns of a file, all of them when none is named, which begin receives before the
// first row. The cells are valid during the visit.
func (f *DriftOptions) each(ctx context.Context, r io.Reader, columns []string, begin func(columns []string), visit func(row, line int, at string, cells []tabular.Cell) error) error {
	t, err := tabular.Open(r, f.Table)
	if err != nil {
		return err
	}
	names := tabular.Names(t.Fields())
	if len(columns) == 0 {
		columns = names
	}
	begin(columns)
	places, err := tabular.Match(names, columns)
	if err != nil {
		return err
	}
	if i := slices.Index(places, -1); i >= 0 {
		return tabular.NoColumn(names, columns[i])
	}
	at := tabular.FindTime(names)
	if f.Time != "" {
		if at, err = tabular.Find(names, f.Time); err != nil {
			return err
		}
		if at < 0 {
			return tabular.NoColumn(names, f.Time)
		}
	}
	key, only, filtered := strings.Cut(f.Where, "=")
	filter := slices.Index(names, key)
	if f.Where != "" && (!filtered || filter < 0) {
		return fmt.Errorf("--where %q: must be column=value with one of the columns %s", f.Where, strings.Join(names, ", "))
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
		if err := ctx.Err(); err != nil {
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
