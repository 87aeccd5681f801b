package commands

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/pflag"

	"skerry.dev/compute/tabular"
)

// TableFlags define how a table is written, for every command that reads one. What they leave open
// is found out from the table.
type TableFlags struct {
	delimiter, decimal string
	missing            []string
	flags              *pflag.FlagSet
}

// Bind adds the flags.
func (t *TableFlags) Bind(f *pflag.FlagSet) {
	t.flags = f
	f.StringVar(&t.delimiter, "delimiter", "", "what separates the fields of a CSV file: , ; | or tab (default: found)")
	f.StringVar(&t.decimal, "decimal", "", "decimal sign of the numbers in a CSV file: . or , (default: found, by column)")
	f.StringSliceVar(&t.missing, "missing", nil, "texts that mean \"missing\", in place of the usual ones (NA, N/A, null, NaN, ? …; among numbers also None and -); the empty cell always does")
}

// Options returns what the flags mean. Whatever the owner of the table should know of how it was
// read is written to w as a note, each sentence once, and kept for Notes.
func (t *TableFlags) Options(w io.Writer, notes *Notes) (tabular.Options, error) {
	o := tabular.Options{Note: func(s string) {
		if notes.add(s) {
			fmt.Fprintln(w, "note:", s)
		}
	}}
	switch d := t.delimiter; {
	case d == "tab" || d == `\t`:
		o.Comma = '\t'
	case len(d) == 1:
		o.Comma = rune(d[0])
	case d != "":
		return o, fmt.Errorf("--delimiter %q: must be one of , ; | or tab", d)
	}
	switch d := t.decimal; {
	case len(d) == 1:
		o.Decimal = d[0]
	case d != "":
		return o, fmt.Errorf("--decimal %q: must be . or ,", d)
	}
	if t.flags != nil && t.flags.Changed("missing") {
		o.Missing = append([]string{}, t.missing...)
	}
	if err := o.Check(); err != nil {
		return o, fmt.Errorf("--%w", err)
	}
	return o, nil
}

// Notes collects sentences, each once.
type Notes []string

func (n *Notes) add(s string) bool {
	if slices.Contains(*n, s) {
		return false
	}
	*n = append(*n, s)
	return true
}
