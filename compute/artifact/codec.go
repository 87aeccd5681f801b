package artifact

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"

	"skerry.dev/compute/chain"
	"skerry.dev/compute/drift/inputs"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
	"skerry.dev/compute/neural"
	"skerry.dev/compute/state"
)

// Version is the format version that Encode writes.
const Version = 1

const (
	magic        = "SKERRY\r\n" // a transfer that changes line ends breaks it
	headerBytes  = 16           // magic, version u16, sections u16, 0 u32
	sectionBytes = 12           // tag, length, checksum around the payload
	maxSections  = 16
)

// The sections in the order in which they stand.
const (
	tagManifest    = "MANI"
	tagPipeline    = "PIPE"
	tagModel       = "MODL"
	tagCalibration = "CALI"
	tagReference   = "REFS"
	tagUsual       = "USUA" // only where it is known
	tagVectors     = "TEST"
)

// sectionCap bounds a section's payload. JSON grows in memory, so its sections are kept small.
var sectionCap = map[string]uint32{
	tagManifest:    1 << 20,
	tagPipeline:    1 << 20,
	tagModel:       32 << 20,
	tagCalibration: 64 << 10,
	tagReference:   4 << 20,
	tagUsual:       4 << 20,
	tagVectors:     5 << 20,
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode writes the artifact. The same artifact gives the same bytes. Digest and Size are not
// part of them. It refuses what Decode would refuse.
func Encode(a *Artifact) ([]byte, error) {
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("encode artifact: %w", err)
	}
	w := writer{b: make([]byte, headerBytes)}
	copy(w.b, magic)
	binary.LittleEndian.PutUint16(w.b[8:], Version)
	w.json(tagManifest, &a.Manifest)
	w.json(tagPipeline, a.Pipeline)
	for _, role := range roles {
		if p := a.Models[role]; p != nil {
			w.model(role, p)
		}
	}
	w.json(tagCalibration, &a.Calibration)
	w.section(tagReference, a.encodeReference())
	if a.Usual != nil {
		var s state.Writer
		a.Usual.Save(&s)
		w.section(tagUsual, s.B)
	}
	w.section(tagVectors, a.Vectors.encode())
	if w.err != nil {
		return nil, fmt.Errorf("encode artifact: %w", w.err)
	}
	binary.LittleEndian.PutUint16(w.b[10:], uint16(w.sections))
	if len(w.b) > MaxBytes {
		return nil, fmt.Errorf("encode artifact: %d bytes, at most %d", len(w.b), MaxBytes)
	}
	return w.b, nil
}

type writer struct {
	b        []byte
	sections int
	err      error
}

func (w *writer) section(tag string, payload []byte) {
	if limit := sectionCap[tag]; len(payload) > int(limit) && w.err == nil {
		w.err = fmt.Errorf("section %s has %d bytes, at most %d", tag, len(payload), limit)
	}
	from := len(w.b)
	w.b = append(w.b, tag...)
	w.b = binary.LittleEndian.AppendUint32(w.b, uint32(len(payload)))
	w.b = append(w.b, payload...)
	w.b = binary.LittleEndian.AppendUint32(w.b, crc32.Checksum(w.b[from:], castagnoli))
	w.sections++
}

func (w *writer) json(tag string, v any) {
	payload, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("section %s: %w", tag, err)
	}
	w.section(tag, payload)
}

// model writes role and kind, each after its length as one byte, and the model's own encoding.
func (w *writer) model(role Role, p Predictor) {
	var s state.Writer
	kind := ModelKind(p)
	s.B = append(s.B, byte(len(role)))
	s.B = append(s.B, role...)
	s.B = append(s.B, byte(len(kind)))
	s.B = append(s.B, kind...)
	switch p := p.(type) {
	case interface {
		AppendBinary([]byte) ([]byte, error)
	}:
		b, err := p.AppendBinary(s.B)
		if s.B = b; err != nil && w.err == nil {
			w.err = fmt.Errorf("the %s model: %w", role, err)
		}
	case *Constant:
		s.Int(int64(p.N))
		s.Floats(p.Values)
	default:
		if w.err == nil {
			w.err = fmt.Errorf("the %s model is a %T", role, p)
		}
	}
	w.section(tagModel, s.B)
}

func (a *Artifact) encodeReference() []byte {
	var s state.Writer
	s.Int(int64(len(a.Reference)))
	for i := range a.Reference {
		s.Float(a.Reference[i].Missing)
		s.Floats(a.Reference[i].Quantiles)
	}
	return s.B
}

func (v *Vectors) encode() []byte {
	var s state.Writer
	s.Ints(v.Times)
	s.Floats(v.Values)
	s.Int(int64(v.Tail))
	for _, role := range roles {
		s.Floats(v.Want[role])
	}
	return s.B
}

// Digest returns the name of an artifact's bytes: 64 hexadecimal digits of their SHA-256.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// DecodeBytes is Decode for an artifact in memory.
func DecodeBytes(b []byte) (*Artifact, error) { return Decode(bytes.NewReader(b), int64(len(b))) }

// Detect reports whether the first bytes of a file are those of an artifact.
func Detect(b []byte) bool { return bytes.HasPrefix(b, []byte(magic)) }

// Decode reads an artifact of size bytes and sets its Digest. It reads every byte once, in order.
// Errors wrap ErrCorrupt or ErrVersion, or are those of r. It does not run the self-test.
func Decode(r io.ReaderAt, size int64) (*Artifact, error) {
	if size < headerBytes || size > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, must be %d to %d", ErrCorrupt, size, headerBytes, MaxBytes)
	}
	d := &reader{r: r, size: size, hash: sha256.New()}
	head, err := d.next(headerBytes)
	if err != nil {
		return nil, err
	}
	if string(head[:8]) != magic {
		return nil, fmt.Errorf("%w: not a skerry file", ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint16(head[8:]); v != Version {
		return nil, fmt.Errorf("%w: version %d, know %d", ErrVersion, v, Version)
	}
	sections := int(binary.LittleEndian.Uint16(head[10:]))
	if sections > maxSections || binary.LittleEndian.Uint32(head[12:]) != 0 {
		return nil, fmt.Errorf("%w: %d sections", ErrCorrupt, sections)
	}
	a := &Artifact{Models: map[Role]Predictor{}, Size: size}
	last := -1
	for range sections {
		tag, payload, err := d.section()
		if err != nil {
			return nil, err
		}
		at := order(tag)
		if at < last || (at == last && tag != tagModel) {
			return nil, fmt.Errorf("%w: section %s out of order", ErrCorrupt, tag)
		}
		last = at
		if err := a.decodeSection(tag, payload); err != nil {
			return nil, fmt.Errorf("%w: section %s: %w", ErrCorrupt, tag, err)
		}
	}
	if d.at != size {
		return nil, fmt.Errorf("%w: %d bytes after the last section", ErrCorrupt, size-d.at)
	}
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	a.Digest = hex.EncodeToString(d.hash.Sum(nil))
	return a, nil
}

func order(tag string) int {
	for i, t := range [...]string{tagManifest, tagPipeline, tagModel, tagCalibration, tagReference, tagUsual, tagVectors} {
		if t == tag {
			return i
		}
	}
	return -1
}

type reader struct {
	r        io.ReaderAt
	at, size int64
	hash     hash.Hash
}

func (d *reader) next(n int64) ([]byte, error) {
	if n > d.size-d.at {
		return nil, fmt.Errorf("%w: ends early", ErrCorrupt)
	}
	b := make([]byte, n)
	if got, err := d.r.ReadAt(b, d.at); got < len(b) {
		return nil, fmt.Errorf("read artifact at byte %d: %w", d.at, err)
	}
	d.at += n
	_, _ = d.hash.Write(b) // a hash never fails
	return b, nil
}

// section reads one section and checks its length against the tag's cap before anything is
// allocated, and its checksum before anything is parsed.
func (d *reader) section() (tag string, payload []byte, err error) {
	head, err := d.next(8)
	if err != nil {
		return "", nil, err
	}
	tag, n := string(head[:4]), binary.LittleEndian.Uint32(head[4:])
	limit, known := sectionCap[tag]
	if !known {
		return "", nil, fmt.Errorf("%w: unknown section %q", ErrCorrupt, tag)
	}
	if n > limit {
		return "", nil, fmt.Errorf("%w: section %s has %d bytes, at most %d", ErrCorrupt, tag, n, limit)
	}
	payload, err = d.next(int64(n) + 4)
	if err != nil {
		return "", nil, err
	}
	payload, stored := payload[:n], binary.LittleEndian.Uint32(payload[n:])
	if crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, payload) != stored {
		return "", nil, fmt.Errorf("%w: section %s has a bad checksum", ErrCorrupt, tag)
	}
	return tag, payload, nil
}

func (a *Artifact) decodeSection(tag string, b []byte) error {
	switch tag {
	case tagManifest:
		return json.Unmarshal(b, &a.Manifest)
	case tagPipeline:
		a.Pipeline = new(feature.Pipeline)
		return json.Unmarshal(b, a.Pipeline)
	case tagCalibration:
		return json.Unmarshal(b, &a.Calibration)
	case tagModel:
		return a.decodeModel(b)
	case tagReference:
		return a.decodeReference(b)
	case tagUsual:
		s := state.Reader{B: b}
		if a.Usual = inputs.LoadReference(&s); len(s.B) != 0 {
			s.Fail()
		}
		return s.Err()
	default:
		return a.Vectors.decode(b)
	}
}

func (a *Artifact) decodeModel(b []byte) error {
	role, b, ok := short(b)
	if !ok {
		return state.ErrCorrupt
	}
	kind, b, ok := short(b)
	if !ok {
		return state.ErrCorrupt
	}
	if a.Models[Role(role)] != nil {
		return fmt.Errorf("a second model in role %q", role)
	}
	var p Predictor
	var err error
	switch kind {
	case "trees":
		p, err = ensemble.Decode(b)
	case "mlp":
		p, err = neural.Decode(b)
	case "linear":
		p, err = linear.Decode(b)
	case "chain":
		p, err = chain.Decode(b)
	case "constant":
		p, err = decodeConstant(b)
	default:
		return fmt.Errorf("unknown model kind %q", kind)
	}
	if err != nil {
		return err
	}
	a.Models[Role(role)] = p
	return nil
}

// short splits off a string of up to 255 bytes that follows its length.
func short(b []byte) (string, []byte, bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return "", nil, false
	}
	return string(b[1 : 1+int(b[0])]), b[1+int(b[0]):], true
}

func decodeConstant(b []byte) (*Constant, error) {
	s := state.Reader{B: b}
	n := s.Int()
	c := &Constant{N: int(n), Values: s.Floats()}
	if s.Err() != nil || len(s.B) != 0 || n < 1 || n > feature.MaxColumns || len(c.Values) > ensemble.MaxOutputs {
		return nil, state.ErrCorrupt
	}
	for _, v := range c.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("a constant is not finite")
		}
	}
	return c, nil
}

func (a *Artifact) decodeReference(b []byte) error {
	s := state.Reader{B: b}
	a.Reference = make([]Reference, s.Len(16)) // each takes at least 16 bytes
	for i := range a.Reference {
		a.Reference[i].Missing = s.Float()
		a.Reference[i].Quantiles = s.Floats()
	}
	if len(s.B) != 0 {
		s.Fail()
	}
	return s.Err()
}

func (v *Vectors) decode(b []byte) error {
	s := state.Reader{B: b}
	v.Times, v.Values, v.Want = s.Ints(), s.Floats(), map[Role][]float64{}
	tail := s.Int()
	// what is out of bounds stays so where int has 32 bits
	v.Tail = int(min(max(tail, -1), MaxVectorRows+1))
	for _, role := range roles {
		if want := s.Floats(); len(want) > 0 {
			v.Want[role] = want
		}
	}
	if len(s.B) != 0 {
		s.Fail()
	}
	return s.Err()
}
