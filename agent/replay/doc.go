// Package replay runs a task over a file as the agent would have run it live: the same gate, the
// same engine, one message per line. With the times of arrival that were recorded with a day, its
// predictions are those of the live run, bit for bit; without, the event times stand for those of
// arrival.
//
// Every figure is prequential: a prediction is scored by a truth that came after it, before
// anything learns from it.
package replay
