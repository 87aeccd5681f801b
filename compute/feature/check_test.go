package feature

import (
	"math"
	"strings"
	"testing"
)

// TestCheckSaysWhy changes one thing at a time in a pipeline that is right and looks for the
// offending value and what is allowed in the error.
func TestCheckSaysWhy(t *testing.T) {
	inf := math.Inf(1)
	numbers := func(n int) []Token {
		out := make([]Token, n)
		for i := range out {
			out[i].Do = TokenNumber
		}
		return out
	}
	for _, tt := range []struct {
		c    Column
		want string
	}{
		{Column{Op: OpValue, Rows: 3}, `op "value" takes no rows`}, {Column{Op: OpValue, Table: []float64{1}}, "takes no table"}, {Column{Op: OpMean, Window: 1, Level: 0.5}, "takes no level"}, {Column{Op: OpMean, Window: 1, HalfLife: 5}, "takes no half_life"},
		{Column{Op: OpMean, Window: 1, Limit: 5}, "takes no limit"}, {Column{Op: OpLag, Lag: 1, Expr: numbers(1)}, "takes no expr"}, {Column{Op: OpLag, Lag: 1, Default: 1}, "takes no default"}, {Column{Op: OpDominant, Window: 8 * hour, Low: 1}, "takes no low"},
		{Column{Op: OpLag, Lag: 5, Rows: 5}, "lag of 5 µs and of 5 rows, must have one"}, {Column{Op: OpMedian, Window: 5, Rows: 5}, "window of 5 µs and of 5 rows"}, {Column{Op: OpMedian}, "needs a positive window"}, {Column{Op: OpRate}, "needs a positive lag"},
		{Column{Op: OpRate, Rows: -1}, "negative lag"}, {Column{Op: OpLast, Window: -1}, "negative window"}, {Column{Op: OpLag, Rows: 48}, "lag of 48 rows, must be at most 47"}, {Column{Op: OpDiff2, Rows: 24}, "must be at most 23"},
		{Column{Op: OpMean, Rows: 49}, "window of 49 rows, must be at most 48"}, {Column{Op: OpStuck, Rows: 48}, "must be at most 47"}, {Column{Op: OpDiff2, Lag: math.MaxInt64}, "must be at most 2305843009213693951"},
		{Column{Op: OpRatio, Other: 4}, "other series 4 of 4"}, {Column{Op: OpRatio, Other: -1}, "other series -1 of 4"}, {Column{Op: OpQuantile, Rows: 5, Level: 1.5}, "level 1.5, must be 0 to 1"}, {Column{Op: OpQuantile, Rows: 5, Level: inf}, "not finite"},
		{Column{Op: OpEWMean}, "half-life of 0 µs, must be positive"}, {Column{Op: OpSpike, Rows: 5}, "limit of 0 MADs, must be positive"}, {Column{Op: OpOutOfRange, Series: 2}, `"c" has 0 to 0`},
		{Column{Op: OpDominant, Window: 3 * hour}, "window of 3 points 3600000000 µs apart, must be 4 to the look-back of 48"}, {Column{Op: OpDominant, Window: 49 * hour}, "window of 49 points"},
		{Column{Op: OpBandPower, Window: 8 * hour, Low: 2, High: 1}, "band from 2 to 1 Hz"}, {Column{Op: OpBandPower, Window: 8 * hour, Low: 1, High: 2}, "must hold a multiple of 3.472222222222222e-05 up to 0.0001388888888888889"},
		{Column{Op: OpCross, Of: 1}, "column 1, must be an earlier one"}, {Column{Op: OpCross, By: 1}, "by column 1"}, {Column{Op: OpPlace, Of: -1, Table: []float64{0, 1}}, "of column -1"},
		{Column{Op: OpPlace, Table: []float64{1}}, "1 quantiles, must be 2 to 32"}, {Column{Op: OpPlace, Table: make([]float64, 33)}, "33 quantiles"}, {Column{Op: OpPlace, Table: []float64{1, 0}}, "quantile 0 after 1, must be ascending"},
		{Column{Op: OpPlace, Table: []float64{1, inf}}, "value 1 is not finite"}, {Column{Op: OpTable}, "0 categories, must be 1 to 4096"}, {Column{Op: OpTable, Table: []float64{math.NaN()}}, "value 0 is not finite"},
		{Column{Op: OpExpr}, "0 tokens, must be 1 to 64"}, {Column{Op: OpExpr, Expr: numbers(65)}, "65 tokens"}, {Column{Op: OpExpr, Expr: numbers(2)}, "leaves 2 numbers, must leave 1"}, {Column{Op: OpExpr, Expr: numbers(17)}, "token 16: more than 16 numbers"},
		{Column{Op: OpExpr, Expr: []Token{{Do: "pow"}}}, `token 0: unknown "pow"`}, {Column{Op: OpExpr, Expr: []Token{{Do: TokenSeries, I: 4}}}, "series 4 of 4"}, {Column{Op: OpExpr, Expr: []Token{{Do: TokenColumn, I: 1}}}, "column 1, must be an earlier one"},
		{Column{Op: OpExpr, Expr: []Token{{Do: TokenNumber, X: inf}}}, "the number is not finite"}, {Column{Op: OpExpr, Expr: []Token{{Do: TokenNumber}, {Do: TokenAdd}}}, `token 1: "add" needs 2 numbers, the stack has 1`},
	} {
		p := full()
		p.Columns = []Column{p.Columns[0], tt.c}
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "column 1 ") {
			t.Errorf("%+v: err = %v, want one that says %q", tt.c, err, tt.want)
		}
	}
	for want, change := range map[string]func(*Pipeline){
		"distance of -1 µs":       func(p *Pipeline) { p.Distance = -1 },
		"needs the pipeline's d":  func(p *Pipeline) { p.Distance = 0 },
		"needs the pipeline's h":  func(p *Pipeline) { p.Holidays = nil },
		"4097 holidays":           func(p *Pipeline) { p.Holidays = make([]Day, MaxHolidays+1) },
		"1970-01-06 after 1970-0": func(p *Pipeline) { p.Holidays = []Day{6, 5} },
	} {
		p := full()
		change(p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want one that says %q", err, want)
		}
	}
}

// TestFullHasEveryOp holds the pipeline that the other tests use to its promise: every op but
// that of modules, which has no runtime here.
func TestFullHasEveryOp(t *testing.T) {
	has := map[Op]bool{}
	for _, c := range full().Columns {
		has[c.Op] = true
	}
	for _, op := range Ops() {
		if !has[op] && op != OpModule {
			t.Errorf("no column has op %q", op)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	p := full()
	e, err := NewEvaluator(p)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHistory(len(p.Inputs), p.Rows)
	s := newSensors(8)
	for range 100 {
		h.Push(s.next())
	}
	dst := make([]float64, p.Width())
	if n := testing.AllocsPerRun(100, func() { _ = e.Into(dst, h) }); n != 0 {
		t.Errorf("Into allocates %v times", n)
	}
}
