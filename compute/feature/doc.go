// Package feature turns the rows a task joined into the numbers a model sees.
//
// A Row holds one value per input series (missing = NaN) at one event time. A fitted [Pipeline] is a list of steps, and the
// value of every step at a row is a pure function of that row and at most Lookback rows before it in the same [History]. Nothing is carried
// from row to row, so a pipeline computes the same bits row by row at the agent and over whole tables at the hub, a new
// pipeline can start in the middle of a stream, and there is no state to save.
package feature
