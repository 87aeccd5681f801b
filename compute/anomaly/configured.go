package anomaly

import (
	"slices"

	"skerry.dev/compute/internal/setting"
	"skerry.dev/compute/state"
)

// configured is a scorer with the settings that all have: its scores may go through a
// [Likelihood], and an episode may be reported once.
type configured struct {
	configurable
	rows, hold int64
	likelihood *Likelihood
	peaks      peaks
}

func (c *configured) settings() []setting.Setting {
	all := c.configurable.settings()
	if !slices.ContainsFunc(all, func(s setting.Setting) bool { return s.Name == "hold" }) {
		all = append(all, holding(&c.hold))
	}
	runs := setting.Whole("likelihood", &c.rows, 0, 1<<20, "scores with which the mean of the last ten is compared, so that streams with many high scores need more for an alarm; 0 leaves scores as they are")
	runs.Allowed = "0 or a whole number from 100 to 1048576"
	within := runs.Set
	runs.Set = func(s string) bool { return within(s) && (c.rows == 0 || c.rows >= 100) }
	return append(all, runs)
}

func (c *configured) start(schema Schema) error {
	if c.rows > 0 {
		l, err := NewLikelihood(int(c.rows))
		if err != nil {
			return err
		}
		c.likelihood = l
	}
	c.peaks = newPeaks(int(c.hold))
	return c.configurable.start(schema)
}

// Update implements Scorer.
func (c *configured) Update(x []float64, t int64) float64 {
	s := c.configurable.Update(x, t)
	if c.likelihood != nil {
		s = c.likelihood.Update(s)
	}
	if c.hold > 0 && !c.peaks.add(s) {
		return 0
	}
	return s
}

// Limit implements Scorer.
func (c *configured) Limit() float64 {
	if c.likelihood != nil {
		return 0.5
	}
	return c.configurable.Limit()
}

// Bytes implements Scorer.
func (c *configured) Bytes() int {
	n := c.configurable.Bytes()
	if c.likelihood != nil {
		n += c.likelihood.bytes()
	}
	return n + c.peaks.bytes()
}

// Save implements Scorer.
func (c *configured) Save(w *state.Writer) {
	c.configurable.Save(w)
	if c.likelihood != nil {
		c.likelihood.Save(w)
	}
	if c.hold > 0 {
		c.peaks.save(w)
	}
}

// Load implements Scorer.
func (c *configured) Load(r *state.Reader) {
	c.configurable.Load(r)
	if c.likelihood != nil {
		c.likelihood.Load(r)
	}
	if c.hold > 0 {
		c.peaks.load(r)
	}
}
