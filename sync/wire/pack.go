package wire

import (
	"encoding/binary"
	"fmt"
)

// Limits of one message.
const (
	// MaxChunks is the most chunks of one message.
	MaxChunks = 256
	// MaxMessageBytes bounds a packed message, below NATS's default max_payload of 1 MB.
	MaxMessageBytes = MaxChunkBytes
	// PackOverhead is what Pack adds to every chunk, in bytes.
	PackOverhead = 4

	packHeader = 4 + 1 + 2
)

var packMagic = [4]byte{'S', 'K', 'P', 'K'}

// Pack joins chunks to one message: magic, version, number of chunks, then every chunk behind its
// length (little endian). One chunk alone is its own message. Each chunk keeps its identity: its
// bytes, and with them its hash in the ledger, are what they are alone. It panics when there is no
// chunk or more than MaxChunks.
func Pack(chunks [][]byte) []byte {
	switch n := len(chunks); {
	case n == 1:
		return chunks[0]
	case n == 0 || n > MaxChunks:
		panic(fmt.Sprintf("wire: pack of %d chunks", n))
	}
	size := packHeader
	for _, c := range chunks {
		size += PackOverhead + len(c)
	}
	out := make([]byte, 0, size)
	out = append(out, packMagic[:]...)
	out = append(out, formatVersion)
	out = binary.LittleEndian.AppendUint16(out, uint16(len(chunks)))
	for _, c := range chunks {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(c)))
		out = append(out, c...)
	}
	return out
}

// Unpack returns the chunks of a message without looking into them; they share its memory. What
// does not begin like a pack is taken for one chunk. The error wraps ErrCorrupt.
func Unpack(message []byte) ([][]byte, error) {
	if len(message) < packHeader || [4]byte(message[:4]) != packMagic {
		return [][]byte{message}, nil
	}
	if message[4] != formatVersion {
		return nil, fmt.Errorf("%w: pack of version %d, this program reads %d", ErrCorrupt, message[4], formatVersion)
	}
	n, rest := int(binary.LittleEndian.Uint16(message[5:])), message[packHeader:]
	if n == 0 || n > MaxChunks {
		return nil, fmt.Errorf("%w: pack of %d chunks, must be 1 to %d", ErrCorrupt, n, MaxChunks)
	}
	out := make([][]byte, n)
	for i := range out {
		if len(rest) < PackOverhead {
			return nil, fmt.Errorf("%w: pack ends before chunk %d of %d", ErrCorrupt, i+1, n)
		}
		size := binary.LittleEndian.Uint32(rest)
		rest = rest[PackOverhead:]
		if uint64(size) > uint64(len(rest)) {
			return nil, fmt.Errorf("%w: chunk %d of %d has %d bytes, %d are left", ErrCorrupt, i+1, n, size, len(rest))
		}
		out[i], rest = rest[:size:size], rest[size:]
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the last chunk of a pack", ErrCorrupt, len(rest))
	}
	return out, nil
}
