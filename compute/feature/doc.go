// Package feature turns the rows a task joined into the numbers a model sees.
//
// A Row holds one value per input series (missing = NaN) at one event time. A fitted [Pipeline]
// is a list of steps, its columns, and the value of every column at a row is a pure function of
// that row and at most Rows-1 rows before it in the same [History]. Nothing is carried from row
// to row, so a pipeline computes the same bits row by row at the agent and over whole tables at
// the hub, a new pipeline can start in the middle of a stream, and there is no state to save but
// the history.
//
// [Op] lists what a column can compute: values, lags and differences, statistics and spectra of a
// window, the calendar, the health of a sensor, two sensors together, tables of categories,
// arithmetic on series and earlier columns, and functions of WebAssembly modules where a program
// has a runtime for them (feature/wasm). Package feature/fitting chooses the parameters from
// data.
//
// # Missing values and time
//
// Four rules hold, but the first two not for value, lag, diff, mean, std, min and max, which hand
// infinite readings on: what they compute is fixed by artifacts in use.
//
//   - An infinite reading counts as missing.
//   - A result that is not finite, because it overflows or is not defined, is missing (NaN).
//     Impute then defines what it means.
//   - Windows and lags count by event time or by rows. A window by time holds the rows younger
//     than it at the newest row, however many; a window by rows the newest rows, however old.
//     Missing readings are left out of both. Rows beyond the look-back are out of reach in
//     either.
//   - Sampling may be irregular and have gaps: what depends on time uses the rows' own times.
//     Rows of the same time are all rows. Where a row is younger than the newest, as a clock that
//     was put back makes it, it counts as younger than every window.
//
// The same rows give the same bits on every architecture.
//
// # Cost
//
// The cost of a row is that of visiting the rows of each window once per series: columns over the
// same window of the same series share the visit, the mean and deviation, the sorted readings and
// the spectrum, and all columns with one half-life its weights. Over 256 rows, the most there can
// be, a visit takes about 1 µs on a server's core, a mean, slope or count of crossings up to 1 µs
// more, exponential weights 5 µs, sorting for a median, quantile or spike 4 to 8 µs and a
// spectrum 10 µs. Columns without a window take 10 to 100 ns, an expression 5 to 10 ns for each
// token. BenchmarkColumn measures each op. The evaluator of a pipeline holds a few kilobytes, 2
// KiB for each half-life and as many numbers as a grid of spectra has points.
package feature
