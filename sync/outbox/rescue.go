package outbox

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"skerry.dev/sync/wire"
)

// CheckTx reports what would keep Open from reading a store, nil when nothing does.
func CheckTx(tx *bbolt.Tx) error {
	runs := tx.Bucket(bucketRuns)
	if runs == nil {
		return nil
	}
	return runs.ForEach(func(k, v []byte) error {
		var r runRecord
		if len(k) != 8 {
			return fmt.Errorf("run with a key of %d bytes", len(k))
		}
		if err := json.Unmarshal(v, &r); err != nil {
			return fmt.Errorf("run %d: %w", binary.BigEndian.Uint64(k), err)
		}
		return nil
	})
}

// Rescue stores in an empty database what was found of a damaged outbox: values of which some may
// be chunks or the records of runs. Others are left out, and so are chunks that overlap one that
// came before. Every run of which a chunk was found gets a record, so that Open finds the chunks.
// It returns the number of chunks stored.
func Rescue(tx *bbolt.Tx, values [][]byte) (chunks int, err error) {
	known := map[wire.Run]runRecord{}
	type set struct {
		run   wire.Run
		class wire.Class
	}
	stored := map[set]*Set{}
	var order []wire.Run
	outbox, err := tx.CreateBucketIfNotExists(bucketOutbox)
	if err != nil {
		return 0, err
	}
	for _, v := range values {
		h, _, err := wire.Decode(v)
		if err != nil {
			var r runRecord
			if json.Unmarshal(v, &r) == nil && r.Run != (wire.Run{}) {
				known[r.Run] = r
			}
			continue
		}
		s, r := stored[set{h.Run, h.Class}], wire.Range{From: h.First, To: h.Last()}
		if s == nil {
			s = &Set{}
			stored[set{h.Run, h.Class}] = s
		}
		if slices.ContainsFunc(*s, func(o wire.Range) bool { return o.From <= r.To && r.From <= o.To }) {
			continue
		}
		s.Add(r)
		if !slices.Contains(order, h.Run) {
			order = append(order, h.Run)
		}
		b, err := outbox.CreateBucketIfNotExists(h.Run[:])
		if err == nil {
			b, err = b.CreateBucketIfNotExists([]byte{byte(h.Class)})
		}
		if err == nil {
			err = b.Put(key(h.First), v)
		}
		if err != nil {
			return chunks, err
		}
		chunks++
	}
	slices.SortStableFunc(order, func(a, b wire.Run) int { return cmp.Compare(known[a].StartedAt, known[b].StartedAt) })
	runs, err := tx.CreateBucketIfNotExists(bucketRuns)
	if err != nil {
		return chunks, err
	}
	for i, run := range order {
		s := &runState{ordinal: uint64(i + 1), runRecord: known[run]}
		s.Run = run
		s.last = s.Last
		if err := putRun(runs, s); err != nil {
			return chunks, err
		}
	}
	return chunks, nil
}
