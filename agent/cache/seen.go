package cache

import (
	"encoding/binary"
	"slices"

	"go.etcd.io/bbolt"
)

// bucketSeen holds what is known of accepted readings: number of the series and start of a page →
// page. The gate writes and reads the pages.
var bucketSeen = []byte("seen")

// SeenPage is one page of accepted readings.
type SeenPage struct {
	Series uint32
	Start  int64
	Data   []byte // nil: the page is to be deleted
}

const signBit = 1 << 63

// seenKey sorts by series, then by start, also below zero.
func seenKey(series uint32, start int64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, series), uint64(start)^signBit)
}

func seenStart(key []byte) int64 { return int64(binary.BigEndian.Uint64(key[4:]) ^ signBit) }

func sameSeries(key []byte, series uint32) bool {
	return len(key) == 12 && binary.BigEndian.Uint32(key) == series
}

func putSeen(tx *bbolt.Tx, pages []SeenPage) error {
	b := tx.Bucket(bucketSeen)
	b.FillPercent = 0.9
	for _, p := range pages {
		key := seenKey(p.Series, p.Start)
		var err error
		if p.Data == nil {
			err = b.Delete(key)
		} else {
			err = b.Put(key, p.Data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Page implements gate.Past.
func (s *Store) Page(series uint32, t int64) (start int64, data []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketSeen).Cursor()
		want := seenKey(series, t)
		k, v := c.Seek(want)
		switch {
		case k == nil:
			k, v = c.Last()
		case string(k) != string(want):
			k, v = c.Prev()
		}
		if sameSeries(k, series) {
			start, data = seenStart(k), slices.Clone(v)
		}
		return nil
	})
	return start, data, err
}

// Starts implements gate.Past.
func (s *Store) Starts(series uint32) (starts []int64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketSeen).Cursor()
		for k, _ := c.Seek(seenKey(series, -1<<63)); sameSeries(k, series); k, _ = c.Next() {
			starts = append(starts, seenStart(k))
		}
		return nil
	})
	return starts, err
}
