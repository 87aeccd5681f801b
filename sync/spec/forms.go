package spec

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxWords bounds the words of an input.
const MaxWords = 256

// checkForms checks how an input's or a target's payloads are written.
func checkForms(bad func(path, value, msg string), at string, tm InputTime, num NumberForm, words map[string]float64, categories []string) {
	checkTime(bad, at+".time", tm.Format, tm.Zone)
	if err := CheckPath(tm.Path); err != nil {
		bad(at+".time.path", tm.Path, err.Error())
	}
	if num.Decimal != "" && num.Decimal != "." && num.Decimal != "," {
		bad(at+".number.decimal", num.Decimal, `must be "." or ","`)
	}
	if strings.ContainsAny(num.Strip, "0123456789") || len(num.Strip) > 64 {
		bad(at+".number.strip", num.Strip, "must be a unit or another text of at most 64 bytes without digits")
	}
	if len(categories) > 0 && (len(words) > 0 || num != NumberForm{}) {
		bad(at+".categories", strings.Join(categories, ", "), "an input has categories or is a number: remove categories, or words and number")
	}
	if len(words) > MaxWords {
		bad(at+".words", fmt.Sprint(len(words)), fmt.Sprintf("at most %d", MaxWords))
	}
	numbers := map[float64]string{} // words that are numbers
	for _, w := range slices.Sorted(maps.Keys(words)) {
		v := words[w]
		if math.IsNaN(v) || math.IsInf(v, 0) {
			bad(at+".words."+w, fmt.Sprint(v), "must be a finite number")
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(w), 64)
		if err != nil {
			continue
		}
		if other, twice := numbers[n]; twice && words[other] != v {
			bad(at+".words."+w, fmt.Sprint(v), fmt.Sprintf("is the same number as %q, which means %v: remove one", other, words[other]))
		}
		numbers[n] = w
	}
}

// checkClasses reports what is wrong with the classes of a classification.
func checkClasses(bad func(path, value, msg string), names []string) {
	if n := len(names); n < 2 || n > MaxClasses {
		bad("target.categories", strconv.Itoa(n)+" classes", fmt.Sprintf("name the classes that the task tells apart, 2 to %d, as labels spell them", MaxClasses))
	}
	checkNames(bad, "target.categories", "class", names)
}

// checkNames reports names of categories that are empty, too long, or there twice.
func checkNames(bad func(path, value, msg string), path, what string, names []string) {
	seen := map[string]int{}
	for i, name := range names {
		key := fmt.Sprintf("%s[%d]", path, i)
		if strings.TrimSpace(name) == "" || len(name) > maxClassName {
			bad(key, name, fmt.Sprintf("must be a name of 1 to %d bytes", maxClassName))
		} else if j, twice := seen[name]; twice {
			bad(key, name, fmt.Sprintf("is the %s %s[%d] already: remove one", what, path, j))
		}
		seen[name] = i
	}
}

// maxClassName bounds the name of a class, in bytes: every prediction names all of them.
const maxClassName = 256

func checkTime(bad func(path, value, msg string), at, format, zone string) {
	if err := CheckTimeFormat(format); err != nil {
		bad(at+".format", format, err.Error())
	}
	if _, err := Zone(zone); err != nil {
		bad(at+".zone", zone, err.Error())
	}
}

// CheckTimeFormat reports what is wrong with a format of event times, nil when it can be used.
// Empty is allowed.
func CheckTimeFormat(format string) error {
	switch format {
	case "", "auto", "rfc3339", "unix", "unix_ms", "unix_us", "unix_ns":
		return nil
	}
	if strings.Contains(format, "2006") { // and what gives back day and clock
		at := time.Date(2026, 11, 29, 13, 14, 15, 0, time.UTC)
		if got, err := time.Parse(format, at.Format(format)); err == nil && got.YearDay() == at.YearDay() && got.Hour() == at.Hour() {
			return nil
		}
	}
	return errors.New(`must be auto, rfc3339, unix, unix_ms, unix_us, unix_ns or a layout that writes the 2nd of January 2006, 15:04:05, such as "02/01/2006 15:04:05"`)
}

// Zone finds the zone of times that say none, by its name in the IANA database or as an offset.
// It returns nil for an empty name.
func Zone(name string) (*time.Location, error) {
	if name == "" {
		return nil, nil
	}
	if t, err := time.Parse("-07:00", name); err == nil {
		_, seconds := t.Zone()
		return time.FixedZone(name, seconds), nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, errors.New("must be a zone such as Europe/Berlin, UTC or +02:00; names need the system's zone database (package tzdata) or the full build of the agent")
	}
	return loc, nil
}
