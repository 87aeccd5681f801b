//go:build race

package engine

// raced says that the race detector is on, under which learning from years of readings takes minutes.
const raced = true
