// Package replay runs a task over a file as the agent would have run it live: the same decoder
// tables, the same engine, one message per line, event time only.
//
// Every figure is prequential: a prediction is scored by a truth that came after it, before
// anything learns from it.
package replay
