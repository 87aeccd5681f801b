package drift

import (
	"fmt"
	"strings"

	"skerry.dev/compute/internal/setting"
)

// Setting describes one setting of a detector.
type Setting = setting.Described

// configurable is a detector whose settings have names.
type configurable interface {
	Detector
	settings() []setting.Setting
}

// kinds are the detectors by name.
var kinds = []struct {
	name, summary string
	make          func() configurable
}{
	{"adwin", "the mean changed; a window that grows and shrinks", func() configurable {
		d := NewADWIN()
		d.Semantics = River
		return d
	}},
	{"cusum", "the mean rose; a sum of departures from it", func() configurable { return NewCUSUM() }},
	{"ddm", "the error rate rose above its lowest", func() configurable { return NewDDM() }},
	{"eddm", "errors came closer together", func() configurable { return NewEDDM() }},
	{"ewma", "a moving average of errors rose above their rate", func() configurable { return NewEWMA() }},
	{"fhddm", "the share of right predictions in a window fell below its best", func() configurable { return NewFHDDM() }},
	{"hddm-a", "the mean loss rose; Hoeffding's inequality", func() configurable { return NewHDDMA() }},
	{"hddm-w", "the moving average of losses rose; McDiarmid's inequality", func() configurable { return NewHDDMW() }},
	{"ks", "the distribution has left that of the first values; test of Kolmogorov and Smirnov", func() configurable { return NewFirstKS() }},
	{"kswin", "the distribution changed; test of Kolmogorov and Smirnov", func() configurable { return NewKSWIN() }},
	{"page-hinkley", "the mean changed; a sum of departures from it, with forgetting", func() configurable { return NewTwoSidedPageHinkley() }},
	{"rddm", "as ddm, and stays sensitive in long concepts", func() configurable { return NewRDDM() }},
	{"seed", "the mean changed; a window of blocks", func() configurable { return NewSEED() }},
	{"stepd", "the share of errors in the newest values differs from that before", func() configurable { return NewSTEPD() }},
}

// Names returns the names that New takes, in alphabetical order.
func Names() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.name
	}
	return names
}

// Summary describes in a few words what a detector finds, "" for an unknown name.
func Summary(name string) string {
	for _, k := range kinds {
		if k.name == setting.Canonical(name, "-") {
			return k.summary
		}
	}
	return ""
}

// New makes a detector from its name and settings, those of [Names] and [Settings]; what is not
// set is at its default, that of the detector's reference. Capital letters, and _ for -, do not
// matter. The error names every setting that is wrong, its value and what is allowed.
func New(name string, settings map[string]string) (Detector, error) {
	d, err := find(name)
	if err != nil {
		return nil, err
	}
	err = setting.Apply(setting.Canonical(name, "-"), d.settings(), settings)
	if c, ok := d.(interface{ check() error }); ok && err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Settings returns the settings of a detector at their defaults.
func Settings(name string) ([]Setting, error) {
	d, err := find(name)
	if err != nil {
		return nil, err
	}
	return Current(d), nil
}

// Current returns the settings of a detector that New made, nil for any other.
func Current(d Detector) []Setting {
	c, ok := d.(configurable)
	if !ok {
		return nil
	}
	return setting.Describe(c.settings())
}

func find(name string) (configurable, error) {
	for _, k := range kinds {
		if k.name == setting.Canonical(name, "-") {
			return k.make(), nil
		}
	}
	return nil, fmt.Errorf("no detector %q: there are %s", name, strings.Join(Names(), ", "))
}
