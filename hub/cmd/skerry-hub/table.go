package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// column is a column of a table: its title and how a row fills it.
type column[T any] struct {
	title string
	value func(T) string
}

// list prints a listing as a table or as JSON.
func list[T any](r *remote, c *cobra.Command, items []T, cols ...column[T]) error {
	if r.json {
		return writeJSON(c.OutOrStdout(), struct {
			Items []T `json:"items"`
		}{items})
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	for i, col := range cols {
		fmt.Fprint(w, strings.Repeat("\t", min(i, 1)), col.title)
	}
	fmt.Fprintln(w)
	for _, item := range items {
		for i, col := range cols {
			fmt.Fprint(w, strings.Repeat("\t", min(i, 1)), col.value(item))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// print shows a value that the caller also has as text.
func (r *remote) print(c *cobra.Command, v any, plain string) error {
	if r.json {
		return writeJSON(c.OutOrStdout(), v)
	}
	_, err := fmt.Fprintln(c.OutOrStdout(), plain)
	return err
}

// writeJSON writes a document indented: it is complete, and people read it as well.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// text is a cell; an empty one is a dash.
func text[S ~string](s S) string { return cmp.Or(string(s), "-") }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// stamp is a time in microseconds as a cell, 0 a dash.
func stamp(us int64) string {
	if us == 0 {
		return "-"
	}
	return time.UnixMicro(us).Local().Format(time.DateTime)
}
