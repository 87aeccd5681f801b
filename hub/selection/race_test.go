//go:build race

package selection

const underRace = true
