package tabular

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxUnit = 16 // bytes

// currencies are the codes that may stand before an amount. Other letters there are names: A 5.
var currencies = []string{
	"AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "INR", "JPY", "KRW", "MXN", "NOK", "NZD", "PLN", "SEK", "SGD",
	"TRY", "USD", "ZAR",
}

// amount separates a number from the one unit behind it or currency before it, as in 7.1 kg, 21.5
// °C, $7.10, -€5 and 1,234.50 USD. ok is false for any other text; the number is not read.
func amount(s string) (number, unit string, ok bool) {
	if n, ok := negative(s); ok {
		s = n
	}
	sign, rest := "", s
	if n := signLength(rest); n > 0 {
		sign, rest = rest[:n], rest[n:]
	}
	if n := currency(rest); n > 0 {
		unit, number = rest[:n], strings.TrimLeft(rest[n:], " \u00a0\u202f")
		if n := signLength(number); n > 0 && sign == "" {
			sign, number = number[:n], number[n:]
		}
	} else {
		i := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && !strings.ContainsRune(".,'’ \u00a0\u202f", r) })
		if i < 0 {
			return "", "", false
		}
		number, unit = strings.TrimRight(rest[:i], " \u00a0\u202f"), rest[i:]
		if !isUnit(unit) {
			return "", "", false
		}
	}
	if number == "" || number[0] < '0' || number[0] > '9' {
		return "", "", false
	}
	return sign + number, unit, true
}

func signLength(s string) int {
	for _, sign := range []string{"-", "+", "−"} {
		if strings.HasPrefix(s, sign) {
			return len(sign)
		}
	}
	return 0
}

// currency returns the length of the currency that a text begins with: a sign, with up to three
// letters before it as in US$, or a code.
func currency(s string) int {
	i := 0
	for i < len(s) && i < 3 && s[i] >= 'A' && s[i] <= 'Z' {
		i++
	}
	if r, n := utf8.DecodeRuneInString(s[i:]); unicode.Is(unicode.Sc, r) {
		return i + n
	}
	if i == 3 && slices.Contains(currencies, s[:3]) {
		return 3
	}
	return 0
}

// isUnit reports whether a text is a word of letters and signs, in which digits are exponents
// (m3/h).
func isUnit(s string) bool {
	named := false
	var before rune
	for _, r := range s {
		switch {
		case unicode.IsLetter(r), unicode.Is(unicode.Sc, r), strings.ContainsRune("%‰°µ²³\"″′", r):
			named = true
		case strings.ContainsRune("/·*^().-_", r):
		case (r == '2' || r == '3') && (unicode.IsLetter(before) || before == '^'):
		default:
			return false
		}
		before = r
	}
	return named && len(s) <= maxUnit
}
