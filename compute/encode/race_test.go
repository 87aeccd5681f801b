//go:build race

package encode_test

const underRace = true
