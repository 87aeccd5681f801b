package source

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a document; what is deeper is skipped.
const maxDepth = 64

type valueKind byte

const (
	valueNull valueKind = iota
	valueBool
	valueNumber
	valueString
	valueObject
	valueArray
	valueBare // text outside of quotes that is no JSON value: nan, 012, 21.5 °C
)

func (k valueKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an object", "an array", "text without quotes"}[k]
}

// capture is a value that a path leads to. raw is the value's text, for a string its content; it
// points into the payload or the scanner's scratch and is valid until the next scan.
type capture struct {
	slot int
	elem int // index in the starred array, -1 outside
	kind valueKind
	raw  []byte
}

// scanner reads one JSON document (RFC 8259) once and captures the values that the tree of paths
// names. What devices write beside the standard costs the value it stands in and nothing else: it
// goes on behind it, so that the values beside it are read. Work is linear in the payload. It
// allocates only while its scratch grows.
type scanner struct {
	b     []byte
	i     int
	depth int
	elem  int
	// unescaped strings; earlier captures keep the array they point to when it grows
	scratch  []byte
	captures []capture
	forgiven Forgiven     // what was read although it is no JSON
	flaw     *DecodeError // the first of it
	fail     *DecodeError // why the document could not be read to its end
}

// scan reads a document. Captures are in s.captures; s.fail is set when its end is missing or
// another document follows it.
func (s *scanner) scan(b []byte, root *node) {
	s.depth, s.elem, s.forgiven, s.flaw, s.fail = 0, -1, 0, nil, nil
	s.scratch, s.captures = s.scratch[:0], s.captures[:0]
	s.b, s.i = s.plain(b), 0
	s.space()
	if !s.value(root) {
		return
	}
	s.space()
	if s.i == len(s.b) {
		return
	}
	const what = "must be one JSON value, something follows it"
	if bytes.ContainsAny(s.b[s.i:], `{["`) {
		s.bad(ErrSyntax, s.i, what)
		return
	}
	s.forgive(ForgivenTrailing, ErrSyntax, s.i, what)
}

var (
	bomUTF8  = []byte("\xef\xbb\xbf")
	bomUTF16 = [2][]byte{{0xff, 0xfe}, {0xfe, 0xff}}
)

// plain removes what stands around a payload: a byte order mark, and the NULs of senders that
// count the end of a C string in. UTF-16 becomes UTF-8.
func (s *scanner) plain(b []byte) []byte {
	for order, bom := range bomUTF16 {
		if bytes.HasPrefix(b, bom) && len(b)%2 == 0 {
			s.forgiven |= ForgivenEncoding
			units := make([]uint16, 0, len(b)/2)
			for i := 2; i < len(b); i += 2 {
				units = append(units, uint16(b[i+order])|uint16(b[i+1-order])<<8)
			}
			return bytes.Trim([]byte(string(utf16.Decode(units))), " \t\r\n\x00")
		}
	}
	if bytes.HasPrefix(b, bomUTF8) {
		s.forgiven |= ForgivenEncoding
		b = b[len(bomUTF8):]
	}
	if n := len(b); n > 0 && b[n-1] == 0 {
		s.forgiven |= ForgivenNUL
		b = bytes.TrimRight(b, "\x00 \t\r\n")
	}
	return b
}

// bad records why the document ends here and returns false, so that it can be returned.
func (s *scanner) bad(kind ErrorKind, at int, allowed string) bool {
	if s.fail == nil {
		s.fail = s.problem(kind, at, allowed)
	}
	return false
}

func (s *scanner) problem(kind ErrorKind, at int, allowed string) *DecodeError {
	at = min(at, len(s.b))
	return &DecodeError{Kind: kind, Offset: at, Value: excerpt(s.b[at:]), Allowed: allowed}
}

func (s *scanner) forgive(f Forgiven, kind ErrorKind, at int, allowed string) {
	s.forgiven |= f
	if s.flaw == nil {
		s.flaw = s.problem(kind, at, allowed)
	}
}

const endsEarly = "the document ends early"

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] <= ' ') {
		s.i++
	}
}

// value reads one value; false when the document ends in it.
func (s *scanner) value(n *node) bool {
	if s.i >= len(s.b) {
		return s.bad(ErrSyntax, s.i, endsEarly)
	}
	start := s.i
	var kind valueKind
	var raw []byte
	switch c := s.b[s.i]; c {
	case '{', '[':
		kind = valueObject
		read := s.object
		if c == '[' {
			kind, read = valueArray, s.array
		}
		if s.depth == maxDepth {
			s.forgive(ForgivenDepth, ErrDepth, s.i, "must be nested at most "+strconv.Itoa(maxDepth)+" deep")
			n, read = nil, s.deep
		}
		if !read(n) {
			return false
		}
		raw = s.b[start:s.i]
	case '"', '\'':
		var ok bool
		if raw, ok = s.str(c); !ok {
			return false
		}
		kind = valueString
		if n != nil && len(n.want) == 0 {
			s.inside(n, raw)
			return true
		}
	default:
		var ok bool
		if kind, raw, ok = s.token(); !ok {
			return false
		}
	}
	if n != nil {
		for _, slot := range n.want {
			s.captures = append(s.captures, capture{slot: slot, elem: s.elem, kind: kind, raw: raw})
		}
	}
	return true
}

// inside reads a document that stands in a string: gateways pack payloads into others.
func (s *scanner) inside(n *node, raw []byte) {
	text := bytes.TrimSpace(raw)
	if len(text) == 0 || (text[0] != '{' && text[0] != '[') || s.depth == maxDepth {
		return
	}
	b, i, depth, fail := s.b, s.i, s.depth, s.fail
	s.b, s.i = text, 0
	s.forgive(ForgivenNested, ErrSyntax, 0, "is JSON inside a string: send it as it is")
	s.depth++
	s.value(n) // what is wrong with it does not concern the values around it
	s.b, s.i, s.depth, s.fail = b, i, depth, fail
}

// token reads what is neither container nor string: a number, true, false, null, or any text up to
// the next comma or bracket.
func (s *scanner) token() (kind valueKind, raw []byte, ok bool) {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] > ' ' && !s.ends(s.b[s.i]) {
		s.i++
	}
	end := s.i
	s.space()
	for s.i < len(s.b) && !s.ends(s.b[s.i]) { // more words: 21.5 °C
		s.i++
		if s.b[s.i-1] > ' ' {
			end = s.i
		}
	}
	if s.i == len(s.b) && s.depth > 0 {
		return 0, nil, s.bad(ErrSyntax, start, endsEarly) // a number may have gone on
	}
	raw = s.b[start:end]
	s.i = max(s.i, start)
	switch {
	case isNumber(raw):
		return valueNumber, raw, true
	case string(raw) == "null":
		return valueNull, raw, true
	case string(raw) == "true" || string(raw) == "false":
		return valueBool, raw, true
	case notFinite(raw):
		s.forgive(ForgivenNotFinite, ErrNotFinite, start, "NaN and infinity are not JSON: leave the key out or send null for a missing value")
	default:
		s.forgive(ForgivenSyntax, ErrSyntax, start, "must be a JSON value")
	}
	return valueBare, raw, true
}

// ends reports whether a text without quotes ends before c. Outside of objects and arrays it is the
// whole payload.
func (s *scanner) ends(c byte) bool {
	return s.depth > 0 && (c == ',' || c == '}' || c == ']' || c == '"')
}

// object reads the object at s.i.
func (s *scanner) object(n *node) bool {
	s.depth++
	s.i++
	comma := true                 // one stands before the next key
	last, caps, open := -1, 0, -1 // where the value before begins, its captures and their number
	for {
		s.space()
		if s.i >= len(s.b) {
			return s.bad(ErrSyntax, s.i, endsEarly)
		}
		switch s.b[s.i] {
		case '}':
			if comma && last >= 0 {
				s.forgive(ForgivenSyntax, ErrSyntax, s.i, "must be a key in double quotes")
			}
			s.i++
			s.depth--
			return true
		case ',':
			if comma {
				s.forgive(ForgivenSyntax, ErrSyntax, s.i, "must be a key in double quotes")
			}
			comma = true
			s.i++
			continue
		case ']':
			if s.depth > 1 { // the end of the array around it: the object has none
				s.forgive(ForgivenSyntax, ErrSyntax, s.i, "must be a comma or the end of the object")
				s.depth--
				return true
			}
		}
		at := s.i
		key, ok := s.key()
		if s.fail != nil {
			return false
		}
		if !ok {
			// No key stands here: it belongs to the value before, as the 5 of {"v": 12,5} does.
			s.forgive(ForgivenSyntax, ErrSyntax, at, "must be a key in double quotes")
			s.skip()
			if last >= 0 {
				raw := bytes.TrimSpace(s.b[last:s.i])
				for k := caps; k < open; k++ {
					s.captures[k].kind, s.captures[k].raw = valueBare, raw
				}
			}
			continue
		}
		if !comma {
			s.forgive(ForgivenSyntax, ErrSyntax, at, "must be a comma or the end of the object")
		}
		comma = false
		var next *node
		if n != nil {
			for j := range n.fields {
				if n.fields[j].name == string(key) {
					next = n.fields[j].next
					break
				}
			}
		}
		last, caps = s.i, len(s.captures)
		scalar := s.i < len(s.b) && s.b[s.i] != '{' && s.b[s.i] != '['
		if !s.value(next) {
			return false
		}
		if open = len(s.captures); !scalar {
			open = caps // what stands in a container is not its text
		}
	}
}

// key reads a key and the colon behind it. ok is false, and nothing is read, when there is none.
func (s *scanner) key() (key []byte, ok bool) {
	start := s.i
	if c := s.b[s.i]; c == '"' || c == '\'' {
		if key, ok = s.str(c); !ok {
			return nil, false
		}
	} else {
		for s.i < len(s.b) && s.b[s.i] != ':' && !s.ends(s.b[s.i]) && s.b[s.i] != '{' && s.b[s.i] != '[' {
			s.i++
		}
		key = bytes.TrimSpace(s.b[start:s.i])
		if len(key) == 0 || key[0] >= '0' && key[0] <= '9' {
			s.i = start
			return nil, false
		}
		s.forgive(ForgivenSyntax, ErrSyntax, start, "must be a key in double quotes")
	}
	s.space()
	if s.i >= len(s.b) {
		return nil, s.bad(ErrSyntax, s.i, endsEarly)
	}
	if s.b[s.i] != ':' {
		s.i = start
		return nil, false
	}
	s.i++
	s.space()
	return key, true
}

// skip goes on to the next comma or end of a container; it always goes on.
func (s *scanner) skip() {
	if c := s.b[s.i]; c == '"' || c == '\'' {
		if _, ok := s.str(c); ok {
			return
		}
		s.i, s.fail = len(s.b), nil
		return
	}
	for s.i++; s.i < len(s.b) && s.b[s.i] != ',' && s.b[s.i] != '}' && s.b[s.i] != ']'; {
		s.i++
	}
}

// deep goes over a container that is nested too deeply, without reading it.
func (s *scanner) deep(*node) bool {
	for open := 0; s.i < len(s.b); {
		switch c := s.b[s.i]; c {
		case '"':
			if _, ok := s.str(c); !ok {
				return false
			}
			continue
		case '{', '[':
			open++
		case '}', ']':
			if open--; open == 0 {
				s.i++
				return true
			}
		}
		s.i++
	}
	return s.bad(ErrSyntax, s.i, endsEarly)
}

// array reads the array at s.i.
func (s *scanner) array(n *node) bool {
	s.depth++
	s.i++
	outer := s.elem
	comma := true
	for i := 0; ; {
		s.space()
		if s.i >= len(s.b) {
			return s.bad(ErrSyntax, s.i, endsEarly)
		}
		switch s.b[s.i] {
		case ',':
			if comma {
				s.forgive(ForgivenSyntax, ErrSyntax, s.i, "must be a JSON value")
				i++ // an empty place is one
			}
			comma = true
			s.i++
			continue
		case ']', '}':
			if s.b[s.i] == '}' { // the end of the object around it: the array has none
				s.forgive(ForgivenSyntax, ErrSyntax, s.i, "must be a comma or the end of the array")
				s.i--
			} else if comma && i > 0 {
				s.forgive(ForgivenSyntax, ErrSyntax, s.i, "must be a JSON value")
			}
			s.i++
			s.elem = outer
			s.depth--
			return true
		}
		if !comma {
			s.forgive(ForgivenSyntax, ErrSyntax, s.i, "must be a comma or the end of the array")
			if c := s.b[s.i]; c != '"' && c != '{' && c != '[' {
				s.skip()
				continue
			}
		}
		comma = false
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
		i++
	}
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

// isNumber reports whether a text is -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func isNumber(b []byte) bool {
	i := 0
	digits := func() (n int) {
		for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
			n++
		}
		return n
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if digits() == 0 {
		return false
	}
	if i < len(b) && b[i] == '.' {
		if i++; digits() == 0 {
			return false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if digits() == 0 {
			return false
		}
	}
	return i == len(b)
}

// notFinite recognises NaN and infinity as programs of all sorts print them.
func notFinite(b []byte) bool {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		b = b[1:]
	}
	if len(b) < 3 || len(b) > 12 {
		return false
	}
	var low [12]byte
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	switch string(low[:len(b)]) {
	case "nan", "inf", "infinity", "nan(ind)", "nan(snan)", "nanq", "1.#qnan", "1.#ind", "1.#inf", "1.#qnan0", "1.#ind00", "1.#inf00":
		return true
	}
	return false
}

// str reads a string in the quotes q and returns its content; false when it has no end.
func (s *scanner) str(q byte) ([]byte, bool) {
	start := s.i
	if q == '\'' {
		s.forgive(ForgivenSyntax, ErrSyntax, start, "text stands in double quotes")
	}
	s.i++
	from, ascii := s.i, true
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == q:
			raw := s.b[from:s.i]
			s.i++
			if !ascii && !utf8.Valid(raw) {
				raw = s.latin1(start, raw)
			}
			return raw, true
		case c == '\\':
			return s.escaped(q, start, from)
		case c < 0x20:
			s.forgive(ForgivenEscape, ErrSyntax, s.i, "control characters in a string are written as \\u00XX")
		case c >= 0x80:
			ascii = false
		}
		s.i++
	}
	return nil, s.bad(ErrSyntax, start, "the string has no end")
}

// latin1 reads a text that is no UTF-8 as ISO 8859-1, which older firmware writes for ° and µ.
func (s *scanner) latin1(start int, raw []byte) []byte {
	s.forgive(ForgivenEncoding, ErrUTF8, start, "text must be valid UTF-8")
	base := len(s.scratch)
	for _, c := range raw {
		s.scratch = utf8.AppendRune(s.scratch, rune(c))
	}
	return s.scratch[base:len(s.scratch):len(s.scratch)]
}

// escaped reads the rest of a string that contains escapes into scratch.
func (s *scanner) escaped(q byte, start, from int) ([]byte, bool) {
	base := len(s.scratch)
	s.scratch = append(s.scratch, s.b[from:s.i]...)
	for s.i < len(s.b) {
		c := s.b[s.i]
		switch {
		case c == q:
			s.i++
			out := s.scratch[base:len(s.scratch):len(s.scratch)]
			if !utf8.Valid(out) {
				out = s.latin1(start, out)
			}
			return out, true
		case c != '\\':
			if c < 0x20 {
				s.forgive(ForgivenEscape, ErrSyntax, s.i, "control characters in a string are written as \\u00XX")
			}
			s.scratch = append(s.scratch, c)
			s.i++
		default:
			if s.i+1 >= len(s.b) {
				return nil, s.bad(ErrSyntax, start, "the string has no end")
			}
			s.escape()
		}
	}
	return nil, s.bad(ErrSyntax, start, "the string has no end")
}

// escape reads one escape; one that JSON does not have is taken as it stands.
func (s *scanner) escape() {
	at := s.i
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
		if ok && utf16.IsSurrogate(r) {
			high := r
			r, ok = utf8.RuneError, false
			if s.i+1 < len(s.b) && s.b[s.i] == '\\' && s.b[s.i+1] == 'u' {
				s.i += 2
				low, _ := s.hex4()
				r = utf16.DecodeRune(high, low)
				ok = r != utf8.RuneError
			}
		}
		if !ok {
			s.forgive(ForgivenEscape, ErrSyntax, at, "\\u needs four hexadecimal digits, and both halves of a surrogate pair")
			r = utf8.RuneError
		}
		s.scratch = utf8.AppendRune(s.scratch, r)
	default:
		s.forgive(ForgivenEscape, ErrSyntax, at, "unknown escape in a string")
		if c != '\'' {
			s.scratch = append(s.scratch, '\\')
		}
		s.scratch = append(s.scratch, c)
	}
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
