package anomaly

import (
	"fmt"
	"strconv"
	"time"
)

// setting binds a name to a field of a scorer.
type setting struct {
	name, help, allowed string
	get                 func() string
	set                 func(string) bool
}

// wholeNumber is an integer from low to high.
func wholeNumber(name string, p *int64, low, high int64, help string) setting {
	return setting{name, help, fmt.Sprintf("a whole number from %d to %d", low, high), func() string { return strconv.FormatInt(*p, 10) }, func(s string) bool {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil || v < low || v > high {
			return false
		}
		*p = v
		return true
	}}
}

// holding makes one alarm of an episode.
func holding(p *int64) setting {
	return wholeNumber("hold", p, 0, 1<<16, "rows after a score in which only a higher one counts and all others are 0: an episode is reported where it begins and where it gets worse")
}

// seed is any number that starts the random ones.
func seed(p *uint64) setting {
	return setting{"seed", "start of the random numbers", "a whole number from 0", func() string { return strconv.FormatUint(*p, 10) }, func(s string) bool {
		v, err := strconv.ParseUint(s, 10, 64)
		if err == nil {
			*p = v
		}
		return err == nil
	}}
}

// number is a float between low and high, without them.
func number(name string, p *float64, low, high float64, help string) setting {
	return setting{name, help, fmt.Sprintf("a number above %g and below %g", low, high), func() string { return strconv.FormatFloat(*p, 'g', -1, 64) }, func(s string) bool {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v > low && v < high) {
			return false
		}
		*p = v
		return true
	}}
}

// text is checked by the scorer when it starts.
func text(name string, p *string, allowed, help string) setting {
	return setting{name, help, allowed, func() string { return *p }, func(s string) bool {
		*p = s
		return true
	}}
}

// seasonPeriod reads a season's length, in microseconds or rows, and into how many bins it is divided: five minutes or more each, which no daily pattern is finer than.
func seasonPeriod(s string, timed bool) (period int64, bins int, err error) {
	const most = 288
	if s == "" && timed {
		s = "24h"
	}
	if s == "" || s == "none" {
		return 0, 0, nil
	}
	if timed {
		d, err := time.ParseDuration(s)
		if err != nil || d < time.Minute || d > 400*24*time.Hour {
			return 0, 0, fmt.Errorf(`period %q: must be a duration from 1m to 9600h, or "none"`, s)
		}
		return d.Microseconds(), most, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 2 || n > 1<<32 {
		return 0, 0, fmt.Errorf(`period %q: must be a number of rows from 2 to %d, or "none", since the stream has no times`, s, int64(1)<<32)
	}
	return n, int(min(n, most)), nil
}
