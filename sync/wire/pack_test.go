package wire

import (
	"bytes"
	"errors"
	"testing"
)

func TestPackUnpack(t *testing.T) {
	for _, chunks := range [][][]byte{
		{[]byte("SKCH one")},
		{[]byte("a"), []byte("bb")},
		{[]byte("a"), nil, []byte("ccc")},
		bytes.SplitAfter(bytes.Repeat([]byte("x."), MaxChunks-1), []byte(".")),
	} {
		got, err := Unpack(Pack(chunks))
		if err != nil || len(got) != len(chunks) {
			t.Fatalf("Unpack(Pack of %d) = %d chunks, %v", len(chunks), len(got), err)
		}
		for i := range got {
			if !bytes.Equal(got[i], chunks[i]) {
				t.Errorf("chunk %d = %q, want %q", i, got[i], chunks[i])
			}
		}
	}
}

// TestUnpackRefuses holds that a damaged pack is refused whole: which of its chunks is damaged
// cannot be known when a length is.
func TestUnpackRefuses(t *testing.T) {
	good := Pack([][]byte{[]byte("first"), []byte("second")})
	bad := map[string][]byte{
		"another version": append([]byte("SKPK\x09"), good[5:]...),
		"no chunk":        []byte("SKPK\x01\x00\x00"),
		"too many":        []byte("SKPK\x01\xff\xff"),
		"cut":             good[:len(good)-1],
		"cut in a length": good[:packHeader+2],
		"longer":          append(bytes.Clone(good), 'x'),
		"a huge length":   []byte("SKPK\x01\x01\x00\xff\xff\xff\xff"),
	}
	for name, b := range bad {
		if got, err := Unpack(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: Unpack = %d chunks, %v; want ErrCorrupt", name, len(got), err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(Pack([][]byte{[]byte("first"), []byte("second")}))
	f.Add([]byte("SKPK\x01\x02\x00\x01\x00\x00\x00a\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		chunks, err := Unpack(b)
		if err != nil || len(chunks) < 2 {
			return
		}
		if !bytes.Equal(Pack(chunks), b) {
			t.Errorf("%x unpacks to %d chunks that pack to other bytes", b, len(chunks))
		}
	})
}
