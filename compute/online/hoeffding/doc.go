// Package hoeffding grows decision trees from a stream, one row at a time, and builds forests of
// them that follow drift.
//
// A leaf of a Hoeffding tree keeps, for each class, a Gaussian of every number and counts of
// every category. When the best split is better than the second best by more than Hoeffding's
// bound allows for chance, the leaf is split for good (Domingos and Hulten, "Mining high-speed
// data streams", KDD 2000). Leaves predict with naive Bayes or the majority class, whichever was
// right more often there (Gama, Rocha and Medas, KDD 2003).
//
//   - [Tree] is that tree, [Adaptive] one that replaces branches whose error grows (HAT), [Fast]
//     one that splits early and revises its splits (EFDT).
//   - [Forest] is the adaptive random forest (ARF), [Bagging] leveraging bagging and [Patches]
//     streaming random patches (SRP): ensembles of trees whose members are replaced when ADWIN
//     sees their errors change.
//   - [RegressionTree] and [RegressionForest] learn numbers.
//
// Defaults are those of river 0.26 and MOA. A missing number or category takes no part in its
// column's statistics; at a split on a missing value a row goes where most rows went. A number
// beyond ±1e100 is taken for a fault and counts as missing, one beyond 20 standard deviations of
// what its leaf has seen as one at that bound. Every learner keeps its state below MaxBytes: the
// leaves that promise least stop learning first (Kirkby, "Improving Hoeffding Trees", 2007).
package hoeffding
