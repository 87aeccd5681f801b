package expression

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/compute/feature"
)

// MaxLength is how long an expression may be, in bytes.
const MaxLength = 1024

// Error describes what is wrong with an expression and where.
type Error struct {
	Text   string // the expression
	Column int    // where, in bytes from 1
	Msg    string // what is wrong, what is allowed
}

// Error says where in the text and what is wrong.
func (e *Error) Error() string {
	return fmt.Sprintf("expression %q, column %d: %s", e.Text, e.Column, e.Msg)
}

// functions and how they are computed; those with more than one argument take any number from two
// on.
var functions = map[string]struct {
	token string
	many  bool
}{
	"abs": {feature.TokenAbs, false}, "sqrt": {feature.TokenSqrt, false}, "log1p": {feature.TokenLog1p, false},
	"min": {feature.TokenMin, true}, "max": {feature.TokenMax, true}, "if_missing": {feature.TokenIfMissing, true},
}

// Functions returns the names of the functions, sorted.
func Functions() []string {
	names := make([]string, 0, len(functions))
	for name := range functions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Named is a feature that expressions after it may use.
type Named struct {
	Name    string
	Program []feature.Token
}

// Parse returns the program of text. A name means one of the features before it, whose program
// takes its place, or else one of the series (a TokenSeries with its index). So a program refers
// to no other column, and what is done to columns for a model (imputation, scaling, selection)
// does not change what it computes. It keeps the limits of [feature.Pipeline.Check]. The error is
// an *[Error]. Parse takes time and memory proportional to the text.
func Parse(text string, series []string, features ...Named) ([]feature.Token, error) {
	p := &parser{text: text, series: series, features: features}
	if len(text) > MaxLength {
		return nil, &Error{text[:40] + "…", MaxLength, fmt.Sprintf("longer than %d bytes: split it into several features", MaxLength)}
	}
	p.next()
	p.sum(0)
	if p.err == nil && p.kind != end {
		p.fail(p.at, fmt.Sprintf("%s after the end of the expression: an operator is missing before it, or a parenthesis", p.found()))
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.program, nil
}

type kind uint8

const (
	end kind = iota
	number
	name // any name, in backquotes or not
	sign // one of + - * / ( ) ,
)

// maxDepth bounds how deep parentheses and signs may be nested, so that hostile text cannot
// exhaust the reader's stack.
const maxDepth = 64

type parser struct {
	text     string
	series   []string
	features []Named

	pos    int // behind the current symbol
	at     int // where it starts
	kind   kind
	symbol string // its text; of a name without backquotes
	quoted bool
	value  float64

	program []feature.Token
	height  int // numbers on the stack
	err     error
}

func (p *parser) fail(at int, msg string) {
	if p.err == nil {
		p.err = &Error{p.text, at + 1, msg}
	}
	p.kind, p.symbol = end, ""
}

// found reports what stands at the current place.
func (p *parser) found() string {
	if p.kind == end {
		return "nothing"
	}
	return strconv.Quote(p.text[p.at:p.pos])
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// next reads a symbol.
func (p *parser) next() {
	if p.err != nil {
		return
	}
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
	p.at, p.quoted = p.pos, false
	if p.pos == len(p.text) {
		p.kind, p.symbol = end, ""
		return
	}
	switch c := p.text[p.pos]; {
	case letter(c):
		for p.pos < len(p.text) && (letter(p.text[p.pos]) || digit(p.text[p.pos]) || p.text[p.pos] == '.') {
			p.pos++
		}
		p.kind, p.symbol = name, p.text[p.at:p.pos]
	case c == '`':
		length := strings.IndexByte(p.text[p.pos+1:], '`')
		if length < 0 {
			p.fail(p.at, "a backquote opens a name that no backquote closes")
			return
		}
		p.kind, p.quoted, p.symbol = name, true, p.text[p.pos+1:p.pos+1+length]
		p.pos += length + 2
	case digit(c) || c == '.':
		p.number()
	case strings.IndexByte("+-*/(),", c) >= 0:
		p.pos++
		p.kind, p.symbol = sign, p.text[p.at:p.pos]
	default:
		p.fail(p.at, fmt.Sprintf("%q has no meaning here: there are + - * / ( ) and , and names with other characters go in backquotes", firstRune(p.text[p.at:])))
	}
}

func firstRune(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i]
		}
	}
	return s
}

// number reads digits, a point and an exponent.
func (p *parser) number() {
	i, t := p.pos, p.text
	for i < len(t) && (digit(t[i]) || t[i] == '.') {
		i++
	}
	if i < len(t) && (t[i] == 'e' || t[i] == 'E') {
		k := i + 1
		if k < len(t) && (t[k] == '+' || t[k] == '-') {
			k++
		}
		if k < len(t) && digit(t[k]) {
			for i = k; i < len(t) && digit(t[i]); {
				i++
			}
		}
	}
	v, err := strconv.ParseFloat(t[p.pos:i], 64)
	if err != nil {
		p.fail(p.at, fmt.Sprintf("%q is not a number within ±1.8e308, such as 12, 0.5 or 2e-3", t[p.pos:i]))
		return
	}
	p.kind, p.symbol, p.value, p.pos = number, t[p.pos:i], v, i
}

func (p *parser) is(s string) bool { return p.kind == sign && p.symbol == s }

// emit appends a token.
func (p *parser) emit(t feature.Token) {
	if p.err != nil {
		return
	}
	p.program = append(p.program, t)
	p.height += 1 - takes(t.Do)
	if len(p.program) > feature.MaxTokens {
		p.fail(p.at, fmt.Sprintf("more than %d numbers, names and operations: split it into several features", feature.MaxTokens))
	} else if p.height > feature.MaxStack {
		p.fail(p.at, fmt.Sprintf("nested so deep that more than %d numbers wait for their operation: split it into several features", feature.MaxStack))
	}
}

func (p *parser) sum(depth int) {
	p.product(depth)
	for p.is("+") || p.is("-") {
		do := feature.TokenAdd
		if p.symbol == "-" {
			do = feature.TokenSub
		}
		p.next()
		p.product(depth)
		p.emit(feature.Token{Do: do})
	}
}

func (p *parser) product(depth int) {
	p.factor(depth)
	for p.is("*") || p.is("/") {
		do := feature.TokenMul
		if p.symbol == "/" {
			do = feature.TokenDiv
		}
		p.next()
		p.factor(depth)
		p.emit(feature.Token{Do: do})
	}
}

func (p *parser) factor(depth int) {
	switch at := p.at; {
	case p.err != nil:
	case depth > maxDepth:
		p.fail(at, fmt.Sprintf("nested deeper than %d", maxDepth))
	case p.is("-"):
		p.next()
		if p.kind == number { // a negative number is one token
			p.value = -p.value
			p.factor(depth + 1)
			return
		}
		p.emit(feature.Token{Do: feature.TokenNumber, X: -1})
		p.factor(depth + 1)
		p.emit(feature.Token{Do: feature.TokenMul})
	case p.is("+"):
		p.next()
		p.factor(depth + 1)
	case p.is("("):
		p.next()
		p.sum(depth + 1)
		p.close(at)
	case p.kind == number:
		p.emit(feature.Token{Do: feature.TokenNumber, X: p.value})
		p.next()
	case p.kind == name:
		symbol, quoted := p.symbol, p.quoted
		p.next()
		if p.is("(") && !quoted {
			p.call(symbol, at, depth)
			return
		}
		p.column(symbol, at)
	default:
		p.fail(at, fmt.Sprintf("a number, a name, a function or \"(\" must stand here, found %s", p.found()))
	}
}

func (p *parser) close(opened int) {
	if !p.is(")") {
		p.fail(p.at, fmt.Sprintf("the parenthesis of column %d must be closed here, found %s", opened+1, p.found()))
		return
	}
	p.next()
}

func (p *parser) call(symbol string, at, depth int) {
	f, known := functions[symbol]
	if !known {
		p.fail(at, fmt.Sprintf("there is no function %q; there are %s", symbol, strings.Join(Functions(), ", ")))
		return
	}
	opened := p.at
	p.next()
	p.sum(depth + 1)
	count := 1
	for p.is(",") {
		if !f.many {
			p.fail(p.at, fmt.Sprintf("%s takes one argument", symbol))
			return
		}
		p.next()
		p.sum(depth + 1)
		p.emit(feature.Token{Do: f.token})
		count++
	}
	if p.err == nil && f.many && count < 2 {
		p.fail(p.at, fmt.Sprintf("%s takes at least two arguments", symbol))
		return
	}
	if !f.many {
		p.emit(feature.Token{Do: f.token})
	}
	p.close(opened)
}

func (p *parser) column(symbol string, at int) {
	if i := slices.IndexFunc(p.features, func(f Named) bool { return f.Name == symbol }); i >= 0 {
		for _, t := range p.features[i].Program {
			p.emit(t)
		}
		return
	}
	if i := slices.Index(p.series, symbol); i >= 0 {
		p.emit(feature.Token{Do: feature.TokenSeries, I: i})
		return
	}
	msg := fmt.Sprintf("%q is neither a series nor a feature before this one", symbol)
	if _, known := functions[symbol]; known {
		msg = fmt.Sprintf("the function %q needs its arguments in parentheses", symbol)
	} else if all := p.names(); len(all) > 0 {
		msg += "; there are " + strings.Join(all[:min(len(all), 20)], ", ")
		if len(all) > 20 {
			msg += fmt.Sprintf(" and %d more", len(all)-20)
		}
	}
	p.fail(at, msg)
}

// names returns what an expression may name.
func (p *parser) names() []string {
	all := slices.Clone(p.series)
	for _, f := range p.features {
		all = append(all, f.Name)
	}
	return all
}

// takes returns how many numbers a token takes off the stack.
func takes(do string) int {
	switch do {
	case feature.TokenNumber, feature.TokenSeries, feature.TokenColumn:
		return 0
	case feature.TokenAbs, feature.TokenSqrt, feature.TokenLog1p:
		return 1
	}
	return 2
}
