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

// WriteJSON is how every command answers in JSON. JSON has no numbers that are not finite: such a
// value is null, and the field "not_finite" of the answer lists where and what it was.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	var b bytes.Buffer
	err := json.NewEncoder(&b).Encode(v)
	if _, ok := errors.AsType[*json.UnsupportedValueError](err); ok {
		v = finite(v)
	}
	return e.Encode(v)
}

// WriteFile replaces a file as a whole: whoever reads it sees the old bytes or the new ones. What is
// no file, such as a pipe or /dev/null, is written to.
func WriteFile(path string, b []byte) error {
	f, err := CreateFile(path)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Commit()
}

// CheckOutput reports before long work that a file cannot be written, or is one of those that are
// read; "" and "-" are no files.
func CheckOutput(path string, inputs ...string) error {
	if path == "" || path == "-" {
		return nil
	}
	info, err := os.Stat(path)
	if err == nil {
		for _, in := range inputs {
			if other, err := os.Stat(in); err == nil && os.SameFile(info, other) && info.Mode().IsRegular() {
				return fmt.Errorf("write %s: it is the file that is read, %s, and would be replaced: name another", path, in)
			}
		}
		if !info.Mode().IsRegular() && !info.IsDir() { // a pipe must not be opened twice
			return nil
		}
	}
	f, err := CreateFile(path)
	if err != nil {
		return err
	}
	return f.Discard()
}

// Output is a file that a command writes, and the flag that names it.
type Output struct{ Flag, Path string }

// CheckOutputs is CheckOutput for every file that a command writes. No two may be one file: the
// later would replace the earlier.
func CheckOutputs(outputs []Output, inputs ...string) error {
	for i, o := range outputs {
		if o.Path == "" || o.Path == "-" {
			continue
		}
		for _, other := range outputs[:i] {
			if other.Path == "" || filepath.Clean(o.Path) != filepath.Clean(other.Path) {
				continue
			}
			if info, err := os.Stat(o.Path); err != nil || info.Mode().IsRegular() {
				return fmt.Errorf("%s %s: it is the file of %s too, and would replace it: name another", o.Flag, o.Path, other.Flag)
			}
		}
		if err := CheckOutput(o.Path, inputs...); err != nil {
			return fmt.Errorf("%s: %w", o.Flag, err)
		}
	}
	return nil
}

// File is a file that comes to its place as a whole, when it is committed.
type File struct {
	*os.File
	path string // "": it is at its place already
}

// CreateFile begins to write a file beside the one that it is to replace. What is no file, such as
// a pipe or /dev/null, is written to at once. It ends with Commit or Discard.
func CreateFile(path string) (*File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return nil, fmt.Errorf("write %s: it is a directory", path)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", path, err)
		}
		return &File{File: f}, nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return &File{File: f, path: path}, nil
}

// Commit puts the file in its place. If it fails, the place is as it was.
func (f *File) Commit() error {
	if f.path == "" {
		return f.Close()
	}
	err := errors.Join(f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", f.path, err), os.Remove(f.Name()))
	}
	return nil
}

// Discard drops what was written.
func (f *File) Discard() error {
	err := f.Close()
	if f.path != "" {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
