package feature

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// full is a pipeline with every op but that of modules, which has its tests where there is a
// runtime, over windows by time and by rows, of two sensors, a category and a sensor that sticks.
func full() *Pipeline {
	zero := 0.0
	p := &Pipeline{
		Inputs:    []Input{{Name: "a", Min: -3, Max: 3}, {Name: "b", Min: -100, Max: 100}, {Name: "c", Categories: []string{"S", "N", "E", "W"}}, {Name: "d", Min: 0, Max: 1}},
		Tolerance: hour / 2, Offset: hour, Rows: 48, Distance: hour, Holidays: []Day{16204, 16210, 16429},
	}
	add := func(c Column) {
		c.Name = fmt.Sprintf("%d_%s", len(p.Columns), c.Op)
		p.Columns = append(p.Columns, c)
	}
	for _, op := range Ops() {
		takes, _ := op.takes()
		c := Column{Op: op}
		switch {
		case op == OpModule:
			continue
		case takes&takesLag != 0:
			for _, s := range []int{0, 3} {
				add(Column{Op: op, Series: s, Lag: 5 * hour})
				add(Column{Op: op, Series: s, Rows: 3, Center: 1, Scale: 2})
			}
			continue
		case takes&(takesWindow|takesReach) != 0:
			c.Level, c.Limit, c.HalfLife = 0.9, 4, 3*hour
			if takes&takesLevel == 0 {
				c.Level = 0
			}
			if takes&takesLimit == 0 {
				c.Limit = 0
			}
			if takes&takesHalfLife == 0 {
				c.HalfLife = 0
			}
			if takes&takesBand != 0 {
				c.Low, c.High = 1.0/(12*3600), 1.0/(4*3600)
			}
			series := []int{0, 1, 3}
			if op == OpStuck {
				series = series[2:] // the others never are
			}
			for _, s := range series {
				c.Series = s
				c.Window, c.Rows = 20*hour, 0
				add(c)
				c.Window, c.Rows = 0, 9
				add(c)
			}
			if takes&takesReach != 0 {
				c.Rows = 0
				add(c)
			}
			continue
		case op == OpOneHot:
			c.Series, c.Category = 2, 1
		case op == OpTable:
			c.Series, c.Table, c.Default, c.Impute = 2, []float64{0.1, 0.25, 0.5}, 0.05, &zero
		case takes&takesOther != 0:
			c.Other = 3
		case op == OpOutOfRange:
			c.Series = 1
		case op == OpCross:
			c.Of, c.By = 0, 9
		case op == OpPlace:
			c.Of, c.Table = 0, []float64{-2, -1, -1, 0, 0.5, 2.5}
		case op == OpExpr:
			// sqrt|a - b| / log1p max(b, column 3), or d, times 2, plus min(c, 1)
			c.Expr = []Token{{Do: TokenSeries}, {Do: TokenSeries, I: 1}, {Do: TokenSub}, {Do: TokenAbs}, {Do: TokenSqrt}, {Do: TokenSeries, I: 1}, {Do: TokenColumn, I: 3}, {Do: TokenMax}, {Do: TokenLog1p}, {Do: TokenDiv},
				{Do: TokenSeries, I: 3}, {Do: TokenIfMissing}, {Do: TokenNumber, X: 2}, {Do: TokenMul}, {Do: TokenSeries, I: 2}, {Do: TokenNumber, X: 1}, {Do: TokenMin}, {Do: TokenAdd}}
		}
		add(c)
	}
	return p
}

// sensors makes rows for full: hourly, with gaps, rows of the same time, rows that come late,
// missing, infinite and extreme readings, and a sensor that sticks. It uses sums of uniform
// numbers only, which are the same on every architecture.
type sensors struct {
	rng   *rand.Rand
	t     int64
	row   [4]float64
	stuck int
}

func newSensors(seed uint64) *sensors {
	return &sensors{rng: rand.New(rand.NewPCG(seed, 7)), t: 1_400_000_000_000_000}
}

func (s *sensors) next() (int64, []float64) {
	rng := s.rng
	switch k := rng.IntN(40); {
	case k < 3:
		s.t += hour * int64(1+rng.IntN(30)) // a gap
	case k < 6: // a row of the same time
	case k < 10:
		s.t += rng.Int64N(2 * hour) // off the grid
	default:
		s.t += hour
	}
	at := s.t
	if rng.IntN(50) == 0 {
		at -= rng.Int64N(5 * hour) // late
	}
	s.row[0] = rng.Float64()*4 + rng.Float64()*4 - 4
	s.row[1] = float64(s.row[1]*0.75) + (rng.Float64()-0.5)*64
	s.row[2] = float64(rng.IntN(5))
	if s.stuck--; s.stuck < 0 {
		s.row[3] = float64(rng.IntN(64)) / 64
		if rng.IntN(30) == 0 {
			s.stuck = 40
		}
	}
	out := s.row
	for i := range out {
		switch rng.IntN(200) {
		case 0:
			out[i] = math.Inf(1)
		case 1:
			out[i] = math.Inf(-1)
		case 2:
			out[i] = 1e308
		case 3:
			out[i] = -1e308
		default:
			if rng.IntN(10) == 0 {
				out[i] = math.NaN()
			}
		}
	}
	return at, out[:]
}

// same reports whether two results are the same bits, or both missing.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}
