//go:build !race

package regimes

const underRace = false
