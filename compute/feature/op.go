package feature

// Op is what a column computes. The set only grows: an artifact names ops.
type Op string

// Ops of the row itself. s is the column's Series, o its Other, as they stand at the row.
const (
	OpValue   Op = "value"   // s
	OpMissing Op = "missing" // 1 when s is missing, else 0
	// 1 when s equals Category, 0 when it has another value, missing when it is missing
	OpOneHot Op = "onehot"
	// OpTable is Table[s], Default when s is no whole number that the table has, missing when s
	// is missing: the frequency of a category, or the target's mean in it.
	OpTable Op = "table"
	// OpRatio is s / o and missing where o is 0, whatever s is: whether that means none, much or
	// nothing is known is for Impute to define.
	OpRatio      Op = "ratio"
	OpDifference Op = "difference" // s - o
	OpProduct    Op = "product"    // s · o
	// OpOutOfRange is 1 when s is outside the range its Input declares, infinities included, 0
	// when inside or at its ends, missing when s is missing.
	OpOutOfRange Op = "out_of_range"
)

// Ops of earlier rows. L is the column's Lag in microseconds, or its Rows.
const (
	// OpLag is s at the newest row not younger than L, and at most Tolerance older; by rows, s
	// that many rows ago, whenever that was.
	OpLag  Op = "lag"
	OpDiff Op = "diff" // s less its lag
	OpRate Op = "rate" // OpDiff per second that lies between the two rows; missing when none does
	// second difference: s less twice its lag L plus its lag 2L; missing when one of the three is
	OpDiff2 Op = "diff2"
	// OpLast is the newest present reading of s in the window, the look-back when none is given:
	// imputation by the last value. OpMissing distinguishes the two.
	OpLast Op = "last"
	// OpSince is the age in seconds of the newest present reading of s in the window, the
	// look-back when none is given: 0 when the row has one, missing when there is none.
	OpSince Op = "since"
)

// Ops of a window. W is the column's Window in microseconds, or its Rows. They are missing when
// the window has no present reading, unless another rule is given.
const (
	// mean of s over rows younger than W, the newest included; missing values are skipped
	OpMean  Op = "mean"
	OpStd   Op = "std"   // population standard deviation over the same
	OpMin   Op = "min"   // minimum over the same
	OpMax   Op = "max"   // maximum over the same
	OpRange Op = "range" // maximum less minimum
	OpCount Op = "count" // number of present readings, 0 when there is none
	// OpSlope is the slope per second of the least-squares line of the present readings against
	// their times; missing when they lie at one instant.
	OpSlope Op = "slope"
	// OpMedian and OpQuantile interpolate linearly between order statistics, the quantile at
	// Level from 0 to 1 (type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages",
	// 1996).
	OpMedian   Op = "median"
	OpQuantile Op = "quantile"
	// OpCrossings counts how often one present reading and the next lie on different sides of
	// their mean. Readings at the mean itself are passed over.
	OpCrossings Op = "crossings"
	OpEnergy    Op = "energy" // mean square
	// OpEWMean and OpEWStd are the mean and the population standard deviation with weights
	// 2^(-age / HalfLife) over the window, the look-back when none is given. The age is a row's
	// own, so that gaps and irregular rows weigh as they should. Readings more than 996
	// half-lives old weigh nothing.
	OpEWMean Op = "ew_mean"
	OpEWStd  Op = "ew_std"
)

// Ops of the spectrum of a window. Its present readings are put on a grid of the pipeline's
// Distance that ends at the newest row: as many points as fit the window, or as it has Rows. A
// point between two readings is interpolated linearly, one before the first or after the last
// takes it. Readings closer than the grid are not averaged, so that what is faster than it
// appears at other frequencies. The result is missing when there are fewer readings than half the
// points, rounded up.
//
// The points are centred at their mean, tapered by Hann's window and followed by zeros to the
// next power of two, N. Power is the square of the series' unit and adds up over all frequencies
// to the tapered mean square: a sine of amplitude A has A²/2 around its frequency. See Welch,
// "The Use of Fast Fourier Transform for the Estimation of Power Spectra", 1967; this is one of
// his segments.
const (
	// power at frequencies k/(N·Distance), k ≥ 1, from Low on and below High, in hertz
	OpBandPower Op = "band_power"
	// frequency in hertz that has the most power, the lowest of equals; missing when nothing varies
	OpDominant Op = "dominant"
)

// Ops of a sensor's health.
const (
	// OpStuck is 1 when s has not changed for W: the present readings in the window and the
	// newest before it are all the same. It is 0 when one differs or the look-back has none from
	// before the window, and missing when the window has none.
	OpStuck Op = "stuck"
	// OpSpike is 1 when s is farther from the median of the window than Limit times the median of
	// such distances (MAD), 0 when not or when there are fewer than three readings, missing when
	// s is missing. Where more than half the readings are the same, the MAD is 0 and everything
	// else is a spike.
	OpSpike Op = "spike"
)

// Ops of the calendar, in UTC plus Offset. They are never missing.
const (
	OpDaySin  Op = "day_sin"  // sin(2π · time of day)
	OpDayCos  Op = "day_cos"  // cos of the same
	OpWeekSin Op = "week_sin" // sin(2π · time of week)
	OpWeekCos Op = "week_cos"
	OpYearSin Op = "year_sin" // sin(2π · time of a year of 365.2425 days)
	OpYearCos Op = "year_cos"
	OpHour    Op = "hour"    // 0 to 23
	OpWeekday Op = "weekday" // 0 for Monday to 6 for Sunday
	OpMonth   Op = "month"   // 1 to 12
	OpWeekend Op = "weekend" // 1 on Saturday and Sunday, else 0
	OpHoliday Op = "holiday" // 1 on the days of Pipeline.Holidays, else 0
)

// Ops of earlier columns, as these come out of imputation and scaling.
const (
	// column Of times column By, which may be the same: the terms of a polynomial of degree 2
	OpCross Op = "cross"
	// OpPlace is where column Of lies among the quantiles in Table, from 0 to 1: 0 up to the
	// first and 1 from the last on, linear between two, the middle where several are the same.
	OpPlace Op = "place"
	OpExpr  Op = "expr" // what the program Expr leaves, see [Token]
)

// OpModule is what a function of a WebAssembly module returns for the series in Args: for their
// values at the row, or with Rows for as many of the newest rows as there are, up to Rows. It is
// missing where the call ends without a result. A program needs a runtime for it, see
// [RegisterRuntime].
const OpModule Op = "module"

// parameters of ops, as bits.
const (
	takesLag       = 1 << iota // Lag or Rows
	takesWindow                // Window or Rows
	takesReach                 // Window or Rows, or neither for the look-back
	takesOther                 // Other
	takesLevel                 // Level
	takesHalfLife              // HalfLife
	takesGrid                  // Distance of the pipeline
	takesBand                  // Low and High
	takesLimit                 // Limit
	takesRange                 // the declared range of the input
	takesHolidays              // Holidays of the pipeline
	takesOf                    // Of
	takesBy                    // By
	takesTable                 // Table
	takesQuantiles             // Table, as ascending points
	takesExpr                  // Expr
	takesModule                // Module, Func, Args, and Rows or none
)

// specs lists every op and the parameters it takes, in the order of this file.
var specs = [...]struct {
	op    Op
	takes int
}{
	{OpValue, 0}, {OpMissing, 0}, {OpOneHot, 0}, {OpTable, takesTable}, {OpRatio, takesOther}, {OpDifference, takesOther}, {OpProduct, takesOther}, {OpOutOfRange, takesRange},
	{OpLag, takesLag}, {OpDiff, takesLag}, {OpRate, takesLag}, {OpDiff2, takesLag}, {OpLast, takesReach}, {OpSince, takesReach},
	{OpMean, takesWindow}, {OpStd, takesWindow}, {OpMin, takesWindow}, {OpMax, takesWindow}, {OpRange, takesWindow}, {OpCount, takesWindow}, {OpSlope, takesWindow},
	{OpMedian, takesWindow}, {OpQuantile, takesWindow | takesLevel}, {OpCrossings, takesWindow}, {OpEnergy, takesWindow}, {OpEWMean, takesReach | takesHalfLife}, {OpEWStd, takesReach | takesHalfLife},
	{OpBandPower, takesWindow | takesGrid | takesBand}, {OpDominant, takesWindow | takesGrid}, {OpStuck, takesWindow}, {OpSpike, takesWindow | takesLimit},
	{OpDaySin, 0}, {OpDayCos, 0}, {OpWeekSin, 0}, {OpWeekCos, 0}, {OpYearSin, 0}, {OpYearCos, 0},
	{OpHour, 0}, {OpWeekday, 0}, {OpMonth, 0}, {OpWeekend, 0}, {OpHoliday, takesHolidays},
	{OpCross, takesOf | takesBy}, {OpPlace, takesOf | takesQuantiles}, {OpExpr, takesExpr},
	{OpModule, takesModule},
}

// Ops returns every op there is, always in the same order.
func Ops() []Op {
	ops := make([]Op, len(specs))
	for i := range specs {
		ops[i] = specs[i].op
	}
	return ops
}

// takes returns the parameters of an op, and whether there is such an op.
func (op Op) takes() (int, bool) {
	for i := range specs {
		if specs[i].op == op {
			return specs[i].takes, true
		}
	}
	return 0, false
}
