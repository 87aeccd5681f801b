// Package natslanes is the way of telemetry over NATS to the ingester.
//
// A device sends a message of chunks as a request on its own subject
// (edge.<site>.<device>.tel.live, tel.back or evt) and gets a wire.Receipt in its own inbox after
// the commit. Nothing is durable between the device's outbox and the ledger, because nothing
// between them lets the device release a chunk: a lost message or a lost receipt is sent again,
// and repeats are harmless. The hubs of one bus share the messages as a queue group.
//
// Reported state waits in a stream, the newest of every device, and hello is a request as well.
// Agents from before receipts are served: see legacy.
package natslanes
