package source

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a document.
const maxDepth = 64

type valueKind byte

const (
	valueNull valueKind = iota
	valueBool
	valueNumber
	valueString
	valueObject
	valueArray
)

func (k valueKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an object", "an array"}[k]
}

// capture is a value that a path leads to. raw is the value's text, for a string its content; it
// points into the payload or the scanner's scratch and is valid until the next scan.
type capture struct {
	slot int
	elem int // index in the starred array, -1 outside
	kind valueKind
	raw  []byte
}

// scanner reads one JSON document (RFC 8259) once, checks all of it and captures the values that
// the tree of paths names. It allocates only while its scratch grows.
type scanner struct {
	b     []byte
	i     int
	depth int
	elem  int
	keys  [][]byte // keys of the open objects, for finding duplicates
	// unescaped strings; earlier captures keep the array they point to when it grows
	scratch  []byte
	captures []capture
	fail     *DecodeError
}

// scan returns nil or what is wrong with the document. Captures are in s.captures.
func (s *scanner) scan(b []byte, root *node) *DecodeError {
	s.b, s.i, s.depth, s.elem, s.fail = b, 0, 0, -1, nil
	s.keys, s.scratch, s.captures = s.keys[:0], s.scratch[:0], s.captures[:0]
	s.space()
	if s.value(root) {
		s.space()
		if s.i < len(s.b) {
			s.bad(ErrSyntax, s.i, "must be one JSON value, something follows it")
		}
	}
	return s.fail
}

// bad records the first problem and returns false, so that it can be returned.
func (s *scanner) bad(kind ErrorKind, at int, allowed string) bool {
	if s.fail == nil {
		at = min(at, len(s.b))
		s.fail = &DecodeError{Kind: kind, Offset: at, Value: excerpt(s.b[at:]), Allowed: allowed}
	}
	return false
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *scanner) value(n *node) bool {
	if s.i >= len(s.b) {
		return s.bad(ErrSyntax, s.i, "the document ends early")
	}
	start := s.i
	var kind valueKind
	var raw []byte
	ok := true
	switch c := s.b[s.i]; {
	case c == '{':
		kind, ok = valueObject, s.object(n)
	case c == '[':
		kind, ok = valueArray, s.array(n)
	case c == '"':
		kind = valueString
		raw, ok = s.str()
	case c == '-' || (c >= '0' && c <= '9'):
		kind, ok = valueNumber, s.number()
	case c == 't':
		kind, ok = valueBool, s.literal("true")
	case c == 'f':
		kind, ok = valueBool, s.literal("false")
	case c == 'n' && bytes.HasPrefix(s.b[s.i:], []byte("null")):
		kind, ok = valueNull, s.literal("null")
	case notFinite(s.b[s.i:]):
		return s.bad(ErrNotFinite, s.i, "NaN and infinity are not JSON: leave the key out or send null for a missing value")
	default:
		return s.bad(ErrSyntax, s.i, "must be a JSON value")
	}
	if !ok {
		return false
	}
	if n != nil {
		if kind != valueString {
			raw = s.b[start:s.i]
		}
		for _, slot := range n.want {
			s.captures = append(s.captures, capture{slot: slot, elem: s.elem, kind: kind, raw: raw})
		}
	}
	return true
}

func notFinite(b []byte) bool {
	for _, w := range [...]string{"NaN", "nan", "NAN", "Infinity", "-Infinity", "inf", "Inf", "-inf", "-Inf"} {
		if bytes.HasPrefix(b, []byte(w)) {
			return true
		}
	}
	return false
}

func (s *scanner) literal(word string) bool {
	if !bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		return s.bad(ErrSyntax, s.i, "must be true, false or null")
	}
	s.i += len(word)
	return true
}

func (s *scanner) enter() bool {
	s.depth++
	s.i++
	if s.depth > maxDepth {
		return s.bad(ErrDepth, s.i-1, "must be nested at most "+strconv.Itoa(maxDepth)+" deep")
	}
	s.space()
	return true
}

func (s *scanner) object(n *node) bool {
	if !s.enter() {
		return false
	}
	base := len(s.keys)
	for first := true; ; first = false {
		if first && s.i < len(s.b) && s.b[s.i] == '}' {
			s.i++
			break
		}
		at := s.i
		if s.i >= len(s.b) || s.b[s.i] != '"' {
			return s.bad(ErrSyntax, at, `must be a key in double quotes`)
		}
		key, ok := s.str()
		if !ok {
			return false
		}
		s.keys = append(s.keys, key)
		s.space()
		if s.i >= len(s.b) || s.b[s.i] != ':' {
			return s.bad(ErrSyntax, s.i, "must be a colon after the key")
		}
		s.i++
		s.space()
		var next *node
		if n != nil {
			for j := range n.fields {
				if n.fields[j].name == string(key) {
					next = n.fields[j].next
					break
				}
			}
		}
		if !s.value(next) {
			return false
		}
		s.space()
		if s.i < len(s.b) && s.b[s.i] == ',' {
			s.i++
			s.space()
			continue
		}
		if s.i < len(s.b) && s.b[s.i] == '}' {
			s.i++
			break
		}
		return s.bad(ErrSyntax, s.i, "must be a comma or the end of the object")
	}
	if dup := duplicate(s.keys[base:]); dup != nil {
		s.fail = &DecodeError{
			Kind:    ErrDuplicateKey,
			Offset:  s.i,
			Value:   excerpt(dup),
			Allowed: "a key may appear once in an object",
		}
		return false
	}
	s.keys = s.keys[:base]
	s.depth--
	return true
}

// duplicate returns a key that appears twice. It may reorder keys.
func duplicate(keys [][]byte) []byte {
	if len(keys) <= 16 {
		for i := range keys {
			for j := range i {
				if bytes.Equal(keys[i], keys[j]) {
					return keys[i]
				}
			}
		}
		return nil
	}
	slices.SortFunc(keys, bytes.Compare)
	for i := 1; i < len(keys); i++ {
		if bytes.Equal(keys[i], keys[i-1]) {
			return keys[i]
		}
	}
	return nil
}

func (s *scanner) array(n *node) bool {
	if !s.enter() {
		return false
	}
	outer := s.elem
	for i := 0; ; i++ {
		if i == 0 && s.i < len(s.b) && s.b[s.i] == ']' {
			s.i++
			break
		}
		var next *node
		s.elem = outer
		if n != nil {
			for j := range n.items {
				if n.items[j].index == i {
					next = n.items[j].next
				}
			}
			if n.each != nil {
				next, s.elem = merge(n.each, next), i
			}
		}
		if !s.value(next) {
			return false
		}
		s.space()
		if s.i < len(s.b) && s.b[s.i] == ',' {
			s.i++
			s.space()
			continue
		}
		if s.i < len(s.b) && s.b[s.i] == ']' {
			s.i++
			break
		}
		return s.bad(ErrSyntax, s.i, "must be a comma or the end of the array")
	}
	s.elem = outer
	s.depth--
	return true
}

// merge serves the odd payload of which one task reads every element and another a fixed one. The
// fixed element's values then carry the element's index, which is also where their time is looked
// for.
func merge(a, b *node) *node {
	if b == nil {
		return a
	}
	m := &node{
		want:   slices.Concat(a.want, b.want),
		fields: slices.Clone(a.fields),
		items:  slices.Clone(a.items),
		each:   a.each,
	}
	for _, e := range b.fields {
		if i := slices.IndexFunc(m.fields, func(o edge) bool { return o.name == e.name }); i >= 0 {
			m.fields[i].next = merge(m.fields[i].next, e.next)
		} else {
			m.fields = append(m.fields, e)
		}
	}
	for _, e := range b.items {
		if i := slices.IndexFunc(m.items, func(o edge) bool { return o.index == e.index }); i >= 0 {
			m.items[i].next = merge(m.items[i].next, e.next)
		} else {
			m.items = append(m.items, e)
		}
	}
	if m.each == nil {
		m.each = b.each
	}
	return m
}

// number accepts -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (s *scanner) number() bool {
	start := s.i
	if s.b[s.i] == '-' {
		s.i++
	}
	if notFinite(s.b[s.i:]) {
		return s.bad(ErrNotFinite, start, "NaN and infinity are not JSON: leave the key out or send null for a missing value")
	}
	switch {
	case s.i < len(s.b) && s.b[s.i] == '0':
		s.i++
	case s.digits() == 0:
		return s.bad(ErrSyntax, start, "must be a number")
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if s.digits() == 0 {
			return s.bad(ErrSyntax, start, "a decimal point needs digits after it")
		}
	}
	if s.i < len(s.b) && (s.b[s.i] == 'e' || s.b[s.i] == 'E') {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if s.digits() == 0 {
			return s.bad(ErrSyntax, start, "an exponent needs digits")
		}
	}
	if s.i < len(s.b) && (s.b[s.i] >= '0' && s.b[s.i] <= '9') {
		return s.bad(ErrSyntax, start, "a number has no leading zero")
	}
	return true
}

func (s *scanner) digits() (n int) {
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
		n++
	}
	return n
}

// str reads a string and returns its content.
func (s *scanner) str() ([]byte, bool) {
	start := s.i
	s.i++
	from, ascii := s.i, true
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			raw := s.b[from:s.i]
			s.i++
			if !ascii && !utf8.Valid(raw) {
				return nil, s.bad(ErrUTF8, start, "text must be valid UTF-8")
			}
			return raw, true
		case c == '\\':
			return s.escaped(start, from)
		case c < 0x20:
			return nil, s.bad(ErrSyntax, s.i, "control characters in a string are written as \\u00XX")
		case c >= 0x80:
			ascii = false
		}
		s.i++
	}
	return nil, s.bad(ErrSyntax, start, "the string has no end")
}

// escaped reads the rest of a string that contains escapes into scratch.
func (s *scanner) escaped(start, from int) ([]byte, bool) {
	base := len(s.scratch)
	s.scratch = append(s.scratch, s.b[from:s.i]...)
	for s.i < len(s.b) {
		c := s.b[s.i]
		switch {
		case c == '"':
			s.i++
			out := s.scratch[base:len(s.scratch):len(s.scratch)]
			if !utf8.Valid(out) {
				return nil, s.bad(ErrUTF8, start, "text must be valid UTF-8")
			}
			return out, true
		case c < 0x20:
			return nil, s.bad(ErrSyntax, s.i, "control characters in a string are written as \\u00XX")
		case c != '\\':
			s.scratch = append(s.scratch, c)
			s.i++
		default:
			if !s.escape() {
				return nil, false
			}
		}
	}
	return nil, s.bad(ErrSyntax, start, "the string has no end")
}

func (s *scanner) escape() bool {
	at := s.i
	if s.i+1 >= len(s.b) {
		return s.bad(ErrSyntax, at, "the string has no end")
	}
	c := s.b[s.i+1]
	s.i += 2
	switch c {
	case '"', '\\', '/':
		s.scratch = append(s.scratch, c)
	case 'b':
		s.scratch = append(s.scratch, '\b')
	case 'f':
		s.scratch = append(s.scratch, '\f')
	case 'n':
		s.scratch = append(s.scratch, '\n')
	case 'r':
		s.scratch = append(s.scratch, '\r')
	case 't':
		s.scratch = append(s.scratch, '\t')
	case 'u':
		r, ok := s.hex4()
		if !ok {
			return s.bad(ErrSyntax, at, "\\u needs four hexadecimal digits")
		}
		if utf16.IsSurrogate(r) {
			if s.i+1 >= len(s.b) || s.b[s.i] != '\\' || s.b[s.i+1] != 'u' {
				return s.bad(ErrUTF8, at, "half of a surrogate pair is not text")
			}
			s.i += 2
			low, ok := s.hex4()
			if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
				return s.bad(ErrUTF8, at, "half of a surrogate pair is not text")
			}
		}
		s.scratch = utf8.AppendRune(s.scratch, r)
	default:
		return s.bad(ErrSyntax, at, "unknown escape in a string")
	}
	return true
}

func (s *scanner) hex4() (r rune, ok bool) {
	if s.i+4 > len(s.b) {
		return 0, false
	}
	for _, c := range s.b[s.i : s.i+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	s.i += 4
	return r, true
}

var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// parseNumber converts the text of a number that the scanner accepted; false when it is outside
// float64. A mantissa below 2⁵³ times or by a power of ten up to 10²² is exact in one rounding
// (Clinger 1990), which is every sensor; the rest goes to strconv.
func parseNumber(b []byte) (float64, bool) {
	var mant uint64
	exp, i, neg, digits := 0, 0, false, 0
	if b[0] == '-' {
		neg, i = true, 1
	}
	point := false
	for ; i < len(b) && b[i] != 'e' && b[i] != 'E'; i++ {
		if b[i] == '.' {
			point = true
			continue
		}
		if mant != 0 || b[i] != '0' {
			digits++
		}
		if digits > 18 {
			return slowNumber(b)
		}
		mant = mant*10 + uint64(b[i]-'0')
		if point {
			exp--
		}
	}
	if i < len(b) {
		e, err := strconv.Atoi(string(b[i+1:]))
		if err != nil {
			return slowNumber(b)
		}
		exp += e
	}
	if mant > 1<<53 || exp < -22 || exp > 22 {
		return slowNumber(b)
	}
	v := float64(mant)
	if exp < 0 {
		v /= pow10[-exp]
	} else {
		v *= pow10[exp]
	}
	if neg {
		v = -v
	}
	return v, true
}

func slowNumber(b []byte) (float64, bool) {
	v, err := strconv.ParseFloat(string(b), 64)
	return v, err == nil
}
