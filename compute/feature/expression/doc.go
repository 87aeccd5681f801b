// Package expression reads the arithmetic that people write, such as
//
//	log1p(abs(flow)) / max(pressure, 0.1)
//
// and gives the program of a [feature.OpExpr] column. Programs travel in signed artifacts and
// need no reader; this one is for task files and commands.
//
// There are numbers (1, 0.5, 2e-3), names of series and of features written before, + - * / with
// the usual precedence and parentheses, a leading minus, and the functions
//
//	abs(a)  sqrt(a)  log1p(a)          of one value
//	min(a, b, …)  max(a, b, …)         of two or more; missing when one is
//	if_missing(a, b, …)                the first that is not missing
//
// A name is letters, digits, _ and ., and starts with a letter or _. Any other is put in
// backquotes: `vib-x` - `1st floor:temp`. A name that is both a series and a feature means the
// feature.
//
// What is not finite is missing, and so is what is computed from it, but for if_missing: see
// [feature.Token].
package expression
