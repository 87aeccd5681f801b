package loop

import (
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"skerry.dev/compute/feature/wasm/wasmtest"
)

// TestModuleInAnArtifact fits an artifact with a WebAssembly feature, which the full build of the
// agent predicts with and the lean one refuses.
func TestModuleInAnArtifact(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "skerry-agent-full")
	// as make full does
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "nethttpomithttp2,full", "-o", full, "./agent/cmd/skerry-agent")
	build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the full agent: %v\n%s", err, out)
	}
	rng := rand.New(rand.NewPCG(1, 8))
	var rows strings.Builder
	var want []float64
	rows.WriteString("temp,hum,load\n")
	for range 800 {
		temp, hum := math.Round(400*rng.Float64())/10-20, math.Round(1000*rng.Float64())/10
		want = append(want, temp*hum/100)
		fmt.Fprintf(&rows, "%g,%g,%g\n", temp, hum, temp*hum/100)
	}
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	data, air, model := file("rows.csv", []byte(rows.String())), file("air.wasm", wasmtest.Arithmetic()), filepath.Join(dir, "load.skerry")
	command := func(program string, args ...string) (string, error) {
		cmd := exec.Command(program, args...)
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			return string(out), fmt.Errorf("%w: %s", err, errs.String())
		}
		return string(out), nil
	}
	if _, err := command(filepath.Join(bin, "skerry-hub"), "fit", "--data", data, "--target", "load", "--learner", "linear", "--trials", "1", "--transform", "wet="+air+":wet(temp, hum)", "--out", model); err != nil {
		t.Fatal(err)
	}
	predict := []string{"predict", "--model", model, "--data", data, "--out", "-"}
	out, err := command(full, predict...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(lines) != len(want)+1 {
		t.Fatalf("the full agent wrote %d lines, %v, want %d", len(lines), err, len(want)+1)
	}
	worst, column := 0.0, slices.Index(lines[0], "prediction")
	if column < 0 {
		t.Fatalf("no column of predictions among %q", lines[0])
	}
	for i, w := range want {
		got, err := strconv.ParseFloat(lines[i+1][column], 64)
		if err != nil {
			t.Fatal(err)
		}
		worst = math.Max(worst, math.Abs(got-w))
	}
	// the target is the feature itself; without it the products of -20..20 and 0..1 are far off
	if worst > 0.5 {
		t.Errorf("a prediction is %v off: the model has not got the feature", worst)
	}
	if _, err := command(filepath.Join(bin, "skerry-agent"), predict...); err == nil || !strings.Contains(err.Error(), "this program has no WebAssembly runtime: use the full build of skerry-agent") {
		t.Errorf("the lean agent: %v, want a refusal that names the full build", err)
	}
}
