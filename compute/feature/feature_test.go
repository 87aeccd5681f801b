package feature

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

const hour = int64(3600 * 1_000_000)

func everything() *Pipeline {
	v := 7.5
	var cols []Column
	for s := range 2 {
		cols = append(cols,
			Column{Name: "value", Op: OpValue, Series: s}, Column{Name: "lag1", Op: OpLag, Series: s, Lag: hour}, Column{Name: "lag5", Op: OpLag, Series: s, Lag: 5 * hour},
			Column{Name: "diff", Op: OpDiff, Series: s, Lag: 2 * hour}, Column{Name: "mean", Op: OpMean, Series: s, Window: 6 * hour}, Column{Name: "std", Op: OpStd, Series: s, Window: 6 * hour},
			Column{Name: "min", Op: OpMin, Series: s, Window: 3 * hour}, Column{Name: "max", Op: OpMax, Series: s, Window: 24 * hour}, Column{Name: "missing", Op: OpMissing, Series: s},
			Column{Name: "scaled", Op: OpValue, Series: s, Impute: &v, Center: 3, Scale: 2})
	}
	cols = append(cols, Column{Name: "north", Op: OpOneHot, Series: 2, Category: 1})
	for _, op := range []Op{OpDaySin, OpDayCos, OpWeekSin, OpWeekCos, OpYearSin, OpYearCos} {
		cols = append(cols, Column{Name: string(op), Op: op})
	}
	return &Pipeline{Inputs: []Input{{Name: "a"}, {Name: "b"}, {Name: "c", Categories: []string{"S", "N"}}}, Columns: cols, Tolerance: hour / 2, Rows: 24}
}

func fill(h *History, n int, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	t := int64(1_400_000_000_000_000)
	for range n {
		t += hour
		if rng.IntN(10) == 0 {
			t += hour * int64(rng.IntN(5))
		}
		row := []float64{rng.NormFloat64(), rng.NormFloat64() * 100, float64(rng.IntN(2))}
		for i := range row {
			if rng.IntN(8) == 0 {
				row[i] = math.NaN()
			}
		}
		h.Push(t, row)
	}
}

// TestBatchAndStreamAgree computes every row twice: as it arrives in a short history, and
// afterwards inside a long one. The bits must be equal.
func TestBatchAndStreamAgree(t *testing.T) {
	p := everything()
	long := NewHistory(3, 500)
	fill(long, 500, 3)
	stream, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	short := NewHistory(3, p.Rows)
	a, b := make([]float64, p.Width()), make([]float64, p.Width())
	for back := long.Len() - 1; back >= 0; back-- {
		short.Push(long.Time(back), long.Row(back))
		if err := stream.Into(a, short); err != nil {
			t.Fatal(err)
		}
		if err := batch.IntoAt(b, long, back); err != nil {
			t.Fatal(err)
		}
		for i := range a {
			if math.Float64bits(a[i]) != math.Float64bits(b[i]) && !(math.IsNaN(a[i]) && math.IsNaN(b[i])) {
				t.Fatalf("row %d column %s: %v streaming, %v in batch", back, p.Columns[i].Name, a[i], b[i])
			}
		}
	}
}

func TestColumns(t *testing.T) {
	nan := math.NaN()
	h := NewHistory(1, 10)
	for i, v := range []float64{1, 2, nan, 4, 10} {
		h.Push(int64(i)*hour, []float64{v})
	}
	tests := []struct {
		c    Column
		want float64
	}{
		{Column{Op: OpValue}, 10},
		{Column{Op: OpLag, Lag: hour}, 4},
		{Column{Op: OpLag, Lag: 2 * hour}, nan},
		{Column{Op: OpLag, Lag: 3 * hour}, 2},
		{Column{Op: OpLag, Lag: 9 * hour}, nan},
		{Column{Op: OpDiff, Lag: hour}, 6},
		{Column{Op: OpMean, Window: 3 * hour}, 7},
		{Column{Op: OpMean, Window: 100 * hour}, 4.25},
		{Column{Op: OpStd, Window: 2 * hour}, 3},
		{Column{Op: OpMin, Window: 4 * hour}, 2},
		{Column{Op: OpMax, Window: hour}, 10},
		{Column{Op: OpMissing}, 0},
		{Column{Op: OpValue, Center: 4, Scale: 3}, 2},
	}
	for _, tt := range tests {
		p := &Pipeline{Inputs: []Input{{Name: "x"}}, Columns: []Column{tt.c}, Tolerance: hour / 2, Rows: 10}
		e, err := NewEvaluator(p)
		if err != nil {
			t.Fatal(err)
		}
		var got [1]float64
		if err := e.Into(got[:], h); err != nil {
			t.Fatal(err)
		}
		if got[0] != tt.want && !(math.IsNaN(got[0]) && math.IsNaN(tt.want)) {
			t.Errorf("%+v = %v, want %v", tt.c, got[0], tt.want)
		}
	}
}

func TestLookBackIsFinite(t *testing.T) {
	p := &Pipeline{Inputs: []Input{{Name: "x"}}, Columns: []Column{{Op: OpMean, Window: 1000 * hour}}, Rows: 3}
	e, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHistory(1, 10)
	for i := range 8 {
		h.Push(int64(i)*hour, []float64{float64(i)})
	}
	var got [1]float64
	if err := e.Into(got[:], h); err != nil || got[0] != 6 {
		t.Errorf("mean over the last 3 of 8 rows = %v (%v), want 6", got[0], err)
	}
}

// TestCalendar compares with the standard library's sine; the shape must hold and the two differ
// by less than 1e-12.
func TestCalendar(t *testing.T) {
	for i := range 2000 {
		at := int64(i)*7*hour/3 - 500*hour
		turn := func(cycle float64) float64 { return 2 * math.Pi * math.Mod(float64(at)/cycle, 1) }
		for op, want := range map[Op]float64{OpDaySin: math.Sin(turn(day)), OpDayCos: math.Cos(turn(day)), OpYearSin: math.Sin(turn(year)), OpYearCos: math.Cos(turn(year)),
			OpWeekSin: math.Sin(2 * math.Pi * math.Mod(float64(at-mondayOffset)/week, 1)), OpWeekCos: math.Cos(2 * math.Pi * math.Mod(float64(at-mondayOffset)/week, 1))} {
			if got := calendar(op, at); math.Abs(got-want) > 1e-9 {
				t.Fatalf("%s at %d = %v, want %v", op, at, got, want)
			}
		}
	}
	if s, c := TimeOfDay(6 * hour); math.Abs(s-1) > 1e-12 || math.Abs(c) > 1e-12 {
		t.Errorf("TimeOfDay(06:00) = %v, %v, want 1, 0", s, c)
	}
}

func TestCheckRefuses(t *testing.T) {
	inf := math.Inf(1)
	for want, change := range map[string]func(*Pipeline){
		"inputs":       func(p *Pipeline) { p.Inputs = nil },
		"columns":      func(p *Pipeline) { p.Columns = nil },
		"looks back":   func(p *Pipeline) { p.Rows = MaxLookback + 1 },
		"negative":     func(p *Pipeline) { p.Tolerance = -1 },
		"series 9":     func(p *Pipeline) { p.Columns[0].Series = 9 },
		"not finite":   func(p *Pipeline) { p.Columns[0].Scale = inf },
		"imputed":      func(p *Pipeline) { p.Columns[0].Impute = &inf },
		"positive lag": func(p *Pipeline) { p.Columns[1].Lag = 0 },
		"window":       func(p *Pipeline) { p.Columns[4].Window = 0 },
		"unknown op":   func(p *Pipeline) { p.Columns[0].Op = "fourier" },
	} {
		p := everything()
		change(p)
		if _, err := NewEvaluator(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err = %v", want, err)
		}
	}
	e, err := NewEvaluator(everything())
	if err != nil {
		t.Fatal(err)
	}
	if e.Into(make([]float64, 3), NewHistory(3, 2)) == nil || len(e.Pipeline().Names()) != e.Pipeline().Width() {
		t.Error("a wrong shape is accepted")
	}
}

func TestHistoryBytes(t *testing.T) {
	h := NewHistory(3, 40)
	fill(h, 100, 4)
	b := h.AppendBinary([]byte("x"))[1:]
	g := NewHistory(3, 40)
	rest, err := g.DecodeBinary(append(b, 'y'))
	if err != nil || string(rest) != "y" || g.Len() != h.Len() {
		t.Fatalf("DecodeBinary: %v, rest %q, %d rows", err, rest, g.Len())
	}
	for i := range h.Len() {
		if g.Time(i) != h.Time(i) || math.Float64bits(g.Row(i)[1]) != math.Float64bits(h.Row(i)[1]) {
			t.Fatalf("row %d differs", i)
		}
	}
	for n := 0; n < len(b); n += 11 {
		if _, err := NewHistory(3, 40).DecodeBinary(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes decode", n, len(b))
		}
	}
	if _, err := NewHistory(2, 40).DecodeBinary(b); err == nil {
		t.Error("another width decodes")
	}
}

func TestIntoDoesNotAllocate(t *testing.T) {
	e, err := NewEvaluator(everything())
	if err != nil {
		t.Fatal(err)
	}
	h := NewHistory(3, 50)
	fill(h, 50, 6)
	dst := make([]float64, e.Pipeline().Width())
	if n := testing.AllocsPerRun(100, func() { _ = e.Into(dst, h) }); n != 0 {
		t.Errorf("Into allocates %v times", n)
	}
}
