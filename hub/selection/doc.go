// Package selection turns labelled rows into an artifact by itself: it builds features, searches
// learners and their settings, and judges the result.
//
// [Run] never looks at the newest rows (the holdout) while it searches. Everything before them is
// split by time, over all devices at once: candidates train on what is older and are scored on
// what is newer. The winner is trained again on everything before the holdout and only then
// scored on it, so the figures in the manifest are what a device would have seen. What is
// returned is the very artifact that was scored.
//
// Columns are generated, and a quick ensemble keeps those it gains most from. Where a category
// has no column of its own because there are too many, columns hold its frequency and the target's
// mean in it; they are fitted anew to the rows that a model learns from, so that neither a
// validation row nor a row's own target enters what a model sees of it. Learners that weigh
// columns get two families more, each only where it clearly lowers the validation loss: the
// places of columns with heavy tails among their quantiles, and products of two columns.
//
// With Options.Trials set and no time budget the same problem and seed give the same artifact,
// byte for byte, on the same architecture and for every number of threads. A time budget makes
// the number of trials, and so the artifact, depend on the machine.
//
// [Retrain] goes on from the search to a model for devices: it trains on every row, the newest
// included, and judges at rolling origins, where nothing is predicted by what has seen it. Where the
// world has changed it learns from the rows since, or gives old rows less weight, if that has been
// better at the newest origins.
//
// [Judge] compares two artifacts on rows that neither was trained on. Both keep losses in blocks of
// event time and judge by how these vary, with a bound that holds however often it is computed.
package selection
