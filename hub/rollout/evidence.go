package rollout

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/sequential"
	"skerry.dev/sync/spec"
)

const (
	// share is how many times the median of the devices' rows in a block one device counts for.
	share = 2
	// apartFactor is how many median absolute deviations a device's relative difference lies from the
	// others' before it is set apart.
	apartFactor = 6
	// few devices have deviations that are small by chance: among these a device must be surely apart.
	few = 8
	// splitShare of the devices apart are no outliers.
	splitShare = 0.2
	// apartRows are the fewest rows of a device that is set apart.
	apartRows = 20
	// a part of α goes to all losses together, and one to those of a stage's devices on probation; the
	// devices' own vetoes have the rest, see [spec.Trial.DeviceAlpha].
	pooledShare = 0.6
	stageShare  = 0.2
)

// source is the paired losses of one device.
type source struct {
	device string
	spec.Paired
}

// Apart is a device whose losses do not count with the others'.
type Apart struct {
	Device string `json:"device"`
	Reason string `json:"reason"`
}

// pool adds the losses of devices, block by block, so that what they have in common is in how the
// sums vary. A device counts for at most share times the median of the devices' rows in a block,
// and not at all outside the time of most: none decides for the others by how much it sends. A
// device whose relative difference lies far from the others' is set apart and named, for better or
// worse. split says that so many are apart that they are no outliers.
func pool(sources []source, margin, alpha float64) (p spec.Paired, apart []Apart, split bool) {
	apart = outliers(sources, margin, alpha)
	split = float64(len(apart)) > splitShare*float64(len(sources))
	if !split {
		sources = slices.DeleteFunc(slices.Clone(sources), func(s source) bool {
			return slices.ContainsFunc(apart, func(a Apart) bool { return a.Device == s.device })
		})
	}
	for _, s := range sources {
		p.Rows += s.Rows
		p.Warm += s.Warm
		if s.From != 0 && (p.From == 0 || s.From < p.From) {
			p.From = s.From
		}
		p.To = max(p.To, s.To)
		p.NonFinite += s.NonFinite
		p.Panics += s.Panics
		p.LatencyP99US = max(p.LatencyP99US, s.LatencyP99US)
		p.Disagreement = max(p.Disagreement, s.Disagreement)
	}
	var elsewhere []Apart
	p.Blocks, elsewhere = poolBlocks(sources)
	apart = append(apart, elsewhere...)
	rows := 0.0
	for _, b := range p.Blocks.Sums {
		p.SumIncumbent += b.Incumbent
		p.SumCandidate += b.Incumbent + b.Diff
		p.SumDiff += b.Diff
		rows += b.Rows
	}
	p.Labelled = int64(math.Round(rows)) // what counts, so that means are of it
	return p, apart, split
}

// outliers returns the devices whose mean difference, relative to the incumbent's loss, lies far
// from the median of all.
func outliers(sources []source, margin, alpha float64) (apart []Apart) {
	type seen struct {
		device         string
		relative, half float64
	}
	var all []seen
	var relative []float64
	for _, s := range sources {
		if s.Labelled < apartRows || !(s.SumIncumbent > 0) {
			continue
		}
		e := s.Blocks.Estimate(margin, alpha/float64(len(sources)), 2000)
		all = append(all, seen{device: s.device, relative: s.SumDiff / s.SumIncumbent, half: e.Half / max(e.Incumbent, 1e-12)})
		relative = append(relative, s.SumDiff/s.SumIncumbent)
	}
	if len(all) < 3 {
		return nil
	}
	middle := median(relative)
	for i, r := range relative {
		relative[i] = math.Abs(r - middle)
	}
	bound := max(margin, apartFactor*median(relative))
	for _, s := range all {
		noise := 0.0
		if len(all) < few || !math.IsInf(s.half, 1) {
			noise = s.half
		}
		if off := math.Abs(s.relative - middle); off > bound && off > noise {
			apart = append(apart, Apart{s.device, fmt.Sprintf("its losses differ by %+.1f %%, those of the others by %+.1f %%", 100*s.relative, 100*middle)})
		}
	}
	slices.SortFunc(apart, func(a, b Apart) int { return cmp.Compare(a.Device, b.Device) })
	return apart
}

// poolBlocks adds the blocks of devices with bounded shares. Blocks that lie more than a quarter of
// the usual span outside it are not counted; who has most of its rows there is named.
func poolBlocks(sources []source) (sum sequential.Blocks, elsewhere []Apart) {
	var from, to []float64
	for _, s := range sources {
		if b := &s.Blocks; len(b.Sums) > 0 {
			from = append(from, float64(b.First)*float64(b.Length))
			to = append(to, float64(b.First+int64(len(b.Sums)))*float64(b.Length))
		}
	}
	if len(from) == 0 {
		return sum, nil
	}
	lo, hi := slices.Min(from), slices.Max(to)
	if len(from) > 2 {
		lo, hi = median(from), median(to)
		lo, hi = lo-(hi-lo)/4, hi+(hi-lo)/4
	}
	inside := make([]sequential.Blocks, len(sources))
	for i, s := range sources {
		inside[i] = s.Blocks.Within(lo, hi)
		if all := s.Blocks.Rows(); inside[i].Rows() < all/2 {
			elsewhere = append(elsewhere, Apart{s.device, "most of its rows lie in another time than those of the others"})
		}
		sum.Merge(inside[i])
	}
	length := sum.Length
	rows := map[int64][]float64{} // of every device, by block
	for i := range inside {
		inside[i] = inside[i].Of(length)
		for k, b := range inside[i].Sums {
			if b.Rows > 0 {
				rows[inside[i].First+int64(k)] = append(rows[inside[i].First+int64(k)], b.Rows)
			}
		}
	}
	most := make(map[int64]float64, len(rows)) // that one device counts for, by block
	for k, n := range rows {
		most[k] = share * median(n)
	}
	sum = sequential.Blocks{}
	for _, b := range inside {
		b = b.Clone()
		for k := range b.Sums {
			if n := b.Sums[k].Rows; n > 0 {
				b.Sums[k].Scale(min(1, most[b.First+int64(k)]/n))
			}
		}
		sum.Merge(b)
	}
	return sum, elsewhere
}

// median leaves v as it is.
func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	if n == 0 {
		return 0
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}
