// Package fit runs model selection over a file, without a fleet: it turns a table into a learning
// problem, keeps rows aside that the search never sees, and scores the artifact on them row by
// row, as a device would.
//
// With a horizon the table is one device's readings in time order and the target is forecast;
// rows are joined by the engine. Without one every row stands for itself.
package fit
