package drift_test

import (
	"testing"

	"skerry.dev/compute/drift"
	"skerry.dev/compute/drift/drifttest"
)

// TestSuite runs what every detector must do on those of the registry, and on what the
// constructors make where that differs.
func TestSuite(t *testing.T) {
	made := func(name string, settings map[string]string) func() drift.Detector {
		return func() drift.Detector {
			d, err := drift.New(name, settings)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	up := func(alarms, delay int, mk func() drift.Detector) drifttest.Case {
		return drifttest.Case{New: mk, Before: drifttest.Bernoulli(0.2), After: drifttest.Bernoulli(0.6), FalseAlarms: alarms, Delay: delay}
	}
	down := func(alarms, delay int, mk func() drift.Detector) drifttest.Case {
		return drifttest.Case{New: mk, Before: drifttest.Bernoulli(0.8), After: drifttest.Bernoulli(0.4), FalseAlarms: alarms, Delay: delay}
	}
	numbers := func(alarms, delay int, mk func() drift.Detector) drifttest.Case {
		return drifttest.Case{New: mk, Before: drifttest.Normal(0.5, 0.1), After: drifttest.Normal(0.9, 0.1), FalseAlarms: alarms, Delay: delay}
	}
	for name, c := range map[string]drifttest.Case{
		"adwin": up(0, 500, made("adwin", nil)), "adwin numbers": numbers(0, 200, made("adwin", nil)), "NewADWIN": up(0, 500, func() drift.Detector { return drift.NewADWIN() }),
		"cusum": up(3, 250, made("cusum", nil)), "cusum both": down(3, 250, made("cusum", map[string]string{"mode": "both"})),
		"page-hinkley": up(3, 250, made("page-hinkley", nil)), "page-hinkley falls": down(3, 250, made("page-hinkley", nil)), "NewPageHinkley": up(3, 250, func() drift.Detector { return drift.NewPageHinkley() }),
		"ks": numbers(2, 150, made("ks", nil)), "kswin": numbers(150, 50, made("kswin", nil)), "ddm": up(3, 1000, made("ddm", nil)), "eddm": up(100, 300, made("eddm", nil)), "rddm": up(20, 300, made("rddm", nil)),
		"hddm-a": up(2, 150, made("hddm-a", nil)), "hddm-a two-sided": down(2, 150, made("hddm-a", map[string]string{"two_sided": "true"})),
		"hddm-w": up(8, 100, made("hddm-w", nil)), "hddm-w two-sided": down(15, 100, made("hddm-w", map[string]string{"two_sided": "true"})),
		"fhddm": down(2, 150, made("fhddm", nil)), "fhddm up": up(2, 150, made("fhddm", map[string]string{"mode": "up", "short": "25"})),
		"stepd": up(80, 80, made("stepd", nil)), "ewma": up(80, 100, made("ewma", nil)), "seed": up(3, 300, made("seed", nil)), "seed numbers": numbers(3, 100, made("seed", nil)),
	} {
		t.Run(name, func(t *testing.T) { drifttest.Run(t, c) })
	}
}
