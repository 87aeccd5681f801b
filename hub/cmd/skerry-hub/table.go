package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
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

// writeJSON writes a document for programs, indented.
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
	return time.UnixMicro(us).Local().Format(time.RFC3339)
}

// size is a number of bytes as people read it.
func size(n int64) string {
	const k = 1000
	switch {
	case n < 10*k:
		return fmt.Sprintf("%d B", n)
	case n < 10*k*k:
		return fmt.Sprintf("%.1f kB", float64(n)/k)
	case n < 10*k*k*k:
		return fmt.Sprintf("%.1f MB", float64(n)/k/k)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/k/k/k)
}

// span is a duration as people read it: two digits are enough to know what to do.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.3g days", d.Hours()/24)
	case d >= time.Minute:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// facts writes a document of unknown keys as aligned facts below a title, in the order of its keys;
// those of inner objects get their path. What is empty is left out.
func facts(w io.Writer, title string, doc json.RawMessage) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber() // as written: a whole number stays one
	var v any
	if len(doc) == 0 || d.Decode(&v) != nil {
		return
	}
	var rows [][2]string
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(strings.TrimPrefix(path+"."+k, "."), v[k])
			}
		case []any:
			parts := make([]string, len(v))
			for i, e := range v {
				if _, ok := e.(map[string]any); ok {
					walk(fmt.Sprintf("%s[%d]", path, i), e)
					continue
				}
				parts[i] = fmt.Sprint(e)
			}
			if s := strings.Join(parts, ", "); strings.Trim(s, ", ") != "" {
				rows = append(rows, [2]string{path, s})
			}
		case nil:
		default:
			if s := moment(path, fmt.Sprint(v)); s != "" {
				rows = append(rows, [2]string{path, s})
			}
		}
	}
	walk("", v)
	if len(rows) > 0 {
		fmt.Fprintf(w, "\n%s\n", title)
	}
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\n", r[0], r[1])
	}
}

// moment is the value of a key: a time where it holds microseconds since 1970, as the keys of times
// do that end in from, to or at.
func moment(path, value string) string {
	key := path[strings.LastIndexByte(path, '.')+1:]
	us, err := strconv.ParseInt(value, 10, 64)
	if err != nil || us < 1e14 || !strings.HasSuffix(key, "_from") && !strings.HasSuffix(key, "_to") && !strings.HasSuffix(key, "_at") {
		return value
	}
	return stamp(us)
}
