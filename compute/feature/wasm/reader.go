package wasm

import (
	"errors"
	"fmt"
)

// reader reads the binary format. After the first error everything reads as zero and nothing as
// left, so that loops end.
type reader struct {
	b   []byte
	err error
}

var errShort = errors.New("ends early")

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	r.b = nil
}

// more reports whether there is something left to read.
func (r *reader) more() bool { return r.err == nil && len(r.b) > 0 }

func (r *reader) byte() byte {
	b := r.bytes(1)
	if b == nil {
		return 0
	}
	return b[0]
}

// bytes returns the next n bytes without copying them, nil when there are fewer.
func (r *reader) bytes(n int) []byte {
	if r.err == nil && (n < 0 || n > len(r.b)) {
		r.fail("%w", errShort)
	}
	if r.err != nil {
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// u32 reads an unsigned number in LEB128.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			if v > 1<<32-1 {
				r.fail("has a number beyond 32 bits")
				return 0
			}
			return uint32(v)
		}
	}
	r.fail("has a number of more than 5 bytes")
	return 0
}

// skipSigned reads past a signed number in LEB128 of at most that many bytes. Its value is for
// whoever compiles the code.
func (r *reader) skipSigned(most int) {
	for range most {
		if r.byte()&0x80 == 0 {
			return
		}
	}
	r.fail("has a number of more than %d bytes", most)
}

// count reads the length of a list whose elements have at least that many bytes.
func (r *reader) count(least int) int {
	n := r.u32()
	if r.err == nil && uint64(n)*uint64(least) > uint64(len(r.b)) {
		r.fail("%w", errShort)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// name reads a string.
func (r *reader) name() string { return string(r.bytes(r.count(1))) }

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// appendFixed appends a number below 2³⁴ in 5 bytes, which reads the same unsigned and signed, so
// that it can be written before it is known.
func appendFixed(b []byte, v uint32) []byte {
	return append(b, byte(v)|0x80, byte(v>>7)|0x80, byte(v>>14)|0x80, byte(v>>21)|0x80, byte(v>>28))
}

func appendName(b []byte, name string) []byte {
	return append(appendU32(b, uint32(len(name))), name...)
}
