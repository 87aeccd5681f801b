// Package health finds out whether the hub can do what it is there for, by doing it: every part is
// written to and read back, regularly and not only when somebody asks.
//
// The disk is watched apart (Disk): the hub stops taking telemetry while there is still room for
// what it must write for itself, and goes on by itself when there is room again. Devices keep what
// is not taken.
//
// What is tried each second fails each second as long as something is wrong: Repeats keeps such
// failures from filling the log.
package health
