package inputs

import (
	"errors"
	"fmt"
	"strconv"
)

// Test is how the values of one feature are compared with its reference.
type Test int

const (
	KolmogorovSmirnov Test = iota // the largest difference of the distribution functions
	PSI                           // population stability index, over about ten bins
	// the mean difference of the distribution functions: Wasserstein's distance of the ranks
	Wasserstein
)

var testNames = [...]string{"ks", "psi", "wasserstein"}

// String returns the test's name in settings, and its number when there is no such test.
func (t Test) String() string {
	if t < 0 || int(t) >= len(testNames) {
		return strconv.Itoa(int(t))
	}
	return testNames[t]
}

// ParseTest is the reverse of String.
func ParseTest(name string) (Test, error) {
	for i, n := range testNames {
		if n == name {
			return Test(i), nil
		}
	}
	return 0, fmt.Errorf("test %q: must be ks, psi or wasserstein", name)
}

// Options of a reference. The zero value means the defaults.
type Options struct {
	// Window is the number of newest rows compared, a multiple of Every. Default 200, which finds
	// a shift by one standard deviation within about as many rows; smaller ones find large
	// changes sooner, larger ones small changes at all.
	Window int
	// Every is the number of rows between comparisons. Default 25.
	Every int
	// Bins is about how many bins of equal share a feature has; values that make up a large share
	// have bins of their own. Default 32.
	Bins int
	// Test compares single features. Default KolmogorovSmirnov.
	Test Test
	// FalseAlarms is the number accepted per 10,000 independent rows. Default 0.1.
	FalseAlarms float64
	// Functions is how many functions of two or three features the joint test has; negative for
	// no joint test. Default 64.
	Functions int
	// Seed chooses these functions.
	Seed uint64
}

// Limits of the options and of a reference.
const (
	MinRows      = 100
	MaxFeatures  = 4096
	maxWindow    = 100_000
	maxBins      = 1024
	maxFunctions = 1024
)

// withDefaults fills in what is not set and reports every value that cannot be.
func (o Options) withDefaults() (Options, error) {
	if o.Every == 0 {
		o.Every = 25
	}
	if o.Window == 0 {
		o.Window = 8 * o.Every
	}
	if o.Bins == 0 {
		o.Bins = 32
	}
	if o.FalseAlarms == 0 {
		o.FalseAlarms = 0.1
	}
	if o.Functions == 0 {
		o.Functions = 64
	}
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(o.Every >= 1 && o.Every <= maxWindow, "every %d: must be from 1 to %d rows", o.Every, maxWindow)
	bad(o.Window >= 20 && o.Window <= maxWindow, "window %d: must be from 20 to %d rows", o.Window, maxWindow)
	bad(o.Every < 1 || o.Window%o.Every == 0, "window %d: must be a multiple of the %d rows between comparisons", o.Window, o.Every)
	bad(o.Bins >= 4 && o.Bins <= maxBins, "bins %d: must be from 4 to %d", o.Bins, maxBins)
	bad(o.Test >= 0 && int(o.Test) < len(testNames), "test %d: must be ks, psi or wasserstein", int(o.Test))
	bad(o.FalseAlarms > 0 && o.FalseAlarms <= 100, "false_alarms %v: must be above 0 and at most 100 in 10,000 rows", o.FalseAlarms)
	bad(o.Functions <= maxFunctions, "functions %d: must be at most %d", o.Functions, maxFunctions)
	return o, errors.Join(errs...)
}
