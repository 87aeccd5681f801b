// Package dataset opens data files as tables, whatever their format, by the one reader of
// compute/tabular, with Parquet.
package dataset

import (
	"fmt"
	"os"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
	_ "skerry.dev/sync/parquet" // a hub reads it
)

// Read reads a file. Errors name it.
func Read(path string, o tabular.Options) (*frame.Frame, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	defer f.Close()
	t, err := tabular.Read(f, o)
	if err != nil {
		return nil, fmt.Errorf("read data %s: %w", path, err)
	}
	return t, nil
}
