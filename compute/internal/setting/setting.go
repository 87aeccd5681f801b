// Package setting reads settings that users give by name, as text, into the variables they are
// for. A message about a wrong one names what it was and what is allowed.
package setting

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Setting binds a name to a variable. Get is its present value, as a text that Set takes; Set
// reports whether a text is allowed, and changes the variable only then.
type Setting struct {
	Name, Help, Allowed string
	Get                 func() string
	Set                 func(string) bool
}

// Described is a setting as help texts and reports show it.
type Described struct {
	Name    string
	Value   string // what it is, by default what it would be
	Allowed string // "a whole number from 1 to 1024", "up, down or both"
	Help    string
}

// Whole is an integer from low to high.
func Whole[T ~int | ~int64](name string, p *T, low, high T, help string) Setting {
	return Setting{name, help, fmt.Sprintf("a whole number from %d to %d", low, high), func() string { return strconv.FormatInt(int64(*p), 10) }, func(s string) bool {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil || v < int64(low) || v > int64(high) {
			return false
		}
		*p = T(v)
		return true
	}}
}

// Number is a float between low and high, without them; with infinite ones, any but NaN and the
// infinities.
func Number(name string, p *float64, low, high float64, help string) Setting {
	allowed := fmt.Sprintf("a number above %g and below %g", low, high)
	if math.IsInf(low, -1) && math.IsInf(high, 1) {
		allowed = "a number"
	}
	return Setting{name, help, allowed, func() string { return strconv.FormatFloat(*p, 'g', -1, 64) }, func(s string) bool {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v > low && v < high) {
			return false
		}
		*p = v
		return true
	}}
}

// Choice is one of a few words, the values of an integer from 0 on.
func Choice[T ~int](name string, p *T, words []string, help string) Setting {
	allowed := strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
	return Setting{name, help, allowed, func() string { return words[*p] }, func(s string) bool {
		i := slices.Index(words, strings.ToLower(s))
		if i >= 0 {
			*p = T(i)
		}
		return i >= 0
	}}
}

// Flag is true or false.
func Flag(name string, p *bool, help string) Setting {
	return Setting{name, help, "true or false", func() string { return strconv.FormatBool(*p) }, func(s string) bool {
		v, err := strconv.ParseBool(s)
		if err == nil {
			*p = v
		}
		return err == nil
	}}
}

// Seed is any number that random ones start from.
func Seed(p *uint64, help string) Setting {
	return Setting{"seed", help, "a whole number from 0", func() string { return strconv.FormatUint(*p, 10) }, func(s string) bool {
		v, err := strconv.ParseUint(s, 10, 64)
		if err == nil {
			*p = v
		}
		return err == nil
	}}
}

// Text is any text; who owns the variable checks it.
func Text(name string, p *string, allowed, help string) Setting {
	return Setting{name, help, allowed, func() string { return *p }, func(s string) bool {
		*p = s
		return true
	}}
}

// Apply sets what is given, by names in which capital letters, and hyphens for underscores, do
// not matter. The error names everything that is wrong, its value and what is allowed; owner is
// whose settings they are.
func Apply(owner string, all []Setting, given map[string]string) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(given)) {
		i := slices.IndexFunc(all, func(s Setting) bool { return s.Name == Canonical(key, "_") })
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s has no setting %q: there are %s", owner, key, list(all)))
			continue
		}
		if !all[i].Set(strings.TrimSpace(given[key])) {
			errs = append(errs, fmt.Errorf("%s: %s %q: must be %s", owner, all[i].Name, given[key], all[i].Allowed))
		}
	}
	return errors.Join(errs...)
}

// Describe returns the settings with their present values.
func Describe(all []Setting) []Described {
	out := make([]Described, len(all))
	for i, s := range all {
		out[i] = Described{s.Name, s.Get(), s.Allowed, s.Help}
	}
	return out
}

// Canonical makes names comparable: in small letters, with join for every underscore, hyphen and
// space.
func Canonical(name, join string) string {
	return strings.NewReplacer("_", join, "-", join, " ", join).Replace(strings.ToLower(strings.TrimSpace(name)))
}

func list(all []Setting) string {
	parts := make([]string, len(all))
	for i, s := range all {
		parts[i] = fmt.Sprintf("%s (%s, default %s)", s.Name, s.Allowed, s.Get())
	}
	return strings.Join(parts, "; ")
}
