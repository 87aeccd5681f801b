package feature

import (
	"errors"
	"fmt"
	"math"
)

// Check reports why the pipeline cannot be used, nil when it can. A parameter that the op does
// not take is refused too: it would be a wish that nobody fulfils.
func (p *Pipeline) Check() error {
	switch {
	case len(p.Inputs) == 0 || len(p.Inputs) > 1024:
		return fmt.Errorf("pipeline has %d inputs, must be 1 to 1024", len(p.Inputs))
	case len(p.Columns) == 0 || len(p.Columns) > MaxColumns:
		return fmt.Errorf("pipeline has %d columns, must be 1 to %d", len(p.Columns), MaxColumns)
	case p.Rows < 1 || p.Rows > MaxLookback:
		return fmt.Errorf("pipeline looks back %d rows, must be 1 to %d", p.Rows, MaxLookback)
	case p.Tolerance < 0:
		return errors.New("pipeline has a negative tolerance")
	case p.Distance < 0:
		return fmt.Errorf("pipeline has rows at a distance of %d µs, must not be negative", p.Distance)
	case len(p.Holidays) > MaxHolidays:
		return fmt.Errorf("pipeline has %d holidays, must be at most %d", len(p.Holidays), MaxHolidays)
	}
	for i := 1; i < len(p.Holidays); i++ {
		if p.Holidays[i] <= p.Holidays[i-1] {
			return fmt.Errorf("holiday %d is %v after %v, must be ascending", i, p.Holidays[i], p.Holidays[i-1])
		}
	}
	if err := p.checkModules(); err != nil {
		return err
	}
	for i := range p.Columns {
		if err := p.checkColumn(i); err != nil {
			return fmt.Errorf("column %d %q: %w", i, p.Columns[i].Name, err)
		}
	}
	return nil
}

func (p *Pipeline) checkColumn(i int) error {
	c := &p.Columns[i]
	if c.Series < 0 || c.Series >= len(p.Inputs) {
		return fmt.Errorf("series %d of %d", c.Series, len(p.Inputs))
	}
	for _, v := range []float64{c.Center, c.Scale, c.Category, c.Level, c.Low, c.High, c.Limit, c.Default} {
		if !finite(v) {
			return errors.New("a parameter is not finite")
		}
	}
	if c.Impute != nil && !finite(*c.Impute) {
		return errors.New("the imputed value is not finite")
	}
	takes, known := c.Op.takes()
	if !known {
		return fmt.Errorf("unknown op %q", c.Op)
	}
	if err := c.checkUnused(takes); err != nil {
		return err
	}
	if err := p.checkReach(c, takes); err != nil {
		return err
	}
	if err := p.checkNumbers(c, takes); err != nil {
		return err
	}
	return p.checkColumns(i, c, takes)
}

// checkUnused refuses what the op does not take. Lag and Window are let pass, because they always
// were.
func (c *Column) checkUnused(takes int) error {
	for _, f := range []struct {
		name  string
		set   bool
		takes int
	}{
		{"rows", c.Rows != 0, takesLag | takesWindow | takesReach | takesModule}, {"other", c.Other != 0, takesOther}, {"level", c.Level != 0, takesLevel}, {"half_life", c.HalfLife != 0, takesHalfLife},
		{"low", c.Low != 0, takesBand}, {"high", c.High != 0, takesBand}, {"limit", c.Limit != 0, takesLimit}, {"of", c.Of != 0, takesOf}, {"by", c.By != 0, takesBy},
		{"table", c.Table != nil, takesTable | takesQuantiles}, {"default", c.Default != 0, takesTable}, {"expr", c.Expr != nil, takesExpr},
		{"module", c.Module != 0, takesModule}, {"func", c.Func != "", takesModule}, {"args", c.Args != nil, takesModule},
	} {
		if f.set && takes&f.takes == 0 {
			return fmt.Errorf("op %q takes no %s", c.Op, f.name)
		}
	}
	return nil
}

// checkReach checks lags and windows.
func (p *Pipeline) checkReach(c *Column, takes int) error {
	kind, length := "lag", c.Lag
	if takes&(takesWindow|takesReach) != 0 {
		kind, length = "window", c.Window
	}
	farthest := p.Rows
	switch {
	case takes&takesLag != 0 && c.Op == OpDiff2:
		farthest = (p.Rows - 1) / 2
	case takes&takesLag != 0 || c.Op == OpStuck:
		farthest = p.Rows - 1 // one row is needed beyond them
	}
	switch {
	case takes&(takesLag|takesWindow|takesReach) == 0:
		return nil
	case length < 0 || c.Rows < 0:
		return fmt.Errorf("op %q has a negative %s", c.Op, kind)
	case length > 0 && c.Rows > 0:
		return fmt.Errorf("op %q has a %s of %d µs and of %d rows, must have one of them", c.Op, kind, length, c.Rows)
	case length == 0 && c.Rows == 0 && takes&takesReach == 0:
		return fmt.Errorf("op %q needs a positive %s", c.Op, kind)
	case c.Rows > farthest:
		return fmt.Errorf("op %q has a %s of %d rows, must be at most %d when the pipeline looks back %d", c.Op, kind, c.Rows, farthest, p.Rows)
	case c.Op == OpDiff2 && length > math.MaxInt64/4:
		return fmt.Errorf("op %q has a lag of %d µs, must be at most %d", c.Op, length, int64(math.MaxInt64/4))
	}
	return nil
}

// checkNumbers checks the parameters that are numbers.
func (p *Pipeline) checkNumbers(c *Column, takes int) error {
	in := &p.Inputs[c.Series]
	switch {
	case takes&takesOther != 0 && (c.Other < 0 || c.Other >= len(p.Inputs)):
		return fmt.Errorf("other series %d of %d", c.Other, len(p.Inputs))
	case takes&takesLevel != 0 && (c.Level < 0 || c.Level > 1):
		return fmt.Errorf("op %q has level %v, must be 0 to 1", c.Op, c.Level)
	case takes&takesHalfLife != 0 && c.HalfLife <= 0:
		return fmt.Errorf("op %q has a half-life of %d µs, must be positive", c.Op, c.HalfLife)
	case takes&takesLimit != 0 && c.Limit <= 0:
		return fmt.Errorf("op %q has a limit of %v MADs, must be positive", c.Op, c.Limit)
	case takes&takesRange != 0 && !(in.Min < in.Max):
		return fmt.Errorf("op %q needs an input with a range, %q has %v to %v", c.Op, in.Name, in.Min, in.Max)
	case takes&takesHolidays != 0 && len(p.Holidays) == 0:
		return fmt.Errorf("op %q needs the pipeline's holidays", c.Op)
	case takes&takesGrid == 0:
		return nil
	case p.Distance == 0:
		return fmt.Errorf("op %q needs the pipeline's distance of rows", c.Op)
	}
	n := p.points(c)
	if n < 4 || n > int64(p.Rows) {
		return fmt.Errorf("op %q has a window of %d points %d µs apart, must be 4 to the look-back of %d", c.Op, n, p.Distance, p.Rows)
	}
	if takes&takesBand == 0 {
		return nil
	}
	if c.Low < 0 || c.Low >= c.High {
		return fmt.Errorf("op %q has a band from %v to %v Hz, must not be negative or empty", c.Op, c.Low, c.High)
	}
	if low, high := p.bins(c); low >= high {
		return fmt.Errorf("op %q has a band from %v to %v Hz, must hold a multiple of %v up to %v", c.Op, c.Low, c.High, p.frequency(c, 1), p.frequency(c, padded(n)/2))
	}
	return nil
}

// checkColumns checks references to earlier columns, tables and programs.
func (p *Pipeline) checkColumns(i int, c *Column, takes int) error {
	switch {
	case takes&takesOf != 0 && (c.Of < 0 || c.Of >= i):
		return fmt.Errorf("op %q of column %d, must be an earlier one", c.Op, c.Of)
	case takes&takesBy != 0 && (c.By < 0 || c.By >= i):
		return fmt.Errorf("op %q by column %d, must be an earlier one", c.Op, c.By)
	case takes&takesTable != 0 && (len(c.Table) == 0 || len(c.Table) > MaxTable):
		return fmt.Errorf("op %q has a table of %d categories, must be 1 to %d", c.Op, len(c.Table), MaxTable)
	case takes&takesQuantiles != 0 && (len(c.Table) < 2 || len(c.Table) > MaxQuantiles):
		return fmt.Errorf("op %q has %d quantiles, must be 2 to %d", c.Op, len(c.Table), MaxQuantiles)
	case takes&takesExpr != 0:
		return p.checkExpr(i, c.Expr)
	case takes&takesModule != 0:
		return p.checkCall(c)
	}
	for k, v := range c.Table {
		if !finite(v) {
			return fmt.Errorf("op %q has a table whose value %d is not finite", c.Op, k)
		}
		if takes&takesQuantiles != 0 && k > 0 && v < c.Table[k-1] {
			return fmt.Errorf("op %q has quantile %v after %v, must be ascending", c.Op, v, c.Table[k-1])
		}
	}
	return nil
}

// finite is not v-v == 0: where v is a product, some processors would fuse it with the difference.
func finite(v float64) bool { return math.Abs(v) <= math.MaxFloat64 }
