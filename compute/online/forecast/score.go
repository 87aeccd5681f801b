package forecast

import "math"

// SMAPE returns the symmetric mean absolute percentage error, 0 to 200, as the M4 competition
// defines it (Makridakis et al., Int. J. Forecasting 36, 2020): the mean of 200·|y−f|/(|y|+|f|).
// A value that is 0 and predicted as 0 has no error. NaN for no values.
func SMAPE(truth, forecast []float64) float64 {
	sum := 0.0
	for i, y := range truth {
		sum += Percentage(y, forecast[i])
	}
	return sum / float64(len(truth))
}

// Percentage is the symmetric percentage error of one value.
func Percentage(y, f float64) float64 {
	size := max(math.Abs(y), math.Abs(f))
	if size == 0 {
		return 0
	}
	y, f = y/size, f/size // so that the sum of large numbers does not overflow
	return 200 * (math.Abs(y-f) / (math.Abs(y) + math.Abs(f)))
}

// MASE returns the mean absolute error in units of the mean absolute change against one season
// ago in train (Hyndman and Koehler, Int. J. Forecasting 22, 2006). NaN for no values, or when
// train is no longer than a season; an infinity when it repeats exactly.
func MASE(truth, forecast, train []float64, season int) float64 {
	e, unit := 0.0, 0.0
	for i, y := range truth {
		e += math.Abs(y - forecast[i])
	}
	for i := season; i < len(train); i++ {
		unit += math.Abs(train[i] - train[i-season])
	}
	return e / float64(len(truth)) / (unit / float64(max(len(train)-season, 0)))
}
