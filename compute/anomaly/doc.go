// Package anomaly detects which rows of a stream are unusual, as they come.
//
// A [Scorer] gives each row a score between 0 and 1 from the rows before it, and then learns from
// it; [New] makes one by name. Which one suits:
//
//   - seasonal, for single series. It adds up the surprise, in nats, of five features against the
//     series' own past (level, change, departure from the time of day, short mean, short
//     deviation) and of two tests for histograms of a new kind. A score stands out only where an
//     episode begins or gets worse; that makes one alarm of it.
//   - pca, for columns that are measured together and usually move together: Hotelling's T² and
//     the residual Q against limits from the rows at the start.
//   - isolation-forest, half-space-trees and random-cut-forest, for rows without an order or with
//     one: they rank rows by how alone they are.
//
// Two layers turn scores into alarms. A [Likelihood] (Lavin and Ahmad) tests whether the present
// run of scores is unlikely among the last thousands; every scorer has it as a setting. An
// [Alarm] picks the scores that are rarer than a stated rate of false alarms. Scorers that
// measure against limits of their own need neither: their scores are alarms from [Scorer.Limit]
// on.
//
// Nothing here needs labels. Nothing grows without bound, nothing allocates for a row in the
// steady state, and no value, however wild, has an effect after it has left the windows.
package anomaly
