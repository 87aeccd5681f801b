package selection

import (
	"fmt"
	"math"

	"skerry.dev/compute/feature"
)

// tryRows is how many of a device's rows modules are tried on before anything is learned.
const tryRows = 100

// checkModules runs the features that call modules on the newest rows of every device. A model
// can do with values that are missing now and then, but a feature that fails wherever it is
// computed would be learned to be worth nothing, and nothing would be reported.
func (p *Problem) checkModules() error {
	for _, c := range p.Features {
		if c.Op != feature.OpModule {
			continue
		}
		if c.Rows > 0 && p.Independent {
			return fmt.Errorf("feature %q takes %d rows, but every row stands for itself: it needs a forecast", c.Name, c.Rows)
		}
		if err := p.tryModule(c); err != nil {
			return err
		}
	}
	return nil
}

// tryModule runs one of them.
func (p *Problem) tryModule(c feature.Column) error {
	look := max(1, min(c.Rows, feature.MaxLookback))
	eval, err := feature.NewEvaluator(&feature.Pipeline{
		Inputs:  p.Inputs,
		Columns: []feature.Column{c},
		Rows:    look,
		Modules: p.Modules,
	})
	if err != nil {
		return fmt.Errorf("features: %w", err)
	}
	var out [1]float64
	asked := 0
	for d := range p.Devices {
		s := &p.Devices[d]
		h := feature.NewHistory(len(p.Inputs), look)
		for i := max(0, len(s.Times)-tryRows); i < len(s.Times); i++ {
			h.Push(s.Times[i], s.Values[i])
			if err := eval.Into(out[:], h); err != nil {
				return fmt.Errorf("features: %w", err)
			}
			if !math.IsNaN(out[0]) {
				return nil
			}
			asked++
		}
	}
	if _, err := eval.Faults(); err != nil {
		return fmt.Errorf("features have no value in any of %d rows: %w", asked, err)
	}
	return nil
}
