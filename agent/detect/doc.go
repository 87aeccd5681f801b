// Package detect runs detectors over a table: of drift over the numbers of a column ([Drift]) or
// over rows against a reference ([Inputs]), and of unusual rows ([Anomalies]).
//
// Tables are read by compute/tabular. A column is read as a stream; rows that are compared or
// scored are held. Reports are what the commands write as JSON; errors name an option as the
// command line does.
package detect
