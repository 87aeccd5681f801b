package fit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	"skerry.dev/compute/frame"
)

// lineage names a table by the rows with a value of the target that it holds, in any order: the same
// rows, in whatever file and format, give the same artifact, and no path of a machine goes into it.
func lineage(f *frame.Frame, target string) string {
	var b []byte
	text := func(s string) {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
		b = append(b, s...)
	}
	at := -1
	for j := range f.Columns {
		c := &f.Columns[j]
		if text(c.Name); c.Name == target {
			at = j
		}
		b = append(b, byte(c.Type))
	}
	head := sha256.Sum256(b)
	var sum [4]uint64 // of the rows' hashes, which does not depend on their order
	for i := range f.Rows {
		if at >= 0 && f.Columns[at].Type != frame.Time && math.IsNaN(f.Columns[at].Values[i]) {
			continue
		}
		b = b[:0]
		for j := range f.Columns {
			switch c := &f.Columns[j]; {
			case c.Type == frame.Time:
				b = binary.LittleEndian.AppendUint64(b, uint64(c.Times[i]))
			case math.IsNaN(c.Values[i]):
				b = append(b, 0)
			case c.Type == frame.Category:
				text(c.Categories[int(c.Values[i])])
			default:
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(c.Values[i]))
			}
		}
		h := sha256.Sum256(b)
		for k := range sum {
			sum[k] += binary.LittleEndian.Uint64(h[8*k:])
		}
	}
	b = append(b[:0], head[:]...)
	for _, s := range sum {
		b = binary.LittleEndian.AppendUint64(b, s)
	}
	whole := sha256.Sum256(b)
	return "table:sha256:" + hex.EncodeToString(whole[:])
}
