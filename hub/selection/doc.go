// Package selection turns labelled rows into an artifact by itself: it builds features, searches learners and their settings, and judges the result.
//
// [Run] never looks at the newest rows (the holdout) while it searches. Everything before them is split by time, over all devices at once: candidates
// train on what is older and are scored on what is newer. The winner is trained again on everything before the holdout and only then
// scored on it, so the figures in the manifest are what a device would have seen. What is returned is the very artifact that was scored.
//
// With Options.Trials set and no time budget the same problem and seed give the same artifact, byte for byte, on the same architecture and for every
// number of threads. A time budget makes the number of trials, and so the artifact, depend on the machine.
//
// [Judge] compares two artifacts on rows that neither was trained on, with a bound that holds however often it is asked.
package selection
