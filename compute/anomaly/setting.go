package anomaly

import (
	"fmt"
	"strconv"
	"time"

	"skerry.dev/compute/internal/setting"
)

// holding makes one alarm of an episode.
func holding(p *int64) setting.Setting {
	return setting.Whole("hold", p, 0, 1<<16, "rows after a score in which only a higher one counts and all others are 0: an episode is reported where it begins and where it gets worse")
}

// seed is any number that starts the random ones.
func seed(p *uint64) setting.Setting { return setting.Seed(p, "start of the random numbers") }

// seasonPeriod reads a season's length, in microseconds or rows, and into how many bins it is
// divided: five minutes or more each, which no daily pattern is finer than.
func seasonPeriod(s string, timed bool) (period int64, bins int, err error) {
	const maxBins = 288
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
		return d.Microseconds(), maxBins, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 2 || n > 1<<32 {
		return 0, 0, fmt.Errorf(`period %q: must be a number of rows from 2 to %d, or "none", since the stream has no times`, s, int64(1)<<32)
	}
	return n, int(min(n, maxBins)), nil
}
