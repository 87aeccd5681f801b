// Package regimes holds the test of retraining after a change of regime: on four real stations and
// two generated series whose world changed 14, 30, 60 and 90 days ago, what the hub learns must
// beat the last value and the old champion on the rows that come after the training, and what does
// not beat them must not pass. `make retraining` prints the table.
package regimes
