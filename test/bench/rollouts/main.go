// Command rollouts simulates whole rollouts: devices judge for themselves as agent/update does, the
// hub decides as hub/rollout does, at every few rows, on paired losses whose truth is known. Losses
// are made (independent, autocorrelated, heavy-tailed), or they are errors of two forecasters of real
// series, made equal in the mean and cut at random starts. Beside each it prints how many rows a test
// of fixed size would have taken, which looks once and knows the long-run variance.
//
//	go run ./test/bench/rollouts -runs 10000 -data ../shared/data
package main

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"skerry.dev/agent/update"
	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
)

const hour = int64(3600e6) // between rows, microseconds

// losses gives one device's next pair of losses, the incumbent's and those of a candidate that is as
// good.
type losses interface {
	next() (incumbent, candidate float64)
}

// made are clipped absolute errors of two models whose errors have something in common.
type made struct {
	rng     *rand.Rand
	phi     float64 // of each part of the errors, from row to row
	tail    bool    // Student's t with three degrees of freedom
	c, a, b float64
}

// alike is the share of the errors' variance that both models have in common.
const alike = 0.5

func (g *made) step(x float64) float64 {
	z := g.rng.NormFloat64()
	if g.tail {
		sum := 0.0
		for range 3 {
			q := g.rng.NormFloat64()
			sum += q * q
		}
		z /= math.Sqrt(sum)
	}
	return g.phi*x + math.Sqrt(1-g.phi*g.phi)*z
}

func (g *made) next() (incumbent, candidate float64) {
	g.c, g.a, g.b = g.step(g.c), g.step(g.a), g.step(g.b)
	c := math.Sqrt(alike) * g.c
	own := math.Sqrt(1 - alike)
	return math.Abs(c + own*g.a), math.Abs(c + own*g.b)
}

// shape is where losses come from.
type shape struct {
	name string
	// start is where in a recording losses begin, from 0 to 1, the same for all devices
	make func(device int, start float64, rng *rand.Rand) losses
	most int // devices that there are
}

func shapes(data string) ([]shape, error) {
	of := func(phi float64, tail bool) func(int, float64, *rand.Rand) losses {
		return func(_ int, _ float64, rng *rand.Rand) losses {
			g := &made{rng: rng, phi: phi, tail: tail}
			for range 200 {
				g.next()
			}
			return g
		}
	}
	list := []shape{
		{"independent", of(0, false), 100},
		{"AR .5", of(0.5, false), 100},
		{"AR .9", of(0.9, false), 100},
		{"AR .5, t with 3", of(0.5, true), 100},
	}
	if data == "" {
		return list, nil
	}
	real, err := recorded(data)
	return append(list, real...), err
}

// result is how a rollout ended.
type result struct {
	state  rollout.State
	beyond bool // more devices than the canary have run it
	rows   int  // of each device
	reason string
}

// clip bounds a loss as the engine does, in units of its scale.
const clip = 4

// play simulates one rollout to its end. ratio is the candidate's mean loss by the incumbent's.
func play(seed uint64, s shape, devices int, ratio float64, look, most int) (out result) {
	sp := rollout.Spec{Task: "t", Digest: fmt.Sprintf("%064d", seed), Deadline: int64(most) * 3600}
	if err := sp.Defaults(); err != nil {
		panic(err)
	}
	rng := rand.New(rand.NewPCG(seed, 77))
	from := make([]losses, devices)
	views := make([]rollout.View, devices)
	trial := spec.Trial{MinShadow: sp.MinShadow, Probation: sp.Probation, MaxRegression: sp.MaxRegression, MaxLatencyUS: sp.MaxLatencyUS, Cycle: sp.Cycle * 1e6, Alpha: sp.Alpha}
	begin := rng.Float64()
	for i := range from {
		from[i] = s.make(i, begin, rand.New(rand.NewPCG(rng.Uint64(), 1)))
		views[i] = rollout.View{Device: fmt.Sprintf("d%02d", i), Connected: true}
	}
	start := int64(1+begin*24*365) * hour
	st := rollout.Status{StageName: rollout.ShadowStage, Since: start}
	for row := 1; row <= 3*most; row++ {
		now := start + int64(row)*hour
		for i := range views {
			inc, cand := from[i].next()
			step(&views[i], trial, now, min(inc, clip), min(cand*ratio, clip))
		}
		if row%look != 0 {
			continue
		}
		d := rollout.Decide(sp.Digest, &sp, st, views, rollout.Clock{Now: now})
		st = d.Status
		for _, o := range d.Orders {
			v := &views[slices.IndexFunc(views, func(v rollout.View) bool { return v.Device == o.Device })]
			v.Wanted, v.Assigned = o.Phase, now
			if v.Phase == spec.PhaseShadow {
				v.Shadow = v.Stats
			} else {
				v.Phase = spec.PhaseShadow
			}
		}
		out.beyond = out.beyond || st.Stage > 1
		if out.state, out.rows, out.reason = d.State, row, d.Status.Reason; d.State != rollout.Running {
			return out
		}
	}
	return out
}

// step is one device's side of a rollout, as agent/update is.
func step(v *rollout.View, t spec.Trial, now int64, incumbent, candidate float64) {
	v.SeenAt = now
	if v.Phase != spec.PhaseShadow && v.Phase != spec.PhaseProbation {
		return
	}
	p := &v.Stats
	p.Rows++
	p.Labelled++
	p.From, p.To = cmp.Or(p.From, now), now
	p.SumIncumbent += incumbent
	p.SumCandidate += candidate
	p.SumDiff += candidate - incumbent
	p.Blocks.Add(now, incumbent, candidate)
	reason, settled := update.Veto(*p, t)
	switch {
	case settled && v.Phase == spec.PhaseShadow:
		v.Phase, v.Cause, v.Reason = spec.PhaseVetoed, spec.CauseModel, reason
	case settled:
		v.Phase, v.Cause, v.Reason = spec.PhaseReverted, spec.CauseModel, reason
	case reason != "":
	case v.Phase == spec.PhaseShadow && v.Wanted == spec.PhaseActive && p.Labelled >= int64(t.MinShadow):
		v.Phase, v.Stats = spec.PhaseProbation, spec.Paired{}
	case v.Phase == spec.PhaseProbation && p.Labelled >= int64(t.Probation):
		v.Phase = spec.PhaseActive
	}
}

// fixed is how many rows of each device a test would take that looks once: it rejects the limit with
// an error of 5 % each way, with a power of 80 %. The long-run variance is that of sums over weeks.
func fixed(s shape, devices int, ratio, margin float64) int {
	const weeks, week = 400, 168
	from := make([]losses, devices)
	for i := range from {
		from[i] = s.make(i, 0.1, rand.New(rand.NewPCG(uint64(i), 3)))
	}
	var sum, squares, incumbents float64
	for range weeks {
		total := 0.0
		for range week {
			for _, f := range from {
				inc, cand := f.next()
				inc, cand = min(inc, clip), min(cand*ratio, clip)
				total += cand - (1+margin)*inc
				incumbents += inc
			}
		}
		sum += total
		squares += total * total
	}
	n := float64(weeks)
	variance := (squares/n - sum/n*sum/n) / week
	off := sum / n / week
	const z = 1.645 + 0.842
	return int(math.Ceil(variance * z * z / (off * off)))
}

func median(v []int) int {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func main() {
	runs := flag.Int("runs", 1000, "rollouts of each kind")
	data := flag.String("data", "", "folder of the real series; none: made losses alone")
	look := flag.Int("look", 4, "rows of each device between two looks of the hub")
	most := flag.Int("rows", 8000, "deadline of a stage, rows of each device")
	only := flag.String("only", "", "only shapes whose name has this in it")
	counts := flag.String("devices", "1,5,20", "sizes of the fleet")
	why := flag.Bool("why", false, "also list the reasons of those that paused")
	flag.Parse()
	if err := run(*runs, *data, *look, *most, *only, *counts, *why); err != nil {
		fmt.Fprintln(os.Stderr, "rollouts:", err)
		os.Exit(1)
	}
}

func run(runs int, data string, look, most int, only, counts string, why bool) error {
	all, err := shapes(data)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "losses\tdevices\tcandidate\tcompleted\tbanned\tpaused\tbeyond canary\trows to complete\trows to ban\tfixed test\n")
	for _, s := range all {
		if !strings.Contains(s.name, only) {
			continue
		}
		for _, text := range strings.Split(counts, ",") {
			var devices int
			if _, err := fmt.Sscan(text, &devices); err != nil || devices < 1 {
				return fmt.Errorf("-devices %q: want numbers above 0, separated by commas", counts)
			}
			if devices > s.most {
				continue
			}
			for _, ratio := range []float64{1, 0.95, 1.1} {
				row(w, s, devices, ratio, runs, look, most, why)
			}
		}
	}
	return w.Flush()
}

// row simulates one kind of rollout and prints what became of them.
func row(w *tabwriter.Writer, s shape, devices int, ratio float64, runs, look, most int, why bool) {
	results := make([]result, runs)
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				results[i] = play(uint64(i), s, devices, ratio, look, most)
			}
		})
	}
	for i := range results {
		next <- i
	}
	close(next)
	wg.Wait()
	count := map[rollout.State]int{}
	rows := map[rollout.State][]int{}
	beyond := 0
	for _, r := range results {
		count[r.state]++
		rows[r.state] = append(rows[r.state], r.rows)
		if r.beyond {
			beyond++
		}
	}
	share := func(n int) string { return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(runs)) }
	fmt.Fprintf(w, "%s\t%d\t%+.0f %%\t%s\t%s\t%s\t%s\t%d\t%d\t%d\n", s.name, devices, 100*(ratio-1), share(count[rollout.Completed]), share(count[rollout.RollingBack]),
		share(count[rollout.Paused]+count[rollout.Running]), share(beyond), median(rows[rollout.Completed]), median(rows[rollout.RollingBack]), fixed(s, devices, ratio, 0.05))
	w.Flush()
	if !why {
		return
	}
	reasons := map[string]int{}
	digits := regexp.MustCompile(`[-+]?[0-9.]+`)
	for _, r := range results {
		if r.state == rollout.Paused {
			reasons[digits.ReplaceAllString(r.reason, "#")]++
		}
	}
	for _, text := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Printf("    paused %d: %s\n", reasons[text], text)
	}
}
