package ingest

import (
	"context"

	"skerry.dev/hub/meta"
)

// maxFailures bounds the transactions that may fail for one batch for another reason than its data:
// when more fail than that, it is the database and not an item. An item that cannot be stored is
// found by halving in about twice the logarithm of the batch.
const maxFailures = 32

// bisect stores a batch in one transaction. When that fails it halves the batch, so that an item
// that cannot be stored keeps no other back. failed gets what was not stored and why: a single
// item, or several when the database fails or ctx has ended.
func bisect[T any](ctx context.Context, batch []T, store func([]T) error, failed func([]T, error)) {
	failures := 0
	var try func([]T)
	try = func(part []T) {
		err := store(part)
		if err == nil {
			return
		}
		if !meta.IsDataError(err) {
			failures++
		}
		if len(part) == 1 || failures > maxFailures || ctx.Err() != nil {
			failed(part, err)
			return
		}
		try(part[:len(part)/2])
		try(part[len(part)/2:])
	}
	try(batch)
}
