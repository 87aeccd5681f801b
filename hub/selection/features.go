package selection

import (
	"fmt"
	"math"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/feature"
)

const (
	maxCandidates = 1500 // columns generated
	maxFeatures   = 56   // columns kept: more cost latency on the device and hardly help
	pruneRows     = 10_000
	pruneRounds   = 50
	maxOneHot     = 32 // categories that get a column
)

// Steps are multiples of the row distance.
var (
	lagSteps    = []int64{1, 2, 3, 6, 12, 24, 48, 168}
	windowSteps = []int64{3, 6, 12, 24, 48}
)

const dayUS = int64(24 * time.Hour / time.Microsecond)

// generator lists candidate columns, the most promising families first, so that a cap cuts the
// least.
type generator struct {
	p       *Problem
	dist    int64
	cols    []feature.Column
	encoded []encoding
	seen    map[string]bool
}

// candidates returns the design of every feature worth trying.
func candidates(p *Problem, dist int64) *design {
	g := &generator{p: p, dist: dist, seen: map[string]bool{}}
	for _, c := range p.Features {
		g.add(c)
	}
	order := make([]int, 0, len(p.Inputs)) // the target first
	if p.Kind == artifact.KindForecast {
		order = append(order, p.TargetIndex)
	}
	for i := range p.Inputs {
		if p.Kind != artifact.KindForecast || i != p.TargetIndex {
			order = append(order, i)
		}
	}
	missing := missingShares(p)
	for _, i := range order {
		g.plain(i, missing[i])
	}
	if p.Independent {
		order = nil
	} else {
		g.calendar()
	}
	for _, i := range order {
		if len(p.Inputs[i].Categories) == 0 {
			g.lags(i)
		}
	}
	for _, i := range order {
		if len(p.Inputs[i].Categories) == 0 {
			g.windows(i)
		}
	}
	if rowCount(p) >= shapeRows && len(order) > 0 {
		for _, i := range order {
			if len(p.Inputs[i].Categories) == 0 {
				g.shapes(i, missing[i])
			}
		}
		g.pairs()
		if len(p.Inputs[order[0]].Categories) == 0 {
			g.spectrum(order[0])
		}
	}
	pipe := &feature.Pipeline{
		Inputs:    p.Inputs,
		Columns:   g.cols,
		Tolerance: max(dist, 1),
		Offset:    p.OffsetUS,
		Holidays:  p.Holidays,
		Distance:  dist,
		Modules:   p.Modules,
	}
	pipe.Rows = lookback(pipe, dist)
	return &design{pipe: pipe, encodings: g.encoded}
}

// levels are the operations whose results move with the level of a series, or go on with the years.
var levels = map[feature.Op]bool{
	feature.OpValue: true, feature.OpLag: true, feature.OpLast: true, feature.OpMean: true, feature.OpMin: true, feature.OpMax: true,
	feature.OpMedian: true, feature.OpQuantile: true, feature.OpEWMean: true, feature.OpEnergy: true, feature.OpRatio: true,
	feature.OpDifference: true, feature.OpProduct: true, feature.OpYearSin: true, feature.OpYearCos: true, feature.OpMonth: true,
}

// withoutLevels is the design whose columns, but for the user-defined ones, do not look at levels: a
// model sees how its inputs move, and the time of day and week, so that it holds where levels drift
// away from those it has learned from.
func (d *design) withoutLevels(p *Problem) *design {
	var keep []int
	for j, c := range d.pipe.Columns {
		if j < len(p.Features) || !levels[c.Op] {
			keep = append(keep, j)
		}
	}
	return d.pick(keep)
}

// shapeRows is how many rows there must be for the families that twice as many columns come from:
// on fewer some of them fit the noise.
const shapeRows = 2000

func rowCount(p *Problem) (n int) {
	for i := range p.Devices {
		n += len(p.Devices[i].Times)
	}
	return n
}

func missingShares(p *Problem) []float64 {
	share, n := make([]float64, len(p.Inputs)), 0.0
	for i := range p.Devices {
		for _, row := range p.Devices[i].Values {
			n++
			for j, v := range row {
				if math.IsNaN(v) {
					share[j]++
				}
			}
		}
	}
	for j := range share {
		share[j] /= max(n, 1)
	}
	return share
}

func (g *generator) add(c feature.Column) {
	if len(g.cols) < maxCandidates && !g.seen[c.Name] {
		g.seen[c.Name] = true
		g.cols = append(g.cols, c)
	}
}

func (g *generator) plain(i int, missing float64) {
	in := &g.p.Inputs[i]
	if len(in.Categories) == 0 {
		g.add(feature.Column{Name: in.Name, Op: feature.OpValue, Series: i})
	}
	for c := range in.Categories[:min(len(in.Categories), maxOneHot)] {
		g.add(feature.Column{
			Name:     fmt.Sprintf("%s_is_%s", in.Name, in.Categories[c]),
			Op:       feature.OpOneHot,
			Series:   i,
			Category: float64(c),
		})
	}
	g.encodings(i)
	if missing > 0.01 && missing < 0.99 {
		g.add(feature.Column{Name: in.Name + "_missing", Op: feature.OpMissing, Series: i})
	}
}

// calendar adds the cycles that the data cover at least twice.
func (g *generator) calendar() {
	first, last := span(g.p)
	for _, c := range []struct {
		length   int64
		sin, cos feature.Op
	}{
		{dayUS, feature.OpDaySin, feature.OpDayCos}, {7 * dayUS, feature.OpWeekSin, feature.OpWeekCos},
		{365 * dayUS, feature.OpYearSin, feature.OpYearCos},
	} {
		if last-first >= 2*c.length && g.dist <= c.length/2 {
			g.add(feature.Column{Name: string(c.sin), Op: c.sin})
			g.add(feature.Column{Name: string(c.cos), Op: c.cos})
		}
	}
	if len(g.p.Holidays) > 0 {
		g.add(feature.Column{Name: string(feature.OpHoliday), Op: feature.OpHoliday})
	}
}

func span(p *Problem) (first, last int64) {
	found := false
	for i := range p.Devices {
		t := p.Devices[i].Times
		if len(t) == 0 {
			continue
		}
		if !found {
			first, last, found = t[0], t[len(t)-1], true
		}
		first, last = min(first, t[0]), max(last, t[len(t)-1])
	}
	return first, last
}

// lags looks half a row distance to both sides of each step, so that rows may come a little early
// or late: the pipeline's tolerance is one distance.
func (g *generator) lags(i int) {
	name, target := g.p.Inputs[i].Name, g.p.Kind == artifact.KindForecast && i == g.p.TargetIndex
	at := func(lag int64) {
		if lag/g.dist+4 > feature.MaxLookback || lag < g.dist {
			return
		}
		label := name + "_%s_" + duration(lag)
		g.add(feature.Column{
			Name:   fmt.Sprintf(label, "diff"),
			Op:     feature.OpDiff,
			Series: i,
			Lag:    lag - g.dist/2,
		})
		g.add(feature.Column{
			Name:   fmt.Sprintf(label, "lag"),
			Op:     feature.OpLag,
			Series: i,
			Lag:    lag - g.dist/2,
		})
	}
	for _, k := range lagSteps {
		if target || k <= 24 {
			at(k * g.dist)
		}
	}
	if target {
		at(dayUS - g.p.HorizonUS) // the instant to be predicted, a day and a week before
		at(7*dayUS - g.p.HorizonUS)
	}
}

// windows ends half a row distance early for the same reason.
func (g *generator) windows(i int) {
	name := g.p.Inputs[i].Name
	for _, k := range windowSteps {
		for _, op := range []feature.Op{feature.OpMean, feature.OpStd, feature.OpMin, feature.OpMax} {
			g.add(feature.Column{
				Name:   fmt.Sprintf("%s_%s_%s", name, op, duration(k*g.dist)),
				Op:     op,
				Series: i,
				Window: k*g.dist - g.dist/2,
			})
		}
	}
}

// shapes reports where a series is heading, how it wobbles and whether its sensor is well.
func (g *generator) shapes(i int, missing float64) {
	name, d := g.p.Inputs[i].Name, g.dist
	add := func(op feature.Op, steps int64, c feature.Column) {
		c.Name, c.Op, c.Series = fmt.Sprintf("%s_%s_%s", name, op, duration(steps*d)), op, i
		g.add(c)
	}
	for _, k := range []int64{6, 24} {
		add(feature.OpSlope, k, feature.Column{Window: k*d - d/2})
		add(feature.OpMedian, k, feature.Column{Window: k*d - d/2})
	}
	for _, k := range []int64{2, 8} {
		add(feature.OpEWMean, k, feature.Column{HalfLife: k * d, Window: 6*k*d - d/2})
	}
	add(feature.OpRate, 1, feature.Column{Lag: max(d-d/2, 1)})
	add(feature.OpCrossings, 24, feature.Column{Window: 24*d - d/2})
	add(feature.OpStuck, 6, feature.Column{Window: 6*d - d/2})
	add(feature.OpSpike, 24, feature.Column{Window: 24*d - d/2, Limit: spikeLimit})
	if missing > 0.01 {
		add(feature.OpSince, 24, feature.Column{Window: 24*d - d/2})
	}
}

// spikeLimit is how many median deviations from the median make a spike.
const spikeLimit = 6

// pairs compares series of one unit, and all with the target.
func (g *generator) pairs() {
	in, n := g.p.Inputs, 0
	for i := range in {
		for j := range in[:i] {
			if n == maxPairs || len(in[i].Categories) > 0 || len(in[j].Categories) > 0 {
				continue
			}
			alike := in[i].Unit != "" && in[i].Unit == in[j].Unit
			if !alike && (g.p.Kind != artifact.KindForecast || i != g.p.TargetIndex && j != g.p.TargetIndex) {
				continue
			}
			n++
			g.add(feature.Column{
				Name:   in[i].Name + "_per_" + in[j].Name,
				Op:     feature.OpRatio,
				Series: i,
				Other:  j,
			})
			if alike {
				g.add(feature.Column{
					Name:   in[i].Name + "_less_" + in[j].Name,
					Op:     feature.OpDifference,
					Series: i,
					Other:  j,
				})
			}
		}
	}
}

// maxPairs bounds the pairs of series that are compared.
const maxPairs = 32

// spectrum splits the movement of a series over 48 rows into slow, middle and fast.
func (g *generator) spectrum(i int) {
	name, window := g.p.Inputs[i].Name, 48*g.dist
	hertz := 1e6 / float64(g.dist)
	for _, b := range []struct {
		name      string
		low, high float64
	}{{"slow", 1.0 / 64, 1.0 / 12}, {"middle", 1.0 / 12, 1.0 / 4}, {"fast", 1.0 / 4, 0.6}} {
		g.add(feature.Column{
			Name:   fmt.Sprintf("%s_power_%s", name, b.name),
			Op:     feature.OpBandPower,
			Series: i,
			Window: window,
			Low:    b.low * hertz,
			High:   b.high * hertz,
		})
	}
	g.add(feature.Column{Name: name + "_dominant", Op: feature.OpDominant, Series: i, Window: window})
}

func duration(us int64) string { return (time.Duration(us) * time.Microsecond).String() }
