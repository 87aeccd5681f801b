package lake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"skerry.dev/hub/blob"
)

const (
	// readAhead is how many rows of a file are decoded at once.
	readAhead = 1024
	// readBuffer is how much of a column is fetched at once.
	readBuffer = 64 << 10
	// groupRows is how many rows a file has in one row group: what a reader can skip, and what a
	// writer holds in memory.
	groupRows = 128 << 10
)

// stream yields the rows of one file in the order in which they are stored, by (device, run ordinal,
// sequence number). It opens the file at the first row. Rows in memory are a stream as well.
type stream[T any] struct {
	blobs *blob.Store
	path  string // "" for rows in memory
	// wanted reports whether a row group may hold rows that are asked for. nil: every one.
	wanted func(bounds) bool

	obj    *blob.Object
	groups []parquet.RowGroup // not begun yet
	reader *parquet.GenericReader[T]
	rows   []T // read ahead
	pos    int
}

// peek returns the next row without passing it, nil at the end. The row is valid until the next
// call of peek after advance.
func (s *stream[T]) peek(ctx context.Context) (*T, error) {
	for s.pos >= len(s.rows) {
		if s.path == "" {
			return nil, nil
		}
		if more, err := s.more(ctx); !more {
			return nil, err
		}
	}
	return &s.rows[s.pos], nil
}

// advance passes the row that peek returned.
func (s *stream[T]) advance() { s.pos++ }

// more decodes the next rows and reports whether there are any.
func (s *stream[T]) more(ctx context.Context) (bool, error) {
	if s.obj == nil {
		obj, err := s.blobs.Open(ctx, s.path)
		if err != nil {
			return false, err
		}
		f, err := parquet.OpenFile(obj, obj.Size, parquet.ReadBufferSize(readBuffer), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
		if err != nil {
			return false, fmt.Errorf("open %s: %w", s.path, err)
		}
		s.obj = obj
		for _, g := range f.RowGroups() {
			if s.wanted == nil || s.wanted(boundsOf(g)) {
				s.groups = append(s.groups, g)
			}
		}
		s.rows = make([]T, 0, readAhead)
	}
	for {
		if s.reader == nil {
			if len(s.groups) == 0 {
				return false, nil
			}
			s.reader, s.groups = parquet.NewGenericRowGroupReader[T](s.groups[0]), s.groups[1:]
		}
		n, err := s.reader.Read(s.rows[:readAhead])
		s.rows, s.pos = s.rows[:n], 0
		if n > 0 {
			return true, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return false, fmt.Errorf("read %s: %w", s.path, err)
		}
		_ = s.reader.Close() // read only
		s.reader = nil
	}
}

func (s *stream[T]) close() {
	if s.reader != nil {
		_ = s.reader.Close() // read only
		s.reader = nil
	}
	if s.obj != nil {
		_ = s.obj.Close() // read only
		s.obj = nil
	}
	s.path, s.rows, s.groups = "", nil, nil
}

// span is the smallest and largest value of a column. Without ok nothing is known of it.
type span[V cmp.Ordered] struct {
	min, max V
	ok       bool
}

// bounds are what a row group's statistics tell.
type bounds struct {
	device             span[string]
	ordinal, seq, time span[int64]
}

func boundsOf(g parquet.RowGroup) bounds {
	var b bounds
	for i, c := range g.ColumnChunks() {
		chunk, ok := c.(*parquet.FileColumnChunk)
		if !ok {
			continue
		}
		min, max, ok := chunk.Bounds()
		if !ok {
			continue
		}
		switch g.Schema().Columns()[i][0] {
		case "device":
			b.device = span[string]{string(min.ByteArray()), string(max.ByteArray()), true}
		case "run_ordinal":
			b.ordinal = span[int64]{min.Int64(), max.Int64(), true}
		case "seq":
			b.seq = span[int64]{min.Int64(), max.Int64(), true}
		case "time", "row_time":
			b.time = span[int64]{min.Int64(), max.Int64(), true}
		}
	}
	return b
}

// may reports whether a row group may have rows of a device with times in [from, to] behind a key.
func (b bounds) may(device string, from, to int64, after Key) bool {
	switch {
	case b.device.ok && (device < b.device.min || device > b.device.max):
		return false
	case b.time.ok && (b.time.max < from || b.time.min > to):
		return false
	case b.ordinal.ok && b.ordinal.max < after.Ordinal:
		return false
	case b.ordinal.ok && b.ordinal.max == after.Ordinal && b.seq.ok && b.seq.max <= after.Seq:
		return false
	}
	return true
}
