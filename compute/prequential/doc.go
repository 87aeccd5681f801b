// Package prequential runs learners over a table: each row is predicted, the prediction is scored
// once its label is known, and only then anything learns from it.
//
// [Table] runs online learners, and a model of the hub beside them, over rows with inputs and a
// target, whose labels may come a number of rows late; [Forecast] predicts a column from its own
// past. Both hold the table, follow it in its order, and report errors, intervals, baselines and
// drifts. The same table and options give the same report but for the times that computing took.
package prequential
