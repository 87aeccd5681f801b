package hoeffding

import "math"

// A histogram of a number holds how many bins it has, then for each, in ascending order, its mean
// value and the weight, mean and sum of squared deviations of the targets. After Ben-Haim and
// Tom-Tov, "A streaming parallel decision tree algorithm", JMLR 11 (2010): a value opens a bin of
// its own, and when there are too many the two nearest become one. Of a category it holds weight,
// mean and sum for each code.
const (
	bins     = 32
	binWidth = 4
	histSize = 1 + bins*binWidth
	codeSize = 3
)

// moments are the weight, mean and sum of squared deviations of targets.
type moments struct{ n, mean, m2 float64 }

// plus joins two sets of targets (Chan, Golub and LeVeque).
func (a moments) plus(b moments) moments {
	n := a.n + b.n
	if n == 0 {
		return moments{}
	}
	d := b.mean - a.mean
	return moments{n, a.mean + float64(d*b.n)/n, a.m2 + b.m2 + float64(float64(d*d)*float64(a.n*b.n))/n}
}

// minus takes a part of the targets out; what rounding leaves below nothing is nothing.
func (a moments) minus(b moments) moments {
	n := a.n - b.n
	if !(n > 0) {
		return moments{}
	}
	mean := a.mean + float64((a.mean-b.mean)*b.n)/n
	d := b.mean - mean
	return moments{n, mean, max(a.m2-b.m2-float64(float64(d*d)*float64(n*b.n))/a.n, 0)}
}

// add learns one target.
func (a *moments) add(y, w float64) {
	a.n += w
	d := y - a.mean
	a.mean += float64(d*w) / a.n
	a.m2 += max(float64(float64(d*w)*(y-a.mean)), 0) // rounding of the mean can turn a sign
}

func (a moments) variance() float64 {
	if a.n > 1 {
		return a.m2 / (a.n - 1)
	}
	return 0
}

func load3(s []float64) moments        { return moments{s[0], s[1], s[2]} }
func store3(s []float64, m moments)    { s[0], s[1], s[2] = m.n, m.mean, m.m2 }
func bin(h []float64, i int) []float64 { return h[1+i*binWidth : 1+(i+1)*binWidth] }

// see adds a value with its target to a histogram.
func see(h []float64, x, y, w float64) {
	k := int(h[0])
	low, high := 0, k // the first bin whose value is not below x
	for low < high {
		if mid := (low + high) / 2; bin(h, mid)[0] < x {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < k && bin(h, low)[0] == x {
		addTo(bin(h, low)[1:], y, w)
		return
	}
	if k == bins {
		low = squeeze(h, low, x)
		if low < 0 { // x is nearest to a bin of its own
			low = -low - 1
			b := bin(h, low)
			b[0] += float64((x-b[0])*w) / (b[1] + w)
			addTo(b[1:], y, w)
			return
		}
		k--
	}
	copy(h[1+(low+1)*binWidth:1+(k+1)*binWidth], h[1+low*binWidth:1+k*binWidth])
	b := bin(h, low)
	b[0], b[1], b[2], b[3] = x, w, y, 0
	h[0] = float64(k + 1)
}

func addTo(s []float64, y, w float64) {
	m := load3(s)
	m.add(y, w)
	store3(s, m)
}

// squeeze makes room in a full histogram for a value that belongs before bin at: it joins the two
// nearest bins and returns where the value goes. When the value itself is nearer to a bin i than
// any two bins are to each other it returns -i-1.
func squeeze(h []float64, at int, x float64) int {
	nearest, gap := 0, math.Inf(1)
	for i := range bins - 1 {
		if d := bin(h, i+1)[0] - bin(h, i)[0]; d < gap {
			nearest, gap = i, d
		}
	}
	if at < bins && bin(h, at)[0]-x < gap {
		if at == 0 || x-bin(h, at-1)[0] > bin(h, at)[0]-x {
			return -at - 1
		}
	}
	if at > 0 && x-bin(h, at-1)[0] < gap {
		return -(at - 1) - 1
	}
	a, b := bin(h, nearest), bin(h, nearest+1)
	n := a[1] + b[1]
	a[0] += float64((b[0]-a[0])*b[1]) / n
	store3(a[1:], load3(a[1:]).plus(load3(b[1:])))
	copy(h[1+(nearest+1)*binWidth:1+(bins-1)*binWidth], h[1+(nearest+2)*binWidth:1+bins*binWidth])
	if at > nearest+1 {
		return at - 1
	}
	return min(at, nearest+1)
}

// whole is what a histogram of k codes, or of a number for 0, has seen.
func whole(h []float64, k int) moments {
	var all moments
	if k == 0 {
		for i := range int(h[0]) {
			all = all.plus(load3(bin(h, i)[1:]))
		}
		return all
	}
	for code := range k {
		all = all.plus(load3(h[code*codeSize:]))
	}
	return all
}

// gain is by how much a split lowers the variance; -Inf when a part has too little weight.
func gain(all, left, right moments, least float64) float64 {
	if !(left.n >= least && right.n >= least) {
		return math.Inf(-1)
	}
	return all.variance() - float64(left.n/all.n*left.variance()) - float64(right.n/all.n*right.variance())
}

// bestNumber tries a threshold halfway between any two bins.
func (t *tree) bestNumber(h []float64, f int32) candidate {
	best := candidate{kind: below, feature: f, merit: math.Inf(-1)}
	all := whole(h, 0)
	var left moments
	for i := range max(int(h[0])-1, 0) {
		left = left.plus(load3(bin(h, i)[1:]))
		if m := gain(all, left, all.minus(left), t.least); m > best.merit {
			a, b := bin(h, i)[0], bin(h, i+1)[0]
			best.threshold, best.merit = a+(b-a)/2, m
		}
	}
	return best
}

// bestCode tries each code against the others and, unless splits are to be binary, a branch for
// each.
func (t *tree) bestCode(h []float64, f int32, k int) candidate {
	best := candidate{kind: equal, feature: f, merit: math.Inf(-1)}
	all := whole(h, k)
	enough, within := 0, 0.0
	for code := range k {
		m := load3(h[code*codeSize:])
		if g := gain(all, m, all.minus(m), t.least); g > best.merit {
			best.threshold, best.merit = float64(code), g
		}
		if m.n >= t.least {
			enough++
		}
		within += float64(m.n * m.variance())
	}
	if g := all.variance() - within/max(all.n, 1); !t.BinaryOnly && enough > 1 && g > best.merit {
		best.kind, best.merit = each, g
	}
	return best
}
