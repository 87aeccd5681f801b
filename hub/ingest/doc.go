// Package ingest moves what devices send into the hub's database, exactly once in effect.
//
// # Messages
//
// A source (package natslanes) offers messages of chunks on three lanes: events, live, backfill.
// An earlier lane overtakes a later one, except that backfill keeps an eighth of every batch. What
// waits is bounded, in all and per device; what does not fit is sent back with a time to come
// again. The message is answered after the commit that stores it: the receipt is what lets a
// device release its chunks.
//
// # The ledger
//
// One SQL transaction stores a batch of chunks in staging and their ranges in the ledger. A repeat
// with the same hash is ignored; the same sequence numbers with other bytes go to the conflict
// table and raise an alarm; what cannot be read is quarantined, and so is what has a text that one
// of the databases would not take (check.go). Nothing of that blocks the lanes: when a transaction
// fails the batch is halved until the chunk that cannot be stored is alone (bisect.go), and one that
// the database refuses for its values is quarantined too. The same holds for reported states.
//
// A gap record adds its range to the ledger as declared; stored data beats a gap. The applied
// mark is the contiguous prefix of stored and declared ranges.
//
// What concerns others goes to the feed in the same transaction: the sums of a batch and the
// drifts in it, a reported state, a suspicion (summary.go). Nobody is called.
package ingest
