// Package gbdt trains gradient-boosted regression trees on binned data.
//
// Trees grow leaf by leaf, the largest gain first (Shi 2007; Ke et al., "LightGBM", NeurIPS
// 2017). Split gains come from histograms of gradients that are rounded to integers, so their
// sums are exact and do not depend on the order of addition: the model is the same, bit for bit,
// for every number of threads, and the histogram of a sibling is an exact difference. Leaf values
// come from the unrounded gradients; those of absolute and quantile loss are the median or
// quantile of the residuals in the leaf (Friedman 2001).
//
// The same data, parameters and seed give the same model, to the bit and on every architecture.
package gbdt
