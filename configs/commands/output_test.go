package commands_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"skerry.dev/configs/commands"
)

// TestJSON writes a report to standard output, to a file and nowhere, and refuses other words.
func TestJSON(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "report.json")
	const report = "{\n  \"rows\": 3\n}\n"
	for _, c := range []struct {
		line         []string
		out, in, err string
	}{
		{line: []string{"--json"}, out: report},
		{line: []string{"--json", "-"}, out: report},
		{line: []string{"--json=-"}, out: report},
		{line: []string{"--json", file}, out: "a table", in: report},
		{line: []string{"--json=" + file}, out: "a table", in: report},
		{line: nil, out: "a table"},
		{line: []string{"x"}, err: "unknown command"},
		{line: []string{"--json", file, "x"}, err: "unknown command"},
		{line: []string{"--json=" + filepath.Join(dir, "none", "r.json")}, err: "none/r.json"},
	} {
		_ = os.Remove(file)
		var to string
		cmd := &cobra.Command{Use: "fit", SilenceErrors: true, SilenceUsage: true}
		commands.JSONFlag(cmd, &to)
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			done, err := commands.EmitJSON(cmd, to, map[string]int{"rows": 3})
			if err == nil && !done {
				cmd.Print("a table")
			}
			return err
		}
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(c.line)
		err := cmd.Execute()
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q = %v, want %q", c.line, err, c.err)
			}
			continue
		}
		got, _ := os.ReadFile(file)
		if err != nil || out.String() != c.out || string(got) != c.in {
			t.Errorf("%q prints %q and writes %q, %v, want %q and %q", c.line, out.String(), got, err, c.out, c.in)
		}
	}
}

// TestWriteFile replaces a file, leaves nothing beside it, and writes to what is no file.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	for _, text := range []string{"long before", "new"} {
		if err := commands.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("the file has %q, %v, want %q", b, err, text)
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("the directory has %v, %v, want one file", all, err)
	}
	if err := commands.WriteFile(os.DevNull, []byte("x")); err != nil {
		t.Errorf("WriteFile(%s) = %v", os.DevNull, err)
	}
	if err := commands.WriteFile(dir, []byte("x")); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("WriteFile of a directory = %v", err)
	}
}

// TestCheckOutput: before long work it is known that a file cannot be written, or would replace what
// is read, and nothing is left behind.
func TestCheckOutput(t *testing.T) {
	dir := t.TempDir()
	data, link := filepath.Join(dir, "data.csv"), filepath.Join(dir, "link.csv")
	if err := os.WriteFile(data, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(data, link); err != nil {
		t.Skipf("no symbolic links can be made here, run it on a file system that has them: %v", err)
	}
	for _, tt := range []struct {
		out    string
		inputs []string
		want   string
	}{
		{"", []string{data}, ""},
		{"-", []string{data}, ""},
		{filepath.Join(dir, "new"), []string{data}, ""},
		{data, []string{filepath.Join(dir, "other"), "-"}, ""},
		{os.DevNull, []string{os.DevNull}, ""},
		{data, []string{"", data}, "it is the file that is read"},
		{data, []string{link}, "it is the file that is read"},
		{link, []string{data}, "it is the file that is read"},
		{dir, nil, "it is a directory"},
		{filepath.Join(dir, "none", "x"), nil, "no such file or directory"},
	} {
		if err := commands.CheckOutput(tt.out, tt.inputs...); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("CheckOutput(%s, %q) = %v, want %q", tt.out, tt.inputs, err, tt.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestCheckOutputs: no file that a command writes replaces another one, nor what is read.
func TestCheckOutputs(t *testing.T) {
	dir := t.TempDir()
	out, data := filepath.Join(dir, "m.skerry"), filepath.Join(dir, "data.csv")
	if err := os.WriteFile(data, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ out, report, plot, want string }{
		{"", "", "", ""},
		{"-", "-", "", ""},
		{out, filepath.Join(dir, "r.json"), filepath.Join(dir, "p.svg"), ""},
		{os.DevNull, os.DevNull, os.DevNull, ""},
		{out, out, "", "--json " + out + ": it is the file of --out too"},
		{out, filepath.Join(dir, ".", "m.skerry"), "", "it is the file of --out too"},
		{out, dir + "/x/../m.skerry", "", "it is the file of --out too"},
		{"", out, out, "--plot " + out + ": it is the file of --json too"},
		{data, "", "", "--out: write " + data + ": it is the file that is read"},
		{out, data, "", "--json: write " + data + ": it is the file that is read"},
		{"", "", data, "--plot: write " + data + ": it is the file that is read"},
		{"", filepath.Join(dir, "none", "r.json"), "", "--json: write"},
	} {
		outputs := []commands.Output{{Flag: "--out", Path: tt.out}, {Flag: "--json", Path: tt.report}, {Flag: "--plot", Path: tt.plot}}
		if err := commands.CheckOutputs(outputs, "", data); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("CheckOutputs(%v) = %v, want %q", outputs, err, tt.want)
		}
	}
}
