package anomaly

import (
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/internal/setting"
	"skerry.dev/compute/state"
)

// pca fits principal components to the first rows and then measures two things of a row: T², how
// far out it is in the space of the components that carry most of the variance, and Q, how far it
// is from that space, where the columns no longer move together as they did. Each is divided by
// its limit, the larger counts. After Jackson and Mudholkar, "Control Procedures for Residuals
// Associated with Principal Component Analysis", Technometrics 21 (1979); we take the limits from
// the rows of the fit instead of a normal distribution, and the median over the last rows, so
// that an alarm comes some rows late but noise at the limit makes none.
//
// A change that stays, a switch turned on or another speed, is an alarm when it comes and then the
// usual state: where nothing is fitted at regular times, the components are fitted to the rows
// beyond the limit once there are enough of them with few others between.
type pca struct {
	train, refresh, smooth, accept int64
	variance, quantile             float64

	width int
	rows  window // to be fitted to: the newest; without refresh those since the rows went beyond
	// rows since the fit; without refresh rows beyond the limit, of which each row within it takes
	// away withinCost
	since  int64
	fitted bool

	mean, scale []float64
	parts       []float64 // kept components, width numbers each
	spread      []float64 // variance along each
	limitT      float64
	limitQ      float64
	last        recent // ratios

	z, cov, vectors, sorted []float64 // scratch
}

func newPCA() *pca {
	return &pca{train: 400, refresh: 0, smooth: 5, accept: 400, variance: 0.7, quantile: 0.99}
}

func (p *pca) settings() []setting.Setting {
	return []setting.Setting{
		setting.Whole("train", &p.train, 10, 1<<20, "rows that the components are fitted to; they have no score"),
		setting.Whole("refresh", &p.refresh, 0, 1<<32, "rows after which the components are fitted again, to the newest rows; 0 keeps them"),
		setting.Whole("accept", &p.accept, 0, 1<<20, "rows beyond the limit, nearly all in a row, after which what is new is taken for usual and the components are fitted to it; 0 keeps them; without an effect where refresh is not 0"),
		setting.Whole("smooth", &p.smooth, 1, 1000, "rows over which the median is taken, against single noisy ones; a row at three times its limit is an alarm alone"),
		setting.Number("variance", &p.variance, 0, 1, "share of the variance that the components carry"),
		setting.Number("quantile", &p.quantile, 0.5, 1, "of the fitted rows that lie within a limit"),
	}
}

func (p *pca) start(schema Schema) error {
	d := len(schema.Columns)
	if d > maxColumns {
		return fmt.Errorf("%d columns: at most %d", d, maxColumns)
	}
	if err := affordable(8 * float64(p.train+int64(2*d)) * float64(d)); err != nil {
		return err
	}
	p.width, p.rows, p.last = d, newWindow(int(p.train), d), newRecent(int(p.smooth))
	p.mean, p.scale, p.z = make([]float64, d), make([]float64, d), make([]float64, d)
	p.sorted = make([]float64, p.smooth)
	return nil
}

// Update implements Scorer. It costs width times the components; a fit costs rows times width²
// and some ten times width³.
func (p *pca) Update(x []float64, _ int64) float64 {
	score := 0.0
	if p.fitted {
		t, q := p.distances(x)
		now := max(t/p.limitT, q/p.limitQ)
		p.last.add(now)
		n := p.last.len()
		for k := range n {
			p.sorted[k] = p.last.back(k)
		}
		slices.Sort(p.sorted[:n])
		ratio := max(p.sorted[n/2], now/soleLimits)
		score = ratio / (1 + ratio)
		if p.refresh == 0 {
			p.settle(x, score)
			return score
		}
	}
	p.rows.add(x)
	p.since++
	if !p.fitted && p.rows.len() == p.rows.size || p.fitted && p.since >= p.refresh {
		p.fit()
		p.since, p.fitted = 0, true
		if p.refresh == 0 {
			p.rows.clear()
		}
	}
	return score
}

// settle fits the components to a state that has stayed.
func (p *pca) settle(x []float64, score float64) {
	if p.accept == 0 {
		return
	}
	if score >= p.Limit() {
		p.since++
	} else if p.since = max(p.since-withinCost, 0); p.since == 0 {
		p.rows.clear()
		return
	}
	p.rows.add(x)
	if p.since >= p.accept && int64(p.rows.len()) >= min(p.accept, p.train) {
		p.fit()
		p.since = 0
		p.rows.clear()
	}
}

const (
	maxDeviations = 1e6   // deviations from the mean that a value can be
	minScale      = 1e-12 // deviation of a column
	minVariance   = 1e-9  // along a component, of columns with variance 1
	minLimit      = 1e-6  // of T² and Q, where all rows of the fit lie in few dimensions
	soleLimits    = 3     // limits beyond which a row needs no others
	maxColumns    = 512   // columns: a fit costs the cube
	withinCost    = 20    // rows beyond the limit that one within it makes up for
)

// distances returns T² and Q.
func (p *pca) distances(x []float64) (t, q float64) {
	for j := range p.z {
		p.z[j] = 0 // a missing value is expected to be average
		if v, ok := bounded(x[j]); ok {
			p.z[j] = min(max((v-p.mean[j])/p.scale[j], -maxDeviations), maxDeviations)
			q += float64(p.z[j] * p.z[j])
		}
	}
	for k, s := range p.spread {
		dot := 0.0
		for j, c := range p.parts[k*p.width : (k+1)*p.width] {
			dot += float64(c * p.z[j])
		}
		dot2 := float64(dot * dot)
		q -= dot2
		t += dot2 / s
	}
	return t, max(q, 0)
}

func (p *pca) fit() {
	d, n := p.width, p.rows.len()
	for j := range d {
		p.mean[j], p.scale[j] = p.rows.moments(j)
	}
	if p.cov == nil {
		p.cov, p.vectors = make([]float64, d*d), make([]float64, d*d)
	}
	clear(p.cov)
	for i := range n {
		row := p.rows.row(i)
		for j, v := range row {
			p.z[j] = 0
			if !math.IsNaN(v) {
				p.z[j] = min(max((v-p.mean[j])/p.scale[j], -maxDeviations), maxDeviations)
			}
		}
		for a, za := range p.z {
			for b, zb := range p.z[:a+1] {
				p.cov[a*d+b] += float64(za * zb)
			}
		}
	}
	total := 0.0
	for a := range d {
		for b := range a + 1 {
			p.cov[a*d+b] /= float64(n)
			p.cov[b*d+a] = p.cov[a*d+b]
		}
		total += p.cov[a*d+a]
	}
	eigen(p.cov, p.vectors, d)
	order := make([]int, d)
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch x, y := p.cov[a*d+a], p.cov[b*d+b]; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	p.parts, p.spread = p.parts[:0], p.spread[:0]
	carried := 0.0
	for _, k := range order {
		lambda := p.cov[k*d+k]
		if carried >= p.variance*total || lambda < minVariance {
			break
		}
		carried += lambda
		for j := range d {
			p.parts = append(p.parts, p.vectors[j*d+k])
		}
		p.spread = append(p.spread, lambda)
	}
	ts, qs := make([]float64, n), make([]float64, n)
	for i := range n {
		ts[i], qs[i] = p.distances(p.rows.row(i))
	}
	slices.Sort(ts)
	slices.Sort(qs)
	at := min(int(p.quantile*float64(n)), n-1)
	p.limitT, p.limitQ = max(ts[at], minLimit), max(qs[at], minLimit)
}

// moments returns the mean and the standard deviation of a column without its missing values. A
// column that does not move gets a deviation by which every visible change is far.
func (w *window) moments(j int) (mean, sd float64) {
	n := 0.0
	for i := range w.len() {
		if v := w.row(i)[j]; !math.IsNaN(v) {
			n++
			mean += (v - mean) / n
		}
	}
	if n == 0 {
		return 0, 1
	}
	for i := range w.len() {
		if v := w.row(i)[j]; !math.IsNaN(v) {
			sd += float64((v - mean) * (v - mean))
		}
	}
	return mean, max(math.Sqrt(sd/n), float64(1e-6*math.Abs(mean)), minScale)
}

// Limit implements Scorer.
func (p *pca) Limit() float64 { return 0.5 }

// Bytes implements Scorer.
func (p *pca) Bytes() int {
	n := len(p.mean) + len(p.scale) + cap(p.parts) + cap(p.spread) + len(p.last.ring) + len(p.z) + len(p.cov) + len(p.vectors) + len(p.sorted)
	return p.rows.bytes() + 8*n + 256
}

// Save implements Scorer.
func (p *pca) Save(w *state.Writer) {
	p.rows.save(w)
	w.Int(p.since)
	w.Bool(p.fitted)
	w.Floats(p.mean)
	w.Floats(p.scale)
	w.Floats(p.spread)
	w.Floats(p.parts)
	w.Float(p.limitT)
	w.Float(p.limitQ)
	p.last.save(w)
}

// Load implements Scorer.
func (p *pca) Load(r *state.Reader) {
	p.rows.load(r)
	p.since, p.fitted = r.Int(), r.Bool()
	r.FloatsInto(p.mean)
	r.FloatsInto(p.scale)
	p.spread, p.parts = r.Floats(), r.Floats()
	p.limitT, p.limitQ = r.Float(), r.Float()
	p.last.load(r)
	ok := len(p.spread) <= p.width && len(p.parts) == len(p.spread)*p.width && counted(p.since)
	within := func(low, high float64, values ...float64) {
		for _, v := range values {
			ok = ok && v >= low && v <= high
		}
	}
	within(-maxMagnitude, maxMagnitude, p.mean...)
	within(-1.001, 1.001, p.parts...)
	if p.fitted {
		within(minScale, 2*maxMagnitude, p.scale...)
		within(minVariance, maxMagnitude, p.spread...)
		within(minLimit, maxMagnitude, p.limitT, p.limitQ)
	}
	if !ok {
		r.Fail()
		p.fitted, p.spread, p.parts = false, nil, nil
	}
}
