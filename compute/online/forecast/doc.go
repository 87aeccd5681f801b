// Package forecast predicts a series many steps ahead while it learns from it one value at a time.
//
// A [Forecaster] keeps the newest values and one or more models of them: the last value, the
// value one season ago, exponential smoothing after Holt and Winters (a grid of smoothing
// parameters), and an autoregression on the seasonally differenced series, fitted by recursive
// least squares. Where there are several, each makes trial forecasts over the whole horizon again
// and again, and those whose trials came closer to what followed have more weight.
//
// Values that are missing are filled by the forecast. No value can spoil a forecaster for good:
// forecasts are always finite and stay near the range of what was seen, absurd values are taken
// for missing until they persist, and a model that lost its way is built anew from the values
// that are kept. Only additions, products, quotients and roots are used, so that the same values
// give the same bits on every architecture.
package forecast
