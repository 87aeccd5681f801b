// Package rollout brings a registered model to the devices of a task in stages and stops it when
// it is worse.
//
// Every target device runs the candidate in shadow first; then stages decide who activates it
// (canary, then all). Each stage is rolling (devices are on their way), soaking (labels come in)
// and judged. The gates use what the devices measured themselves: paired, scaled and clipped
// losses of the candidate and the incumbent on the same labelled rows, non-finite predictions,
// panics, latency. Losses are judged by an anytime-valid bound (package sequential), so looking
// often costs nothing.
//
// The verdict is pass, fail or inconclusive; inconclusive pauses and never promotes. A device
// that has a link and stays silent counts as failed, one without a link as unknown: it is shown
// apart, holds nobody up, and joins when it returns. A failed version is tombstoned. Assignments
// carry a growing generation, so late messages lose.
//
// [Decide] is the whole state machine as a pure function; [Controller] feeds it from the database
// and carries out what it returns.
package rollout
