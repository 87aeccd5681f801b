package forecast

import "fmt"

// Powers of the errors' inverse by which models are weighted: few models that differ much deserve
// more of an average than many of a kind.
const (
	autoPower = 4
	gridPower = 12
)

// newHoltWinters returns a panel over a grid of smoothing parameters. A series of steady seasons
// needs a level that hardly moves or stays where it began, one that wanders a fast level; how
// steady the seasons are and whether errors last is found out as well. The shares of the error
// that the level and two seasons take sum to less than 1, so that all of them are stable.
func newHoltWinters(o *Options) *panel {
	var members []model
	add := func(p smoothing) { members = append(members, newSmoother(p, o.Seasons)) }
	shares := []float64{0.05, 0.15, 0.35}
	if len(o.Seasons) == 0 {
		shares = []float64{0}
	}
	for _, level := range []float64{0, 0.005, 0.03, 0.15} {
		for _, seasons := range shares {
			for _, memory := range []float64{0, 0.7} {
				add(smoothing{level: level, damping: o.Damping, seasons: seasons, memory: memory})
			}
		}
	}
	for _, level := range []float64{0.02, 0.1, 0.3} {
		add(smoothing{level: level, trend: 0.1, damping: o.Damping, seasons: 0.2})
	}
	if len(o.Seasons) == 0 {
		add(smoothing{level: 0.8, damping: o.Damping})
		add(smoothing{level: 0.8, trend: 0.3, damping: o.Damping})
	}
	return newPanel(members, o.Horizon, gridPower)
}

// newAuto returns a panel over all learners, those that work on one season once for each.
func newAuto(o *Options) *panel {
	members := []model{naive{1}}
	for _, n := range o.Seasons {
		members = append(members, naive{n})
	}
	for _, n := range bases(o) {
		members = append(members, newAutoregression(n, o.Seasons, o.Forget, o.Horizon))
	}
	return newPanel(append(members, newHoltWinters(o)), o.Horizon, autoPower)
}

// bases are the seasons whose changes an autoregression explains: the change since the value
// before, where there are none.
func bases(o *Options) []int {
	if len(o.Seasons) == 0 {
		return []int{1}
	}
	return o.Seasons
}

// autoNames are the members of newAuto.
func autoNames(o *Options) []string {
	names := []string{Last}
	for _, n := range o.Seasons {
		names = append(names, fmt.Sprintf("%s %d", SeasonalNaive, n))
	}
	for _, n := range bases(o) {
		names = append(names, fmt.Sprintf("%s %d", SeasonalAR, n))
	}
	return append(names, HoltWinters)
}
