// Package dataset opens data files as tables, whatever their format, by the one reader of
// compute/tabular, with Parquet.
package dataset

import (
	"context"
	"fmt"
	"os"
	"slices"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
	_ "skerry.dev/sync/parquet" // a hub reads it
)

// Read reads a file until ctx ends. Errors name it. Rows without the time that is asked for, such
// as a line of sums at the end, are left out with a note where they are fewer than half; more are
// an error.
func Read(ctx context.Context, path string, o tabular.Options) (*frame.Frame, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	defer f.Close()
	t, err := tabular.Read(&file{f, ctx}, o)
	if err != nil {
		return nil, fmt.Errorf("read data %s: %w", path, err)
	}
	if err := timed(t, &o); err != nil {
		return nil, fmt.Errorf("read data %s: %w", path, err)
	}
	return t, nil
}

// file is a file that cannot be read any longer when ctx ends: a large table takes minutes, and
// whoever interrupts the program does not wait for them. Its methods are those that a table is read
// by, of the whole and of parts.
type file struct {
	*os.File
	ctx context.Context
}

// Read implements io.Reader.
func (f *file) Read(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, at int64) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, at)
}

// timed leaves out the rows that have no time.
func timed(t *frame.Frame, o *tabular.Options) error {
	if o.Time == "" {
		return nil
	}
	c, err := tabular.Column(t, o.Time)
	if err != nil {
		return err
	}
	times, err := tabular.Times(c)
	if err != nil {
		return err
	}
	none := 0
	for _, us := range times {
		if us == frame.NoTime {
			none++
		}
	}
	switch {
	case none == 0:
		return nil
	case 2*none >= t.Rows:
		return fmt.Errorf("column %q has no time in %d of %d rows, the first is row %d: name another column by --time, or the form of its times by --time-format", c.Name, none, t.Rows, slices.Index(times, frame.NoTime)+1)
	}
	if o.Note != nil {
		o.Note(fmt.Sprintf("%d of %d rows have no time in column %q and are left out: the first is row %d", none, t.Rows, c.Name, slices.Index(times, frame.NoTime)+1))
	}
	t.Keep(func(row int) bool { return times[row] != frame.NoTime })
	return nil
}
