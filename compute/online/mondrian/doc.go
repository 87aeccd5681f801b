// Package mondrian learns from a stream with aggregated Mondrian forests.
//
// A Mondrian tree cuts the space at random, more often where inputs spread more, and only within
// the boxes that rows have filled; a row outside of a node's box may put a new cut above it, so
// that the tree is distributed as if all rows had been there from the start (Lakshminarayanan,
// Roy and Teh, NIPS 2014). Every node on the way of a row predicts, and the predictions are mixed
// with weights that equal those of exponential weights over all prunings of the tree, kept
// exactly by context tree weighting (Mourtada, Gaïffas and Scornet, "AMF: aggregated Mondrian
// forests for online learning", JRSS B 83, 2021). There is nothing to tune, and no grace period:
// forests are good after few rows.
//
// Trees grow with the rows. One that has filled its share of MaxBytes starts anew, each at
// another time, so that the forest stays within its budget and forgets what is long past; a
// single tree goes on without new cuts.
//
// Cuts fall on an input in proportion to how far a row leaves the box, in the Unit that the
// options name. Codes of categories are taken as numbers. A missing value leaves its input's box
// alone, and at a cut on it a row goes where most rows went; a number beyond ±1e100 is taken for
// a fault and counts as missing, one beyond 20 standard deviations of those before as one at that
// bound.
//
// Unlike river's, a forest cuts nodes of one class as well, unless KeepPure: on river's Bananas
// stream that is the difference between 0.89 and 0.70.
package mondrian
