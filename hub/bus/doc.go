// Package bus is the hub's client of NATS: its connections, the stream of reported state, the
// bucket of desired state, and the news of devices that connect and disconnect.
//
// JetStream keeps what must wait for somebody: desired state, reported state, jobs. Telemetry does
// not wait here: a device keeps it until the ledger has it (packages ingest and natslanes).
package bus
