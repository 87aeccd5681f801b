package task

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"skerry.dev/compute/engine"
	"skerry.dev/sync/wire"
)

// The journal holds what went into the engines, in order. An entry is a list of items: a message
// with its arrival and its accepted readings, a silence that made rows fire, or a control.
const (
	itemUndated = 1 // a message without its arrival, of earlier builds; still read
	itemFlush   = 2 // of earlier builds: what it fired fires with the next message
	itemControl = 3
	itemMessage = 4
	itemIdle    = 5
	itemRewind  = 6 // the clock was set back to here
)

// op is a control: a change of a task's models.
type op uint8

const (
	opShadow op = iota + 1
	opActivate
	opRevert
	opSettle
	opInstall
	opReset
)

// input is a reading as the journal and the engines hold it.
type input struct {
	series uint32
	time   int64
	value  float64
	flags  wire.Flags
	at     int // position in the plan's series; not journalled
}

// item is one decoded journal item.
type item struct {
	kind    byte
	arrival int64 // of a message, until when nothing arrived, or the clock
	inputs  []input
	op      op
	task    string
	digest  string
}

func appendMessage(b []byte, arrival int64, in []input) []byte {
	b = append(b, itemMessage)
	b = binary.AppendVarint(b, arrival)
	b = binary.AppendUvarint(b, uint64(len(in)))
	prev := arrival
	for _, r := range in {
		b = binary.AppendUvarint(b, uint64(r.series))
		b = binary.AppendVarint(b, r.time-prev)
		prev = r.time
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(r.value))
		b = binary.AppendUvarint(b, uint64(r.flags))
	}
	return b
}

func appendIdle(b []byte, now int64) []byte {
	return binary.AppendVarint(append(b, itemIdle), now)
}

func appendRewind(b []byte, now int64) []byte {
	return binary.AppendVarint(append(b, itemRewind), now)
}

func appendControl(b []byte, o op, task, digest string) []byte {
	b = append(b, itemControl, byte(o))
	for _, s := range []string{task, digest} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

var errJournal = errors.New("journal entry is damaged")

type journalReader struct {
	b   []byte
	bad bool
}

func (r *journalReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *journalReader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *journalReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

// eachItem decodes an entry. The item is valid during the call only.
func eachItem(entry []byte, f func(*item) error) error {
	r := &journalReader{b: entry}
	var it item
	for len(r.b) > 0 {
		it = item{kind: r.take(1)[0], inputs: it.inputs[:0]}
		switch it.kind {
		case itemMessage, itemUndated:
			var t int64
			if it.arrival = engine.NoArrival; it.kind == itemMessage {
				t = r.varint()
				it.arrival = t
			}
			it.kind = itemMessage
			n := r.uvarint()
			if n > uint64(len(r.b)) {
				return errJournal
			}
			for range n {
				in := input{series: uint32(r.uvarint())}
				t += r.varint()
				in.time = t
				if v := r.take(8); v != nil {
					in.value = math.Float64frombits(binary.LittleEndian.Uint64(v))
				}
				in.flags = wire.Flags(r.uvarint())
				it.inputs = append(it.inputs, in)
			}
		case itemIdle, itemFlush, itemRewind:
			it.arrival = r.varint()
		case itemControl:
			if v := r.take(1); v != nil {
				it.op = op(v[0])
			}
			it.task = string(r.take(r.uvarint()))
			it.digest = string(r.take(r.uvarint()))
		default:
			return fmt.Errorf("%w: item kind %d", errJournal, it.kind)
		}
		if r.bad {
			return errJournal
		}
		if err := f(&it); err != nil {
			return err
		}
	}
	return nil
}
