package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature/wasm/wasmtest"
	"skerry.dev/hub/fit"
	"skerry.dev/sync/spec"
)

// TestModuleCommands adds, replaces, lists and removes modules at a hub.
func TestModuleCommands(t *testing.T) {
	serveHub(t, "--no-auto-train")
	air, window := writeTemp(t, "air.wasm", wasmtest.Arithmetic()), writeTemp(t, "w.wasm", wasmtest.Window())
	if out := must(t, "module", "add", "air", air); !strings.Contains(out, "Added module air: wet(2 series), add(2 series)") {
		t.Errorf("module add = %q", out)
	}
	must(t, "module", "add", "trend", air)
	must(t, "module", "add", "trend", window) // in its place
	var list struct {
		Items []struct {
			Name      string
			Size      int
			CreatedBy string `json:"created_by"`
			Functions []struct {
				Name string
				Rows bool
			}
		}
	}
	decode(t, must(t, "module", "list", "--json"), &list)
	if len(list.Items) != 2 || list.Items[0].Name != "air" || list.Items[1].Size != len(wasmtest.Window()) || list.Items[1].CreatedBy != "user/admin" || !list.Items[1].Functions[0].Rows {
		t.Errorf("module list --json = %+v", list)
	}
	if out := must(t, "module", "list"); !strings.Contains(out, "mean(rows), behind(rows)") {
		t.Errorf("module list = %q", out)
	}
	if out := must(t, "module", "list"); !strings.Contains(out, "wet(2 series), add(2 series)") {
		t.Errorf("module list = %q", out)
	}
	refused(t, `imports "now" of "env"`, "module", "add", "clock", writeTemp(t, "clock.wasm", wasmtest.Module{Imports: [][2]string{{"env", "now"}}}.Bytes()))
	refused(t, `module name "a/b" must be`, "module", "add", "a/b", air)
	refused(t, "no such file", "module", "add", "air", filepath.Join(t.TempDir(), "none.wasm"))
	refused(t, "is larger than 262144 bytes", "module", "add", "air", writeTemp(t, "large.wasm", make([]byte, 300<<10)))
	must(t, "module", "remove", "air")
	refused(t, "not found", "module", "remove", "air")
	if out := must(t, "module", "list"); strings.Contains(out, "air") || !strings.Contains(out, "trend") {
		t.Errorf("module list after remove = %q", out)
	}
}

// products is a table whose target is the product of two columns, which no linear model finds
// without a feature.
func products(n int) string {
	rng := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	b.WriteString("temp,hum,load\n")
	for range n {
		temp, hum := 40*rng.Float64()-20, 100*rng.Float64()
		fmt.Fprintf(&b, "%.3f,%.3f,%.4f\n", temp, hum, 3*temp*hum/100+rng.NormFloat64()/10)
	}
	return b.String()
}

func TestFitTransform(t *testing.T) {
	data, air := writeTemp(t, "p.csv", []byte(products(600))), writeTemp(t, "air.wasm", wasmtest.Arithmetic())
	dir := t.TempDir()
	model, report := filepath.Join(dir, "m.skerry"), filepath.Join(dir, "r.json")
	r2 := func(args ...string) float64 {
		t.Helper()
		must(t, append([]string{"fit", "--data", data, "--target", "load", "--learner", "linear", "--trials", "1", "--max-bytes", "100000", "--out", model, "--json", report}, args...)...)
		b, err := os.ReadFile(report)
		if err != nil {
			t.Fatal(err)
		}
		var r fit.Report
		decode(t, string(b), &r)
		return *r.Metrics.R2
	}
	if got := r2("--transform", "wet="+air+":wet(temp, hum)", "--transform", "both="+air+":add(temp,hum)"); got < 0.999 {
		t.Errorf("with the product as a feature R² is %v", got)
	}
	b, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.DecodeBytes(b)
	if err != nil || a.SelfTest() != nil || len(a.Pipeline.Modules) != 1 || a.Pipeline.Modules[0].Name != "1-air" {
		t.Errorf("artifact: %v, modules %v", err, a.Pipeline.Modules)
	}
	if out := must(t, "evaluate", "--model", model, "--data", data); !strings.Contains(out, "R²") {
		t.Errorf("evaluate = %q", out)
	}
	for want, text := range map[string]string{
		"must be name=file.wasm:function(column, column)": "wet=" + air,
		"read module": "wet=none.wasm:wet(temp)",
		`"rain" is no series; there are temp, hum`:                                     "wet=" + air + ":wet(temp, rain)",
		`function "wet" is (f64, f64) → (f64), must be (f64) → (f64) for 1 series`:     "wet=" + air + ":wet(temp)",
		`the module exports no function "dry": it has wet(2 series), add(2 series)`:    "wet=" + air + ":dry(temp)",
		"needs a name that no column and no other feature has":                         "hum=" + air + ":wet(temp, hum)",
		`feature "wet" takes 9 rows, but every row stands for itself`:                  "wet=" + air + ":wet(temp, hum) over 9",
		"takes 9223372036854775807 rows, must be 1 to 256, or 0 for a function of one": "wet=" + air + ":wet(temp, hum) over 99999999999999999999",
	} {
		if math.MaxInt == math.MaxInt32 && strings.Contains(want, "9223") {
			continue
		}
		refused(t, want, "fit", "--data", data, "--target", "load", "--learner", "linear", "--trials", "1", "--transform", text)
	}
	refused(t, "is no WebAssembly module", "fit", "--data", data, "--target", "load", "--trials", "1", "--transform", "wet="+data+":wet(temp)")
}

// TestFitTransformOverRows forecasts with a function of rows.
func TestFitTransformOverRows(t *testing.T) {
	data, w := writeTemp(t, "w.csv", []byte(waves(500))), writeTemp(t, "w.wasm", wasmtest.Window())
	model := filepath.Join(t.TempDir(), "m.skerry")
	must(t, "fit", "--data", data, "--target", "temp", "--time", "ts", "--horizon", "1h", "--learner", "linear", "--trials", "1", "--transform", "level="+w+":mean(temp) over 48", "--out", model)
	b, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	a, err := artifact.DecodeBytes(b)
	if err != nil || a.SelfTest() != nil || a.Pipeline.Columns[0].Name != "level" || a.Pipeline.Columns[0].Rows != 48 || a.Pipeline.Rows < 48 {
		t.Errorf("artifact: %v, columns %+v, look-back %d", err, a.Pipeline.Columns[:1], a.Pipeline.Rows)
	}
}

func TestReadTransforms(t *testing.T) {
	air := writeTemp(t, "air quality.wasm", wasmtest.Arithmetic())
	var o fit.Options
	if _, err := addTransforms(&o, []string{" a = " + air + ":wet(PM2.5 (µg/m³), hum:x)", "b=" + air + ":add(x) over 24 "}); err != nil {
		t.Fatal(err)
	}
	want := []spec.Feature{{Name: "a", Wasm: "module-1", Function: "wet", Of: []string{"PM2.5 (µg/m³)", "hum:x"}}, {Name: "b", Wasm: "module-1", Function: "add", Of: []string{"x"}, Rows: 24}}
	if fmt.Sprint(o.Features) != fmt.Sprint(want) || len(o.Modules) != 1 {
		t.Errorf("features %+v with %d modules, want %+v", o.Features, len(o.Modules), want)
	}
}
