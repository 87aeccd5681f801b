package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Limits of one chunk. A decoder refuses anything larger before it allocates.
const (
	MaxRecords     = 500     // records in a chunk
	MaxChunkBytes  = 900_000 // encoded chunk, below NATS's default max_payload of 1 MB
	maxBodyBytes   = 8 << 20 // uncompressed columns
	MaxDetail      = 60_000  // of an event, with room to the bound of every string
	maxStringBytes = 64 << 10
	// maxTextBytes bounds the strings of all records together, each counted as often as it is used: a
	// dictionary makes one long string cheap to send, and not cheap to store.
	maxTextBytes    = 4 << 20
	formatVersion   = 1
	classesVersion  = 2 // of chunks of labels and predictions with more than two classes
	headerFixedSize = 4 + 1 + 1 + 16 + 8 + 4 + 1
)

var (
	magic = [4]byte{'S', 'K', 'C', 'H'}

	// ErrCorrupt is wrapped by every error of Decode: the bytes are not a chunk this version can
	// read.
	ErrCorrupt = errors.New("corrupt chunk")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Header identifies whose records a chunk carries.
type Header struct {
	Device string
	Run    Run
	Class  Class
	First  uint64 // sequence number of the first record, from 1
	Count  int    // number of records
}

// Last returns the sequence number of the chunk's last record.
func (h Header) Last() uint64 { return h.First + uint64(h.Count) - 1 }

// Digest is the SHA-256 of an encoded chunk, its identity in the ledger.
func Digest(chunk []byte) [32]byte { return sha256.Sum256(chunk) }

var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(256<<10))
	if err != nil {
		panic("wire: " + err.Error()) // the options are constants
	}
	return e
}}

var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBodyBytes))
	if err != nil {
		panic("wire: " + err.Error())
	}
	return d
}}

// Encode writes the records of h.Class as one chunk. h.Count is taken from the records. It
// returns an error when the class is unknown, there are no or too many records, or a string is
// longer than 64 KiB. Safe for concurrent use.
func Encode(h Header, r *Records) ([]byte, error) {
	h.Count = r.Len(h.Class)
	switch {
	case !h.Class.Valid():
		return nil, fmt.Errorf("encode chunk: unknown class %d", h.Class)
	case h.Count == 0 || h.Count > MaxRecords:
		return nil, fmt.Errorf("encode chunk: %d records of class %s, must be 1 to %d", h.Count, h.Class, MaxRecords)
	case len(h.Device) == 0 || len(h.Device) > 255:
		return nil, fmt.Errorf("encode chunk: device name of %d bytes, must be 1 to 255", len(h.Device))
	case h.First == 0:
		return nil, errors.New("encode chunk: sequence numbers start at 1")
	}
	var w columns
	version := r.version(h.Class)
	w.records(h.Class, r)
	if version == classesVersion {
		w.classes(h.Class, r)
	}
	if w.err != nil {
		return nil, fmt.Errorf("encode chunk: %w", w.err)
	}
	out := make([]byte, 0, headerFixedSize+len(h.Device)+len(w.b)/2+64)
	out = append(out, magic[:]...)
	out = append(out, version, byte(h.Class))
	out = append(out, h.Run[:]...)
	out = binary.LittleEndian.AppendUint64(out, h.First)
	out = binary.LittleEndian.AppendUint32(out, uint32(h.Count))
	out = append(out, byte(len(h.Device)))
	out = append(out, h.Device...)
	enc := encoders.Get().(*zstd.Encoder)
	out = enc.EncodeAll(w.b, out)
	encoders.Put(enc)
	out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(out, castagnoli))
	if len(out) > MaxChunkBytes {
		return nil, fmt.Errorf("encode chunk: %d bytes, the limit is %d", len(out), MaxChunkBytes)
	}
	return out, nil
}

// DecodeHeader reads and checks the frame of a chunk (magic, version, lengths, CRC) without
// touching its columns.
func DecodeHeader(b []byte) (Header, error) {
	h, _, err := split(b)
	return h, err
}

func split(b []byte) (h Header, body []byte, err error) {
	if len(b) < headerFixedSize+4 || len(b) > MaxChunkBytes {
		return h, nil, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(b))
	}
	if [4]byte(b[:4]) != magic {
		return h, nil, fmt.Errorf("%w: bad magic %x", ErrCorrupt, b[:4])
	}
	if b[4] != formatVersion && b[4] != classesVersion {
		return h, nil, fmt.Errorf("%w: version %d, this program reads %d and %d", ErrCorrupt, b[4], formatVersion, classesVersion)
	}
	frame, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(frame, castagnoli); got != sum {
		return h, nil, fmt.Errorf("%w: checksum %08x, want %08x", ErrCorrupt, got, sum)
	}
	h.Class = Class(b[5])
	copy(h.Run[:], b[6:22])
	h.First = binary.LittleEndian.Uint64(b[22:30])
	count := binary.LittleEndian.Uint32(b[30:34])
	name := int(b[34])
	switch {
	case !h.Class.Valid():
		return h, nil, fmt.Errorf("%w: class %d", ErrCorrupt, b[5])
	case b[4] == classesVersion && h.Class != ClassLabel && h.Class != ClassPrediction:
		return h, nil, fmt.Errorf("%w: version %d of class %s", ErrCorrupt, b[4], h.Class)
	case count == 0 || count > MaxRecords:
		return h, nil, fmt.Errorf("%w: %d records", ErrCorrupt, count)
	case h.First == 0 || h.First > math.MaxInt64-MaxRecords:
		return h, nil, fmt.Errorf("%w: first sequence number %d", ErrCorrupt, h.First)
	case name == 0 || len(frame) < headerFixedSize+name:
		return h, nil, fmt.Errorf("%w: device name of %d bytes", ErrCorrupt, name)
	}
	h.Count = int(count)
	h.Device = string(frame[headerFixedSize : headerFixedSize+name])
	return h, frame[headerFixedSize+name:], nil
}

// Decode reads a chunk. Every error wraps ErrCorrupt. It never allocates more than 8 MiB plus the
// records, whatever the bytes claim. Safe for concurrent use.
func Decode(b []byte) (Header, *Records, error) {
	h, body, err := split(b)
	if err != nil {
		return h, nil, err
	}
	dec := decoders.Get().(*zstd.Decoder)
	raw, err := dec.DecodeAll(body, nil)
	decoders.Put(dec)
	if err != nil {
		return h, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(raw) > maxBodyBytes {
		return h, nil, fmt.Errorf("%w: columns of %d bytes", ErrCorrupt, len(raw))
	}
	rd := columnReader{b: raw, n: h.Count}
	r := rd.records(h.Class)
	if b[4] == classesVersion {
		rd.classes(h.Class, r)
	}
	if rd.err != nil {
		return h, nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, h.Class, rd.err)
	}
	if len(rd.b) != 0 {
		return h, nil, fmt.Errorf("%w: %d bytes after the last column", ErrCorrupt, len(rd.b))
	}
	return h, r, nil
}
