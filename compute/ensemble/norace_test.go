//go:build !race

package ensemble

const raced = false
