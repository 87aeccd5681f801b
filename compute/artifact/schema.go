package artifact

import (
	"encoding/json"
	"fmt"

	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
)

// CheckSchema refuses inputs and classes that no artifact can describe, so that this is known before
// a training: too many of them, or names that together take more than a section may have. The
// pipeline is taken to have a column for each input at least.
func CheckSchema(m *Manifest) error {
	if n := len(m.Inputs); n > ensemble.MaxInputs {
		return fmt.Errorf("%d inputs, an artifact has at most %d: leave some out", n, ensemble.MaxInputs)
	}
	if n := len(m.Output.Classes); n > ensemble.MaxOutputs {
		return fmt.Errorf("%d classes, an artifact has at most %d: group the rare ones, or take the target as a number (kind regression)", n, ensemble.MaxOutputs)
	}
	p := feature.Pipeline{Inputs: m.Inputs, Rows: 1}
	for i, in := range m.Inputs {
		p.Columns = append(p.Columns, feature.Column{Name: in.Name, Op: feature.OpValue, Series: i})
	}
	for tag, v := range map[string]any{tagManifest: m, tagPipeline: &p} {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if limit := int(sectionCap[tag]); len(b) > limit {
			return fmt.Errorf("the names of %d inputs with their categories and of %d classes take %d bytes, of %d that an artifact has for them: leave columns out, such as those of free text", len(m.Inputs), len(m.Output.Classes), len(b), limit)
		}
	}
	return nil
}
