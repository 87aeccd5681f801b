package forecast

import "skerry.dev/compute/state"

// model is one way to go on with a history. Its forecasts need not be within any bounds, but a
// model that left the range of the values for good is built anew.
type model interface {
	// learn takes the newest value of h; filled reports that it was missing, and is a forecast.
	learn(h *history, filled bool)
	// forecast writes the values after those of h.
	forecast(dst []float64, h *history)
	// rebuild forgets everything but h.
	rebuild(h *history)
	bytes() int
	save(w *state.Writer)
	load(r *state.Reader)
}

// naive repeats the last season; with season 1, the last value.
type naive struct{ season int }

func (n naive) learn(*history, bool)               {}
func (n naive) forecast(dst []float64, h *history) { h.repeat(dst, n.season) }
func (n naive) rebuild(*history)                   {}
func (n naive) bytes() int                         { return 8 }
func (n naive) save(*state.Writer)                 {}
func (n naive) load(*state.Reader)                 {}
