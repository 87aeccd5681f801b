// Command measure prints figures about how the tree reads: how much is documented, how long files,
// functions and lines are, how much of it is tests. The figures serve the reader: a long file that
// is one story stays as it is, and --long lists those that deserve a second look.
//
//	go run ./test/measure                    # the working tree
//	go run ./test/measure --before fb38a37   # beside an earlier commit
//	go run ./test/measure --long 400         # files longer than that, the longest first
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
)

func main() {
	before := flag.String("before", "", "a commit to print beside the working tree")
	long := flag.Int("long", 0, "list the Go files without tests that have more lines, instead of the figures")
	flag.Parse()
	if err := run(os.Stdout, *before, *long); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, before string, long int) error {
	now, err := working()
	if err != nil {
		return err
	}
	f, err := measure(now)
	if err != nil {
		return err
	}
	if long > 0 {
		f.printLong(w, long)
		return nil
	}
	columns := []named{{"now", f}}
	if before != "" {
		then, err := commit(before)
		if err != nil {
			return err
		}
		old, err := measure(then)
		if err != nil {
			return err
		}
		columns = []named{{before, old}, {"now", f}}
	}
	return table(w, columns)
}

type named struct {
	name string
	*figures
}

func table(w io.Writer, columns []named) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(what string, value func(*figures) string) {
		fmt.Fprint(t, what)
		for _, c := range columns {
			fmt.Fprint(t, "\t", value(c.figures))
		}
		fmt.Fprintln(t)
	}
	fmt.Fprint(t, "figure")
	for _, c := range columns {
		fmt.Fprint(t, "\t", c.name)
	}
	fmt.Fprintln(t)
	line("packages", func(f *figures) string { return fmt.Sprint(f.packages) })
	line("packages with a comment", func(f *figures) string { return percent(f.commented, f.packages) })
	line("exported names documented", func(f *figures) string { return percent(f.documented, f.exported) })
	line("Go lines, tests apart", func(f *figures) string { return fmt.Sprint(f.code) })
	line("test share of Go lines", func(f *figures) string { return percent(f.tests, f.code+f.tests) })
	line("file lines, median / p90 / max", func(f *figures) string {
		return fmt.Sprintf("%d / %d / %d", quantile(f.files, 0.5), quantile(f.files, 0.9), quantile(f.files, 1))
	})
	line("function lines, median / p90 / max", func(f *figures) string {
		return fmt.Sprintf("%d / %d / %d", quantile(f.functions, 0.5), quantile(f.functions, 0.9), quantile(f.functions, 1))
	})
	line("comment lines over 100 columns", func(f *figures) string {
		return fmt.Sprintf("%s (max %d)", percent(f.wideComments, f.comments), f.widestComment)
	})
	line("prose lines over 100 columns", func(f *figures) string { return percent(f.prose100, f.prose) })
	line("prose lines over 160 columns", func(f *figures) string { return percent(f.prose160, f.prose) })
	line("go statements per 1,000 lines", func(f *figures) string {
		return fmt.Sprintf("%.2f", 1000*float64(f.goStatements)/float64(max(f.code, 1)))
	})
	return t.Flush()
}

func percent(n, of int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(max(of, 1))) }

// quantile returns an order statistic of values, which it sorts.
func quantile(values []int, q float64) int {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

func (f *figures) printLong(w io.Writer, limit int) {
	names := make([]string, 0, len(f.lengths))
	for name, n := range f.lengths {
		if n > limit {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(f.lengths[b], f.lengths[a]), strings.Compare(a, b))
	})
	for _, name := range names {
		fmt.Fprintf(w, "%5d  %s\n", f.lengths[name], name)
	}
}

// tree is the files of a tree by path.
type tree map[string][]byte

// counted reports whether a file counts: Go and prose of our own.
func counted(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "testdata" || part == "node_modules" || part == "dist" {
			return false
		}
	}
	ext := path.Ext(name)
	return ext == ".go" || ext == ".md"
}

// working reads the files that git tracks or does not ignore, as they are now.
func working() (tree, error) {
	list, err := git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--full-name", ":/")
	if err != nil {
		return nil, err
	}
	top, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	root := os.DirFS(strings.TrimSpace(string(top))).(interface {
		ReadFile(string) ([]byte, error)
	})
	t := tree{}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		if !counted(name) {
			continue
		}
		b, err := root.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted and not yet committed
		}
		if err != nil {
			return nil, err
		}
		t[name] = b
	}
	return t, nil
}

// commit reads the files of a commit.
func commit(rev string) (tree, error) {
	top, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	archive, err := git("-C", strings.TrimSpace(string(top)), "archive", "--format=tar", rev)
	if err != nil {
		return nil, err
	}
	t := tree{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg || !counted(h.Name) {
			continue
		}
		if t[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

func git(args ...string) ([]byte, error) {
	out, err := exec.Command("git", args...).Output()
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("git %s: %s", strings.Join(args, " "), bytes.TrimSpace(ee.Stderr))
	}
	return out, err
}
