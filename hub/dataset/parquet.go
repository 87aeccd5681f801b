package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"skerry.dev/compute/frame"
)

const parquetMagic = "PAR1"

// batch is how many values are read at once.
const batch = 1024

// ReadParquet reads a Parquet file of size bytes. Numbers and booleans become numbers (those
// beyond 2^53 are rounded), dates and timestamps times, text categories; nulls are missing.
// Columns that are nested or repeated are left out, as tables have no place for them; a file
// without any other is an error. Only the page being read is held beside the table.
func ReadParquet(r io.ReaderAt, size int64, o frame.Options) (f *frame.Frame, err error) {
	defer func() { // a damaged page may break an assumption of the decoder
		if p := recover(); p != nil {
			f, err = nil, fmt.Errorf("read parquet: damaged file: %v", p)
		}
	}()
	maxCells, maxCategories := o.MaxCells, o.MaxCategories
	if maxCells == 0 {
		maxCells = 1 << 28
	}
	if maxCategories == 0 {
		maxCategories = 1 << 20
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("read parquet: %w", err)
	}
	rows := file.NumRows()
	f = &frame.Frame{Rows: int(rows)}
	for _, field := range file.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			continue
		}
		leaf, ok := file.Schema().Lookup(field.Name())
		if !ok {
			continue
		}
		if int64(len(f.Columns)+1)*rows > maxCells {
			return nil, fmt.Errorf("read parquet: column %q: more than %d cells (%d rows): %w", field.Name(), maxCells, rows, frame.ErrTooLarge)
		}
		c := column{Column: frame.Column{Name: field.Name()}, most: maxCategories}
		if err := c.choose(field); err != nil {
			return nil, fmt.Errorf("read parquet: column %q: %w", field.Name(), err)
		}
		if want, ok := o.Types[field.Name()]; ok && want != c.Type {
			return nil, fmt.Errorf("read parquet: column %q holds a %s, a %s is wanted", field.Name(), c.Type, want)
		}
		for _, g := range file.RowGroups() {
			if err := c.read(g.ColumnChunks()[leaf.ColumnIndex]); err != nil {
				return nil, fmt.Errorf("read parquet: column %q: %w", field.Name(), err)
			}
		}
		if c.Len() != f.Rows {
			return nil, fmt.Errorf("read parquet: column %q has %d of %d rows", field.Name(), c.Len(), f.Rows)
		}
		f.Columns = append(f.Columns, c.Column)
	}
	if len(f.Columns) == 0 {
		return nil, errors.New("read parquet: no column that is neither nested nor repeated")
	}
	return f, nil
}

// column is a frame's column while it is read.
type column struct {
	frame.Column
	number func(parquet.Value) float64
	time   func(parquet.Value) int64
	index  map[string]int
	most   int
}

// choose decides how values are read.
func (c *column) choose(n parquet.Node) error {
	t := n.Type()
	if l := t.LogicalType(); l != nil {
		switch l := l.Value.(type) {
		case *format.TimestampType:
			if l.Unit.Value == nil {
				return errors.New("a timestamp without a unit")
			}
			c.Type = frame.Time
			unit := l.Unit.Value.Duration()
			c.time = func(v parquet.Value) int64 {
				if unit >= time.Microsecond {
					return v.Int64() * int64(unit/time.Microsecond)
				}
				return v.Int64() / int64(time.Microsecond/unit)
			}
			return nil
		case *format.DateType:
			c.Type = frame.Time
			c.time = func(v parquet.Value) int64 { return int64(v.Int32()) * int64(24*time.Hour/time.Microsecond) }
			return nil
		case *format.DecimalType:
			scale := math.Pow10(int(l.Scale))
			switch t.Kind() {
			case parquet.Int32:
				c.number = func(v parquet.Value) float64 { return float64(v.Int32()) / scale }
				return nil
			case parquet.Int64:
				c.number = func(v parquet.Value) float64 { return float64(v.Int64()) / scale }
				return nil
			}
			return fmt.Errorf("decimals of %s: save them as double", t)
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		c.number = func(v parquet.Value) float64 {
			if v.Boolean() {
				return 1
			}
			return 0
		}
	case parquet.Int32:
		c.number = func(v parquet.Value) float64 { return float64(v.Int32()) }
	case parquet.Int64:
		c.number = func(v parquet.Value) float64 { return float64(v.Int64()) }
	case parquet.Float:
		c.number = func(v parquet.Value) float64 { return float64(v.Float()) }
	case parquet.Double:
		c.number = func(v parquet.Value) float64 { return v.Double() }
	case parquet.ByteArray:
		c.Type, c.index = frame.Category, map[string]int{}
	default:
		return fmt.Errorf("values of type %s: numbers, booleans, text, dates and timestamps can be read", t)
	}
	return nil
}

func (c *column) read(chunk parquet.ColumnChunk) error {
	pages := chunk.Pages()
	defer pages.Close()
	var buf [batch]parquet.Value
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		values := page.Values()
		for {
			n, err := values.ReadValues(buf[:])
			for _, v := range buf[:n] {
				if err := c.add(v); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
		parquet.Release(page)
	}
}

func (c *column) add(v parquet.Value) error {
	switch {
	case c.Type == frame.Time && v.IsNull():
		c.Times = append(c.Times, frame.NoTime)
	case c.Type == frame.Time:
		c.Times = append(c.Times, c.time(v))
	case v.IsNull():
		c.Values = append(c.Values, math.NaN())
	case c.Type == frame.Number:
		c.Values = append(c.Values, c.number(v))
	default:
		s := string(v.ByteArray())
		if s == "" {
			c.Values = append(c.Values, math.NaN()) // as in a CSV file
			return nil
		}
		k, ok := c.index[s]
		if !ok {
			if k = len(c.Categories); k >= c.most {
				return fmt.Errorf("more than %d categories: %w", c.most, frame.ErrTooLarge)
			}
			c.index[s], c.Categories = k, append(c.Categories, s)
		}
		c.Values = append(c.Values, float64(k))
	}
	return nil
}
