package feature

// Lengths of the cycles in microseconds.
const (
	day  = 24 * 3600 * 1_000_000
	week = 7 * day
	year = 31_556_952 * 1_000_000 // 365.2425 days

	mondayOffset = 4 * day // 1970-01-01 was a Thursday; the week starts on Monday
)

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
	default:
		return sinTurn(phase(t, year) + 0.25)
	}
}

// phase returns where t stands in its cycle, in [0, 1).
func phase(t, cycle int64) float64 {
	r := t % cycle
	if r < 0 {
		r += cycle
	}
	return float64(r) / float64(cycle)
}

// sinTurn returns sin(2πx) for x in [0, 1.25], to about 1e-14. The standard library's sine may differ in its last bit between architectures
// because products and sums are fused where the processor can; here every product is rounded first.
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

// TimeOfDay returns sine and cosine of the time of day (UTC), for learners that build their own inputs.
func TimeOfDay(t int64) (sin, cos float64) { return calendar(OpDaySin, t), calendar(OpDayCos, t) }
