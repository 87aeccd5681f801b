package feature

import (
	"fmt"
	"math"

	"skerry.dev/compute/internal/exact"
)

// Token is one step of a program for a stack of numbers. A program is a list of tokens in postfix
// order that leaves exactly one number, the column's value: a reader of expressions for people
// writes it, and a device needs none.
//
// What any token makes that is not finite is missing, and what is computed from a missing number
// is missing, but for TokenIfMissing.
type Token struct {
	Do string  `json:"do"`
	X  float64 `json:"x,omitempty"` // TokenNumber
	I  int     `json:"i,omitempty"` // TokenSeries, TokenColumn
}

// The tokens. a is the number on top of the stack, or the one below it where there is a b; both
// are taken off.
const (
	TokenNumber    = "number"     // pushes X
	TokenSeries    = "series"     // pushes series I at the row
	TokenColumn    = "column"     // pushes earlier column I, imputed and scaled
	TokenAdd       = "add"        // a + b
	TokenSub       = "sub"        // a - b
	TokenMul       = "mul"        // a · b
	TokenDiv       = "div"        // a / b, missing when b is 0
	TokenMin       = "min"        // the smaller one, missing when one is
	TokenMax       = "max"        // the larger one, missing when one is
	TokenAbs       = "abs"        // |a|
	TokenLog1p     = "log1p"      // log(1 + a), missing when a ≤ -1
	TokenSqrt      = "sqrt"       // √a, missing when a < 0
	TokenIfMissing = "if_missing" // a, or b when a is missing
)

// arity returns how many numbers a token takes and whether there is such a token; every token
// leaves one.
func (t *Token) arity() (int, bool) {
	switch t.Do {
	case TokenNumber, TokenSeries, TokenColumn:
		return 0, true
	case TokenAbs, TokenLog1p, TokenSqrt:
		return 1, true
	case TokenAdd, TokenSub, TokenMul, TokenDiv, TokenMin, TokenMax, TokenIfMissing:
		return 2, true
	}
	return 0, false
}

// checkExpr follows the height of the stack, so that the program needs no checks when it runs.
func (p *Pipeline) checkExpr(column int, expr []Token) error {
	if len(expr) == 0 || len(expr) > MaxTokens {
		return fmt.Errorf("expression of %d tokens, must be 1 to %d", len(expr), MaxTokens)
	}
	height := 0
	for k := range expr {
		t := &expr[k]
		n, known := t.arity()
		switch {
		case !known:
			return fmt.Errorf("token %d: unknown %q", k, t.Do)
		case t.Do == TokenNumber && !finite(t.X):
			return fmt.Errorf("token %d: the number is not finite", k)
		case t.Do == TokenSeries && (t.I < 0 || t.I >= len(p.Inputs)):
			return fmt.Errorf("token %d: series %d of %d", k, t.I, len(p.Inputs))
		case t.Do == TokenColumn && (t.I < 0 || t.I >= column):
			return fmt.Errorf("token %d: column %d, must be an earlier one", k, t.I)
		case height < n:
			return fmt.Errorf("token %d: %q needs %d numbers, the stack has %d", k, t.Do, n, height)
		}
		if height += 1 - n; height > MaxStack {
			return fmt.Errorf("token %d: more than %d numbers on the stack", k, MaxStack)
		}
	}
	if height != 1 {
		return fmt.Errorf("expression leaves %d numbers, must leave 1", height)
	}
	return nil
}

// run computes a checked program. columns are those before the program's own.
func run(expr []Token, row, columns []float64) float64 {
	var stack [MaxStack]float64
	top := -1
	for k := range expr {
		t := &expr[k]
		switch t.Do {
		case TokenNumber:
			top++
			stack[top] = t.X
			continue
		case TokenSeries:
			top++
			stack[top] = clean(row[t.I])
			continue
		case TokenColumn:
			top++
			stack[top] = clean(columns[t.I])
			continue
		case TokenAbs:
			stack[top] = math.Abs(stack[top])
			continue
		case TokenLog1p:
			stack[top] = log1p(stack[top])
			continue
		case TokenSqrt:
			stack[top] = clean(math.Sqrt(stack[top]))
			continue
		}
		top--
		stack[top] = combine(t.Do, stack[top], stack[top+1])
	}
	return stack[top]
}

func combine(do string, a, b float64) float64 {
	switch do {
	case TokenAdd:
		a += b
	case TokenSub:
		a -= b
	case TokenMul:
		a *= b
	case TokenDiv:
		a /= b
	case TokenMin:
		a = min(a, b)
	case TokenMax:
		a = max(a, b)
	default: // TokenIfMissing
		if math.IsNaN(a) {
			a = b
		}
	}
	return clean(a)
}

// log1p is the logarithm of 1 + x to within a few units in the last place, NaN for x ≤ -1. The
// factor undoes the rounding of 1 + x, after Kahan.
func log1p(x float64) float64 {
	u := 1 + x
	if u == 1 {
		return x
	}
	return clean(float64(exact.Log(u)*x) / (u - 1))
}

// clean makes what is not finite missing, with the same bits on every architecture.
func clean(v float64) float64 {
	if !finite(v) {
		return math.NaN()
	}
	return v
}
