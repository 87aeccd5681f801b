// Package feed is the hub's one ordered record of what happened: batches applied, drift, reported
// state, suspicion, links, jobs, rollouts. Whoever changes the database appends the event in the
// same transaction, so that an event is there exactly when what it reports is; whoever follows the
// hub reads by cursor instead of being called.
//
// # Order
//
// Events are numbered 1, 2, 3 … in the order of their commits, on both databases and over several
// hubs: a transaction of [meta.Store.Tx] is the only writer from its beginning to its commit. A
// reader that has seen event n has seen all before it, and a number that is missing was pruned.
//
// # Consumers
//
// A [Consumer] has a name and a cursor in the database, which moves in the transaction that stores
// what the consumer derived from the events: every event counts once, whatever crashes when. It
// holds back pruning until it has read; one that has not moved for the age of the feed is
// forgotten. A consumer that is new, was forgotten, or finds its events pruned ([*Gap]) begins anew
// from the tables.
//
// A part that looks at the database anyway and only needs to be woken needs no cursor of its own:
// it uses [Wait].
package feed
