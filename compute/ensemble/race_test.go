//go:build race

package ensemble

// raced means that the race detector is on, under which sync.Pool forgets at random.
const raced = true
