package interchange

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A source hands out the values of a JSON or UBJSON document one after the other, in the order of
// the file. Every call consumes one value. Nothing is allocated beyond what the caller requests.
type source interface {
	object(each func(key string) error) error // each must consume the key's value
	array(each func() error) error            // each must consume one element
	numbers(dst []float64, limit int) ([]float64, error)
	text() (string, error) // a string, or a number or truth value as text
	skip() error
	end() error // only blanks may follow
}

// jsonSource reads JSON, with the numbers NaN, Infinity and -Infinity that XGBoost writes.
type jsonSource struct {
	b     []byte
	at    int
	depth int
}

func (s *jsonSource) fail(what string) error {
	if s.at >= len(s.b) {
		return damaged("byte %d: the file ends where %s should be: it is cut short, copy it again", s.at, what)
	}
	return damaged("byte %d: %q where %s should be", s.at, s.b[s.at], what)
}

func (s *jsonSource) blank() {
	for s.at < len(s.b) {
		switch s.b[s.at] {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return
		}
	}
}

// take consumes c after blanks and reports whether it was there.
func (s *jsonSource) take(c byte) bool {
	s.blank()
	if s.at < len(s.b) && s.b[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *jsonSource) enter() error {
	if s.depth++; s.depth > maxDepth {
		return damaged("byte %d: values nest deeper than %d", s.at, maxDepth)
	}
	return nil
}

func (s *jsonSource) object(each func(key string) error) error {
	if !s.take('{') {
		return s.fail("an object")
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.take('}') {
		return nil
	}
	for {
		s.blank()
		key, err := s.quoted()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return s.fail("a colon")
		}
		if err := each(key); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return s.fail("a comma or the end of an object")
		}
	}
}

func (s *jsonSource) array(each func() error) error {
	if !s.take('[') {
		return s.fail("an array")
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	if s.take(']') {
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return s.fail("a comma or the end of an array")
		}
	}
}

func (s *jsonSource) numbers(dst []float64, limit int) ([]float64, error) {
	err := s.array(func() error {
		w, err := s.token()
		if err != nil {
			return err
		}
		v, err := parseNumber(string(w)) // on the stack: it does not escape
		if err != nil {
			return damaged("byte %d: %.30q where a number should be", s.at-len(w), bytes.Clone(w))
		}
		if len(dst) >= limit {
			return damaged("byte %d: more than %d numbers in an array", s.at, limit)
		}
		dst = append(dst, v)
		return nil
	})
	return dst, err
}

func parseNumber(w string) (float64, error) {
	switch w {
	case "true":
		return 1, nil
	case "false":
		return 0, nil
	}
	v, err := strconv.ParseFloat(w, 64)
	if err != nil && math.IsInf(v, 0) {
		err = nil // out of range is infinite, as the library reads it
	}
	return v, err
}

// token consumes an unquoted value, which belongs to the file.
func (s *jsonSource) token() ([]byte, error) {
	s.blank()
	from := s.at
	for s.at < len(s.b) {
		switch c := s.b[s.at]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '+', c == '.':
			s.at++
			continue
		}
		break
	}
	if s.at == from {
		return nil, s.fail("a value")
	}
	return s.b[from:s.at], nil
}

func (s *jsonSource) text() (string, error) {
	s.blank()
	if s.at < len(s.b) && s.b[s.at] == '"' {
		return s.quoted()
	}
	w, err := s.token()
	return string(w), err
}

// quoted consumes a string.
func (s *jsonSource) quoted() (string, error) {
	if s.at >= len(s.b) || s.b[s.at] != '"' {
		return "", s.fail("a string")
	}
	from := s.at + 1
	for i := from; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.at = i + 1
			return string(s.b[from:i]), nil
		case c == '\\':
			return s.escaped(from, i)
		}
	}
	s.at = len(s.b)
	return "", s.fail("the end of a string")
}

// escaped goes on with a string whose first backslash stands at i.
func (s *jsonSource) escaped(from, i int) (string, error) {
	out := append([]byte(nil), s.b[from:i]...)
	for i < len(s.b) {
		c := s.b[i]
		i++
		if c == '"' {
			s.at = i
			return string(out), nil
		}
		if c != '\\' {
			out = append(out, c)
			continue
		}
		if i >= len(s.b) {
			break
		}
		c = s.b[i]
		i++
		switch c {
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case '"', '\\', '/':
			out = append(out, c)
		case 'u':
			r, n := s.unicode(i)
			if n == 0 {
				s.at = i
				return "", s.fail("four hexadecimal digits")
			}
			out, i = utf8.AppendRune(out, r), i+n
		default:
			s.at = i - 1
			return "", s.fail("an escape of JSON")
		}
	}
	s.at = len(s.b)
	return "", s.fail("the end of a string")
}

// unicode reads the digits after \u, and a second such escape after half of a pair. It returns
// how many bytes it took, 0 on failure.
func (s *jsonSource) unicode(i int) (rune, int) {
	hex := func(i int) (rune, bool) {
		if i+4 > len(s.b) {
			return 0, false
		}
		v, err := strconv.ParseUint(string(s.b[i:i+4]), 16, 16)
		return rune(v), err == nil
	}
	r, ok := hex(i)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) && i+6 <= len(s.b) && s.b[i+4] == '\\' && s.b[i+5] == 'u' {
		if low, ok := hex(i + 6); ok {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, 10
			}
		}
	}
	return r, 4
}

func (s *jsonSource) skip() error {
	s.blank()
	if s.at < len(s.b) {
		switch s.b[s.at] {
		case '{':
			return s.object(func(string) error { return s.skip() })
		case '[':
			return s.array(s.skip)
		}
	}
	_, err := s.text()
	return err
}

func (s *jsonSource) end() error {
	// save_raw ends with a zero byte in some versions
	if s.blank(); s.at < len(s.b) && s.b[s.at] != 0 {
		return s.fail("the end of the file")
	}
	return nil
}

// ubjSource reads UBJSON, draft 12, with the big-endian numbers that XGBoost writes.
type ubjSource struct {
	b     []byte
	at    int
	depth int
}

func (s *ubjSource) fail(what string) error {
	if s.at >= len(s.b) {
		return damaged("byte %d: the file ends where %s should be: it is cut short, copy it again", s.at, what)
	}
	return damaged("byte %d: %q where %s should be", s.at, s.b[s.at], what)
}

// marker consumes a type marker; no-ops are passed over.
func (s *ubjSource) marker() (byte, error) {
	for s.at < len(s.b) && s.b[s.at] == 'N' {
		s.at++
	}
	if s.at >= len(s.b) {
		return 0, s.fail("a value")
	}
	s.at++
	return s.b[s.at-1], nil
}

// width returns the bytes of a number of a type, 0 for other types.
func width(kind byte) int {
	switch kind {
	case 'i', 'U':
		return 1
	case 'I':
		return 2
	case 'l', 'd':
		return 4
	case 'L', 'D':
		return 8
	}
	return 0
}

// number consumes the bytes of a number whose marker was consumed.
func (s *ubjSource) number(kind byte) (float64, error) {
	w := width(kind)
	if w == 0 {
		s.at--
		return 0, s.fail("a number")
	}
	if len(s.b)-s.at < w {
		s.at = len(s.b)
		return 0, s.fail("a number")
	}
	p := s.b[s.at:]
	s.at += w
	return ubjNumber(kind, p), nil
}

func ubjNumber(kind byte, p []byte) float64 {
	switch kind {
	case 'i':
		return float64(int8(p[0]))
	case 'U':
		return float64(p[0])
	case 'I':
		return float64(int16(binary.BigEndian.Uint16(p)))
	case 'l':
		return float64(int32(binary.BigEndian.Uint32(p)))
	case 'L':
		return float64(int64(binary.BigEndian.Uint64(p)))
	case 'd':
		return float64(math.Float32frombits(binary.BigEndian.Uint32(p)))
	default:
		return math.Float64frombits(binary.BigEndian.Uint64(p))
	}
}

// count consumes a length: a whole number that is at most the bytes left, for everything it
// counts takes at least one.
func (s *ubjSource) count() (int, error) {
	kind, err := s.marker()
	if err != nil {
		return 0, err
	}
	at := s.at
	if kind == 'd' || kind == 'D' {
		s.at--
		return 0, s.fail("a length")
	}
	v, err := s.number(kind)
	if err != nil {
		return 0, err
	}
	if v < 0 || v > float64(len(s.b)-s.at) {
		return 0, damaged("byte %d: the length %v, must be 0 to the %d bytes that are left", at, v, len(s.b)-s.at)
	}
	return int(v), nil
}

// container is what stands after an opening bracket: a type for all elements (0 for none) and a
// count (-1 for none).
func (s *ubjSource) container() (kind byte, n int, err error) {
	n = -1
	if s.at < len(s.b) && s.b[s.at] == '$' {
		if s.at++; s.at >= len(s.b) {
			return 0, 0, s.fail("a type")
		}
		kind = s.b[s.at]
		if width(kind) == 0 && kind != 'S' && kind != 'C' {
			return 0, 0, s.fail("a type of numbers or strings for a typed array")
		}
		if s.at++; s.at >= len(s.b) || s.b[s.at] != '#' {
			return 0, 0, s.fail("a count after a type")
		}
	}
	if s.at < len(s.b) && s.b[s.at] == '#' {
		s.at++
		n, err = s.count()
	}
	return kind, n, err
}

func (s *ubjSource) enter() error {
	if s.depth++; s.depth > maxDepth {
		return damaged("byte %d: values nest deeper than %d", s.at, maxDepth)
	}
	return nil
}

// over reports whether a container without a count ends here, and consumes its closing bracket.
func (s *ubjSource) over(bracket byte) bool {
	for s.at < len(s.b) && s.b[s.at] == 'N' {
		s.at++
	}
	if s.at < len(s.b) && s.b[s.at] == bracket {
		s.at++
		return true
	}
	return false
}

func (s *ubjSource) object(each func(key string) error) error {
	c, err := s.marker()
	if err != nil {
		return err
	}
	if c != '{' {
		s.at--
		return s.fail("an object")
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	kind, n, err := s.container()
	if err != nil {
		return err
	}
	if kind != 0 {
		return damaged("byte %d: an object whose values share one type, which no XGBoost writes", s.at)
	}
	for i := 0; i != n; i++ {
		if n < 0 && s.over('}') {
			return nil
		}
		key, err := s.bytes()
		if err != nil {
			return err
		}
		if err := each(string(key)); err != nil {
			return err
		}
	}
	return nil
}

// bytes consumes a length and as many bytes.
func (s *ubjSource) bytes() ([]byte, error) {
	n, err := s.count()
	if err != nil {
		return nil, err
	}
	s.at += n
	return s.b[s.at-n : s.at], nil
}

// elements consumes an array: typed is called once for a typed one with its bytes consumed by it,
// each for every element of another.
func (s *ubjSource) elements(typed func(kind byte, n int) error, each func() error) error {
	c, err := s.marker()
	if err != nil {
		return err
	}
	if c != '[' {
		s.at--
		return s.fail("an array")
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer func() { s.depth-- }()
	kind, n, err := s.container()
	if err != nil {
		return err
	}
	if kind != 0 {
		if w := width(kind); w > 0 && n > (len(s.b)-s.at)/w {
			return damaged("byte %d: %d numbers of %d bytes, only %d bytes are left", s.at, n, w, len(s.b)-s.at)
		}
		return typed(kind, n)
	}
	for i := 0; i != n; i++ {
		if n < 0 && s.over(']') {
			return nil
		}
		if err := each(); err != nil {
			return err
		}
	}
	return nil
}

func (s *ubjSource) array(each func() error) error {
	return s.elements(func(kind byte, n int) error {
		return damaged("byte %d: an array of %d values of type %q where objects, arrays or strings should be", s.at, n, kind)
	}, each)
}

func (s *ubjSource) numbers(dst []float64, limit int) ([]float64, error) {
	tooMany := func() error { return damaged("byte %d: more than %d numbers in an array", s.at, limit) }
	err := s.elements(func(kind byte, n int) error {
		w := width(kind)
		if w == 0 {
			return damaged("byte %d: an array of strings where numbers should be", s.at)
		}
		if n > limit-len(dst) {
			return tooMany()
		}
		for range n {
			dst = append(dst, ubjNumber(kind, s.b[s.at:]))
			s.at += w
		}
		return nil
	}, func() error {
		kind, err := s.marker()
		if err != nil {
			return err
		}
		if len(dst) >= limit {
			return tooMany()
		}
		var v float64
		switch kind {
		case 'T':
			v = 1
		case 'F':
		default:
			v, err = s.number(kind)
		}
		dst = append(dst, v)
		return err
	})
	return dst, err
}

func (s *ubjSource) text() (string, error) {
	kind, err := s.marker()
	if err != nil {
		return "", err
	}
	switch kind {
	case 'S':
		b, err := s.bytes()
		return string(b), err
	case 'T':
		return "true", nil
	case 'F':
		return "false", nil
	case 'Z':
		return "", nil
	case 'C':
		if s.at >= len(s.b) {
			return "", s.fail("a character")
		}
		s.at++
		return string(s.b[s.at-1 : s.at]), nil
	}
	v, err := s.number(kind)
	return strconv.FormatFloat(v, 'g', -1, 64), err
}

func (s *ubjSource) skip() error {
	for s.at < len(s.b) && s.b[s.at] == 'N' {
		s.at++
	}
	if s.at < len(s.b) {
		switch s.b[s.at] {
		case '{':
			return s.object(func(string) error { return s.skip() })
		case '[':
			return s.elements(s.skipTyped, s.skip)
		case 'H': // a number of any size, as digits
			s.at++
			_, err := s.bytes()
			return err
		}
	}
	_, err := s.text()
	return err
}

func (s *ubjSource) skipTyped(kind byte, n int) error {
	switch kind {
	case 'S':
		for range n {
			if _, err := s.bytes(); err != nil {
				return err
			}
		}
	case 'C':
		s.at += n
	default:
		s.at += n * width(kind)
	}
	return nil
}

func (s *ubjSource) end() error {
	for s.at < len(s.b) && (s.b[s.at] == 'N' || s.b[s.at] == 0) {
		s.at++
	}
	if s.at < len(s.b) {
		return s.fail("the end of the file")
	}
	return nil
}
