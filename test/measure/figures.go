package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"strings"
	"unicode/utf8"
)

// figures are what measure counts. Lines are all lines, blank ones and comments included.
type figures struct {
	packages, commented       int
	exported, documented      int
	code, tests               int // lines of Go
	files, functions          []int
	lengths                   map[string]int // of the files in files
	comments, wideComments    int            // lines
	widestComment             int
	prose, prose100, prose160 int // lines
	goStatements              int
}

// width is the columns of a line, with tabs of four.
func width(line string) int {
	return utf8.RuneCountInString(strings.ReplaceAll(line, "\t", "    "))
}

// isTest reports whether a Go file is there to test: a test, a package that helps tests, or
// something below test/.
func isTest(name string) bool {
	return strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "test/") || strings.HasSuffix(path.Dir(name), "test")
}

func measure(t tree) (*figures, error) {
	f := &figures{lengths: map[string]int{}}
	commented := map[string]bool{}
	for name, src := range t {
		if path.Ext(name) == ".md" {
			f.text(string(src))
			continue
		}
		if bytes.HasPrefix(src, []byte("// Code generated")) {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse: %w", err)
		}
		lines := bytes.Count(src, []byte("\n"))
		f.commentLines(fset, file, strings.Split(string(src), "\n"))
		if isTest(name) {
			f.tests += lines
		} else {
			f.code += lines
			f.files = append(f.files, lines)
			f.lengths[name] = lines
			f.inspect(fset, file)
		}
		if !strings.HasSuffix(name, "_test.go") {
			dir := path.Dir(name)
			commented[dir] = commented[dir] || file.Doc != nil
		}
	}
	for _, ok := range commented {
		f.packages++
		if ok {
			f.commented++
		}
	}
	return f, nil
}

// commentLines counts lines that hold a comment, alone or behind code. Directives are not prose.
func (f *figures) commentLines(fset *token.FileSet, file *ast.File, lines []string) {
	for _, g := range file.Comments {
		for _, c := range g.List {
			if strings.HasPrefix(c.Text, "//") && !strings.HasPrefix(c.Text, "// ") && !strings.HasPrefix(c.Text, "//\t") && c.Text != "//" {
				continue
			}
			for n := fset.Position(c.Pos()).Line; n <= fset.Position(c.End()).Line; n++ {
				w := width(lines[n-1])
				f.comments++
				f.widestComment = max(f.widestComment, w)
				if w > 100 {
					f.wideComments++
				}
			}
		}
	}
}

// text counts the lines of a Markdown file that could be broken: no tables, code or blank lines.
func (f *figures) text(s string) {
	code := false
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "```") {
			code = !code
			continue
		}
		if code || trimmed == "" || strings.HasPrefix(trimmed, "|") || strings.HasPrefix(line, "    ") {
			continue
		}
		f.prose++
		w := width(line)
		if w > 100 {
			f.prose100++
		}
		if w > 160 {
			f.prose160++
		}
	}
}

// inspect counts functions, go statements and documented names.
func (f *figures) inspect(fset *token.FileSet, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		if _, ok := n.(*ast.GoStmt); ok {
			f.goStatements++
		}
		return true
	})
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body != nil {
				f.functions = append(f.functions, fset.Position(d.End()).Line-fset.Position(d.Pos()).Line+1)
			}
			if d.Name.IsExported() && exportedReceiver(d) {
				f.name(d.Doc)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				f.spec(d, s)
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// spec counts the exported names of a declaration; a comment on a group stands for its names.
func (f *figures) spec(d *ast.GenDecl, s ast.Spec) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			f.name(s.Doc, s.Comment, d.Doc)
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() {
				f.name(s.Doc, s.Comment, d.Doc)
			}
		}
	}
}

func (f *figures) name(docs ...*ast.CommentGroup) {
	f.exported++
	for _, d := range docs {
		if d != nil {
			f.documented++
			return
		}
	}
}
