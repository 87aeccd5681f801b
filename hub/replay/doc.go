// Package replay recomputes what devices predicted, and what they would have predicted with another
// model, from the lake: a device's readings and the marks between them, in the order in which the
// device took them, go through the task's own engine. Nothing is computed a second way.
//
// A replay is exact as far as everything that the state follows from is in the lake; what is not is
// listed as [Missing], and what was published decides: a result with its bits is right, whatever
// is missing. docs/plan/reproduction.md says what a state follows from.
//
// Readings and marks are streams: memory is that of one engine, its models and what is asked for.
// Time is that of all rows of the device before the last one that is asked for, some tens of
// microseconds each. One replay runs at a time at a hub; others wait until their context ends.
package replay
