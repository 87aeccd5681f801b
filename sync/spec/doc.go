// Package spec defines the documents that agent and hub exchange and people write: the task file,
// the desired state the hub assigns to a device, and the state a device reports back.
//
// A task file is parsed strictly: an unknown key, a duplicate key or a value outside its range is
// an [Error] that names the path, the value, what is allowed and the line it stands on. All
// problems of a file are reported at once.
package spec
