// Package parquet decodes Parquet files into the rows of [skerry.dev/compute/tabular]. A program
// that imports it reads Parquet wherever it reads tables.
//
// Numbers and booleans become numbers (those beyond 2^53 are rounded), dates and timestamps times,
// text categories; nulls are missing. Decimals are the nearest numbers. Columns that are nested or
// repeated, or hold something else, are left out with a note, as tables have no place for them; a
// file without any other is an error. Pages may be packed with zstd, snappy, gzip, brotli, LZ4 or
// not at all. Of every column the page being read is held, and no more; of columns packed with LZ4
// all pages.
package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

func init() {
	tabular.RegisterParquet(func(r io.ReaderAt, size int64, o tabular.Options) (tabular.Reader, error) {
		return Open(r, size, o)
	})
}

// Reader reads a file row by row; it is a tabular.Reader.
type Reader struct {
	fields  []tabular.Field
	columns []*column
	cells   []tabular.Cell
	row     int
	rows    int64
}

// batch is how many values of a column are decoded at once.
const batch = 1024

// Open begins to read a Parquet file of size bytes.
func Open(r io.ReaderAt, size int64, o tabular.Options) (t *Reader, err error) {
	defer damaged(&err)
	var end [8]byte // the footer's length, for which the library makes room unseen, and the mark
	if n, _ := r.ReadAt(end[:], max(size-int64(len(end)), 0)); n < len(end) || int64(binary.LittleEndian.Uint32(end[:])) > size-12 {
		return nil, fmt.Errorf("read parquet: damaged file: its footer is longer than it")
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("read parquet: %w", err)
	}
	if file, err = withoutLZ4(file, r, size); err != nil {
		return nil, fmt.Errorf("read parquet: %w", err)
	}
	t = &Reader{rows: file.NumRows()}
	left := func(name, why string) {
		if o.Note != nil {
			o.Note(fmt.Sprintf("column %q is left out: %s", name, why))
		}
	}
	for _, node := range file.Schema().Fields() {
		if !node.Leaf() || node.Repeated() {
			left(node.Name(), "it is nested or repeated, and a table has no place for that")
			continue
		}
		leaf, ok := file.Schema().Lookup(node.Name())
		if !ok {
			continue
		}
		if o.MaxColumns > 0 && len(t.fields) == o.MaxColumns {
			return nil, fmt.Errorf("read parquet: more than %d columns: %w", o.MaxColumns, tabular.ErrTooLarge)
		}
		c := &column{name: node.Name()}
		kind, err := c.choose(node)
		if err != nil {
			left(c.name, err.Error())
			continue
		}
		for _, g := range file.RowGroups() {
			c.chunks = append(c.chunks, g.ColumnChunks()[leaf.ColumnIndex])
		}
		t.fields = append(t.fields, tabular.Field{Name: c.name, Type: kind})
		t.columns = append(t.columns, c)
	}
	if len(t.fields) == 0 {
		return nil, errors.New("read parquet: no column of numbers, booleans, text, dates or timestamps that is neither nested nor repeated")
	}
	t.cells = make([]tabular.Cell, len(t.fields))
	return t, nil
}

// damaged turns a panic into an error: a damaged page may break an assumption of the decoder.
func damaged(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("read parquet: damaged file: %v", p)
	}
}

// Fields implements tabular.Reader.
func (t *Reader) Fields() []tabular.Field { return t.fields }

// Line implements tabular.Reader: the number of the newest row, from 1.
func (t *Reader) Line() int { return t.row }

// Next implements tabular.Reader.
func (t *Reader) Next() (cells []tabular.Cell, err error) {
	defer damaged(&err)
	if int64(t.row) == t.rows {
		return nil, io.EOF
	}
	for j, c := range t.columns {
		v, err := c.next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read parquet: column %q has %d of %d rows", c.name, t.row, t.rows)
		}
		if err != nil {
			return nil, fmt.Errorf("read parquet: column %q: %w", c.name, err)
		}
		t.cells[j] = tabular.Cell{}
		if v.IsNull() {
			continue
		}
		if t.cells[j], err = c.cell(v); err != nil {
			return nil, fmt.Errorf("read parquet: column %q: row %d: %w", c.name, t.row+1, err)
		}
	}
	t.row++
	return t.cells, nil
}

// column is what is being read of a column.
type column struct {
	name   string
	cell   func(parquet.Value) (tabular.Cell, error) // of a value that is not null
	chunks []parquet.ColumnChunk                     // not begun
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    [batch]parquet.Value
	have   []parquet.Value // of buf, not yet taken
	names  map[string]string
}

// next returns the next value, io.EOF behind the last.
func (c *column) next() (parquet.Value, error) {
	for len(c.have) == 0 {
		if err := c.fill(); err != nil {
			return parquet.Value{}, err
		}
	}
	v := c.have[0]
	c.have = c.have[1:]
	return v, nil
}

// fill reads on, as far as the next step of page or chunk.
func (c *column) fill() error {
	switch {
	case c.values != nil:
		n, err := c.values.ReadValues(c.buf[:])
		c.have = c.buf[:n]
		if errors.Is(err, io.EOF) {
			if c.values = nil; n == 0 {
				parquet.Release(c.page)
				c.page = nil
			}
			return nil
		}
		return err
	case c.pages != nil:
		if c.page != nil { // its last values have been taken
			parquet.Release(c.page)
			c.page = nil
		}
		page, err := c.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			err = c.pages.Close()
			c.pages = nil
			return err
		}
		if err != nil {
			return err
		}
		c.page, c.values = page, page.Values()
		return nil
	case len(c.chunks) > 0:
		c.pages, c.chunks = c.chunks[0].Pages(), c.chunks[1:]
		return nil
	}
	return io.EOF
}

// whole makes cells of whole numbers of 64 bits.
func whole[T int64 | uint64](of func(parquet.Value) T) func(parquet.Value) (tabular.Cell, error) {
	return func(v parquet.Value) (tabular.Cell, error) { return tabular.Whole(of(v)), nil }
}

// number makes cells of numbers.
func number(of func(parquet.Value) float64) func(parquet.Value) (tabular.Cell, error) {
	return func(v parquet.Value) (tabular.Cell, error) { return tabular.Number(of(v)), nil }
}

// instant makes cells of times that are written as a count of units since 1970. Between two
// microseconds a time is the earlier one, before 1970 as after it.
func instant(unit time.Duration, of func(parquet.Value) int64) func(parquet.Value) (tabular.Cell, error) {
	return func(v parquet.Value) (tabular.Cell, error) {
		n := of(v)
		if unit < time.Microsecond {
			per := int64(time.Microsecond / unit)
			us := n / per
			if n%per < 0 {
				us--
			}
			return tabular.Instant(us), nil
		}
		per := int64(unit / time.Microsecond)
		if us := n * per; us/per == n && us != frame.NoTime {
			return tabular.Instant(us), nil
		}
		return tabular.Cell{}, fmt.Errorf("the time %d × %s since 1970 lies outside what 64 bits of microseconds hold (about 292,000 years)", n, unit)
	}
}

// choose decides how values are read.
func (c *column) choose(n parquet.Node) (frame.Type, error) {
	t := n.Type()
	if l := t.LogicalType(); l != nil {
		switch l := l.Value.(type) {
		case *format.TimestampType:
			if l.Unit.Value == nil {
				return 0, errors.New("a timestamp without a unit")
			}
			c.cell = instant(l.Unit.Value.Duration(), func(v parquet.Value) int64 { return v.Int64() })
			return frame.Time, nil
		case *format.DateType:
			c.cell = instant(24*time.Hour, func(v parquet.Value) int64 { return int64(v.Int32()) })
			return frame.Time, nil
		case *format.IntType:
			if l.IsSigned {
				break
			}
			c.cell = whole(parquet.Value.Uint64)
			if t.Kind() == parquet.Int32 {
				c.cell = number(func(v parquet.Value) float64 { return float64(v.Uint32()) })
			}
			return frame.Number, nil
		case *format.DecimalType:
			scale := int(l.Scale)
			switch t.Kind() {
			case parquet.Int32:
				c.cell = number(func(v parquet.Value) float64 { return decimal(int64(v.Int32()), scale) })
			case parquet.Int64:
				c.cell = number(func(v parquet.Value) float64 { return decimal(v.Int64(), scale) })
			case parquet.FixedLenByteArray, parquet.ByteArray:
				c.cell = number(func(v parquet.Value) float64 { return bigDecimal(v.ByteArray(), scale) })
			default:
				return 0, fmt.Errorf("its decimals are %s", t)
			}
			return frame.Number, nil
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		c.cell = func(v parquet.Value) (tabular.Cell, error) { return tabular.Truth(v.Boolean()), nil }
	case parquet.Int32:
		c.cell = number(func(v parquet.Value) float64 { return float64(v.Int32()) })
	case parquet.Int64:
		c.cell = whole(parquet.Value.Int64)
	case parquet.Float:
		c.cell = number(func(v parquet.Value) float64 { return float64(v.Float()) })
	case parquet.Double:
		c.cell = number(func(v parquet.Value) float64 { return v.Double() })
	case parquet.ByteArray:
		c.names = map[string]string{}
		c.cell = c.text
		return frame.Category, nil
	case parquet.Int96:
		c.cell = func(v parquet.Value) (tabular.Cell, error) {
			n := v.Int96()
			return tabular.Instant(julian(n[0], n[1], n[2])), nil
		}
		return frame.Time, nil
	default:
		return 0, fmt.Errorf("its values are %s; numbers, booleans, text, dates and timestamps can be read", t)
	}
	return frame.Number, nil
}

// decimal returns v/10^scale, the nearest number to it.
func decimal(v int64, scale int) float64 {
	if v > -1<<53 && v < 1<<53 && scale <= 22 {
		return float64(v) / math.Pow10(scale) // both are exact
	}
	return bigDecimal(binary.BigEndian.AppendUint64(nil, uint64(v)), scale)
}

// bigDecimal is decimal of a big-endian two's complement.
func bigDecimal(b []byte, scale int) float64 {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	x, _ := strconv.ParseFloat(v.String()+"e"+strconv.Itoa(-scale), 64) // digits: what is too large is infinite
	return x
}

// julian returns the time of the old form of timestamps, INT96: nanoseconds of the day and its
// number, as Spark and Impala write them.
func julian(low, high, day uint32) int64 {
	const epoch = 2440588 // 1970-01-01
	ns := int64(high)<<32 | int64(low)
	return (int64(day)-epoch)*(24*time.Hour).Microseconds() + ns/1000
}

// maxNames bounds the texts of a column that are kept to be used again.
const maxNames = 1 << 16

// text makes a cell of a text, one string for the same bytes.
func (c *column) text(v parquet.Value) (tabular.Cell, error) {
	b := v.ByteArray()
	s, ok := c.names[string(b)]
	if !ok {
		if s = string(b); len(c.names) < maxNames {
			c.names[s] = s
		}
	}
	return tabular.Text(s), nil
}
