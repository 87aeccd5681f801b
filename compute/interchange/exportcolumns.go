package interchange

import (
	"math"
	"slices"

	"skerry.dev/compute/feature"
)

// rowOps are the ops that look at the row alone, or at earlier columns.
var rowOps = []feature.Op{feature.OpValue, feature.OpMissing, feature.OpOneHot, feature.OpTable, feature.OpRatio, feature.OpDifference, feature.OpProduct, feature.OpOutOfRange, feature.OpCross, feature.OpPlace, feature.OpExpr}

// columnWriter computes a pipeline of rowOps column by column, each a tensor of one column of
// doubles.
type columnWriter struct {
	*onnxWriter
	p     *feature.Pipeline
	input string   // the raw inputs, doubles
	done  []string // columns, imputed and scaled
	nan   string
	zeros string // as many as rows
}

// columnByColumn returns the tensor of all columns.
func (w *onnxWriter) columnByColumn(p *feature.Pipeline, input string) string {
	c := &columnWriter{onnxWriter: w, p: p, input: input, nan: w.row([]float64{math.NaN()})}
	c.zeros = w.node("Mul", []string{w.cast(c.isNaN(c.series(0)), typeDouble), c.number(0)})
	for i := range p.Columns {
		col := &p.Columns[i]
		v := c.compute(col)
		if col.Impute != nil {
			v = c.where(c.isNaN(v), c.number(*col.Impute), v)
		}
		if col.Center != 0 {
			v = w.node("Sub", []string{v, c.number(col.Center)})
		}
		if col.Scale != 0 && col.Scale != 1 {
			v = w.node("Div", []string{v, c.number(col.Scale)})
		}
		c.done = append(c.done, v)
	}
	return w.node("Concat", c.done, attrInt("axis", 1))
}

func (c *columnWriter) number(v float64) string       { return c.row([]float64{v}) }
func (c *columnWriter) isNaN(v string) string         { return c.node("IsNaN", []string{v}) }
func (c *columnWriter) isInf(v string) string         { return c.node("IsInf", []string{v}) }
func (c *columnWriter) where(is, a, b string) string  { return c.node("Where", []string{is, a, b}) }
func (c *columnWriter) binary(op, a, b string) string { return c.node(op, []string{a, b}) }
func (c *columnWriter) clean(v string) string         { return c.where(c.isInf(v), c.nan, v) }
func (c *columnWriter) indices(v string) string       { return c.cast(v, typeInt64) }
func (c *columnWriter) list(v []float64) string       { return c.constant(typeDouble, []int{len(v)}, v) }
func (c *columnWriter) at(list, indices string) string {
	return c.node("Gather", []string{list, indices}, attrInt("axis", 0))
}
func (c *columnWriter) truth(v string) string           { return c.cast(v, typeDouble) }
func (c *columnWriter) unless(missing, v string) string { return c.where(c.isNaN(missing), c.nan, v) }

func (c *columnWriter) series(i int) string {
	return c.node("Gather", []string{c.input, c.constant(typeInt64, []int{1}, []float64{float64(i)})}, attrInt("axis", 1))
}

func (c *columnWriter) compute(col *feature.Column) string {
	switch col.Op {
	case feature.OpCross:
		return c.clean(c.binary("Mul", c.done[col.Of], c.done[col.By]))
	case feature.OpPlace:
		return c.place(col.Table, c.done[col.Of])
	case feature.OpExpr:
		return c.program(col.Expr)
	}
	s := c.series(col.Series)
	switch col.Op {
	case feature.OpMissing:
		return c.truth(c.isNaN(s))
	case feature.OpOneHot:
		return c.unless(s, c.truth(c.binary("Equal", s, c.number(col.Category))))
	case feature.OpTable:
		return c.table(col, s)
	case feature.OpRatio:
		return c.clean(c.binary("Div", c.clean(s), c.clean(c.series(col.Other))))
	case feature.OpDifference:
		return c.clean(c.binary("Sub", s, c.series(col.Other)))
	case feature.OpProduct:
		return c.clean(c.binary("Mul", s, c.series(col.Other)))
	case feature.OpOutOfRange:
		in := &c.p.Inputs[col.Series]
		return c.unless(s, c.truth(c.binary("Or", c.binary("Less", s, c.number(in.Min)), c.binary("Greater", s, c.number(in.Max)))))
	}
	return s // OpValue
}

// table looks a code up; what is no whole number that the table has gets the default.
func (c *columnWriter) table(col *feature.Column, s string) string {
	zero := c.number(0)
	known := c.binary("And", c.binary("And", c.binary("GreaterOrEqual", s, zero), c.binary("Less", s, c.number(float64(len(col.Table))))), c.binary("Equal", s, c.node("Floor", []string{s})))
	found := c.at(c.list(col.Table), c.indices(c.where(known, s, zero)))
	return c.unless(s, c.where(known, found, c.number(col.Default)))
}

// place counts the quantiles below v and those that equal it.
func (c *columnWriter) place(q []float64, v string) string {
	n, last := len(q), c.number(float64(len(q)-1))
	row, list, axis := c.row(q), c.list(q), c.constant(typeInt64, []int{1}, []float64{1})
	count := func(op string) string { return c.node("ReduceSum", []string{c.truth(c.binary(op, row, v)), axis}) }
	below, equal := count("Less"), count("Equal")
	one, two := c.number(1), c.number(2)
	same := c.binary("Div", c.binary("Sub", c.binary("Add", c.binary("Mul", below, two), equal), one), c.binary("Mul", last, two))
	before := c.binary("Sub", below, one)
	bounded := func(i string) string { return c.indices(c.binary("Min", c.binary("Max", i, c.number(0)), last)) }
	half := func(x string) string { return c.binary("Div", x, two) }
	low, high := half(c.at(list, bounded(before))), half(c.at(list, bounded(below)))
	between := c.binary("Div", c.binary("Add", before, c.binary("Div", c.binary("Sub", half(v), low), c.binary("Sub", high, low))), last)
	out := c.where(c.binary("Greater", equal, c.number(0)), same, between)
	out = c.where(c.binary("GreaterOrEqual", v, c.number(q[n-1])), one, out)
	out = c.where(c.binary("LessOrEqual", v, c.number(q[0])), c.number(0), out)
	return c.unless(v, c.where(c.isInf(v), c.nan, out))
}

// program runs an expression on a stack of tensors.
func (c *columnWriter) program(expr []feature.Token) string {
	var stack []string
	for k := range expr {
		t := &expr[k]
		last := len(stack) - 1
		switch t.Do {
		case feature.TokenNumber:
			stack = append(stack, c.binary("Add", c.zeros, c.number(t.X)))
		case feature.TokenSeries:
			stack = append(stack, c.clean(c.series(t.I)))
		case feature.TokenColumn:
			stack = append(stack, c.clean(c.done[t.I]))
		case feature.TokenAbs:
			stack[last] = c.node("Abs", stack[last:])
		case feature.TokenSqrt:
			stack[last] = c.clean(c.node("Sqrt", stack[last:]))
		case feature.TokenLog1p:
			x, one := stack[last], c.number(1)
			u := c.binary("Add", x, one)
			stack[last] = c.clean(c.where(c.binary("Equal", u, one), x, c.binary("Div", c.binary("Mul", c.node("Log", []string{u}), x), c.binary("Sub", u, one))))
		default:
			stack[last-1] = c.combine(t.Do, stack[last-1], stack[last])
			stack = stack[:last]
		}
	}
	return stack[0]
}

func (c *columnWriter) combine(do, a, b string) string {
	switch do {
	case feature.TokenAdd:
		return c.clean(c.binary("Add", a, b))
	case feature.TokenSub:
		return c.clean(c.binary("Sub", a, b))
	case feature.TokenMul:
		return c.clean(c.binary("Mul", a, b))
	case feature.TokenDiv:
		return c.clean(c.binary("Div", a, b))
	case feature.TokenMin:
		return c.where(c.binary("Or", c.isNaN(b), c.binary("Less", b, a)), b, a)
	case feature.TokenMax:
		return c.where(c.binary("Or", c.isNaN(b), c.binary("Greater", b, a)), b, a)
	}
	return c.where(c.isNaN(a), b, a) // TokenIfMissing
}

// rowOnly reports whether a column can be computed from the row alone.
func rowOnly(c feature.Column) bool { return slices.Contains(rowOps, c.Op) }
