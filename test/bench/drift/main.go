// Command drift measures every drift detector at its defaults: false alarms on streams that do
// not change and the delay after a change, of errors at a rate and of values of a normal
// distribution. It prints the tables of docs/performance/drift.md, with the figures that river
// 0.7.0 had in the same setting beside them.
//
//	go run ./test/bench/drift
package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"skerry.dev/compute/drift"
)

// candidate is a detector with the settings it runs with.
type candidate struct {
	name     string
	settings map[string]string
	numbers  bool // also takes values that are no errors
	river    string
}

var candidates = []candidate{
	{"adwin", nil, true, ""}, {"adwin", old, true, "adwin"}, {"page-hinkley", nil, true, ""}, {"page-hinkley", old, true, "page-hinkley"}, {"hddm-a", nil, false, "hddm-a"}, {"hddm-w", nil, false, ""}, {"hddm-w", old, false, "hddm-w"},
	{"ddm", nil, false, ""}, {"ddm", old, false, "ddm"}, {"eddm", nil, false, ""}, {"eddm", old, false, "eddm"}, {"rddm", nil, false, ""}, {"stepd", nil, false, ""}, {"stepd", map[string]string{"moa": "true"}, false, ""},
	{"ewma", nil, false, ""}, {"fhddm", map[string]string{"mode": "up"}, false, ""}, {"seed", nil, true, ""}, {"cusum", nil, true, ""}, {"kswin", nil, true, "kswin"}, {"ks", nil, true, ""},
}

var old = map[string]string{"semantics": "river-0.7"}

// river07 are the figures of river 0.7.0: false alarms per 1000 at rates 0.05, 0.2 and 0.4, then
// delay and misses of 50 after each change.
var river07 = map[string]string{
	"adwin": "0 0 0 | 438/0 1291/5 792/0", "page-hinkley": "0 0.005 0.027 | 149/0 484/0 545/0", "hddm-a": "0 0.006 0.013 | 79/0 433/1 440/0", "hddm-w": "0 0.072 0.668 | 45/0 357/1 1681/49", "ddm": "0.025 0.002 0 | 571/1 782/20 454/0",
	"eddm": "0.410 0.166 0.086 | 178/0 443/0 149/0",
}

// riverNormal are its figures on normal values: false alarms per 1000, and delays after shifts of
// 0.5, 1 and 2 standard deviations.
var riverNormal = map[string]string{"adwin": "0 | 761 221 114", "page-hinkley": "0 | never 740 296", "kswin": "3.4 | 77 24 16"}

func (c *candidate) make() drift.Detector {
	d, err := drift.New(c.name, c.settings)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return d
}

func (c *candidate) label() string {
	s := c.name
	for k, v := range c.settings {
		s += " " + k + "=" + v
	}
	return s
}

type maker func(rng *rand.Rand) float64

func errors(p float64) maker {
	return func(rng *rand.Rand) float64 {
		if rng.Float64() < p {
			return 1
		}
		return 0
	}
}

func normal(mean, sd float64) maker {
	return func(rng *rand.Rand) float64 { return mean + sd*rng.NormFloat64() }
}

// falseAlarms is the number of alarms per 1000 values in streams without a change.
func (c *candidate) falseAlarms(streams, length int, x maker) float64 {
	alarms := 0
	for s := range streams {
		rng, d := rand.New(rand.NewPCG(uint64(s), 1)), c.make()
		for range length {
			if d.Update(x(rng)) {
				alarms++
			}
		}
	}
	return float64(alarms) / float64(streams*length) * 1000
}

// delays returns how many values pass from a change to the first alarm after it, mean and median,
// and in how many runs there is none within patience. early are the alarms before the change.
func (c *candidate) delays(runs, before, patience int, x, y maker) (cell string, early int) {
	var found []int
	for s := range runs {
		rng, d := rand.New(rand.NewPCG(uint64(s), 2)), c.make()
		for range before {
			if d.Update(x(rng)) {
				early++
			}
		}
		for i := range patience {
			if d.Update(y(rng)) {
				found = append(found, i+1)
				break
			}
		}
	}
	if len(found) == 0 {
		return "never", early
	}
	sum := 0
	for _, n := range found {
		sum += n
	}
	slices.Sort(found)
	return fmt.Sprintf("%d (%d) / %d", sum/len(found), found[len(found)/2], runs-len(found)), early
}

func main() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(w, "| "+strings.Join(cells, "\t| ")+"\t|") }
	row("errors", "FAR 0.05", "0.2", "0.4", "0.2 → 0.5", "0.2 → 0.3", "0.05 → 0.15", "early", "river 0.7.0")
	row("---", "---", "---", "---", "---", "---", "---", "---", "---")
	for _, c := range candidates {
		cells := []string{c.label()}
		for _, p := range []float64{0.05, 0.2, 0.4} {
			cells = append(cells, fmt.Sprintf("%.3f", c.falseAlarms(10, 100_000, errors(p))))
		}
		early := 0
		for k, change := range [][2]float64{{0.2, 0.5}, {0.2, 0.3}, {0.05, 0.15}} {
			cell, e := c.delays(50, 5000, 2000, errors(change[0]), errors(change[1]))
			if cells = append(cells, cell); k == 0 {
				early = e
			}
		}
		row(append(cells, fmt.Sprint(early), strings.ReplaceAll(river07[c.river], "|", ";"))...)
	}
	_ = w.Flush() // to the terminal
	fmt.Println()
	row("normal values", "FAR", "0.5 sd", "1 sd", "2 sd", "river 0.7.0")
	row("---", "---", "---", "---", "---", "---")
	for _, c := range candidates {
		if !c.numbers {
			continue
		}
		cells := []string{c.label(), fmt.Sprintf("%.3f", c.falseAlarms(10, 100_000, normal(0.5, 0.1)))}
		for _, shift := range []float64{0.05, 0.1, 0.2} {
			cell, _ := c.delays(20, 1000, 2000, normal(0.5, 0.1), normal(0.5+shift, 0.1))
			cells = append(cells, cell)
		}
		row(append(cells, strings.ReplaceAll(riverNormal[c.river], "|", ";"))...)
	}
	_ = w.Flush() // to the terminal
}
