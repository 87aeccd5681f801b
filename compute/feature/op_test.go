package feature

import (
	"math"
	"testing"
)

// TestOps tells by hand what ops make of six rows in which something is missing, twice, or
// infinite.
func TestOps(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	h := NewHistory(3, 10)
	for _, r := range []struct{ t, a, b, c float64 }{
		// hours; the fourth and the fifth row have one time
		{0, 5, 1, 0}, {1, 5, inf, nan}, {2, nan, 3, 2}, {3, 7, 0, 7}, {3, 9, 2, 1.5}, {5, 4, 0, 2},
	} {
		h.Push(int64(r.t)*hour, []float64{r.a, r.b, r.c})
	}
	const a, b, c = 0, 1, 2
	tests := []struct {
		c    Column
		want float64
	}{
		{Column{Op: OpLag, Rows: 1}, 9}, {Column{Op: OpLag, Rows: 3}, nan}, {Column{Op: OpLag, Rows: 5}, 5}, {Column{Op: OpLag, Rows: 6}, nan}, {Column{Op: OpLag, Lag: 2 * hour}, 9}, {Column{Op: OpDiff, Rows: 5}, -1},
		{Column{Op: OpRate, Lag: 2 * hour}, -5 / 7200.0}, {Column{Op: OpRate, Rows: 5}, -1 / 18000.0}, {Column{Op: OpRate, Rows: 3}, nan}, {Column{Op: OpRate, Lag: hour / 2}, nan},
		{Column{Op: OpDiff2, Rows: 1}, 4 - 2*9 + 7}, {Column{Op: OpDiff2, Rows: 2}, 4 - 2*7 + 5}, {Column{Op: OpDiff2, Lag: 2 * hour}, 4 - 2*9 + 5}, {Column{Op: OpDiff2, Rows: 3}, nan},
		{Column{Op: OpLast, Series: a}, 4}, {Column{Op: OpSince, Series: a}, 0}, {Column{Op: OpMean, Rows: 3}, 20 / 3.0}, {Column{Op: OpMin, Rows: 2}, 4}, {Column{Op: OpMax, Rows: 100}, 9},
		{Column{Op: OpCount, Rows: 4}, 3}, {Column{Op: OpCount, Window: 3 * hour}, 3}, {Column{Op: OpCount, Series: b, Rows: 10}, 5}, {Column{Op: OpRange, Rows: 10}, 5}, {Column{Op: OpRange, Series: b, Rows: 10}, 3},
		{Column{Op: OpMedian, Rows: 10}, 5}, {Column{Op: OpMedian, Rows: 2}, 6.5}, {Column{Op: OpQuantile, Rows: 10, Level: 1}, 9}, {Column{Op: OpQuantile, Rows: 10}, 4}, {Column{Op: OpEnergy, Rows: 2}, 97 / 2.0},
		{Column{Op: OpSlope, Rows: 2}, -5 / 7200.0}, {Column{Op: OpSlope, Rows: 1}, nan}, {Column{Op: OpCrossings, Rows: 10}, 2}, {Column{Op: OpCrossings, Series: b, Rows: 10}, 4}, {Column{Op: OpMean, Series: b, Rows: 10}, inf},
		{Column{Op: OpRatio, Series: c, Other: a}, 0.5}, {Column{Op: OpRatio, Series: a, Other: b}, nan}, {Column{Op: OpRatio, Series: b, Other: b, Impute: &five}, 5}, {Column{Op: OpDifference, Series: a, Other: c}, 2},
		{Column{Op: OpProduct, Series: a, Other: c}, 8}, {Column{Op: OpTable, Series: c, Table: []float64{1, 2, 3}}, 3}, {Column{Op: OpTable, Series: c, Table: []float64{1, 2}, Default: 9}, 9}, {Column{Op: OpOutOfRange, Series: a}, 1},
		{Column{Op: OpOutOfRange, Series: b}, 0}, {Column{Op: OpHour}, 6}, {Column{Op: OpWeekday}, 3}, {Column{Op: OpMonth}, 1}, {Column{Op: OpWeekend}, 0}, {Column{Op: OpHoliday}, 1},
		{Column{Op: OpEWMean, HalfLife: 2 * hour, Rows: 3}, (4 + 0.5*9 + 0.5*7) / 2}, {Column{Op: OpEWStd, HalfLife: 2 * hour, Rows: 3}, math.Sqrt((4 + 0.5*9 + 0.5*1) / 2)}, {Column{Op: OpEWMean, HalfLife: 1, Rows: 3}, 4},
	}
	for _, tt := range tests {
		p := &Pipeline{Inputs: []Input{{Name: "a", Min: 5, Max: 8}, {Name: "b", Min: 0, Max: 1}, {Name: "c"}}, Columns: []Column{tt.c}, Tolerance: hour / 2, Rows: 8, Offset: hour, Holidays: []Day{0, 4}}
		if takes, _ := tt.c.Op.takes(); takes&(takesLag|takesWindow|takesReach) != 0 {
			p.Rows = 200 // far beyond what there is
		}
		if got := evaluate(t, p, h)[0]; !near(got, tt.want) && got != tt.want {
			t.Errorf("%+v = %v, want %v", tt.c, got, tt.want)
		}
	}
}

var five, half = 5.0, 0.5

// TestLast looks back over missing readings.
func TestLast(t *testing.T) {
	nan := math.NaN()
	h := NewHistory(1, 10)
	for k, v := range []float64{3, 8, nan, math.Inf(-1), nan} {
		h.Push(int64(k)*hour, []float64{v})
	}
	p := &Pipeline{Inputs: []Input{{Name: "x"}}, Rows: 10, Columns: []Column{{Op: OpLast}, {Op: OpSince}, {Op: OpLast, Rows: 3}, {Op: OpSince, Window: 3 * hour}, {Op: OpLast, Window: 3*hour + 1}, {Op: OpMissing}}}
	for i, want := range []float64{8, 3 * 3600, nan, nan, 8, 1} {
		if got := evaluate(t, p, h)[i]; !same(got, want) {
			t.Errorf("column %d = %v, want %v", i, got, want)
		}
	}
	p.Rows = 3
	if got := evaluate(t, p, h)[0]; !math.IsNaN(got) {
		t.Errorf("last present reading of 3 rows that have none = %v, want NaN", got)
	}
}

// TestStuck follows a sensor that stops changing at row 3 and comes back at row 9. At rows 13 and
// 14 the newest reading before the window is that of row 9, which the look-back of row 15 does
// not reach.
func TestStuck(t *testing.T) {
	p := &Pipeline{Inputs: []Input{{Name: "x"}}, Rows: 6, Columns: []Column{{Op: OpStuck, Window: 3 * hour}, {Op: OpStuck, Rows: 3}, {Op: OpStuck, Window: 100 * hour}}}
	h := NewHistory(1, 20)
	nan := math.NaN()
	for k, r := range []struct{ v, want float64 }{{1, 0}, {2, 0}, {3, 0}, {7, 0}, {7, 0}, {7, 0}, {7, 1}, {nan, 1}, {7, 1}, {8, 0}, {nan, 0}, {nan, 0}, {nan, nan}, {8, 1}, {8, 1}, {8, 0}} {
		h.Push(int64(k)*hour, []float64{r.v})
		got := evaluate(t, p, h)
		if !same(got[0], r.want) || !same(got[1], r.want) {
			t.Errorf("row %d: stuck = %v by time, %v by rows, want %v", k, got[0], got[1], r.want)
		}
		if got[2] == 1 {
			t.Errorf("row %d: stuck over a window that the look-back cannot reach", k)
		}
	}
}

func TestSpike(t *testing.T) {
	h := NewHistory(1, 20)
	p := &Pipeline{Inputs: []Input{{Name: "x"}}, Rows: 8, Columns: []Column{{Op: OpSpike, Rows: 6, Limit: 3}}}
	for k, r := range []struct{ v, want float64 }{{1, 0}, {99, 0}, {2, 0}, {3, 0}, {2, 0}, {1, 0}, {2.5, 0}, {30, 1}, {2, 0}, {2, 0}, {2, 0}, {2, 0}, {2.1, 1}, {math.Inf(1), math.NaN()}} {
		h.Push(int64(k), []float64{r.v})
		if got := evaluate(t, p, h)[0]; !same(got, r.want) {
			t.Errorf("row %d: spike at %v = %v, want %v", k, r.v, got, r.want)
		}
	}
}

// TestSpikeNeedsThree holds two readings, of which each is one MAD from the median, to no spike.
func TestSpikeNeedsThree(t *testing.T) {
	h := NewHistory(1, 3)
	p := &Pipeline{Inputs: []Input{{Name: "x"}}, Rows: 3, Columns: []Column{{Op: OpSpike, Rows: 3, Limit: 0.5}}}
	for k, want := range []float64{0, 0, 1} {
		h.Push(int64(k), []float64{float64(k * k)})
		if got := evaluate(t, p, h)[0]; got != want {
			t.Errorf("spike after %d readings = %v, want %v", k+1, got, want)
		}
	}
}

// TestSpectrumOfASine finds frequency and power of a sine that falls between the frequencies of
// the transform, with gaps, and nothing in a constant or in too few readings.
func TestSpectrumOfASine(t *testing.T) {
	const period, amplitude = 9.7, 4.0
	p := &Pipeline{Inputs: []Input{{Name: "x"}, {Name: "constant"}, {Name: "sparse"}}, Rows: 200, Distance: hour, Columns: []Column{
		{Op: OpDominant, Window: 128 * hour}, {Op: OpBandPower, Window: 128 * hour, Low: 1 / (period * 2 * 3600), High: 2 / (period * 3600)}, {Op: OpBandPower, Window: 128 * hour, Low: 0.3 / 3600, High: 1},
		{Op: OpDominant, Window: 128 * hour, Series: 1}, {Op: OpBandPower, Window: 128 * hour, Low: 0, High: 1, Series: 1}, {Op: OpDominant, Window: 128 * hour, Series: 2}}}
	const flat = 0.1 // whose sums are rounded
	h := NewHistory(3, 200)
	for k := range 190 {
		if k%7 == 3 {
			continue // a gap
		}
		row := []float64{10 + amplitude*math.Sin(2*math.Pi*float64(k)/period), flat, math.NaN()}
		if k%3 == 0 {
			row[2] = row[0]
		}
		h.Push(int64(k)*hour, row)
	}
	got := evaluate(t, p, h)
	if step := 1 / (128 * 3600.0); math.Abs(got[0]-1/(period*3600)) > step {
		t.Errorf("dominant frequency %v, want %v to within %v", got[0], 1/(period*3600), step)
	}
	if math.Abs(got[1]-amplitude*amplitude/2) > 0.8 {
		t.Errorf("power around the sine = %v, want nearly %v", got[1], amplitude*amplitude/2)
	}
	if got[2] > 0.2 {
		t.Errorf("power far from the sine = %v, want little", got[2])
	}
	if !math.IsNaN(got[3]) || got[4] != 0 {
		t.Errorf("a constant has dominant frequency %v and power %v, want NaN and 0", got[3], got[4])
	}
	if !math.IsNaN(got[5]) {
		t.Errorf("a spectrum of too few readings: %v, want NaN", got[5])
	}
}

func TestColumnsOfColumns(t *testing.T) {
	h := NewHistory(2, 1)
	h.Push(0, []float64{3, math.NaN()})
	p := &Pipeline{Inputs: []Input{{Name: "x"}, {Name: "y"}}, Rows: 1, Columns: []Column{
		{Op: OpValue, Center: 1, Scale: 4}, {Op: OpCross, Of: 0, By: 0}, {Op: OpPlace, Of: 0, Table: []float64{0, 0.25, 0.75}}, {Op: OpValue, Series: 1},
		{Op: OpCross, Of: 0, By: 3}, {Op: OpPlace, Of: 3, Table: []float64{0, 1}, Impute: &half},
		{Op: OpExpr, Expr: []Token{{Do: TokenColumn, I: 0}, {Do: TokenSeries, I: 0}, {Do: TokenAdd}, {Do: TokenSeries, I: 1}, {Do: TokenSub}, {Do: TokenColumn, I: 2}, {Do: TokenIfMissing}}},
		{Op: OpExpr, Expr: []Token{{Do: TokenSeries}, {Do: TokenNumber, X: -4}, {Do: TokenMin}, {Do: TokenSqrt}}}, {Op: OpExpr, Expr: []Token{{Do: TokenNumber, X: 1e308}, {Do: TokenNumber, X: 1e308}, {Do: TokenMul}}},
		{Op: OpExpr, Expr: []Token{{Do: TokenSeries}, {Do: TokenNumber}, {Do: TokenDiv}}}, {Op: OpExpr, Expr: []Token{{Do: TokenNumber, X: -3}, {Do: TokenAbs}, {Do: TokenLog1p}}}, {Op: OpExpr, Expr: []Token{{Do: TokenNumber, X: -1}, {Do: TokenLog1p}}},
		{Op: OpExpr, Expr: []Token{{Do: TokenNumber, X: 1e-12}, {Do: TokenLog1p}}},
		{Op: OpExpr, Expr: []Token{{Do: TokenNumber, X: 7}, {Do: TokenSeries}, {Do: TokenMax}, {Do: TokenSeries}, {Do: TokenMul}}}}}
	nan := math.NaN()
	got := evaluate(t, p, h)
	for i, want := range []float64{0.5, 0.25, 0.75, nan, nan, 0.5, 0.75, nan, nan, nan, math.Log(4), nan, math.Log1p(1e-12), 21} {
		if !same(got[i], want) && math.Abs(got[i]-want) > 1e-15*math.Abs(want) {
			t.Errorf("column %d = %v, want %v", i, got[i], want)
		}
	}
}

// TestDates holds hour, weekday and month to package time, and dates to their text and back.
func TestDates(t *testing.T) {
	for _, tt := range []struct {
		us                                 int64
		day                                string
		hour, weekday, month, off, holiday float64
	}{
		{0, "1970-01-01", 0, 3, 1, 0, 0}, {-1, "1969-12-31", 23, 2, 12, 0, 0}, {1_766_664_000_000_000, "2025-12-25", 12, 3, 12, 0, 1}, {1_709_251_199_999_999, "2024-02-29", 23, 3, 2, 0, 0}, {1_709_251_200_000_000, "2024-03-01", 0, 4, 3, 0, 0},
		{1_709_337_600_000_000, "2024-03-02", 0, 5, 3, 1, 1}, {1_709_510_399_000_000, "2024-03-03", 23, 6, 3, 1, 0},
	} {
		var d Day
		if err := d.UnmarshalText([]byte(tt.day)); err != nil || d != DayOf(tt.us) || d.String() != tt.day {
			t.Errorf("%s is day %v (%v), %d µs are %v", tt.day, d, err, tt.us, DayOf(tt.us))
		}
		p := &Pipeline{Inputs: []Input{{Name: "x"}}, Rows: 1, Columns: []Column{{Op: OpHour}, {Op: OpWeekday}, {Op: OpMonth}, {Op: OpWeekend}, {Op: OpHoliday}}, Holidays: []Day{19784, 20447}}
		h := NewHistory(1, 1)
		h.Push(tt.us, []float64{0})
		got := evaluate(t, p, h)
		for i, want := range []float64{tt.hour, tt.weekday, tt.month, tt.off, tt.holiday} {
			if got[i] != want {
				t.Errorf("%s: %s = %v, want %v", tt.day, p.Columns[i].Op, got[i], want)
			}
		}
	}
	h := NewHistory(1, 1)
	h.Push(-hour/2, []float64{0})
	east := &Pipeline{Inputs: []Input{{Name: "x"}}, Rows: 1, Columns: []Column{{Op: OpHoliday}, {Op: OpHour}, {Op: OpMonth}}, Holidays: []Day{0}, Offset: hour}
	if got := evaluate(t, east, h); got[0] != 1 || got[1] != 0 || got[2] != 1 {
		t.Errorf("half an hour into 1970 in the east: holiday, hour, month = %v, want 1, 0, 1", got)
	}
	var d Day
	if err := d.UnmarshalText([]byte("25.12.2025")); err == nil {
		t.Error("25.12.2025 is a date")
	}
}

// TestEqualReadings holds that readings which are all the same have no slope, spread or crossings
// and are their own mean, however their sums are rounded.
func TestEqualReadings(t *testing.T) {
	h := NewHistory(1, 70)
	for k := range 70 {
		h.Push(int64(k)*hour+int64(k*k)*minute, []float64{0.1})
	}
	p := &Pipeline{Inputs: []Input{{Name: "x"}}, Rows: 70, Columns: []Column{{Op: OpSlope, Rows: 67}, {Op: OpRange, Rows: 67}, {Op: OpCrossings, Rows: 67}, {Op: OpEWMean, HalfLife: hour}, {Op: OpEWStd, HalfLife: hour}, {Op: OpQuantile, Rows: 67, Level: 0.37},
		{Op: OpSpike, Rows: 67, Limit: 1}, {Op: OpStuck, Rows: 67}}}
	for i, want := range []float64{0, 0, 0, 0.1, 0, 0.1, 0, 1} {
		if got := evaluate(t, p, h)[i]; got != want {
			t.Errorf("%s = %v, want %v", p.Columns[i].Op, got, want)
		}
	}
}
