package drift

import (
	"fmt"
	"math"

	"skerry.dev/compute/internal/setting"
)

// tolerance is a float of at least 0.
func tolerance(name string, p *float64, help string) setting.Setting {
	s := setting.Number(name, p, math.Nextafter(0, -1), maxMagnitude, help)
	s.Allowed = "a number from 0"
	return s
}

func modes(p *Mode) setting.Setting {
	return setting.Choice("mode", p, []string{"up", "down", "both"}, "which changes count")
}

func versions(p *Semantics) setting.Setting {
	return setting.Choice("semantics", p, []string{"river", "river-0.7"}, "whose rules hold where versions differ")
}

// Limits of numbers of values: the first where nothing is kept for each, the second where memory
// is.
const (
	manyValues = 1 << 40
	maxWindow  = 100_000
)

func (a *ADWIN) settings() []setting.Setting {
	return []setting.Setting{
		setting.Number("delta", &a.Delta, 0, 1, "confidence"),
		setting.Whole("clock", &a.Clock, 1, manyValues, "values between checks"),
		setting.Whole("min_window", &a.MinWindow, 1, manyValues, "smallest part compared"),
		setting.Whole("grace", &a.Grace, 1, manyValues, "window below which nothing is checked"),
		versions(&a.Semantics),
	}
}

// cumulative are the settings of tests that add up departures from the mean.
func cumulative(minSamples *int64, delta, threshold *float64) []setting.Setting {
	return []setting.Setting{
		setting.Whole("min_samples", minSamples, 1, manyValues, "values before the first alarm"),
		tolerance("delta", delta, "tolerated change, in units of the values"),
		setting.Number("threshold", threshold, 0, maxMagnitude, "cumulative change that alarms"),
	}
}

func (p *PageHinkley) settings() []setting.Setting {
	return append(cumulative(&p.MinSamples, &p.Delta, &p.Threshold),
		setting.Number("alpha", &p.Alpha, 0, math.Nextafter(1, 2), "forgetting factor, 1 for none"),
		modes(&p.Mode), versions(&p.Semantics))
}

func (p *PageHinkley) check() error {
	if p.Semantics == River07 {
		if p.Mode == Down {
			return fmt.Errorf("page-hinkley: mode %q: river-0.7 reports rises only", "down")
		}
		p.Mode = Up
	}
	return nil
}

func (c *CUSUM) settings() []setting.Setting {
	return append(cumulative(&c.MinSamples, &c.Delta, &c.Threshold), modes(&c.Mode))
}

// errorRate are the settings of tests that compare the error rate with its lowest.
func errorRate(minSamples *int64, warning, drift *float64) []setting.Setting {
	return []setting.Setting{
		setting.Whole("min_samples", minSamples, 1, manyValues, "values before anything is watched"),
		setting.Number("warning_level", warning, 0, 1000, "standard deviations above the lowest rate"),
		setting.Number("drift_level", drift, 0, 1000, "standard deviations above the lowest rate"),
	}
}

func (d *DDM) settings() []setting.Setting {
	return append(errorRate(&d.MinSamples, &d.WarningLevel, &d.DriftLevel), versions(&d.Semantics))
}

func (d *DDM) check() error {
	return ordered("ddm", "warning_level", d.WarningLevel, "drift_level", d.DriftLevel)
}

func (d *EDDM) settings() []setting.Setting {
	return []setting.Setting{
		setting.Whole("min_errors", &d.MinErrors, 2, manyValues, "errors before an alarm"),
		setting.Number("warning_level", &d.WarningLevel, 0, 1, "share of the highest distance"),
		setting.Number("drift_level", &d.DriftLevel, 0, 1, "share of the highest distance"),
		versions(&d.Semantics),
	}
}

func (d *EDDM) check() error {
	return ordered("eddm", "drift_level", d.DriftLevel, "warning_level", d.WarningLevel)
}

func (d *RDDM) settings() []setting.Setting {
	return append(errorRate(&d.MinSamples, &d.WarningLevel, &d.DriftLevel),
		setting.Whole("max_concept", &d.MaxConcept, 1, manyValues, "values after which the rate is taken anew"),
		setting.Whole("stable_concept", &d.StableConcept, 1, maxWindow, "values it is then taken from"),
		setting.Whole("warn_limit", &d.WarnLimit, 1, manyValues, "values after which a warning is a drift"))
}

func (d *RDDM) check() error {
	return ordered("rddm", "warning_level", d.WarningLevel, "drift_level", d.DriftLevel)
}

func (d *EWMA) settings() []setting.Setting {
	length := setting.Whole("run_length", &d.RunLength, 100, 400, "mean number of values between false alarms")
	length.Allowed = "100 or 400"
	within := length.Set
	length.Set = func(s string) bool { return (s == "100" || s == "400") && within(s) }
	return []setting.Setting{
		setting.Whole("min_samples", &d.MinSamples, 1, manyValues, "values before anything is watched"),
		setting.Number("lambda", &d.Lambda, 0, 1, "weight of the newest value"),
		length,
		setting.Number("warning_share", &d.WarningShare, 0, 1, "part of the limit at which warnings begin"),
	}
}

func (d *FHDDM) settings() []setting.Setting {
	return []setting.Setting{
		setting.Whole("window", &d.Window, 2, maxWindow, "values compared"),
		setting.Whole("short", &d.Short, 0, maxWindow, "newest values looked at as well, 0 for none"),
		setting.Number("confidence", &d.Confidence, 0, 1, "probability of a false alarm at one look"),
		setting.Choice("mode", &d.Mode, []string{"up", "down"}, "up takes errors, down right predictions"),
	}
}

func (d *FHDDM) check() error {
	if d.Short > d.Window {
		return fmt.Errorf("fhddm: short %d: must be at most the window of %d", d.Short, d.Window)
	}
	return nil
}

func (d *HDDMA) settings() []setting.Setting {
	return []setting.Setting{
		setting.Number("drift_confidence", &d.DriftConfidence, 0, 1, "probability of a false alarm"),
		setting.Number("warning_confidence", &d.WarningConfidence, 0, 1, "probability of a false warning"),
		setting.Flag("two_sided", &d.TwoSided, "falls count too"),
	}
}

func (d *HDDMA) check() error {
	return ordered("hddm-a", "drift_confidence", d.DriftConfidence, "warning_confidence", d.WarningConfidence)
}

func (d *HDDMW) settings() []setting.Setting {
	return []setting.Setting{
		setting.Number("drift_confidence", &d.DriftConfidence, 0, 1, "probability of a false alarm"),
		setting.Number("warning_confidence", &d.WarningConfidence, 0, 1, "probability of a false warning"),
		setting.Number("lambda", &d.Lambda, 0, 1, "weight of the newest value"),
		setting.Flag("two_sided", &d.TwoSided, "falls count too"),
		versions(&d.Semantics),
	}
}

func (d *HDDMW) check() error {
	return ordered("hddm-w", "drift_confidence", d.DriftConfidence, "warning_confidence", d.WarningConfidence)
}

func (d *KSWIN) settings() []setting.Setting {
	return []setting.Setting{
		setting.Number("alpha", &d.Alpha, 0, 1, "probability of a false alarm at one value"),
		setting.Whole("window", &d.Window, 4, maxWindow, "values kept"),
		setting.Whole("recent", &d.Recent, 2, maxWindow/2, "newest values, compared with as many before"),
		setting.Seed(&d.Seed, "of the draws"),
	}
}

func (d *KSWIN) check() error {
	if 2*d.Recent > d.Window {
		return fmt.Errorf("kswin: recent %d: must be at most half of the window of %d", d.Recent, d.Window)
	}
	return nil
}

func (d *FirstKS) settings() []setting.Setting {
	return []setting.Setting{
		setting.Whole("reference", &d.Reference, 10, maxWindow, "first values, which the others are compared with"),
		setting.Whole("window", &d.Window, 10, maxWindow, "newest values compared"),
		setting.Whole("every", &d.Every, 1, manyValues, "values between comparisons"),
		setting.Number("alpha", &d.Alpha, 0, 1, "probability of a false alarm at one comparison"),
	}
}

func (d *SEED) settings() []setting.Setting {
	return []setting.Setting{
		setting.Number("delta", &d.Delta, 0, 1, "confidence"),
		setting.Whole("block", &d.Block, 2, 1<<20, "values in a block, and between checks"),
		tolerance("epsilon", &d.Epsilon, "difference of means at which neighbours are merged"),
		tolerance("growth", &d.Growth, "how fast that grows with age"),
		setting.Whole("term", &d.Term, 1, 400, "blocks between merges"),
	}
}

func (d *STEPD) settings() []setting.Setting {
	return []setting.Setting{
		setting.Whole("window", &d.Window, 2, maxWindow, "recent values"),
		setting.Number("drift_alpha", &d.DriftAlpha, 0, 1, "significance level of a drift"),
		setting.Number("warning_alpha", &d.WarningAlpha, 0, 1, "significance level of a warning"),
		modes(&d.Mode),
		setting.Flag("moa", &d.MOA, "alarm where the difference is below its correction, as MOA does"),
	}
}

func (d *STEPD) check() error {
	return ordered("stepd", "drift_alpha", d.DriftAlpha, "warning_alpha", d.WarningAlpha)
}

// ordered reports which of two settings must be the smaller one.
func ordered(detector, less string, a float64, more string, b float64) error {
	if a > b {
		return fmt.Errorf("%s: %s %g: must be at most %s, which is %g", detector, less, a, more, b)
	}
	return nil
}
