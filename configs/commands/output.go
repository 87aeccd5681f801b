package commands

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// JSONFlag adds --json to a command without arguments, by itself (standard output) or with a file
// after it.
func JSONFlag(c *cobra.Command, to *string) {
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

// EmitJSON writes v where --json points and reports whether that was standard output, so that
// nothing else belongs there. Without the flag it does nothing.
func EmitJSON(c *cobra.Command, to string, v any) (stdout bool, err error) {
	switch to {
	case "":
		return false, nil
	case "-":
		return true, WriteJSON(c.OutOrStdout(), v)
	}
	var b bytes.Buffer
	if err := WriteJSON(&b, v); err != nil {
		return false, err
	}
	return false, WriteFile(to, b.Bytes())
}

// WriteJSON is how every command answers in JSON.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// WriteFile replaces a file as a whole: whoever reads it sees the old bytes or the new ones. What is
// no file, such as a pipe or /dev/null, is written to.
func WriteFile(path string, b []byte) (err error) {
	if info, serr := os.Stat(path); serr == nil && !info.Mode().IsRegular() {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
