package expression

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"skerry.dev/compute/feature"
)

var series = []string{"temp", "dew", "flow", "vib-x", "1st floor:p"}

// column computes text at a row through a pipeline, as a device does.
func column(t *testing.T, text string, row []float64, before ...Named) float64 {
	t.Helper()
	program, err := Parse(text, series, before...)
	if err != nil {
		t.Fatal(err)
	}
	p := &feature.Pipeline{Rows: 1, Columns: []feature.Column{{Name: "f", Op: feature.OpExpr, Expr: program}}}
	for _, s := range series {
		p.Inputs = append(p.Inputs, feature.Input{Name: s})
	}
	e, err := feature.NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	h := feature.NewHistory(len(series), 1)
	h.Push(0, row)
	got := make([]float64, 1)
	if err := e.Into(got, h); err != nil {
		t.Fatal(err)
	}
	return got[0]
}

func TestValues(t *testing.T) {
	nan := math.NaN()
	row := []float64{20, 5, -4, 2, nan}
	program := func(text string, before ...Named) Named {
		p, err := Parse(text, series, before...)
		if err != nil {
			t.Fatal(err)
		}
		return Named{"gap", p}
	}
	gap := program("temp - dew")
	for _, c := range []struct {
		text string
		want float64
	}{
		{"temp", 20}, {"1 + 2 * 3", 7}, {"(1 + 2) * 3", 9}, {"8 / 4 / 2", 1}, {"8 - 4 - 2", 2}, {"-temp", -20}, {"- -2", 2}, {"-2", -2}, {"+2", 2}, {"2 * -3", -6}, {"-(1+1)*3", -6},
		{"temp-dew", 15}, {"`vib-x` * 2", 4}, {".5", 0.5}, {"2e-3", 0.002}, {"1E2", 100}, {"abs(flow)", 4}, {"sqrt(abs(flow))", 2}, {"log1p(0)", 0},
		{"min(3, temp, dew, 7)", 3}, {"max(temp, dew)", 20}, {"if_missing(`1st floor:p`, flow, 1)", -4}, {"if_missing(1 / 0, 9)", 9}, {"`1st floor:p` + 1", nan}, {"temp / 0", nan}, {"sqrt(flow)", nan},
		{"gap * 2", 30}, {"gap - gap", 0}, {" \ttemp\n", 20}, {"if_missing(temp / (dew - 5), -1)", -1},
	} {
		if got := column(t, c.text, row, gap); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s = %v, want %v", c.text, got, c.want)
		}
	}
	if p, err := Parse("-2.5", nil); err != nil || !reflect.DeepEqual(p, []feature.Token{{Do: feature.TokenNumber, X: -2.5}}) {
		t.Errorf("a negative number is %v, %v: want one token", p, err)
	}
	shadow := program("dew")
	shadow.Name = "temp"
	if got := column(t, "temp", row, shadow); got != 5 {
		t.Errorf("a feature with the name of a series is %v, want the feature, 5", got)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		text   string
		column int
		msg    string
	}{
		{"", 1, "a number, a name, a function"},
		{"temp -", 7, `found nothing`},
		{"temp dew", 6, `"dew" after the end`},
		{"temp + hum", 8, `"hum" is neither a series nor a feature before this one; there are temp, dew, flow`},
		{"exp(temp)", 1, `no function "exp"; there are abs, if_missing, log1p, max, min, sqrt`},
		{"abs", 1, `the function "abs" needs its arguments`},
		{"abs(1, 2)", 6, "abs takes one argument"},
		{"min(1)", 6, "at least two arguments"},
		{"(1 + 2", 7, "the parenthesis of column 1 must be closed"},
		{"1)", 2, `")" after the end`},
		{"1.2.3", 1, `"1.2.3" is not a number`},
		{"1e999", 1, "is not a number within"},
		{"temp ^ 2", 6, `"^" has no meaning`},
		{"temp × 2", 6, `"×" has no meaning`},
		{"`temp", 1, "no backquote closes"},
		{"``", 1, `"" is neither`},
		{"1 + + ", 7, "found nothing"},
		{strings.Repeat("(", 100), 66, "nested deeper than 64"},
		{strings.Repeat("+", 100) + "1", 66, "nested deeper than 64"},
		{strings.Repeat("-", 100) + "1", 0, "more than 16 numbers wait"},
		{strings.Repeat("1+(", 20) + "1" + strings.Repeat(")", 20), 49, "more than 16 numbers wait"},
		{strings.Repeat("1+", 40) + "1", 0, "more than 64"},
		{strings.Repeat("1", 2000), MaxLength, "longer than 1024 bytes"},
	} {
		_, err := Parse(c.text, series)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: no error", c.text)
			continue
		}
		if c.column > 0 && e.Column != c.column || !strings.Contains(e.Msg, c.msg) {
			t.Errorf("%q: column %d: %s; want column %d, %q", c.text, e.Column, e.Msg, c.column, c.msg)
		}
	}
}

// FuzzParse looks for text that makes the reader panic, or a program that a pipeline refuses.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"temp - dew", "log1p(abs(flow)) / max(temp, 0.1)", "`vib-x`*-2e3", "((", "if_missing(1,2,3", "-+-+1", "a.b", "\xff", "``"} {
		f.Add(s)
	}
	p := &feature.Pipeline{Rows: 1}
	for _, s := range series {
		p.Inputs = append(p.Inputs, feature.Input{Name: s})
	}
	f.Fuzz(func(t *testing.T, text string) {
		program, err := Parse(text, series)
		if err != nil {
			return
		}
		p.Columns = []feature.Column{{Name: "f", Op: feature.OpExpr, Expr: program}}
		if err := p.Check(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
