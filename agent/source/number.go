package source

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"skerry.dev/sync/spec"
)

// form is how a series' values are written, prepared from spec.NumberForm and words.
type form struct {
	decimal byte // '.' or ',', 0: not told
	strip   []byte
	words   map[string]float64  // in lower case where no two differ by it alone
	numbers map[float64]float64 // those of the words that are numbers
}

// meant is what a number means where numbers are words of the input: {2: 20}.
func (f *form) meant(v float64) float64 {
	if w, ok := f.numbers[v]; ok {
		return w
	}
	return v
}

func newForm(n spec.NumberForm, words map[string]float64) form {
	f := form{strip: []byte(n.Strip)}
	if n.Decimal != "" {
		f.decimal = n.Decimal[0]
	}
	if len(words) > 0 {
		f.words = make(map[string]float64, 2*len(words))
		unsure := map[string]bool{} // words in lower case that mean several values
		for w, v := range words {
			low := strings.ToLower(w)
			if have, ok := f.words[low]; ok && have != v {
				unsure[low] = true
			}
			f.words[low] = v
		}
		for low := range unsure {
			delete(f.words, low)
		}
		for w, v := range words {
			f.words[w] = v
			if n, ok := parseNumber([]byte(w)); ok {
				if f.numbers == nil {
					f.numbers = map[float64]float64{}
				}
				f.numbers[n] = v // of one number there is one value, see spec
			}
		}
	}
	return f
}

// usualWords are what switches, contacts and presence send.
var usualWords = map[string]float64{
	"on": 1, "true": 1, "yes": 1, "open": 1, "opened": 1, "online": 1, "enabled": 1, "active": 1,
	"off": 0, "false": 0, "no": 0, "closed": 0, "close": 0, "offline": 0, "disabled": 0, "inactive": 0,
}

// marks are the words for a value that is not there.
var marks = map[string]bool{
	"": true, "null": true, "none": true, "nil": true, "na": true, "n/a": true, "#n/a": true, "unknown": true, "unavailable": true,
	"undefined": true, "-": true, "--": true, "---": true, "?": true, "n.a.": true,
}

// trim removes the white space around a value, the kinds of other scripts included.
func trim(raw []byte) []byte {
	return bytes.TrimFunc(raw, func(r rune) bool { return r <= ' ' || unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' })
}

// lower is bytes.ToLower into an array on the stack for the short texts that words are.
func lower(buf *[32]byte, b []byte) string {
	if len(b) > len(buf) {
		return ""
	}
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return string(bytes.ToLower(b))
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return string(buf[:len(b)])
}

// text is what a text says as a number.
type text struct {
	value    float64
	missing  bool // it says that there is none
	forgiven Forgiven
	unit     string // behind the number, "" for none
}

// read reads a text as a number: one of the words, else a number in any form that can mean one
// number only, else a word of everyday use or a mark for a missing value.
func (f *form) read(raw []byte) (text, *DecodeError) {
	b := trim(raw)
	var buf [32]byte
	if f.words != nil {
		if v, ok := f.words[string(b)]; ok {
			return text{value: v}, nil
		}
		if v, ok := f.words[lower(&buf, b)]; ok {
			return text{value: v}, nil
		}
	}
	if isNumber(b) && f.decimal != ',' {
		v, ok := parseNumber(b)
		if !ok {
			return text{}, outOfRange(raw)
		}
		return text{value: f.meant(v)}, nil
	}
	if notFinite(b) {
		return text{}, &DecodeError{Kind: ErrNotFinite, Value: excerpt(raw), Allowed: "must be a finite number: send nothing or null when there is no value"}
	}
	low := lower(&buf, b)
	if len(b) <= len(buf) {
		if v, ok := usualWords[low]; ok {
			return text{value: v, forgiven: ForgivenWord}, nil
		}
		if marks[low] {
			return text{missing: true, forgiven: ForgivenMark}, nil
		}
	}
	t, err := f.loose(raw, b)
	if err == nil && t.unit == "" {
		t.value = f.meant(t.value)
	}
	return t, err
}

func outOfRange(raw []byte) *DecodeError {
	return &DecodeError{Kind: ErrRange, Value: excerpt(raw), Allowed: "must fit a 64-bit float, up to ±1.8e308"}
}

const (
	minus       = "\u2212" // the typographic one
	maxNumber   = 64       // characters of a number in a text
	maxUnit     = 16       // bytes of a unit
	notANumber  = "must be a number, or a word such as on, off, open and closed; for other text give the input words (words: {idle: 0, busy: 1}) or categories"
	needDecimal = "can be read in two ways: say which with number: {decimal: \",\"} or number: {decimal: \".\"}"
)

// loose reads a number with a sign, groups, a decimal comma and a unit.
func (f *form) loose(raw, b []byte) (t text, err *DecodeError) {
	bad := func(allowed string) (text, *DecodeError) {
		return text{}, &DecodeError{Kind: ErrType, Value: excerpt(raw), Allowed: allowed}
	}
	if len(f.strip) > 0 {
		b = trim(bytes.TrimSuffix(trim(bytes.TrimPrefix(b, f.strip)), f.strip))
	}
	var num [maxNumber + 8]byte
	n, body := 0, b
	switch {
	case len(body) > 0 && (body[0] == '+' || body[0] == '-'):
		if body[0] == '-' {
			num[n], n = '-', n+1
		} else {
			t.forgiven |= ForgivenForm
		}
		body = body[1:]
	case bytes.HasPrefix(body, []byte(minus)):
		t.forgiven |= ForgivenForm
		num[n], n = '-', n+1
		body = body[len(minus):]
	}
	// the run of digits and what may stand between them
	end, digits := 0, 0
	for end < len(body) {
		w := 1
		switch c := body[end]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' || c == ',' || c == '\'':
		default:
			if w = group(body[end:]); w == 0 || f.decimal == 0 || end+w >= len(body) || body[end+w] < '0' || body[end+w] > '9' {
				w = 0
			}
		}
		if w == 0 {
			break
		}
		end += w
	}
	if digits == 0 && f.words != nil {
		return bad(fmt.Sprintf("must be a number or one of the input's words: %s", list(slices.Sorted(maps.Keys(f.words)))))
	}
	if digits == 0 || end > maxNumber {
		return bad(notANumber)
	}
	if f.decimal == 0 && bytes.Count(body[:end], []byte(".")) == 3 {
		if _, err := netip.ParseAddr(string(body[:end])); err == nil {
			return bad("is an address and no number: name the path of the number; where it is one in groups, say so with number: {decimal: \",\"}")
		}
	}
	decimal, ok := f.decimalOf(body[:end])
	if !ok {
		return bad(needDecimal)
	}
	grouped := notANumber
	if f.decimal != 0 {
		grouped = fmt.Sprintf("is no number with the decimal sign %q, which number.decimal names", f.decimal)
	}
	whole, run, groups := true, 0, 0
	for i := 0; i < end; {
		c := body[i]
		switch {
		case c >= '0' && c <= '9':
			num[n], n = c, n+1
			run++
			i++
			continue
		case whole && c == decimal:
			if groups > 0 && run != 3 {
				return bad(grouped)
			}
			whole = false
			num[n], n = '.', n+1
			if c == ',' && f.decimal == 0 {
				t.forgiven |= ForgivenComma
			}
			if run == 0 || i+1 == end {
				t.forgiven |= ForgivenForm
			}
		default: // between groups of three
			if !whole || (groups == 0 && (run == 0 || run > 3)) || (groups > 0 && run != 3) {
				return bad(grouped)
			}
			groups++
			t.forgiven |= ForgivenGroups
		}
		run = 0
		i += max(group(body[i:]), 1)
	}
	if whole && groups > 0 && run != 3 {
		return bad(grouped)
	}
	if body[0] == '0' && end > 1 && body[1] >= '0' && body[1] <= '9' {
		t.forgiven |= ForgivenForm
	}
	rest := body[end:]
	if e := exponent(rest); e > 0 {
		if n+e > len(num) {
			return bad(notANumber)
		}
		n += copy(num[n:], rest[:e])
		rest = rest[e:]
	}
	if rest = trim(rest); len(rest) > 0 {
		if why := badUnit(rest); why != "" {
			if why == notANumber {
				why = "must be a number, alone or with one unit behind it: name other text beside it, number: {strip: \"…\"}"
			}
			return bad(why)
		}
		t.forgiven |= ForgivenUnit
		t.unit = string(rest)
	}
	if t.value, ok = parseNumber(num[:n]); !ok {
		return text{}, outOfRange(raw)
	}
	return t, nil
}

// group returns the length of a space that may stand between groups of digits, 0 for none.
func group(b []byte) int {
	for _, s := range [...]string{" ", "\u00a0", "\u202f", "\u2009"} {
		if bytes.HasPrefix(b, []byte(s)) {
			return len(s)
		}
	}
	return 0
}

// decimalOf finds the decimal sign of a run of digits: the one that was told, else the one that
// can be nothing else; 0 for a whole number. ok is false when it cannot be known.
func (f *form) decimalOf(b []byte) (sign byte, ok bool) {
	if f.decimal != 0 {
		return f.decimal, bytes.Count(b, []byte{f.decimal}) <= 1
	}
	dots, commas := bytes.Count(b, []byte(".")), bytes.Count(b, []byte(","))
	switch {
	case dots > 0 && commas > 0: // the last one
		sign = '.'
		if bytes.LastIndexByte(b, ',') > bytes.LastIndexByte(b, '.') {
			sign = ','
		}
		return sign, bytes.Count(b, []byte{sign}) == 1
	case dots == 1:
		return '.', true
	case commas == 1:
		at := bytes.IndexByte(b, ',')
		if len(b)-at-1 == 3 && at > 0 && at <= 3 && b[0] != '0' {
			return 0, false // 1,234: one and a bit, or a thousand
		}
		return ',', true
	}
	return 0, true // whole, in groups when there are signs
}

// exponent returns the length of an exponent at the start of b, 0 when there is none.
func exponent(b []byte) int {
	if len(b) < 2 || (b[0] != 'e' && b[0] != 'E') {
		return 0
	}
	i := 1
	if b[i] == '+' || b[i] == '-' {
		i++
	}
	from := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == from || i > 6 {
		return 0
	}
	return i
}

// badUnit reports why what stands behind a number is no unit, "" when it is one: a word of letters
// and signs, in which digits are exponents (m3/h).
func badUnit(b []byte) string {
	if len(b) > maxUnit {
		return notANumber
	}
	if b[0] == 'x' || b[0] == 'X' {
		return "must be a number, and no hexadecimal one: send it in decimal"
	}
	if len(b) == 1 && (b[0] == 'k' || b[0] == 'M') {
		return fmt.Sprintf("ends in %q, which can mean a thousand or a unit: send the whole number", b)
	}
	named := false
	var prev rune
	for i := 0; i < len(b); {
		r, w := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && w == 1 {
			r = rune(b[i]) // ISO 8859-1
		}
		switch {
		case unicode.IsLetter(r), strings.ContainsRune("%‰°µ²³\"€$£", r):
			named = true
		case strings.ContainsRune("/·*^().-_", r):
		case (r == '2' || r == '3') && (unicode.IsLetter(prev) || prev == '^') && prev != 'x':
		default:
			return notANumber
		}
		prev, i = r, i+w
	}
	if !named {
		return notANumber
	}
	return ""
}
