package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/hub/client"
)

func (r *remote) dataCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check <device>",
		Short: "Did every reading arrive exactly once",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			out, err := r.client().Check(c.Context(), args[0])
			if err != nil {
				return err
			}
			text := fmt.Sprintf("%s: %d readings, %d distinct, %d duplicates, %d series", out.Device, out.Readings, out.Distinct, out.Duplicates, len(out.Series))
			if out.Conflicts > 0 {
				text += fmt.Sprintf("; %d more have the time of another with another value, flagged by the device, which did not use them", out.Conflicts)
			}
			if out.Equal > 0 {
				text += fmt.Sprintf("; %d that were there already were left out", out.Equal)
			}
			if err := r.print(c, out, text); err != nil {
				return err
			}
			if out.Duplicates > 0 {
				return fmt.Errorf("%d readings arrived more than once", out.Duplicates)
			}
			return nil
		},
	}
	var series []string
	var format, file string
	var from, to string
	var limit int
	export := &cobra.Command{
		Use:   "export <device>",
		Short: "Write a device's readings",
		Long: "Write a device's readings. The value of a series of categories is the number of one, from 0; the column category has its name by the device's " +
			"task files as they are now, and is empty where they differ. Units stand in the task files alone.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			q := client.Readings{Device: args[0], Series: series, Limit: limit, Format: format}
			for _, bound := range []struct {
				flag, value string
				at          *int64
			}{{"from", from, &q.From}, {"to", to, &q.To}} {
				if bound.value == "" {
					continue
				}
				t, err := time.Parse(time.RFC3339, bound.value)
				if err != nil {
					return fmt.Errorf("--%s %q: must be a time such as 2026-01-31T12:00:00Z", bound.flag, bound.value)
				}
				*bound.at = t.UnixMicro()
			}
			rc, err := r.client().Export(c.Context(), q)
			if err != nil {
				return err
			}
			defer rc.Close()
			w := c.OutOrStdout()
			rows := &lineCount{r: rc}
			defer func() {
				if format == "csv" && rows.n < 2 && len(series) > 0 {
					fmt.Fprintf(c.ErrOrStderr(), "note: %s has no reading of %s in this time; skerry-hub data check %s --json lists its series\n", args[0], strings.Join(series, ", "), args[0])
				}
			}()
			if file != "" {
				f, err := os.Create(file)
				if err != nil {
					return err
				}
				_, err = io.Copy(f, rows)
				return errors.Join(err, f.Close())
			}
			_, err = io.Copy(w, rows)
			return err
		},
	}
	f := export.Flags()
	f.StringSliceVar(&series, "series", nil, "series to write (default all)")
	f.StringVar(&format, "format", "csv", "csv or json")
	f.StringVar(&from, "from", "", "first event time, RFC 3339")
	f.StringVar(&to, "to", "", "last event time, RFC 3339")
	f.IntVar(&limit, "limit", 1_000_000, "most readings to write")
	f.StringVarP(&file, "output", "o", "", "file to write (default standard output)")
	lake := &cobra.Command{
		Use:   "lake",
		Short: "What the lake holds, and what waits to be deleted",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			out, err := r.client().Lake(c.Context())
			if err != nil {
				return err
			}
			var text strings.Builder
			for _, k := range out.Classes {
				fmt.Fprintf(&text, "%-12s %d files, %d rows, %.1f MB", k.Class, k.Files, k.Rows, float64(k.Bytes)/1e6)
				if k.Rows > 0 {
					fmt.Fprintf(&text, " (%.1f bytes a row)", float64(k.Bytes)/float64(k.Rows))
				}
				fmt.Fprintf(&text, ", %.1f MB not moved yet\n", float64(k.Staged)/1e6)
			}
			fmt.Fprintf(&text, "merged or too old, until the grace period ends: %d files, %.1f MB\n", out.Retired.Files, float64(out.Retired.Bytes)/1e6)
			fmt.Fprintf(&text, "readings left out because they were there already: %d", out.Equal)
			return r.print(c, out, text.String())
		},
	}
	return group("data", "What the fleet has sent", check, export, lake)
}

// lineCount counts the lines that are read through it.
type lineCount struct {
	r io.Reader
	n int
}

func (l *lineCount) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	l.n += bytes.Count(b[:n], []byte("\n"))
	return n, err
}
