package inputs

import (
	"math"
	"slices"
	"sort"

	"skerry.dev/compute/internal/exact"
)

// maxMagnitude is the largest magnitude that is taken for a measurement; anything beyond, an
// infinity and NaN are missing.
const maxMagnitude = 1e100

// marginal is the reference of one feature.
//
// Bin 0 holds missing values, bin i+1 those above edge i-1 and up to edge i, the last one those
// above every edge. So a change in how often a value is missing moves the distribution like any
// other.
type marginal struct {
	edges    []float64
	upTo     []float64 // share of the reference up to the end of each bin; the last is 1
	rows     float64   // that the shares rest on
	mean, sd float64   // of the values present
	group    []int     // of each bin, for PSI: at least a tenth of the reference each
	groups   int
	inflate  float64 // how much wider than by chance windows of the reference scatter, at least 1
	worst    float64 // the largest statistic of a window of the reference
}

// newMarginal makes the bins from values that are present, in ascending order, and the number of
// those missing.
func newMarginal(present []float64, missing, bins int) marginal {
	m := marginal{inflate: 1, rows: float64(len(present) + missing)}
	n := len(present)
	if n > 0 { // nothing lies below the first edge or above the last
		m.edges = append(m.edges, math.Nextafter(present[0], math.Inf(-1)))
	}
	for k := 1; k < bins && n > 0; k++ {
		q := present[k*n/bins]
		if q <= m.edges[len(m.edges)-1] {
			continue // the same value has had its bin
		}
		first, _ := slices.BinarySearch(present, q)
		next := first + sort.Search(n-first, func(i int) bool { return present[first+i] > q })
		if (next-first)*2*bins >= n { // a value of its own: nothing else may fall into its bin
			if below := math.Nextafter(q, math.Inf(-1)); below > m.edges[len(m.edges)-1] {
				m.edges = append(m.edges, below)
			}
		}
		m.edges = append(m.edges, q)
	}
	if n > 0 && present[n-1] > m.edges[len(m.edges)-1] {
		m.edges = append(m.edges, present[n-1])
	}
	counts := make([]float64, len(m.edges)+2)
	counts[0] = float64(missing)
	for _, v := range present {
		counts[m.bin(v)]++
	}
	m.setShares(counts)
	for _, v := range present {
		m.mean += v / float64(n)
	}
	for _, v := range present {
		d := v - m.mean
		m.sd += float64(d*d) / float64(n)
	}
	m.sd = math.Sqrt(m.sd)
	return m
}

func (m *marginal) setShares(counts []float64) {
	m.upTo, m.group = make([]float64, len(counts)), make([]int, len(counts))
	sum, inGroup := 0.0, 0.0
	for b, c := range counts {
		m.group[b] = m.groups
		sum += c
		if inGroup += c; inGroup*10 >= m.rows {
			m.groups, inGroup = m.groups+1, 0
		}
		m.upTo[b] = sum / m.rows
	}
	if inGroup > 0 || m.groups == 0 {
		m.groups++
	}
	for b := range m.group { // empty bins after the last full group belong to it
		m.group[b] = min(m.group[b], m.groups-1)
	}
}

// bin returns the bin of a value.
func (m *marginal) bin(v float64) int {
	if !(math.Abs(v) <= maxMagnitude) {
		return 0
	}
	low, high := 0, len(m.edges)
	for low < high {
		if mid := (low + high) / 2; m.edges[mid] < v {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low + 1
}

// rank returns the middle of the bin's share of the reference, a number in [0, 1].
func (m *marginal) rank(bin int) float64 {
	if bin == 0 {
		return m.upTo[0] / 2
	}
	return (m.upTo[bin-1] + m.upTo[bin]) / 2
}

// statistic compares counts of n rows with the reference.
func (m *marginal) statistic(test Test, counts []int32, n float64) float64 {
	switch test {
	case PSI:
		return m.psi(counts, n)
	case Wasserstein:
		return m.wasserstein(counts, n)
	}
	seen, most := 0.0, 0.0
	for b, c := range counts {
		seen += float64(c)
		most = max(most, math.Abs(seen/n-m.upTo[b]))
	}
	return most
}

// alien is the share of n rows in bins where the reference has none.
func (m *marginal) alien(counts []int32, n float64) float64 {
	from, rows := 0.0, 0.0
	for b, c := range counts {
		if m.upTo[b] == from {
			rows += float64(c)
		}
		from = m.upTo[b]
	}
	return rows / n
}

// wasserstein is the integral of the difference of the distribution functions over the reference.
func (m *marginal) wasserstein(counts []int32, n float64) float64 {
	seen, before, from, sum := 0.0, 0.0, 0.0, 0.0
	for b, c := range counts {
		seen += float64(c)
		d := math.Abs(seen/n - m.upTo[b])
		sum += float64((m.upTo[b] - from) * (before + d) / 2)
		before, from = d, m.upTo[b]
	}
	return sum
}

// psi is the sum over groups of bins of the difference of shares times the difference of their
// logarithms, with half a row added to each group so that an empty one stays finite.
func (m *marginal) psi(counts []int32, n float64) float64 {
	sum, from := 0.0, 0.0
	k := float64(float64(m.groups) / 2)
	for b := 0; b < len(counts); {
		g, c, end := m.group[b], 0.0, from
		for ; b < len(counts) && m.group[b] == g; b++ {
			c += float64(counts[b])
			end = m.upTo[b]
		}
		p := (c + 0.5) / (n + k)
		q := (float64((end-from)*m.rows) + 0.5) / (m.rows + k)
		sum += float64((p - q) * (exact.Log(p) - exact.Log(q)))
		from = end
	}
	return sum
}
