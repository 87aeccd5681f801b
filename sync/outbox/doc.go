// Package outbox keeps what a device sends to the hub until the hub has it, in buckets of a
// bbolt database that belongs to the caller.
//
// Records enter in the caller's transaction ([Outbox.Append]), get their sequence numbers there
// and become visible after its commit ([Outbox.Committed]). They are stored as chunks (package
// wire). A sender takes chunks by lane: live ones were made since the link came up, backfill ones
// before. Only what the hub confirms by a receipt ([Outbox.Confirm]) or lists as applied
// ([Outbox.Applied]) is released; an older hub's acknowledgement, or a refusal, only moves the
// send cursor ([Outbox.Sent]). Released chunks stay as a tail up to a cap, so that a hub restored
// from a backup can get them again: Applied re-opens what it does not list.
//
// The store is bounded. Over its cap the tail goes first, then the least important class, oldest
// first; every dropped range leaves a gap record that aggregates what was dropped. An applied
// range is never declared a gap.
//
// An Outbox is safe for concurrent use, except that Append and its transaction belong to one
// goroutine.
package outbox
