package layers

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "skerry.dev/"

// goList runs go list and returns its lines.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		if ee, ok := err.(*exec.ExitError); ok {
			t.Fatalf("go list %v: %v\n%s", args, err, ee.Stderr)
		}
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// TestArrows holds: cmd → agent | hub → sync → compute, configs beside sync; agent and hub never
// meet; compute imports the standard library, gonum and itself.
func TestArrows(t *testing.T) {
	allowed := map[string][]string{
		"compute": {"compute"},
		"sync":    {"sync", "compute"},
		"configs": {"configs", "sync", "compute"},
		"agent":   {"agent", "sync", "compute", "configs"},
		"hub":     {"hub", "sync", "compute", "configs"},
	}
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...") {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		layer, _, _ := strings.Cut(pkg, "/")
		for _, imp := range fields[1:] {
			if rest, ours := strings.CutPrefix(imp, module); ours {
				to, _, _ := strings.Cut(rest, "/")
				if want, ok := allowed[layer]; ok && !has(want, to) {
					t.Errorf("%s imports %s: %s may import %v only", pkg, rest, layer, want)
				}
			} else if layer == "compute" && strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") && !strings.HasPrefix(imp, "gonum.org/") && !((pkg == "compute/ensemble" || pkg == "compute/gbdt") && imp == "golang.org/x/sys/cpu") &&
				!(pkg == "compute/interchange" && imp == "google.golang.org/protobuf/encoding/protowire") &&
				!(pkg == "compute/feature/wasm" && (imp == "github.com/tetratelabs/wazero" || imp == "github.com/tetratelabs/wazero/api")) {
				t.Errorf("%s imports %s: compute depends on the standard library and gonum only, ensemble and gbdt also on x/sys/cpu, interchange on protowire and feature/wasm on wazero", pkg, imp)
			}
		}
	}
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// TestAgentStaysLean lists everything the agent imports. text/template and encoding/gob come with
// cobra and nats.go and are not named here: the linker leaves out what nobody calls, and the size
// test of the agent's binary notices when it no longer can.
func TestAgentStaysLean(t *testing.T) {
	forbidden := []string{
		"database/sql", "modernc.org/", "github.com/jackc/", "github.com/pressly/", "gocloud.dev", "github.com/aws/", "github.com/nats-io/nats-server", "github.com/nats-io/jwt",
		"html/template", "github.com/expr-lang", "github.com/tetratelabs", "github.com/redis", "github.com/twmb", "github.com/parquet-go", "gonum.org/v1/plot",
		"github.com/danielgtaylor/huma", "google.golang.org/grpc",
		module + "hub", module + "compute/gbdt", module + "compute/forest", module + "compute/neural/neuralfit", module + "compute/linear/linearfit", module + "compute/binned",
		module + "compute/interchange", module + "compute/encode", module + "compute/feature/fitting", module + "compute/explain",
		module + "compute/feature/wasm",
	}
	for _, dep := range goList(t, "-deps", "./agent/cmd/skerry-agent") {
		for _, f := range forbidden {
			if dep == strings.TrimSuffix(f, "/") || strings.HasPrefix(dep, strings.TrimSuffix(f, "/")+"/") {
				t.Errorf("the agent links %s", dep)
			}
		}
	}
}

// TestFullAgent holds what the build tag full adds: the runtime of WebAssembly features, and
// nothing of the hub.
func TestFullAgent(t *testing.T) {
	deps := goList(t, "-deps", "-tags", "full", "./agent/cmd/skerry-agent")
	if !has(deps, module+"compute/feature/wasm") || !has(deps, "github.com/tetratelabs/wazero") {
		t.Error("the full agent has no WebAssembly runtime")
	}
	for _, dep := range deps {
		if strings.HasPrefix(dep, module+"hub") || dep == "database/sql" {
			t.Errorf("the full agent links %s", dep)
		}
	}
}

// order is a program's packages from the bottom up: each may import those of the rows above it in
// this list, none of its own row and none below. docs/architecture.md draws it.
type order [][]string

var (
	hubOrder = order{
		{"meta", "blob", "keys", "web", "selection", "dataset", "health"},
		{"bus", "feed", "duty", "learn", "fit", "alarm"},
		{"tasks", "clock"},
		{"bus/embedded", "jobs", "registry", "lake", "ingest", "retain"},
		{"ingest/natslanes", "fleet", "infer", "replay"},
		{"rollout"},
		{"training"},
		{"api"},
		{"client"},
		{"server"},
		{"cmd/skerry-hub"},
	}
	agentOrder = order{
		{"source", "service"},
		{"cache", "gate", "govern", "update"},
		{"task", "serve"},
		{"models"},
		{"device", "replay", "detect", "bench"},
		{"doctor"},
		{"cmd/skerry-agent"},
	}
)

// TestOrder holds the order of both programs, which leaves no circle and keeps every package of the
// domain from the interface above it.
func TestOrder(t *testing.T) {
	for program, o := range map[string]order{"hub": hubOrder, "agent": agentOrder} {
		place := map[string]int{}
		for row, names := range o {
			for _, name := range names {
				place[name] = row
			}
		}
		seen := map[string]bool{}
		for pkg, imports := range imports(t, "./"+program+"/...") {
			name := strings.TrimPrefix(pkg, program+"/")
			if helper(name) {
				continue
			}
			row, ok := place[name]
			if !ok {
				t.Errorf("%s has no place in the order of the %s", pkg, program)
			}
			seen[name] = true
			for _, imp := range imports {
				to, ours := strings.CutPrefix(imp, program+"/")
				if ours && place[to] >= row {
					t.Errorf("%s imports %s, which does not lie below it", pkg, imp)
				}
			}
		}
		for name := range place {
			if !seen[name] {
				t.Errorf("the order of the %s has a place for %s, which does not exist", program, name)
			}
		}
	}
}

// helper reports whether a package serves tests or lies inside another.
func helper(name string) bool {
	return strings.HasSuffix(name, "test") || strings.Contains(name, "internal/")
}

// imports returns the packages of this module that packages import.
func imports(t *testing.T, pattern string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, pattern) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		out[pkg] = nil
		for _, imp := range fields[1:] {
			if ours, ok := strings.CutPrefix(imp, module); ok {
				out[pkg] = append(out[pkg], ours)
			}
		}
	}
	return out
}

// trainers are the packages that fit models.
var trainers = []string{"compute/gbdt", "compute/forest", "compute/neural/neuralfit", "compute/linear/linearfit", "compute/binned", "compute/encode", "compute/feature/fitting"}

// TestSpecialArrows holds what the order alone does not: learning is pure, the pages import nothing
// of ours, and commands train through a package of the domain.
func TestSpecialArrows(t *testing.T) {
	forbidden := map[string][]string{
		"hub/learn":              {"hub/meta", "hub/bus", "hub/blob", "hub/lake", "hub/feed"},
		"hub/web":                {""},
		"hub/ingest":             {"hub/bus", "hub/keys"},
		"hub/cmd/skerry-hub":     trainers,
		"agent/cmd/skerry-agent": trainers,
	}
	all := imports(t, "./...")
	for pkg, not := range forbidden {
		if _, ok := all[pkg]; !ok {
			t.Errorf("there is no package %s", pkg)
		}
		for _, imp := range all[pkg] {
			for _, f := range not {
				if strings.HasPrefix(imp, f) {
					t.Errorf("%s imports %s", pkg, imp)
				}
			}
		}
	}
}

// TestFolders holds the list of top-level folders.
func TestFolders(t *testing.T) {
	cmd := exec.Command("git", "ls-files")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("git ls-files: %v: run this test in a clone", err)
	}
	known := []string{"agent", "hub", "compute", "sync", "packaging", "configs", "test", "docs", ".ci"}
	for f := range strings.Lines(string(out)) {
		if top, _, deep := strings.Cut(strings.TrimSpace(f), "/"); deep && !has(known, top) {
			t.Errorf("%s lies in a top-level folder that the design does not know", strings.TrimSpace(f))
		}
	}
}

// TestPackageComments parses every package's comments.
func TestPackageComments(t *testing.T) {
	said := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		said[dir] = said[dir] || f.Doc != nil && len(f.Doc.Text()) > 20
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(said) < 20 {
		t.Fatalf("found %d packages", len(said))
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment", strings.TrimPrefix(dir, "../../"))
		}
	}
}
