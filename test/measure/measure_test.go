package main

import (
	"strings"
	"testing"
)

func TestMeasure(t *testing.T) {
	wide := strings.Repeat("x", 101)
	f, err := measure(tree{
		"a/a.go":          []byte("// Package a is small.\npackage a\n\n// " + wide + "\nfunc A() {\n\tgo A()\n}\n\nfunc B() {}\n\nfunc c() {}\n\n// X and Y are a group.\nconst (\n\tX = 1\n\tY = 2\n)\n\ntype t struct{}\n\nfunc (t) M() {}\n"),
		"a/a_test.go":     []byte("package a\n\nimport _ \"testing\"\n"),
		"a/atest/help.go": []byte("package atest\n"),
		"README.md":       []byte("# Title\n\n" + wide + "\n| " + wide + " |\n```\n" + wide + "\n```\n" + strings.Repeat(wide, 2) + "\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ got, want int }{
		"packages":         {f.packages, 2},
		"commented":        {f.commented, 1},
		"exported":         {f.exported, 4},
		"documented":       {f.documented, 3},
		"code":             {f.code, 21},
		"tests":            {f.tests, 4},
		"functions":        {len(f.functions), 4},
		"median function":  {quantile(f.functions, 0.5), 1},
		"longest function": {quantile(f.functions, 1), 3},
		"go statements":    {f.goStatements, 1},
		"comments":         {f.comments, 3},
		"wide comments":    {f.wideComments, 1},
		"widest comment":   {f.widestComment, 104},
		"prose":            {f.prose, 3},
		"prose over 100":   {f.prose100, 2},
		"prose over 160":   {f.prose160, 1},
		"length of a/a.go": {f.lengths["a/a.go"], 21},
		"files":            {len(f.files), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s = %d, want %d", name, c.got, c.want)
		}
	}
}

// TestTree measures this tree beside itself: the commit HEAD and the files on the disk.
func TestTree(t *testing.T) {
	if _, err := git("rev-parse", "HEAD"); err != nil {
		t.Skipf("%v: run this test in a clone", err)
	}
	var b strings.Builder
	if err := run(&b, "HEAD", 0); err != nil {
		t.Fatal(err)
	}
	if out := b.String(); !strings.Contains(out, "HEAD") || !strings.Contains(out, "test share") || strings.Contains(out, "NaN") {
		t.Errorf("the table is\n%s", out)
	}
}
