package anomaly

import (
	"math"
	"slices"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// novelty reports when the newest values are spread over their range in a way that was not seen
// before, whatever their order: the goodness-of-fit test of Wang et al., "Statistical Techniques
// for Online Anomaly Detection in Data Centers" (IM 2011). A window's histogram is compared with
// every kind of histogram known; one that is like none of them is new, once, and from then on
// known.
//
// We differ from the paper in that the range is what was seen so far. When it grows by a fifth
// the bins are laid anew and the kinds are learned again from the last values; nothing from the
// future is used.
type novelty struct {
	bins, width int
	limit       float64 // of the test statistic, chi² with bins-1 degrees of freedom

	low, high   float64 // the range of the bins
	least, most float64 // seen
	begun       bool
	known       []uint8 // histograms, bins numbers each, newest last
	hist        []uint8 // scratch
}

// maxKinds bounds the kinds of histograms that are kept; the oldest makes place.
const maxKinds = 128

// relearnValues is how many of the last values the kinds are learned from when the range has grown.
const relearnValues = 1024

func newNovelty(bins, width int, limit float64) novelty {
	return novelty{
		bins:  bins,
		width: width,
		limit: limit,
		hist:  make([]uint8, bins),
		known: make([]uint8, 0, bins*maxKinds),
	}
}

// logs[n] is ln n; that of an empty bin makes any value in it a difference beyond every limit.
var logs = func() (l [256]float64) {
	l[0] = -20
	for n := 1; n < len(l); n++ {
		l[n] = exact.Log(float64(n))
	}
	return l
}()

// update takes the value that is newest in recent, which holds the last ones in order, and
// reports whether the last width of them are new in kind.
func (n *novelty) update(recent *recent) bool {
	v := recent.back(0)
	if !n.begun {
		n.least, n.most, n.begun = v, v, true
		n.low, n.high = v, v
	}
	n.least, n.most = min(n.least, v), max(n.most, v)
	count := recent.len()
	if count < n.width {
		return false
	}
	if n.most-n.least > 1.2*(n.high-n.low) || len(n.known) == 0 {
		n.low, n.high = n.least, n.most
		n.known = n.known[:0]
		for end := min(count-n.width, relearnValues); end > 0; end-- {
			n.learn(recent, end)
		}
	}
	first := len(n.known) == 0
	return n.learn(recent, 0) && !first
}

// learn takes the window that ends back values ago and reports whether it was new.
func (n *novelty) learn(recent *recent, back int) bool {
	clear(n.hist)
	step := (n.high - n.low) / float64(n.bins)
	for k := range n.width {
		b := 0
		if step > 0 {
			b = int(math.Min(math.Ceil((recent.back(back+k)-n.low)/step), float64(n.bins-1)))
		}
		n.hist[max(b, 0)]++
	}
	for at := len(n.known) - n.bins; at >= 0; at -= n.bins {
		d := 0.0
		for b, q := range n.known[at : at+n.bins] {
			p := n.hist[b]
			d += float64(float64(p) * (logs[p] - logs[q]))
		}
		if 2*d < n.limit {
			return false
		}
	}
	if len(n.known) == n.bins*maxKinds {
		n.known = slices.Delete(n.known, 0, n.bins)
	}
	n.known = append(n.known, n.hist...)
	return true
}

func (n *novelty) bytes() int { return cap(n.known) + cap(n.hist) }

func (n *novelty) save(w *state.Writer) {
	w.Bool(n.begun)
	for _, v := range []float64{n.low, n.high, n.least, n.most} {
		w.Float(v)
	}
	w.String(string(n.known))
}

func (n *novelty) load(r *state.Reader) {
	n.begun = r.Bool()
	for _, p := range []*float64{&n.low, &n.high, &n.least, &n.most} {
		if *p = r.Float(); !(math.Abs(*p) <= maxMagnitude) {
			r.Fail()
		}
	}
	known := r.String()
	if len(known) > n.bins*maxKinds || len(known)%n.bins != 0 {
		r.Fail()
		return
	}
	n.known = append(n.known[:0], known...)
}

// recent is the last values of a series.
type recent struct {
	ring []float64
	n    int // taken in all, at most what the ring holds plus one round
	next int
}

func newRecent(size int) recent { return recent{ring: make([]float64, size)} }

func (c *recent) add(v float64) {
	c.ring[c.next] = v
	if c.next++; c.next == len(c.ring) {
		c.next = 0
	}
	c.n = min(c.n+1, len(c.ring))
}

func (c *recent) len() int { return c.n }

// back returns the value k before the newest.
func (c *recent) back(k int) float64 {
	i := c.next - 1 - k
	if i < 0 {
		i += len(c.ring)
	}
	return c.ring[i]
}

func (c *recent) bytes() int { return 8 * len(c.ring) }

func (c *recent) save(w *state.Writer) {
	w.Int(int64(c.n))
	for k := c.n - 1; k >= 0; k-- {
		w.Float(c.back(k))
	}
}

func (c *recent) load(r *state.Reader) {
	n := r.Len(8)
	if n > len(c.ring) {
		r.Fail()
		return
	}
	clear(c.ring)
	c.n, c.next = 0, 0
	for range n {
		v := r.Float()
		if !(math.Abs(v) <= maxMagnitude) {
			r.Fail()
			v = 0
		}
		c.add(v)
	}
}
