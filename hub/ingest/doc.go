// Package ingest moves what devices send into the hub's database, exactly once in effect.
//
// Chunks arrive on three lanes (events, live, backfill), each a durable JetStream consumer; an
// earlier lane overtakes a later one. One SQL transaction stores a batch of chunks in staging and
// their ranges in the ledger; only then are the messages acknowledged and the devices told
// (applied.<device>, coalesced). A repeat with the same hash is ignored; the same sequence
// numbers with other bytes go to the conflict table and raise an alarm; what cannot be read is
// quarantined. Nothing of that blocks the lanes.
//
// A gap record adds its range to the ledger as declared; stored data beats a gap. The applied
// mark is the contiguous prefix of stored and declared ranges.
//
// What others may want to know goes to the feed in the same transaction: the sums of a batch and the
// drifts in it, a reported state, a suspicion (summary.go). Nobody is called.
package ingest
