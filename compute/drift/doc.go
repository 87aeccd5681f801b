// Package drift watches a stream of numbers, most often prequential errors, and reports when its
// distribution changes.
//
// A [Detector] takes one value at a time, keeps little state and is not safe for concurrent use.
// After it reports a drift it has forgotten the old concept; the next value belongs to the new
// one. Detectors with a warning zone are a [Warner] as well. [New] makes any of them from its
// name and settings, [Names] and [Settings] list what there is:
//
//   - of any numbers: [ADWIN] and [SEED] compare parts of a window that grows and shrinks,
//     [KSWIN] two windows of fixed length by all of their distribution and [FirstKS] a window
//     with the first values, [PageHinkley] and [CUSUM] accumulate departures from the mean;
//   - of errors, 1 for a wrong prediction and 0 for a right one: [DDM], [EDDM], [RDDM], [EWMA],
//     [STEPD], [FHDDM], and [HDDMA] and [HDDMW], which also take losses in [0, 1].
//
// Alarms and warnings fall on the same positions as those of river 0.26.1 for the detectors that
// it has, and of MOA 2024.07 for the others, held by tests on recorded positions; where a
// detector departs from its reference its documentation states it. Values that are missing (NaN),
// infinite or beyond ±1e100, which no sensor means, are ignored: they leave no trace in a
// detector. [ADWIN] and [SEED], whose sums a single value could ruin, leave out fewer than five
// in a row that differ from their window by a factor of 2^40.
//
// Nothing here allocates per value once windows have grown to their size. The same values give
// the same state and the same alarms, bit for bit, on every architecture.
//
// Package drift/inputs watches rows of features without labels. [KolmogorovSmirnov] compares a
// sample with a reference.
package drift
