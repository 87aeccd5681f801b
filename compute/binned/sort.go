package binned

import "math"

// sorter sorts numbers without NaN by the digits of their bits, least significant first, eight
// bits at a time. Digits in which all numbers agree are skipped: few are left of numbers that
// were float32 or whole.
type sorter struct {
	values []float64
	keys   []uint64
	spare  []uint64
}

func (s *sorter) sort() {
	n := len(s.values)
	if cap(s.keys) < n {
		s.keys, s.spare = make([]uint64, n), make([]uint64, n)
	}
	a, b := s.keys[:n], s.spare[:n]
	var count [8][256]int
	for i, v := range s.values {
		k := key(v)
		a[i] = k
		for d := range count {
			count[d][uint8(k>>(8*d))]++
		}
	}
	for d := range count {
		c := &count[d]
		if n == 0 || c[uint8(a[0]>>(8*d))] == n {
			continue
		}
		at := 0
		for k, m := range c {
			c[k] = at
			at += m
		}
		for _, k := range a {
			digit := uint8(k >> (8 * d))
			b[c[digit]] = k
			c[digit]++
		}
		a, b = b, a
	}
	for i, k := range a {
		k ^= uint64(^int64(k)>>63) | 1<<63
		s.values[i] = math.Float64frombits(k)
	}
}
