package tabular

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestOneReader lists who reads CSV and who opens Parquet files: of tables this package, which takes
// CSV apart itself, and its decoder alone. The others that import encoding/csv write.
func TestOneReader(t *testing.T) {
	want := map[string][]string{
		"encoding/csv NewReader": nil,
		"github.com/parquet-go/parquet-go OpenFile": {
			"hub/lake", // its own files
			"sync/parquet",
		},
	}
	got := map[string][]string{}
	root := filepath.Join("..", "..")
	for _, layer := range []string{"agent", "compute", "configs", "hub", "sync"} {
		err := filepath.WalkDir(filepath.Join(root, layer), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			for what := range want {
				pkg, call, _ := strings.Cut(what, " ")
				uses, err := calls(path, pkg, call)
				if err != nil {
					return err
				}
				if dir := filepath.ToSlash(dir); uses && !slices.Contains(got[what], dir) {
					got[what] = append(got[what], dir)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, dirs := range want {
		if slices.Sort(got[what]); !slices.Equal(got[what], dirs) {
			t.Errorf("%s is called in %v, want %v", what, got[what], dirs)
		}
	}
}

// calls reports whether a file calls a function of a package.
func calls(path, pkg, function string) (bool, error) {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return false, err
	}
	imported := slices.ContainsFunc(f.Imports, func(s *ast.ImportSpec) bool { return s.Path.Value == `"`+pkg+`"` })
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == function {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg[strings.LastIndex(pkg, "/")+1:] {
				found = true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "parquet" && strings.HasSuffix(pkg, "parquet-go") {
				found = true
			}
		}
		return !found
	})
	return imported && found, nil
}
