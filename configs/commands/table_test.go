package commands_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"skerry.dev/compute/tabular"
	"skerry.dev/configs/commands"
)

// TestTableFlags reads what the flags mean, and keeps each note once.
func TestTableFlags(t *testing.T) {
	for line, want := range map[string]string{
		"":                          "",
		"--delimiter ; --decimal ,": "",
		"--delimiter tab":           "",
		"--missing -9,x":            "",
		"--missing=":                "",
		"--delimiter semicolon":     "must be one of , ; | or tab",
		"--delimiter :":             "must be one of , ; | or a tab",
		"--decimal point":           "must be . or ,",
		"--decimal x":               "must be . or ,",
	} {
		var flags commands.TableFlags
		var out bytes.Buffer
		var notes commands.Notes
		set := pflag.NewFlagSet("x", pflag.ContinueOnError)
		flags.Bind(set)
		if err := set.Parse(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
		o, err := flags.Options(&out, &notes)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q = %v, want %q", line, err, want)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%q = %v", line, err)
		}
		if (o.Missing != nil) != strings.Contains(line, "missing") || strings.Contains(line, "tab") && o.Comma != '\t' {
			t.Errorf("%q = %+v", line, o)
		}
		o.Note("a")
		o.Note("b")
		o.Note("a")
		if out.String() != "note: a\nnote: b\n" || len(notes) != 2 {
			t.Errorf("notes %q, printed %q", notes, out.String())
		}
	}
}

// TestNotFinite: a report with numbers that JSON cannot hold keeps its other fields and their order,
// and names those that are null.
func TestNotFinite(t *testing.T) {
	type inner struct {
		Z float64  `json:"z"`
		A *float64 `json:"a,omitempty"`
		H int      `json:"-"`
	}
	type report struct {
		Name string `json:"name"`
		inner
		List []inner            `json:"list"`
		Map  map[string]float64 `json:"map"`
		None []string           `json:"none,omitempty"`
		Type tabular.Place
	}
	inf := math.Inf(-1)
	v := report{Name: "x", inner: inner{Z: 1, A: &inf}, List: []inner{{Z: math.NaN()}}, Map: map[string]float64{"q": math.Inf(1), "p": 2}}
	var b bytes.Buffer
	if err := commands.WriteJSON(&b, v); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(b.String()), "")
	want := `{"name":"x","z":1,"a":null,"list":[{"z":null}],"map":{"p":2,"q":null},"Type":{"Line":0,"Row":0},"not_finite":{"a":"-Inf","list[0].z":"NaN","map.q":"+Inf"}}`
	if got != want {
		t.Errorf("WriteJSON = %s, want %s", got, want)
	}
}

// TestCreateFile: a file that is discarded leaves the old one, and nothing beside it.
func TestCreateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	for _, c := range []struct {
		text string
		keep bool
		want string
	}{{"one", true, "one"}, {"two", false, "one"}, {"three", true, "three"}} {
		f, err := commands.CreateFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(c.text); err != nil {
			t.Fatal(err)
		}
		end := f.Discard
		if c.keep {
			end = f.Commit
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || string(b) != c.want {
			t.Errorf("after %q, kept %v: %q, %v, want %q", c.text, c.keep, b, err, c.want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
	if _, err := commands.CreateFile(dir); err == nil {
		t.Error("a directory gave no error")
	}
}
