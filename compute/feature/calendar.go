package feature

import (
	"fmt"
	"slices"
	"time"
)

// Lengths of the cycles in microseconds.
const (
	day  = 24 * 3600 * 1_000_000
	week = 7 * day
	year = 31_556_952 * 1_000_000 // 365.2425 days

	mondayOffset = 4 * day // 1970-01-01 was a Thursday; the week starts on Monday
)

// calendar computes an op at a local time in microseconds.
func calendar(op Op, t int64) float64 {
	switch op {
	case OpDaySin:
		return sinTurn(phase(t, day))
	case OpDayCos:
		return sinTurn(phase(t, day) + 0.25)
	case OpWeekSin:
		return sinTurn(phase(t-mondayOffset, week))
	case OpWeekCos:
		return sinTurn(phase(t-mondayOffset, week) + 0.25)
	case OpYearSin:
		return sinTurn(phase(t, year))
	case OpYearCos:
		return sinTurn(phase(t, year) + 0.25)
	case OpHour:
		return float64(since(t, day) / (day / 24))
	case OpWeekday:
		return float64(since(t-mondayOffset, week) / day)
	case OpMonth:
		return float64(time.UnixMicro(t).UTC().Month())
	default: // OpWeekend
		if since(t-mondayOffset, week) >= 5*day {
			return 1
		}
		return 0
	}
}

// Day is a date, counted in days from 1970-01-01. Its text is like 2026-12-25.
type Day int32

const dayLayout = "2006-01-02"

// DayOf returns the date of a time in microseconds.
func DayOf(t int64) Day { return Day((t - since(t, day)) / day) }

// String returns the date as text.
func (d Day) String() string { return time.UnixMicro(int64(d) * day).UTC().Format(dayLayout) }

// MarshalText implements encoding.TextMarshaler, for JSON.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It takes dates of the years 0 to 9999.
func (d *Day) UnmarshalText(b []byte) error {
	t, err := time.Parse(dayLayout, string(b))
	if err != nil {
		return fmt.Errorf("holiday %q is no date like 2026-12-25", b)
	}
	*d = DayOf(t.UnixMicro())
	return nil
}

// holiday returns 1 when the day of a local time is among the pipeline's holidays, else 0.
func (p *Pipeline) holiday(t int64) float64 {
	if _, ok := slices.BinarySearch(p.Holidays, DayOf(t)); ok {
		return 1
	}
	return 0
}

// since returns how far t is into its cycle, in [0, cycle).
func since(t, cycle int64) int64 {
	r := t % cycle
	if r < 0 {
		r += cycle
	}
	return r
}

// phase returns where t stands in its cycle, in [0, 1).
func phase(t, cycle int64) float64 { return float64(since(t, cycle)) / float64(cycle) }

// sinTurn returns sin(2πx) for x in [0, 1.25], to about 1e-14. The standard library's sine may
// differ in its last bit between architectures because products and sums are fused where the
// processor can; here every product is rounded first.
func sinTurn(x float64) float64 {
	if x >= 1 {
		x--
	}
	sign := 1.0
	if x >= 0.5 {
		x, sign = x-0.5, -1
	}
	if x > 0.25 {
		x = 0.5 - x // sin is symmetric around a quarter turn
	}
	const tau = 6.283185307179586
	a := float64(tau * x) // 0 to π/2
	s := float64(a * a)
	// Taylor series to a^17: the remainder at π/2 is below 5e-14.
	p := 1.0
	for k := 17; k >= 3; k -= 2 {
		p = 1 - float64(float64(s*p)/float64(k*(k-1)))
	}
	return sign * float64(a*p)
}

// TimeOfDay returns sine and cosine of the time of day (UTC), for learners that build their own
// inputs.
func TimeOfDay(t int64) (sin, cos float64) { return calendar(OpDaySin, t), calendar(OpDayCos, t) }
