// Package task runs the device's tasks: it offers every reading to the engines, publishes what
// they predict, and makes durable what must not be lost.
//
// One goroutine, [Runtime.Run], owns every engine. A message passes the gate (repeats, conflicts,
// ranges), goes to the engine of each task that reads its series, and its predictions are
// published at once. Readings, labels, predictions and events join the open commit, which is
// sealed at 100 records, 16 owed acknowledgements or 1 s and stored by a second goroutine in one
// transaction; only then is the message acknowledged.
//
// Everything that changes an engine, model activations included, is journalled in order with the
// commit. [Open] loads the snapshots and replays the journal behind them, so the agent continues
// after a crash as if nothing had happened, and publishes nothing twice that it had made durable.
package task
