package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// chunkOf makes a chunk of columns that are given as they stand on the wire, with a checksum that
// is right: what is wrong with them only the columns themselves show.
func chunkOf(t *testing.T, c Class, count uint32, body []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	b := append([]byte("SKCH"), formatVersion, byte(c))
	b = append(b, make([]byte, 16)...)
	b = binary.LittleEndian.AppendUint64(b, 1)
	b = binary.LittleEndian.AppendUint32(b, count)
	b = append(b, 1, 'd')
	return sealed(enc.EncodeAll(body, b))
}

// sealed appends the checksum.
func sealed(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// TestDecodeNamesTheDamage gives chunks whose checksum is right and whose contents are not, as a
// sender with a fault makes them.
func TestDecodeNamesTheDamage(t *testing.T) {
	zeros := func(n int) []byte { return make([]byte, n) }
	// one host: time, dictionary of one string "m", index 0, value
	host := append([]byte{0, 1, 1, 'm', 0}, zeros(8)...)
	if _, r, err := Decode(chunkOf(t, ClassHost, 1, host)); err != nil || r.Hosts[0].Metric != "m" {
		t.Fatalf("the chunk that the others are made of: %+v, %v", r, err)
	}
	for name, tt := range map[string]struct {
		count uint32
		body  []byte
		want  string
	}{
		"nothing":                               {1, nil, "column ends early"},
		"a time that goes on":                   {1, []byte{0x80}, "column ends early"},
		"a time of eleven bytes":                {1, bytes.Repeat([]byte{0xff}, 11), "column ends early"},
		"no dictionary":                         {1, []byte{0}, "column ends early"},
		"an empty dictionary":                   {1, append([]byte{0, 0, 0}, zeros(8)...), "empty dictionary"},
		"more strings than records":             {1, append([]byte{0, 2, 1, 'm', 1, 'n', 0}, zeros(8)...), "number 2 above its limit 1"},
		"a string that ends early":              {1, []byte{0, 1, 9, 'm'}, "column ends early"},
		"a string that is too long":             {1, []byte{0, 1, 0x81, 0x80, 0x04}, "number 65537 above its limit 65536"},
		"a string that is not UTF-8":            {1, append([]byte{0, 1, 1, 0xff, 0}, zeros(8)...), "string is not UTF-8"},
		"an index beyond":                       {1, append([]byte{0, 1, 1, 'm', 1}, zeros(8)...), "number 1 above its limit 0"},
		"a value that ends early":               {1, append([]byte{0, 1, 1, 'm', 0}, zeros(7)...), "column ends early"},
		"bytes behind the last column":          {1, append(bytes.Clone(host), 0), "1 bytes after the last column"},
		"columns of fewer records":              {2, host, "column ends early"},
		"a body that is larger than is allowed": {1, zeros(maxBodyBytes + 1), ErrCorrupt.Error()},
	} {
		if _, r, err := Decode(chunkOf(t, ClassHost, tt.count, tt.body)); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tt.want) || r != nil {
			t.Errorf("%s: Decode = %v, %v, want ErrCorrupt and %q", name, r, err, tt.want)
		}
	}
}

// TestHeaderNamesTheDamage changes one field of a header and seals it again.
func TestHeaderNamesTheDamage(t *testing.T) {
	good, err := Encode(header(ClassReading), sample(3, 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(b []byte) []byte
		want   string
	}{
		"magic":                 {func(b []byte) []byte { b[0] = 'X'; return b }, "bad magic"},
		"a later version":       {func(b []byte) []byte { b[4] = 3; return b }, "version 3, this program reads 1 and 2"},
		"version 2 of readings": {func(b []byte) []byte { b[4] = 2; return b }, "version 2 of class reading"},
		"class 0":               {func(b []byte) []byte { b[5] = 0; return b }, "class 0"},
		"class 7":               {func(b []byte) []byte { b[5] = 7; return b }, "class 7"},
		"sequence 0":            {func(b []byte) []byte { binary.LittleEndian.PutUint64(b[22:], 0); return b }, "first sequence number 0"},
		"sequence 2^63":         {func(b []byte) []byte { binary.LittleEndian.PutUint64(b[22:], 1<<63); return b }, "first sequence number 9223372036854775808"},
		"no records":            {func(b []byte) []byte { binary.LittleEndian.PutUint32(b[30:], 0); return b }, "0 records"},
		"501 records":           {func(b []byte) []byte { binary.LittleEndian.PutUint32(b[30:], 501); return b }, "501 records"},
		"4 G records":           {func(b []byte) []byte { binary.LittleEndian.PutUint32(b[30:], math.MaxUint32); return b }, "4294967295 records"},
		"no device":             {func(b []byte) []byte { b[34] = 0; return b }, "device name of 0 bytes"},
		"a device too far":      {func(b []byte) []byte { b[34] = 255; return b[:60] }, "device name of 255 bytes"},
		"a cut body":            {func(b []byte) []byte { return b[:len(b)-1] }, ErrCorrupt.Error()},
		"too large":             {func(b []byte) []byte { return append(b, make([]byte, MaxChunkBytes)...) }, "bytes"},
	} {
		b := sealed(tt.change(bytes.Clone(good[:len(good)-4])))
		if _, _, err := Decode(b); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Decode = %v, want ErrCorrupt and %q", name, err, tt.want)
		}
		if _, err := DecodeHeader(b); name != "a cut body" && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: DecodeHeader = %v, want ErrCorrupt", name, err)
		}
	}
}

// TestExtremeValues carries the numbers at the ends of their ranges, and every bit of a NaN.
func TestExtremeValues(t *testing.T) {
	ints := []int64{math.MinInt64, math.MaxInt64, 0, -1, math.MaxInt64, math.MinInt64, 1}
	bits := []uint64{0, 1 << 63, 1, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000001, 0xfff4dead0000beef, math.MaxUint64}
	r := new(Records)
	for i := range 60 {
		r.Readings = append(r.Readings, Reading{
			Series: strings.Repeat("é", i),
			Time:   ints[i%len(ints)],
			Value:  math.Float64frombits(bits[i%len(bits)]),
			Mono:   ints[(i+3)%len(ints)],
			Flags:  Flags(math.MaxUint32 >> (i % 32)),
		})
	}
	h := header(ClassReading)
	h.First = math.MaxInt64 - MaxRecords
	h.Device = strings.Repeat("d", 255)
	b, err := Encode(h, r)
	if err != nil {
		t.Fatal(err)
	}
	got, again, err := Decode(b)
	if err != nil || got.First != h.First || got.Device != h.Device || got.Last() != h.First+59 {
		t.Fatalf("Decode = %+v, %v", got, err)
	}
	for i := range r.Readings {
		want, have := r.Readings[i], again.Readings[i]
		if a, b := math.Float64bits(want.Value), math.Float64bits(have.Value); a != b {
			t.Errorf("reading %d: value %x became %x", i, a, b)
		}
		want.Value, have.Value = 0, 0
		if !reflect.DeepEqual(want, have) {
			t.Errorf("reading %d: %+v became %+v", i, want, have)
		}
	}
}

// TestBounds encodes at every bound, and one beyond it.
func TestBounds(t *testing.T) {
	device := func(n int) Header {
		h := header(ClassEvent)
		h.Device = strings.Repeat("d", n)
		return h
	}
	event := func(n int) *Records { return &Records{Events: []Event{{Detail: strings.Repeat("x", n)}}} }
	for name, tt := range map[string]struct {
		h    Header
		r    *Records
		want string
	}{
		"a device of 255":      {device(255), event(1), ""},
		"a device of 256":      {device(256), event(1), "device name of 256 bytes"},
		"a text of 64 KiB":     {device(1), event(maxStringBytes), ""},
		"a text of one more":   {device(1), event(maxStringBytes + 1), "string of 65537 bytes"},
		"500 records":          {device(1), only(sample(MaxRecords, 1), ClassEvent), ""},
		"501 records":          {device(1), only(sample(MaxRecords+1, 1), ClassEvent), "501 records of class event"},
		"records of no class":  {header(ClassHost), event(1), "0 records of class host"},
		"an alarm is an event": {header(ClassAlarm), event(1), ""},
	} {
		b, err := Encode(tt.h, tt.r)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Encode = %v, want %q", name, err, tt.want)
			continue
		}
		if err == nil {
			if h, r, err := Decode(b); err != nil || h.Count != tt.r.Len(tt.h.Class) || !reflect.DeepEqual(r.Events, tt.r.Events) {
				t.Errorf("%s: Decode = %+v, %v", name, h, err)
			}
		}
	}
}

// FuzzPack packs what the input is cut into and demands it back, in place.
func FuzzPack(f *testing.F) {
	f.Add([]byte("one two three"), uint8(3))
	f.Add([]byte{}, uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		chunks := make([][]byte, max(1, int(n)))
		for i := range chunks {
			chunks[i] = b[i*len(b)/len(chunks) : (i+1)*len(b)/len(chunks)]
		}
		if len(chunks) == 1 && (len(b) == 0 || bytes.HasPrefix(b, []byte("SKPK"))) {
			return // a single chunk travels as it is, and is one
		}
		packed := Pack(chunks)
		got, err := Unpack(packed)
		if err != nil || len(got) != len(chunks) {
			t.Fatalf("Unpack(Pack of %d) = %d chunks, %v", len(chunks), len(got), err)
		}
		for i := range got {
			if !bytes.Equal(got[i], chunks[i]) {
				t.Fatalf("chunk %d = %x, want %x", i, got[i], chunks[i])
			}
			if len(chunks) > 1 && cap(got[i]) != len(got[i]) {
				t.Fatalf("chunk %d can grow into the next", i)
			}
		}
		for cut := range min(len(packed), 64) {
			if len(chunks) > 1 {
				if _, err := Unpack(packed[:len(packed)-1-cut]); len(packed)-1-cut >= packHeader && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("Unpack of all but %d bytes = %v, want ErrCorrupt", cut+1, err)
				}
			}
		}
	})
}
