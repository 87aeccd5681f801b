// Package fitting chooses parameters of feature columns from training rows: scalings that
// outliers do not move, tables for categories, products worth having.
//
// Everything here is for training and not linked into a device. Values that are missing (NaN) or
// infinite are left out. The same data, options and seed give the same bits on every
// architecture.
//
// A table that was made from targets must not be shown the rows it was made from: [Target]
// therefore gives the training rows encodings of their own.
package fitting
