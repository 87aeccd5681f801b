package forecast

import (
	"math"

	"skerry.dev/compute/state"
)

// smoothing are the parameters of a smoother, each in [0, 1].
type smoothing struct {
	// of the error that the level takes, and of the level's change that the trend takes
	level, trend float64
	damping      float64 // of the trend per step; 1 keeps it
	seasons      float64 // of the error that each season takes
	memory       float64 // of the error that is expected again one step later
}

// smoother is additive exponential smoothing with a damped trend and one or two seasons, in error
// correction form (Holt 1957; Winters, Management Science 6, 1960; Gardner and McKenzie,
// Management Science 31, 1985), with the two seasons and the autocorrelated error of Taylor,
// "Short-term electricity demand forecasting using double seasonal exponential smoothing", J.
// Operational Research Society 54 (2003).
//
// Errors beyond cutErrors times their mean size count as that large, so that one wild value moves
// little; each further one in a row doubles what is believed, so that a lasting change gets
// through.
type smoother struct {
	p       smoothing
	seasons []int
	level   float64
	trend   float64
	season  [][]float64
	phase   []int // of the newest value in each season
	err     float64
	size    float64 // mean absolute error, 0 at first
	wild    int     // errors in a row that were cut
	ready   bool
}

const (
	cutErrors = 6.0
	sizeRows  = 200.0 // memory of the mean absolute error
	maxWild   = 400   // doublings that are counted
)

func newSmoother(p smoothing, seasons []int) *smoother {
	s := &smoother{p: p, seasons: seasons, phase: make([]int, len(seasons))}
	for _, n := range seasons {
		s.season = append(s.season, make([]float64, n))
	}
	return s
}

// warm is how many values a smoother starts from: two of the longest season.
func (s *smoother) warm() int {
	n := 2
	for _, m := range s.seasons {
		n = max(n, 2*m)
	}
	return n
}

func (s *smoother) rebuild(h *history) {
	v := h.values()
	s.ready, s.trend, s.err, s.size, s.wild, s.level = false, 0, 0, 0, 0, 0
	for k := range s.season {
		clear(s.season[k])
		s.phase[k] = 0
	}
	if len(v) < s.warm() {
		return
	}
	s.ready = true
	s.start(v)
	// once more through what the start was made from, so that the parameters take effect
	for _, y := range v {
		s.step(y)
	}
}

// start sets the level to the mean and each season to the mean of what the level and the seasons
// before it leave. Whole seasons only, the newest, so that no part of a season counts more often.
func (s *smoother) start(v []float64) {
	n := len(v)
	if longest := s.warm() / 2; len(s.seasons) > 0 {
		n -= n % longest
	}
	for _, y := range v[len(v)-n:] {
		s.level += y / float64(n)
	}
	for k, season := range s.season {
		m := len(season)
		s.phase[k] = m - 1 // the first value will be phase 0
		count := float64(n / m)
		for i := len(v) - n; i < len(v); i++ {
			left := v[i] - s.level
			for j := range k {
				left -= s.season[j][i%len(s.season[j])]
			}
			season[i%m] += left / count
		}
	}
}

func (s *smoother) learn(h *history, _ bool) {
	if !s.ready {
		s.rebuild(h)
		return
	}
	v := h.values()
	s.step(v[len(v)-1])
}

// step moves on to the value y.
func (s *smoother) step(y float64) {
	next := s.level + float64(s.p.damping*s.trend)
	base := next
	for k := range s.season {
		if s.phase[k]++; s.phase[k] == len(s.season[k]) {
			s.phase[k] = 0
		}
		base += s.season[k][s.phase[k]]
	}
	raw := s.cut(y - base)
	e := raw - float64(s.p.memory*s.err)
	s.err = raw
	s.level = next + float64(s.p.level*e)
	s.trend = float64(s.p.damping*s.trend) + float64(s.p.level*s.p.trend*e)
	for k := range s.season {
		s.season[k][s.phase[k]] += float64(s.p.seasons * e)
	}
}

// cut limits an error to what is believed of it.
func (s *smoother) cut(e float64) float64 {
	limit := float64(cutErrors * s.size)
	if s.size > 0 && math.Abs(e) > limit {
		s.wild = min(s.wild+1, maxWild)
		limit = float64(limit * float64(uint64(1)<<min(s.wild-1, 62)))
		e = min(max(e, -limit), limit)
	} else {
		s.wild = 0
	}
	s.size += (math.Abs(e) - s.size) / sizeRows
	if s.size == 0 {
		s.size = math.Abs(e)
	}
	return e
}

func (s *smoother) forecast(dst []float64, h *history) {
	if !s.ready {
		season := 1
		for _, m := range s.seasons {
			if m <= len(h.values()) {
				season = m
			}
		}
		h.repeat(dst, season)
		return
	}
	level, trend, left := s.level, s.trend, s.err
	for i := range dst {
		trend = float64(trend * s.p.damping)
		level += trend
		left = float64(left * s.p.memory)
		y := level + left
		for k, season := range s.season {
			y += season[(s.phase[k]+1+i)%len(season)]
		}
		dst[i] = y
	}
}

func (s *smoother) bytes() int {
	n := 160
	for _, v := range s.season {
		n += 8 * len(v)
	}
	return n
}

func (s *smoother) save(w *state.Writer) {
	for _, v := range []float64{s.level, s.trend, s.err, s.size} {
		w.Float(v)
	}
	w.Int(int64(s.wild))
	w.Bool(s.ready)
	for k, v := range s.season {
		w.Int(int64(s.phase[k]))
		w.Floats(v)
	}
}

func (s *smoother) load(r *state.Reader) {
	s.level, s.trend, s.err = loadWithin(r, -maxState, maxState), loadWithin(r, -maxState, maxState), loadWithin(r, -maxState, maxState)
	s.size = loadWithin(r, 0, maxState)
	s.wild = loadInt(r, 0, maxWild)
	s.ready = loadInt(r, 0, 1) == 1
	for k, v := range s.season {
		s.phase[k] = loadInt(r, 0, len(v)-1)
		loadAll(r, v, maxState)
	}
}
