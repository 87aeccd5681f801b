// Package dataset opens data files as tables, whatever their format: CSV (also packed with gzip)
// and Parquet, told apart by their first bytes.
package dataset

import (
	"fmt"
	"io"
	"os"

	"skerry.dev/compute/frame"
)

// Read reads a file. Options apply to both formats where they can; a Parquet file says itself
// which types its columns have. Errors name the file.
func Read(path string, o frame.Options) (*frame.Frame, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read data: %w", err)
	}
	defer f.Close()
	t, err := read(f, o)
	if err != nil {
		return nil, fmt.Errorf("read data %s: %w", path, err)
	}
	return t, nil
}

func read(f *os.File, o frame.Options) (*frame.Frame, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(f, head); err == nil && string(head) == parquetMagic {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		return ReadParquet(f, info.Size(), o)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return frame.ReadCSV(f, o)
}
