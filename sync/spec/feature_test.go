package spec

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"skerry.dev/compute/feature"
)

const ownFeatures = `
task: dew
kind: forecast
target: {series: temp, horizon: 1h}
inputs:
  - {series: temp, topic: a/b, path: $.t}
  - {series: dew-point, topic: a/b, path: $.d}
  - {series: wd, topic: a/b, path: $.w, categories: [N, S]}
rows: {on: temp}
`

func parse(text string) (*Task, error) { return ParseTask("dew.yaml", strings.NewReader(text)) }

func TestFeaturesOfTheUsersOwn(t *testing.T) {
	task, err := parse(ownFeatures + "features:\n  - {name: gap, expr: temp - `dew-point`}\n  - {name: wet, expr: \"1 / max(gap, 0.1)\"}\n")
	if err != nil {
		t.Fatal(err)
	}
	columns, modules, err := task.Columns()
	if err != nil || len(modules) != 0 {
		t.Fatalf("modules %v, %v", modules, err)
	}
	cfg := task.Engine()
	p := &feature.Pipeline{Inputs: cfg.Inputs(), Columns: columns, Rows: 1}
	e, err := feature.NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	h := feature.NewHistory(3, 1)
	h.Push(0, []float64{20, 16, 1})
	got := make([]float64, 2)
	if err := e.Into(got, h); err != nil || got[0] != 4 || got[1] != 0.25 {
		t.Errorf("features are %v, %v, want 4 and 0.25", got, err)
	}
}

// TestFeaturesOfModules mixes expressions and modules: columns keep their order, and a module
// that two features call has one index.
func TestFeaturesOfModules(t *testing.T) {
	task, err := parse(ownFeatures + `features:
  - {name: wet, wasm: air, function: wet, of: [temp, dew-point]}
  - {name: gap, expr: temp - ` + "`dew-point`" + `}
  - {name: trend, wasm: trend, function: slope, of: [temp], rows: 24}
  - {name: dry, wasm: air, function: dry, of: [wd, temp]}
  - {name: twice, expr: 2 * gap}
`)
	if err != nil {
		t.Fatal(err)
	}
	columns, modules, err := task.Columns()
	if err != nil || !slices.Equal(modules, []string{"air", "trend"}) || len(columns) != 5 {
		t.Fatalf("Columns() = %d columns, modules %q, %v", len(columns), modules, err)
	}
	for i, want := range []feature.Column{{Name: "wet", Op: feature.OpModule, Func: "wet", Args: []int{0, 1}}, {Name: "gap", Op: feature.OpExpr}, {Name: "trend", Op: feature.OpModule, Module: 1, Func: "slope", Args: []int{0}, Rows: 24},
		{Name: "dry", Op: feature.OpModule, Func: "dry", Args: []int{2, 0}}, {Name: "twice", Op: feature.OpExpr}} {
		want.Expr = columns[i].Expr
		if got := columns[i]; !reflect.DeepEqual(got, want) {
			t.Errorf("column %d is %+v, want %+v", i, got, want)
		}
	}
	cfg := task.Engine()
	p := &feature.Pipeline{Inputs: cfg.Inputs(), Columns: columns, Rows: 24, Modules: []feature.Module{{Name: "air", Code: []byte{1}}, {Name: "trend", Code: []byte{2}}}}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	if _, err := feature.NewEvaluator(p); !errors.Is(err, feature.ErrNoRuntime) {
		t.Errorf("NewEvaluator: %v, want %v: this program has none", err, feature.ErrNoRuntime)
	}
}

func TestBadFeatures(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"features: [{name: gap, expr: temp - hum}]", `features[0].expr (line 10): expression "temp - hum", column 8: "hum" is neither a series nor a feature before this one; there are temp, dew-point, wd`},
		{"features: [{name: gap, expr: temp - }]", "found nothing"},
		{"features: [{name: gap, expr: wd * 2}]", `"wd" has categories, arithmetic needs numbers`},
		{"features: [{name: temp, expr: temp * 2}]", "is the name of an input"},
		{"features: [{name: a, expr: temp}, {name: a, expr: temp}]", "features[1].name"},
		{"features: [{name: b, expr: a}, {name: a, expr: temp}]", `"a" is neither`},
		{"features: [{name: \"a b\", expr: temp}]", "features[0].name"},
		{"features: [" + strings.Repeat("{name: a, expr: temp},", 33) + "]", "at most 32"},
		{"features: [{name: a}]", "features[0].expr"},
		{"features: [{name: a, expr: temp, wasm: air, function: f, of: [temp]}]", "features[0].wasm (line 10): has an expression and a module, must have one of them"},
		{"features: [{name: a, function: f, of: [temp]}]", "names no module"},
		{"features: [{name: a, wasm: air, of: [temp]}]", "needs the function"},
		{"features: [{name: a, wasm: air, function: f}]", "is of 0 series, must be 1 to 16"},
		{"features: [{name: a, wasm: air, function: f, of: [hum]}]", `"hum" is no series; there are temp, dew-point, wd`},
		{"features: [{name: a, wasm: air, function: f, of: [temp], rows: 257}]", "takes 257 rows, must be 1 to 256"},
		{"features: [{name: a, wasm: ../air, function: f, of: [temp]}]", `module name "../air" must be`},
		{"features: [{name: a, wasm: air, function: f, of: [temp]}, {name: b, expr: a * 2}]", `"a" is neither a series nor a feature before this one`},
		{"features: [" + nineModules() + "]", "features[8].wasm (line 10): features call 9 modules, must be at most 8"},
		{"calendar: {utc_offset: 8h}", `utc_offset "8h": must be like +08:00`},
		{"calendar: {holidays: [\"25.12.2026\"]}", `holiday "25.12.2026" is no date like 2026-12-25`},
	} {
		if _, err := parse(ownFeatures + c.text + "\n"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}

func nineModules() string {
	var b strings.Builder
	for k := range 9 {
		fmt.Fprintf(&b, "{name: f%d, wasm: m%d, function: f, of: [temp]},", k, k)
	}
	return b.String()
}

func TestCalendar(t *testing.T) {
	c := Calendar{UTCOffset: "-03:30", Holidays: []string{"2026-12-26", "2026-12-25", "2026-12-26"}}
	offset, days, err := c.Read()
	if err != nil || offset != -3.5*3600*1e6 {
		t.Errorf("offset %d, %v, want three and a half hours behind", offset, err)
	}
	if !slices.Equal(days, []feature.Day{feature.DayOf(1798156800e6), feature.DayOf(1798243200e6)}) {
		t.Errorf("holidays %v", days)
	}
}
