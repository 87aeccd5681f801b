// Command coverage prints the statement coverage of packages below given folders from a coverage
// profile and fails when a folder is below the minimum.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
)

type count struct{ covered, total int }

func (c count) percent() float64 { return 100 * float64(c.covered) / float64(max(c.total, 1)) }

func main() {
	low := flag.Float64("min", 0, "smallest coverage of each folder, in percent")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: coverage [-min N] PROFILE ./FOLDER...")
		os.Exit(2)
	}
	packages, err := read(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	failed := false
	for _, folder := range flag.Args()[1:] {
		prefix := "skerry.dev/" + strings.TrimPrefix(folder, "./") + "/"
		var sum count
		var names []string
		for p, c := range packages {
			if strings.HasPrefix(p+"/", prefix) {
				sum.covered, sum.total = sum.covered+c.covered, sum.total+c.total
				names = append(names, p)
			}
		}
		sort.Strings(names)
		for _, p := range names {
			fmt.Printf("  %-40s %5.1f %%\n", strings.TrimPrefix(p, "skerry.dev/"), packages[p].percent())
		}
		fmt.Printf("%-42s %5.1f %%\n", strings.TrimPrefix(folder, "./"), sum.percent())
		if sum.percent() < *low {
			fmt.Printf("coverage of %s is below %.0f %%\n", folder, *low)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// read adds up a profile. A block listed by several test binaries counts as covered when one of
// them ran it.
func read(path string) (map[string]count, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	type block struct {
		statements int
		hit        bool
	}
	blocks := map[string]block{}
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) != 3 {
			continue // the mode line
		}
		n, err1 := strconv.Atoi(fields[1])
		hits, err2 := strconv.Atoi(fields[2])
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("%s: bad line %q", path, sc.Text())
		}
		b := blocks[fields[0]]
		blocks[fields[0]] = block{n, b.hit || hits > 0}
	}
	packages := map[string]count{}
	for at, b := range blocks {
		file, _, _ := strings.Cut(at, ":")
		pkg := file[:strings.LastIndexByte(file, '/')]
		c := packages[pkg]
		c.total += b.statements
		if b.hit {
			c.covered += b.statements
		}
		packages[pkg] = c
	}
	return packages, sc.Err()
}
