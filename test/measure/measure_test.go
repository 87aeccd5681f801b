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

// TestRefused: a tree that cannot be measured and a commit that there is not are errors that name
// them, never figures of half a tree.
func TestRefused(t *testing.T) {
	if _, err := measure(tree{"a/a.go": []byte("package a\n"), "a/broken.go": []byte("package a\n\nfunc {\n")}); err == nil || !strings.Contains(err.Error(), "a/broken.go") {
		t.Errorf("measure of a file that is no Go = %v, want the file named", err)
	}
	if _, err := git("rev-parse", "HEAD"); err != nil {
		t.Skipf("%v: run this test in a clone", err)
	}
	if err := run(&strings.Builder{}, "no-such-commit", 0); err == nil || !strings.Contains(err.Error(), "no-such-commit") {
		t.Errorf("run beside a commit that there is not = %v, want it named", err)
	}
}

// TestLong lists the long files, the longest first, those of one length by name, without tests.
func TestLong(t *testing.T) {
	lines := func(n int) []byte { return []byte("package a\n" + strings.Repeat("\n", n-1)) }
	f, err := measure(tree{"a/b.go": lines(30), "a/a.go": lines(30), "a/c.go": lines(40), "a/d.go": lines(20), "a/e_test.go": lines(50)})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	f.printLong(&b, 20)
	if got, want := strings.Join(strings.Fields(b.String()), " "), "40 a/c.go 30 a/a.go 30 a/b.go"; got != want {
		t.Errorf("printLong(20) = %q, want %q", got, want)
	}
	b.Reset()
	if empty := (&figures{}); table(&b, []named{{"now", empty}}) != nil || strings.Contains(b.String(), "NaN") {
		t.Errorf("the table of an empty tree is\n%s", b.String())
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
