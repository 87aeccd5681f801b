// Package wire holds what crosses the link between agent and hub: records, the chunks that carry
// them, and the small JSON messages around them (hello, applied marks).
//
// A record belongs to a class and is identified by (device, run, class, seq). Records are stored
// and sent as chunks: at most [MaxRecords] records of one class with consecutive sequence
// numbers, columnar, zstd-compressed, protected by CRC32C and identified by SHA-256. One chunk is
// one value in the agent's outbox, one NATS message and one row of the hub's staging table, so
// its bytes never change on the way.
//
// The layout is described in docs/formats/wire.md; testdata holds a golden chunk per version and
// class. Decoding validates lengths before it allocates and is fuzzed.
package wire
