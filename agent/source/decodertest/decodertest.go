// Package decodertest is the suite that every decoder of payloads passes, whatever the payloads
// are: documents, bare values, or the frames of a protocol.
package decodertest

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"skerry.dev/agent/source"
)

// Decoder turns payloads into readings. What Decode returns belongs to the decoder until the next
// call.
type Decoder interface {
	Decode(topic string, payload []byte) (*source.Decoded, error)
}

// Case is a payload that decodes without a problem.
type Case struct {
	Name    string
	Topic   string
	Payload []byte
	// Allocates is set where the payload needs memory of its own, such as for an escaped text.
	Allocates bool
}

// Options describe a decoder.
type Options struct {
	// New returns a decoder of its own for payloads of at most limit bytes.
	New   func(limit int) Decoder
	Cases []Case
	// Unknown is a topic that no series listens to.
	Unknown string
	// Series is how many series the plan has.
	Series int
}

const limit = 1 << 16

// Run holds a decoder to what the sources build on.
func Run(t *testing.T, o Options) {
	for _, c := range o.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Run("Repeats", func(t *testing.T) { repeats(t, o, c) })
			t.Run("Damaged", func(t *testing.T) { damaged(t, o, c) })
			t.Run("TooLong", func(t *testing.T) { tooLong(t, o, c) })
			if !c.Allocates {
				t.Run("Allocations", func(t *testing.T) { allocations(t, o, c) })
			}
		})
	}
	t.Run("Unknown", func(t *testing.T) { unknown(t, o) })
	t.Run("Interleaved", func(t *testing.T) { interleaved(t, o) })
}

// sound reports what no decoder may return, whatever it was given.
func sound(t *testing.T, o Options, out *source.Decoded, err error) {
	t.Helper()
	if err != nil {
		d, ok := errors.AsType[*source.DecodeError](err)
		if !ok || d.Kind == "" || d.Allowed == "" {
			t.Fatalf("Decode = %v, want a DecodeError that says its kind and what would be right", err)
		}
	}
	if out == nil {
		if err == nil {
			t.Fatal("Decode returns nothing")
		}
		return
	}
	timed := true
	for i, r := range out.Readings {
		switch {
		case math.IsNaN(r.Value) || math.IsInf(r.Value, 0):
			t.Fatalf("reading %+v is not finite", r)
		case r.Series < 0 || r.Series >= o.Series:
			t.Fatalf("reading %+v is of none of %d series", r, o.Series)
		case r.HasTime && !timed:
			t.Fatalf("reading %+v with a time comes behind one without", r)
		case r.HasTime && i > 0 && out.Readings[i-1].Time > r.Time:
			t.Fatalf("reading %+v comes behind a newer one", r)
		}
		timed = r.HasTime
	}
	if len(out.Problems) > 16 {
		t.Fatalf("%d problems, want 16 at most", len(out.Problems))
	}
	for _, p := range out.Problems {
		if p.Kind == "" || p.Allowed == "" || p.Error() == "" {
			t.Fatalf("problem %+v does not say its kind and what would be right", p)
		}
	}
}

// decode decodes a payload that is good, and returns readings of its own.
func decode(t *testing.T, o Options, d Decoder, c Case) []source.Reading {
	t.Helper()
	out, err := d.Decode(c.Topic, c.Payload)
	sound(t, o, out, err)
	if err != nil || !out.Known || len(out.Readings) == 0 || len(out.Problems) > 0 {
		t.Fatalf("Decode(%q, %q) = %+v, %v, want readings without a problem", c.Topic, c.Payload, out, err)
	}
	return slices.Clone(out.Readings)
}

// repeats holds that a payload always decodes to the same and stays what it is.
func repeats(t *testing.T, o Options, c Case) {
	d, before := o.New(limit), bytes.Clone(c.Payload)
	want := decode(t, o, d, c)
	for range 3 {
		if got := decode(t, o, d, c); !slices.Equal(got, want) {
			t.Fatalf("the same payload gives %+v, then %+v", want, got)
		}
	}
	if got := decode(t, o, o.New(limit), c); !slices.Equal(got, want) {
		t.Errorf("another decoder gives %+v, want %+v", got, want)
	}
	if !bytes.Equal(c.Payload, before) {
		t.Errorf("the payload was changed to %q", c.Payload)
	}
}

// damaged cuts the payload at every place and changes bytes of it: whatever comes out is sound,
// and the next good payload decodes as ever.
func damaged(t *testing.T, o Options, c Case) {
	d := o.New(limit)
	want := decode(t, o, d, c)
	for n := range c.Payload {
		out, err := d.Decode(c.Topic, c.Payload[:n])
		sound(t, o, out, err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		bad := bytes.Clone(c.Payload)
		for range 1 + rng.IntN(3) {
			bad[rng.IntN(len(bad))] = byte(rng.Uint32())
		}
		out, err := d.Decode(c.Topic, bad)
		sound(t, o, out, err)
	}
	if got := decode(t, o, d, c); !slices.Equal(got, want) {
		t.Errorf("after damaged payloads the good one gives %+v, want %+v", got, want)
	}
}

// tooLong holds the limit to the byte.
func tooLong(t *testing.T, o Options, c Case) {
	decode(t, o, o.New(len(c.Payload)), c)
	out, err := o.New(len(c.Payload)-1).Decode(c.Topic, c.Payload)
	sound(t, o, out, err)
	if d, ok := errors.AsType[*source.DecodeError](err); !ok || d.Kind != source.ErrSize || len(out.Readings) > 0 {
		t.Errorf("a payload of one byte too many = %+v, %v, want %s", out, err, source.ErrSize)
	}
}

// allocations holds that a decoder reuses its memory.
func allocations(t *testing.T, o Options, c Case) {
	d := o.New(limit)
	decode(t, o, d, c)
	if n := testing.AllocsPerRun(50, func() {
		if _, err := d.Decode(c.Topic, c.Payload); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a payload, want none", n)
	}
}

// unknown holds that a topic nobody listens to is no error, whatever it carries.
func unknown(t *testing.T, o Options) {
	d := o.New(limit)
	for _, payload := range [][]byte{nil, o.Cases[0].Payload, {0xff, 0}, make([]byte, limit+1)} {
		out, err := d.Decode(o.Unknown, payload)
		if err != nil || out.Known || len(out.Readings) > 0 || len(out.Problems) > 0 || out.Missing > 0 {
			t.Errorf("Decode of an unknown topic = %+v, %v, want nothing", out, err)
		}
	}
}

// interleaved holds that one decoder serves many topics without mixing them up.
func interleaved(t *testing.T, o Options) {
	d := o.New(limit)
	var want [][]source.Reading
	for _, c := range o.Cases {
		want = append(want, decode(t, o, o.New(limit), c))
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		for _, i := range rng.Perm(len(o.Cases)) {
			if got := decode(t, o, d, o.Cases[i]); !slices.Equal(got, want[i]) {
				t.Fatalf("%s among others gives %+v, want %+v", o.Cases[i].Name, got, want[i])
			}
		}
	}
}
