package spec

import (
	"fmt"
	"slices"
	"time"

	"skerry.dev/compute/feature"
)

// Calendar describes what the clock on the wall and the calendar beside it show where the sensors
// are: days and weeks begin by it in features, and holidays are one.
type Calendar struct {
	UTCOffset string   `yaml:"utc_offset,omitempty"` // "+08:00"; default +00:00
	Holidays  []string `yaml:"holidays,omitempty"`   // local dates, "2026-12-25"
}

// Read returns the offset from UTC in microseconds and the holidays in order, each once.
func (c *Calendar) Read() (offsetUS int64, holidays []feature.Day, err error) {
	if c.UTCOffset != "" {
		t, err := time.Parse("-07:00", c.UTCOffset)
		if err != nil {
			return 0, nil, fmt.Errorf("utc_offset %q: must be like +08:00 or -03:30", c.UTCOffset)
		}
		_, seconds := t.Zone()
		offsetUS = int64(seconds) * 1e6
	}
	if len(c.Holidays) > feature.MaxHolidays {
		return 0, nil, fmt.Errorf("%d holidays, at most %d", len(c.Holidays), feature.MaxHolidays)
	}
	for _, text := range c.Holidays {
		var d feature.Day
		if err := d.UnmarshalText([]byte(text)); err != nil {
			return 0, nil, err
		}
		holidays = append(holidays, d)
	}
	slices.Sort(holidays)
	return offsetUS, slices.Compact(holidays), nil
}
