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
