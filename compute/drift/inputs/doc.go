// Package inputs watches rows of features, without labels, and reports when they no longer look
// like those of a reference period, which features are responsible, and how they moved.
//
// A [Reference] is what normal rows look like: per feature the shares of its values in bins, and
// means of functions of several features that see a change of dependence between them. A
// [Watcher] takes rows one by one and compares the newest of them, the window, with the reference
// every few rows. A model's confidence, or any other number that comes with a row, is one more
// column to it.
//
// False alarms are bounded in two directions. Among features at one look the false discovery rate
// is held by the procedure of Benjamini and Hochberg (1995); along the stream every look spends
// its part of the number of false alarms that are accepted per 10,000 rows. Both hold for
// independent rows. Rows of sensors follow each other closely: a window of them differs from the
// reference by more than chance allows while nothing is wrong. So the reference is also cut into
// windows of its own, and their distances, which nothing but that closeness has made, widen every
// limit: by their mean, as fewer independent rows would, and by their largest, below which
// nothing is reported. A reference should therefore be rows in order, and long enough to hold the
// usual ups and downs, such as days.
//
// Nothing allocates per row. The memory of a watcher is Window/Every blocks of one count per bin
// and feature. The same rows give the same reports, bit for bit, on every architecture.
package inputs
