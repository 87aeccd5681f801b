package anomaly

import (
	"fmt"
	"strings"

	"skerry.dev/compute/internal/setting"
)

// Setting describes one setting of a scorer.
type Setting = setting.Described

// configurable is a scorer before it is started: settings are bound to its fields, and start
// makes the state.
type configurable interface {
	Scorer
	settings() []setting.Setting
	start(schema Schema) error
}

// kinds are the scorers by name.
var kinds = []struct {
	name, summary string
	make          func() configurable
}{
	{"half-space-trees", "several columns: how few rows of the last window lie near", func() configurable { return newHalfspace() }},
	{"isolation-forest", "several columns: how soon random cuts set a row apart", func() configurable { return newIsolation() }},
	{"random-cut-forest", "several columns, or the shape of one: how much a row disturbs trees of the newest rows", func() configurable { return newCutForest() }},
	{"pca", "several columns: how far from the usual, and how far from moving together; T² and Q of principal components", func() configurable { return newPCA() }},
	{"seasonal", "single series: level, change, time of day, noise and shape against the series' own past", func() configurable { return newSeasonal() }},
}

// Names returns the names that New takes.
func Names() []string {
	names := []string{"auto"}
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Resolve returns the name of the scorer that a name stands for: that which suits the schema for
// "auto", else the name itself in its canonical form. Auto is seasonal for a single series, pca
// for several that are measured over time, whose first rows are usual, and isolation-forest for
// the rows of a table, where nothing is assumed about the first.
func Resolve(name string, schema Schema) string {
	if name = setting.Canonical(name, "-"); name != "auto" && name != "" {
		return name
	}
	switch {
	case len(schema.Columns) == 1:
		return "seasonal"
	case schema.Timed:
		return "pca"
	}
	return "isolation-forest"
}

// Summary describes in a few words what a scorer watches, "" for an unknown name.
func Summary(name string) string {
	for _, k := range kinds {
		if k.name == setting.Canonical(name, "-") {
			return k.summary
		}
	}
	return ""
}

// New makes a scorer from its name, one of [Names], and its settings, those of [Settings]; what
// is not set is at its default. The error names every setting that is wrong, its value and what
// is allowed.
func New(name string, settings map[string]string, schema Schema) (Scorer, error) {
	if err := schema.check(); err != nil {
		return nil, fmt.Errorf("anomaly: %w", err)
	}
	name = Resolve(name, schema)
	d, err := find(name)
	if err != nil {
		return nil, err
	}
	d = &configured{configurable: d}
	if err := setting.Apply(name, d.settings(), settings); err != nil {
		return nil, err
	}
	if err := d.start(schema); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return d, nil
}

// Settings returns the settings of a scorer at their defaults.
func Settings(name string) ([]Setting, error) {
	d, err := find(setting.Canonical(name, "-"))
	if err != nil {
		return nil, err
	}
	return Current(&configured{configurable: d}), nil
}

// Current returns the settings of a scorer that New made, nil for any other.
func Current(s Scorer) []Setting {
	c, ok := s.(configurable)
	if !ok {
		return nil
	}
	return setting.Describe(c.settings())
}

func find(name string) (configurable, error) {
	for _, k := range kinds {
		if k.name == name {
			return k.make(), nil
		}
	}
	return nil, fmt.Errorf("no anomaly detector %q: there are %s", name, strings.Join(Names(), ", "))
}
