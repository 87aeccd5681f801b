// Command domains takes other people's problems through the whole loop, as their owners would:
// seven public data sets, each with a task file that says no more than it must, published by MQTT
// to an agent with a hub that trains and rolls out by itself, and to a second agent without a hub.
// It judges what both publish, after the hub's model has become active, against the truths, against
// plain baselines and against intervals of constant width, prints a table and exits 1 when a bound
// does not hold.
//
// Sensors go on publishing as fast as both agents follow. Event time stands still while the hub
// trains, and goes slowly during a rollout: with rows of minutes and hours both take no time.
//
//	go run ./test/domains --data ../shared/data --bin bin
//	go run ./test/domains --data ../shared/data --bin bin steel bike
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

type settings struct {
	data, bin, dir, out string
	hubArgs             string
	rows                int
}

func main() {
	var s settings
	flag.StringVar(&s.data, "data", os.Getenv("SKERRY_DATA"), "folder of the public data sets")
	flag.StringVar(&s.bin, "bin", "bin", "folder of skerry-agent and skerry-hub")
	flag.StringVar(&s.dir, "dir", "", "folder of everything the run writes, kept (default a temporary one)")
	flag.StringVar(&s.out, "out", "", "file of the table, besides standard output")
	flag.StringVar(&s.hubArgs, "hub-args", "--train-budget 20s --rollout-max-latency 20ms", "options of skerry-hub serve beside its defaults")
	flag.IntVar(&s.rows, "rows", 0, "rows to publish of each set, 0 for all")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: domains [flags] [SET...]\nSets: %s\n", strings.Join(names(), ", "))
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	held, err := run(ctx, s, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "domains:", err)
		os.Exit(1)
	}
	if !held {
		os.Exit(1)
	}
}

func names() (out []string) {
	for _, s := range sets {
		out = append(out, s.name)
	}
	return out
}

// run plays the named sets, all when there are none, and reports whether every bound holds.
func run(ctx context.Context, s settings, only []string) (held bool, err error) {
	for _, n := range only {
		if !slices.Contains(names(), n) {
			return false, fmt.Errorf("no set %q: there are %s", n, strings.Join(names(), ", "))
		}
	}
	if s.data == "" {
		return false, fmt.Errorf("no data: set SKERRY_DATA or --data to the folder of the public data sets")
	}
	if s.bin, err = filepath.Abs(s.bin); err != nil {
		return false, err
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "skerry-domains-"); err != nil {
			return false, err
		}
		defer os.RemoveAll(s.dir)
	} else if s.dir, err = filepath.Abs(s.dir); err != nil {
		return false, err
	}
	held = true
	var results []*result
	for i := range sets {
		if len(only) > 0 && !slices.Contains(only, sets[i].name) {
			continue
		}
		r, err := play(ctx, s, &sets[i])
		if err != nil {
			return false, fmt.Errorf("%s: %w", sets[i].name, err)
		}
		r.print(os.Stdout)
		results = append(results, r)
		held = held && len(r.missed) == 0
	}
	text := markdown(results)
	fmt.Print("\n" + text)
	if s.out != "" {
		if err := os.WriteFile(s.out, []byte(text), 0o644); err != nil {
			return false, err
		}
	}
	return held, nil
}
