package drift

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// setting binds a name to a field of a detector.
type setting struct {
	name, help, allowed string
	get                 func() string
	set                 func(string) bool
}

// wholeNumber is an integer from low to high.
func wholeNumber(name string, p *int64, low, high int64, help string) setting {
	return setting{name, help, fmt.Sprintf("a whole number from %d to %d", low, high), func() string { return strconv.FormatInt(*p, 10) }, func(s string) bool {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil || v < low || v > high {
			return false
		}
		*p = v
		return true
	}}
}

// number is a float between low and high, without them.
func number(name string, p *float64, low, high float64, help string) setting {
	return setting{name, help, fmt.Sprintf("a number above %g and below %g", low, high), func() string { return strconv.FormatFloat(*p, 'g', -1, 64) }, func(s string) bool {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v > low && v < high) {
			return false
		}
		*p = v
		return true
	}}
}

// tolerance is a float of at least 0.
func tolerance(name string, p *float64, help string) setting {
	s := number(name, p, math.Nextafter(0, -1), largest, help)
	s.allowed = "a number from 0"
	return s
}

// choice is one of a few words, the values of an integer from 0 on.
func choice[T ~int](name string, p *T, words []string, help string) setting {
	return setting{name, help, strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1], func() string { return words[*p] }, func(s string) bool {
		i := slices.Index(words, strings.ToLower(s))
		if i < 0 {
			return false
		}
		*p = T(i)
		return true
	}}
}

// flag is true or false.
func flag(name string, p *bool, help string) setting {
	return setting{name, help, "true or false", func() string { return strconv.FormatBool(*p) }, func(s string) bool {
		v, err := strconv.ParseBool(s)
		if err != nil {
			return false
		}
		*p = v
		return true
	}}
}

func modes(p *Mode) setting {
	return choice("mode", p, []string{"up", "down", "both"}, "which changes count")
}

func versions(p *Semantics) setting {
	return choice("semantics", p, []string{"river", "river-0.7"}, "whose rules hold where versions differ")
}

// Limits of numbers of values: the first where nothing is kept for each, the second where memory is.
const (
	manyValues = 1 << 40
	maxWindow  = 100_000
)

func (a *ADWIN) settings() []setting {
	return []setting{
		number("delta", &a.Delta, 0, 1, "confidence"),
		wholeNumber("clock", &a.Clock, 1, manyValues, "values between checks"),
		wholeNumber("min_window", &a.MinWindow, 1, manyValues, "smallest part compared"),
		wholeNumber("grace", &a.Grace, 1, manyValues, "window below which nothing is checked"),
		versions(&a.Semantics),
	}
}

func (p *PageHinkley) settings() []setting {
	return []setting{
		wholeNumber("min_samples", &p.MinSamples, 1, manyValues, "values before the first alarm"),
		tolerance("delta", &p.Delta, "tolerated change, in units of the values"),
		number("threshold", &p.Threshold, 0, largest, "cumulative change that alarms"),
		number("alpha", &p.Alpha, 0, math.Nextafter(1, 2), "forgetting factor, 1 for none"),
		modes(&p.Mode), versions(&p.Semantics),
	}
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

func (c *CUSUM) settings() []setting {
	return []setting{
		wholeNumber("min_samples", &c.MinSamples, 1, manyValues, "values before the first alarm"),
		tolerance("delta", &c.Delta, "tolerated change, in units of the values"),
		number("threshold", &c.Threshold, 0, largest, "cumulative change that alarms"),
		modes(&c.Mode),
	}
}

func (d *DDM) settings() []setting {
	return []setting{
		wholeNumber("min_samples", &d.MinSamples, 1, manyValues, "values before anything is watched"),
		number("warning_level", &d.WarningLevel, 0, 1000, "standard deviations above the lowest rate"),
		number("drift_level", &d.DriftLevel, 0, 1000, "standard deviations above the lowest rate"),
		versions(&d.Semantics),
	}
}

func (d *DDM) check() error {
	return ordered("ddm", "warning_level", d.WarningLevel, "drift_level", d.DriftLevel)
}

func (d *EDDM) settings() []setting {
	return []setting{
		wholeNumber("min_errors", &d.MinErrors, 2, manyValues, "errors before an alarm"),
		number("warning_level", &d.WarningLevel, 0, 1, "share of the highest distance"),
		number("drift_level", &d.DriftLevel, 0, 1, "share of the highest distance"),
		versions(&d.Semantics),
	}
}

func (d *EDDM) check() error {
	return ordered("eddm", "drift_level", d.DriftLevel, "warning_level", d.WarningLevel)
}

func (d *RDDM) settings() []setting {
	return []setting{
		wholeNumber("min_samples", &d.MinSamples, 1, manyValues, "values before anything is watched"),
		number("warning_level", &d.WarningLevel, 0, 1000, "standard deviations above the lowest rate"),
		number("drift_level", &d.DriftLevel, 0, 1000, "standard deviations above the lowest rate"),
		wholeNumber("max_concept", &d.MaxConcept, 1, manyValues, "values after which the rate is taken anew"),
		wholeNumber("stable_concept", &d.StableConcept, 1, maxWindow, "values it is then taken from"),
		wholeNumber("warn_limit", &d.WarnLimit, 1, manyValues, "values after which a warning is a drift"),
	}
}

func (d *RDDM) check() error {
	return ordered("rddm", "warning_level", d.WarningLevel, "drift_level", d.DriftLevel)
}

func (d *EWMA) settings() []setting {
	length := wholeNumber("run_length", &d.RunLength, 100, 400, "mean number of values between false alarms")
	length.allowed = "100 or 400"
	within := length.set
	length.set = func(s string) bool { return (s == "100" || s == "400") && within(s) }
	return []setting{
		wholeNumber("min_samples", &d.MinSamples, 1, manyValues, "values before anything is watched"),
		number("lambda", &d.Lambda, 0, 1, "weight of the newest value"),
		length,
		number("warning_share", &d.WarningShare, 0, 1, "part of the limit at which warnings begin"),
	}
}

func (d *FHDDM) settings() []setting {
	return []setting{
		wholeNumber("window", &d.Window, 2, maxWindow, "values compared"),
		wholeNumber("short", &d.Short, 0, maxWindow, "newest values looked at as well, 0 for none"),
		number("confidence", &d.Confidence, 0, 1, "probability of a false alarm at one look"),
		choice("mode", &d.Mode, []string{"up", "down"}, "up takes errors, down right predictions"),
	}
}

func (d *FHDDM) check() error {
	if d.Short > d.Window {
		return fmt.Errorf("fhddm: short %d: must be at most the window of %d", d.Short, d.Window)
	}
	return nil
}

func (d *HDDMA) settings() []setting {
	return []setting{
		number("drift_confidence", &d.DriftConfidence, 0, 1, "probability of a false alarm"),
		number("warning_confidence", &d.WarningConfidence, 0, 1, "probability of a false warning"),
		flag("two_sided", &d.TwoSided, "falls count too"),
	}
}

func (d *HDDMA) check() error {
	return ordered("hddm-a", "drift_confidence", d.DriftConfidence, "warning_confidence", d.WarningConfidence)
}

func (d *HDDMW) settings() []setting {
	return []setting{
		number("drift_confidence", &d.DriftConfidence, 0, 1, "probability of a false alarm"),
		number("warning_confidence", &d.WarningConfidence, 0, 1, "probability of a false warning"),
		number("lambda", &d.Lambda, 0, 1, "weight of the newest value"),
		flag("two_sided", &d.TwoSided, "falls count too"),
		versions(&d.Semantics),
	}
}

func (d *HDDMW) check() error {
	return ordered("hddm-w", "drift_confidence", d.DriftConfidence, "warning_confidence", d.WarningConfidence)
}

func (d *KSWIN) settings() []setting {
	return []setting{
		number("alpha", &d.Alpha, 0, 1, "probability of a false alarm at one value"),
		wholeNumber("window", &d.Window, 4, maxWindow, "values kept"),
		wholeNumber("recent", &d.Recent, 2, maxWindow/2, "newest values, compared with as many before"),
		setting{"seed", "of the draws", "a whole number from 0", func() string { return strconv.FormatUint(d.Seed, 10) }, func(s string) bool {
			v, err := strconv.ParseUint(s, 10, 64)
			if err == nil {
				d.Seed = v
			}
			return err == nil
		}},
	}
}

func (d *KSWIN) check() error {
	if 2*d.Recent > d.Window {
		return fmt.Errorf("kswin: recent %d: must be at most half of the window of %d", d.Recent, d.Window)
	}
	return nil
}

func (d *FirstKS) settings() []setting {
	return []setting{
		wholeNumber("reference", &d.Reference, 10, maxWindow, "first values, which the others are compared with"),
		wholeNumber("window", &d.Window, 10, maxWindow, "newest values compared"),
		wholeNumber("every", &d.Every, 1, manyValues, "values between comparisons"),
		number("alpha", &d.Alpha, 0, 1, "probability of a false alarm at one comparison"),
	}
}

func (d *SEED) settings() []setting {
	return []setting{
		number("delta", &d.Delta, 0, 1, "confidence"),
		wholeNumber("block", &d.Block, 2, 1<<20, "values in a block, and between checks"),
		tolerance("epsilon", &d.Epsilon, "difference of means at which neighbours are merged"),
		tolerance("growth", &d.Growth, "how fast that grows with age"),
		wholeNumber("term", &d.Term, 1, 400, "blocks between merges"),
	}
}

func (d *STEPD) settings() []setting {
	return []setting{
		wholeNumber("window", &d.Window, 2, maxWindow, "recent values"),
		number("drift_alpha", &d.DriftAlpha, 0, 1, "significance level of a drift"),
		number("warning_alpha", &d.WarningAlpha, 0, 1, "significance level of a warning"),
		modes(&d.Mode),
		flag("moa", &d.MOA, "alarm where the difference is below its correction, as MOA does"),
	}
}

func (d *STEPD) check() error {
	return ordered("stepd", "drift_alpha", d.DriftAlpha, "warning_alpha", d.WarningAlpha)
}

// ordered says which of two settings must be the smaller one.
func ordered(detector, less string, a float64, more string, b float64) error {
	if a > b {
		return fmt.Errorf("%s: %s %g: must be at most %s, which is %g", detector, less, a, more, b)
	}
	return nil
}
