package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"skerry.dev/compute/frame"
	"skerry.dev/compute/tabular"
)

// writing is a way to write a table.
type writing struct {
	name, suffix string
	write        func(path string, f *frame.Frame) error
}

// writings are five dialects of CSV and six codecs of Parquet.
var writings = []writing{
	{"a German spreadsheet", ".de.csv", dialect{comma: ";", decimal: ",", quoted: true, mark: true, end: "\r\n", dates: "02.01.2006 15:04:05"}.write},
	{"tabs and NA", ".tsv", dialect{comma: "\t", decimal: ".", missing: "NA", end: "\n", dates: time.DateTime}.write},
	{"bars, spaces and NULL", ".psv", dialect{comma: "|", decimal: ".", missing: "NULL", spaces: true, end: "\n", dates: "2006/01/02 15:04:05"}.write},
	{"quotes and question marks", ".quoted.csv", dialect{comma: ",", decimal: ".", missing: "?", quoted: true, end: "\r\n", dates: time.RFC3339}.write},
	{"commas for decimals in quotes", ".pandas.csv", dialect{comma: ",", decimal: ",", missing: "NaN", end: "\n", dates: "2006-01-02 15:04:05.000-07:00"}.write},
	{"parquet, uncompressed", ".none.parquet", codec(&parquet.Uncompressed)},
	{"parquet, snappy", ".snappy.parquet", codec(&parquet.Snappy)},
	{"parquet, gzip", ".gzip.parquet", codec(&parquet.Gzip)},
	{"parquet, brotli", ".brotli.parquet", codec(&parquet.Brotli)},
	{"parquet, zstd", ".zstd.parquet", codec(&parquet.Zstd)},
	{"parquet, lz4", ".lz4.parquet", codec(&parquet.Lz4Raw)},
}

// text returns a cell as a CSV file has it, "" when it is missing.
func text(c *frame.Column, row int) string {
	v := c.Values[row]
	switch {
	case math.IsNaN(v):
		return ""
	case c.Type == frame.Category:
		return c.Categories[int(v)]
	case c.Words[v] != "":
		return c.Words[v]
	}
	return tabular.ClassName(v)
}

// dialect is a way to write CSV.
type dialect struct {
	comma, decimal, missing, end, dates string
	quoted, mark, spaces                bool
}

func (d dialect) write(path string, f *frame.Frame) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriter(file)
	if d.mark {
		w.WriteString("\ufeff")
	}
	for j := range f.Columns {
		d.field(w, j, f.Columns[j].Name)
	}
	w.WriteString(d.end)
	for i := range f.Rows {
		for j := range f.Columns {
			d.field(w, j, d.cell(&f.Columns[j], i))
		}
		w.WriteString(d.end)
	}
	return w.Flush()
}

func (d dialect) cell(c *frame.Column, row int) string {
	if c.Type == frame.Time {
		if c.Times[row] == frame.NoTime {
			return d.missing
		}
		return time.UnixMicro(c.Times[row]).UTC().Format(d.dates)
	}
	s := text(c, row)
	if s == "" {
		return d.missing
	}
	if c.Type == frame.Number {
		return strings.Replace(s, ".", d.decimal, 1)
	}
	return s
}

// field writes a field, in quotes where they are needed.
func (d dialect) field(w *bufio.Writer, j int, s string) {
	if j > 0 {
		w.WriteString(d.comma)
	}
	switch {
	case d.quoted || strings.Contains(s, d.comma) || strings.ContainsAny(s, "\"\n"):
		w.WriteString(`"` + strings.ReplaceAll(s, `"`, `""`) + `"`)
	case d.spaces:
		w.WriteString(" " + s + "  ")
	default:
		w.WriteString(s)
	}
}

// codec returns what writes Parquet with a codec.
func codec(c compress.Codec) func(path string, f *frame.Frame) error {
	return func(path string, f *frame.Frame) (err error) {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		row := reflect.New(rowOf(f)).Elem()
		w := parquet.NewWriter(file, parquet.SchemaOf(row.Interface()), parquet.Compression(c))
		for i := range f.Rows {
			row.SetZero()
			for j := range f.Columns {
				c := &f.Columns[j]
				switch {
				case c.Type == frame.Time && c.Times[i] != frame.NoTime:
					t := time.UnixMicro(c.Times[i]).UTC()
					row.Field(j).Set(reflect.ValueOf(&t))
				case c.Type == frame.Category && !math.IsNaN(c.Values[i]):
					row.Field(j).Set(reflect.ValueOf(&c.Categories[int(c.Values[i])]))
				case c.Type == frame.Number && !math.IsNaN(c.Values[i]):
					row.Field(j).Set(reflect.ValueOf(&c.Values[i]))
				}
			}
			if err := w.Write(row.Interface()); err != nil {
				return err
			}
		}
		return w.Close()
	}
}

// rowOf returns the type of a row, whose fields stand in the order of the columns.
func rowOf(f *frame.Frame) reflect.Type {
	var fields []reflect.StructField
	for j := range f.Columns {
		c := &f.Columns[j]
		t, tag := reflect.TypeFor[*float64](), ""
		switch c.Type {
		case frame.Category:
			t, tag = reflect.TypeFor[*string](), ",dict"
		case frame.Time:
			t, tag = reflect.TypeFor[*time.Time](), ",timestamp(microsecond)"
		}
		fields = append(fields, reflect.StructField{
			Name: "C" + strconv.Itoa(j),
			Type: t,
			Tag:  reflect.StructTag(fmt.Sprintf(`parquet:"%s,optional%s"`, c.Name, tag)),
		})
	}
	return reflect.StructOf(fields)
}
