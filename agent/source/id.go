package source

import (
	"fmt"
	"hash/fnv"
	"strings"
)

// maxID is how many bytes an id may have.
const maxID = 256

// idOf reads the id of a row or a label: a text or a number, as it is written.
func idOf(kind valueKind, raw []byte) (string, *DecodeError) {
	b := trim(raw)
	if kind == valueObject || kind == valueArray || kind == valueBool || len(b) == 0 || len(b) > maxID {
		return "", &DecodeError{Kind: ErrID, Value: excerpt(raw), Allowed: fmt.Sprintf("an id is a number, or a text of 1 to %d bytes", maxID)}
	}
	return string(b), nil
}

// isNoID reports whether what stands for an id says that there is none, as n/a does.
func isNoID(raw []byte) bool { return marks[strings.ToLower(string(trim(raw)))] }

// Key returns what stands for an id: 62 bits of its FNV-1a hash, which are the bits of a finite
// number too. Ids are those of one sender that an owner trusts; of 100,000 two share a key once in
// 900 million times.
func Key(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // it cannot fail
	return h.Sum64() & (1<<62 - 1)
}
