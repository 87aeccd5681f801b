package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// jsonFlag adds --json to a command, by itself (standard output) or with a file after it.
func jsonFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "json", "", "write the report as JSON, to standard output or to the file given")
	c.Flags().Lookup("json").NoOptDefVal = "-"
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 1 && *to == "-" {
			*to = args[0]
			return nil
		}
		return cobra.NoArgs(c, args)
	}
}

// emitJSON writes v where --json points and reports whether that was standard output, so that
// nothing else belongs there.
func emitJSON(cmd *cobra.Command, to string, v any) (stdout bool, err error) {
	switch to {
	case "":
		return false, nil
	case "-":
		return true, writeJSON(cmd.OutOrStdout(), v)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return false, err
	}
	if err := os.WriteFile(to, b.Bytes(), 0o644); err != nil {
		return false, fmt.Errorf("write --json: %w", err)
	}
	return false, nil
}
