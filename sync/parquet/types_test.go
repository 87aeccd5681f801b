package parquet

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

// write encodes rows of any type.
func write[T any](t *testing.T, rows ...T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// numbers has a column of every type that becomes a number.
type numbers struct {
	I8   int8    `parquet:"i8"`
	I16  int16   `parquet:"i16"`
	I32  int32   `parquet:"i32"`
	I64  int64   `parquet:"i64"`
	U8   uint8   `parquet:"u8"`
	U16  uint16  `parquet:"u16"`
	U32  uint32  `parquet:"u32"`
	U64  uint64  `parquet:"u64"`
	F32  float32 `parquet:"f32"`
	F64  float64 `parquet:"f64"`
	Bool bool    `parquet:"bool"`
	Dec4 int32   `parquet:"dec4,decimal(2:9)"`
	Dec8 int64   `parquet:"dec8,decimal(4:18)"`
}

// TestNumbers reads the ends of every range as the numbers that were written.
func TestNumbers(t *testing.T) {
	file := write(t,
		numbers{math.MinInt8, math.MinInt16, math.MinInt32, math.MinInt64, 0, 0, 0, 0, -math.MaxFloat32, -math.MaxFloat64, false, -12345, -10001},
		numbers{math.MaxInt8, math.MaxInt16, math.MaxInt32, math.MaxInt64, math.MaxUint8, math.MaxUint16, math.MaxUint32, math.MaxUint64, math.MaxFloat32, math.SmallestNonzeroFloat64, true, 12345, 99999},
	)
	f, err := tabular.Read(bytes.NewReader(file), tabular.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]float64{
		"i8":   {math.MinInt8, math.MaxInt8},
		"i16":  {math.MinInt16, math.MaxInt16},
		"i32":  {math.MinInt32, math.MaxInt32},
		"i64":  {math.MinInt64, math.MaxInt64},
		"u8":   {0, math.MaxUint8},
		"u16":  {0, math.MaxUint16},
		"u32":  {0, math.MaxUint32},
		"u64":  {0, math.MaxUint64},
		"f32":  {-math.MaxFloat32, math.MaxFloat32},
		"f64":  {-math.MaxFloat64, math.SmallestNonzeroFloat64},
		"bool": {0, 1},
		"dec4": {-123.45, 123.45},
		"dec8": {-1.0001, 9.9999},
	} {
		c, err := f.Column(name)
		if err != nil {
			t.Fatal(err)
		}
		if c.Type != frame.Number || c.Values[0] != want[0] || c.Values[1] != want[1] {
			t.Errorf("column %s is a %s of %v, want numbers %v", name, c.Type, c.Values, want)
		}
	}
}

// TestTimes reads instants of every unit, before and after 1970.
func TestTimes(t *testing.T) {
	type instants struct {
		Milli time.Time `parquet:"milli,timestamp(millisecond)"`
		Micro time.Time `parquet:"micro,timestamp(microsecond)"`
		Nano  time.Time `parquet:"nano,timestamp(nanosecond)"`
		Date  int32     `parquet:"date,date"`
	}
	for _, at := range []time.Time{
		time.Date(2026, 12, 25, 13, 14, 15, 16_000_000, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 999_000_000, time.UTC),
		time.Unix(0, 0),
	} {
		days := int32(math.Floor(float64(at.Unix()) / 86400))
		f, err := tabular.Read(bytes.NewReader(write(t, instants{at, at, at, days})), tabular.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []int64{at.UnixMicro(), at.UnixMicro(), at.UnixMicro(), int64(days) * 86400e6} {
			if c := &f.Columns[i]; c.Type != frame.Time || c.Times[0] != want {
				t.Errorf("%s: column %s is a %s of %v, want the time %d", at, c.Name, c.Type, c.Times, want)
			}
		}
	}
}

// TestTimesBetweenMicroseconds: the order of times survives, on either side of 1970.
func TestTimesBetweenMicroseconds(t *testing.T) {
	type nano struct {
		T int64 `parquet:"t,timestamp(nanosecond)"`
	}
	times := []int64{math.MinInt64, -1001, -1000, -999, -1, 0, 1, 999, 1000, math.MaxInt64}
	want := []int64{-9223372036854776, -2, -1, -1, -1, 0, 0, 0, 1, 9223372036854775}
	var rows []nano
	for _, ns := range times {
		rows = append(rows, nano{ns})
	}
	f, err := tabular.Read(bytes.NewReader(write(t, rows...)), tabular.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range f.Columns[0].Times {
		if got != want[i] {
			t.Errorf("%d ns = %d µs, want %d", times[i], got, want[i])
		}
	}
}

// TestTimesBeyondMicroseconds: the last time that fits is read, the next one is refused with its
// column, row and value, never wrapped round to another century.
func TestTimesBeyondMicroseconds(t *testing.T) {
	type milli struct {
		T int64 `parquet:"t,timestamp(millisecond)"`
	}
	type micro struct {
		T int64 `parquet:"t,timestamp(microsecond)"`
	}
	type date struct {
		T int32 `parquet:"t,date"`
	}
	const (
		lastMilli = math.MaxInt64 / 1000
		lastDay   = math.MaxInt64 / 86_400_000_000
	)
	for name, tt := range map[string]struct {
		good, bad []byte
		want      int64 // of the good one
		value     string
	}{
		"milliseconds": {
			write(t, milli{lastMilli}), write(t, milli{0}, milli{lastMilli + 1}),
			lastMilli * 1000, "9223372036854776 × 1ms",
		},
		"milliseconds before 1970": {
			write(t, milli{-lastMilli}), write(t, milli{0}, milli{-lastMilli - 1}),
			-lastMilli * 1000, "-9223372036854776 × 1ms",
		},
		"microseconds that mean missing": {
			write(t, micro{math.MinInt64 + 1}), write(t, micro{0}, micro{math.MinInt64}),
			math.MinInt64 + 1, "-9223372036854775808 × 1µs",
		},
		"days": {
			write(t, date{lastDay}), write(t, date{0}, date{lastDay + 1}),
			lastDay * 86_400_000_000, "106751992 × 24h0m0s",
		},
	} {
		f, err := tabular.Read(bytes.NewReader(tt.good), tabular.Options{})
		if err != nil || f.Columns[0].Times[0] != tt.want {
			t.Errorf("%s: the last time that fits = %+v, %v, want %d", name, f, err, tt.want)
		}
		_, err = tabular.Read(bytes.NewReader(tt.bad), tabular.Options{})
		if err == nil || !strings.Contains(err.Error(), `column "t": row 2: the time `+tt.value) {
			t.Errorf("%s: one beyond = %v, want column, row and %q", name, err, tt.value)
		}
	}
}

// TestTypesThatAreLeftOut reads a table without the columns that it has no place for, by name.
func TestTypesThatAreLeftOut(t *testing.T) {
	type mixed struct {
		X    float64  `parquet:"x"`
		ID   [16]byte `parquet:"id,uuid"`
		Tags []string `parquet:"tags,list"`
	}
	notes := ""
	f, err := tabular.Read(bytes.NewReader(write(t, mixed{X: 2})), tabular.Options{Note: func(s string) { notes += s + "\n" }})
	if err != nil || len(f.Columns) != 1 || f.Columns[0].Values[0] != 2 {
		t.Errorf("Read = %+v, %v, want x alone", f, err)
	}
	for _, want := range []string{`column "id" is left out: its values are`, `column "tags" is left out: it is nested`} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes %q, want %q", notes, want)
		}
	}
}

// TestTypesThatAreRefused names the column and what can be read.
func TestTypesThatAreRefused(t *testing.T) {
	type nested struct {
		Tags []string          `parquet:"tags,list"`
		In   struct{ A int32 } `parquet:"in"`
	}
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"nothing but nested values": {write(t, nested{}), "no column of numbers, booleans, text, dates or timestamps"},
		"a file that is only begun": {[]byte("PAR1"), "read parquet"},
		"a footer of nothing":       {[]byte("PAR1\x00\x00\x00\x00PAR1"), "read parquet"},
		"a footer of four GB":       {[]byte("PAR1\xff\xff\xff\xffPAR1"), "read parquet"},
	} {
		if _, err := tabular.Read(bytes.NewReader(tt.file), tabular.Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Read = %v, want %q", name, err, tt.want)
		}
	}
}

// TestMissing: a null is missing in every type, and so are a NaN and an empty text.
func TestMissing(t *testing.T) {
	type optional struct {
		N *int64     `parquet:"n,optional"`
		F *float64   `parquet:"f,optional"`
		S *string    `parquet:"s,optional"`
		B *bool      `parquet:"b,optional"`
		T *time.Time `parquet:"t,optional,timestamp(millisecond)"`
	}
	n, nan, s, yes, at := int64(7), math.NaN(), "a", true, time.Unix(5, 0)
	f, err := tabular.Read(bytes.NewReader(write(t, optional{}, optional{&n, &nan, &s, &yes, &at}, optional{})), tabular.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2, 3, 2, 2, 2} {
		if c := &f.Columns[i]; c.Len() != 3 || c.Missing() != want {
			t.Errorf("column %s: %d of %d are missing, want %d of 3", c.Name, c.Missing(), c.Len(), want)
		}
	}
	f, err = tabular.Read(bytes.NewReader(write[optional](t)), tabular.Options{})
	if err != nil || f.Rows != 0 || len(f.Columns) != 5 {
		t.Errorf("a file without rows = %+v, %v, want its columns", f, err)
	}
}

// TestLongWholeNumbers holds that whole numbers whose digits a float64 does not keep are said, and
// stay apart as text.
func TestLongWholeNumbers(t *testing.T) {
	type row struct {
		ID   int64  `parquet:"id"`
		Hash uint64 `parquet:"hash"`
		N    int64  `parquet:"n"`
		F    float64
	}
	file := write(t, row{9007199254740992, math.MaxUint64, 1<<53 - 1, 1e20}, row{9007199254740993, math.MaxUint64 - 1, -5, 1})
	var notes []string
	o := tabular.Options{Note: func(s string) { notes = append(notes, s) }}
	f, err := tabular.Read(bytes.NewReader(file), o)
	if err != nil || f.Columns[0].Values[1] != 1<<53 {
		t.Fatalf("%+v, %v", f, err)
	}
	want := []string{`column "id": 2 of 2 cells are whole numbers beyond 2^53`, `column "hash": 2 of 2 cells are`}
	if len(notes) != len(want) || !strings.HasPrefix(notes[0], want[0]) || !strings.HasPrefix(notes[1], want[1]) || !strings.Contains(notes[0], "9007199254740992") {
		t.Errorf("notes %q, want %q", notes, want)
	}
	o.Text, notes = []string{"id", "hash"}, nil
	if f, err = tabular.Read(bytes.NewReader(file), o); err != nil || len(notes) != 0 {
		t.Fatalf("as text: %v, notes %q", err, notes)
	}
	if got, want := f.Columns[0].Categories, []string{"9007199254740992", "9007199254740993"}; !slices.Equal(got, want) {
		t.Errorf("id as text has %q, want %q", got, want)
	}
	if got := f.Columns[1].Categories; len(got) != 2 || got[0] != "18446744073709551615" {
		t.Errorf("hash as text has %q", got)
	}
}
