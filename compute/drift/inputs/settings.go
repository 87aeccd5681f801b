package inputs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Setting describes an option by the name that ParseOptions takes.
type Setting struct{ Name, Value, Help string }

// Settings returns what ParseOptions takes, with the values of o once defaults are filled in;
// values that cannot be stand as they are.
func Settings(o Options) []Setting {
	if filled, err := o.withDefaults(); err == nil {
		o = filled
	}
	return []Setting{
		{"window", strconv.Itoa(o.Window), "newest rows compared, a multiple of every"},
		{"every", strconv.Itoa(o.Every), "rows between comparisons"},
		{"bins", strconv.Itoa(o.Bins), "bins of a feature's values"},
		{"test", o.Test.String(), "ks, psi or wasserstein"},
		{"false_alarms", strconv.FormatFloat(o.FalseAlarms, 'g', -1, 64), "accepted in 10,000 independent rows"},
		{"functions", strconv.Itoa(o.Functions), "of several features, for the joint test; -1 for none"},
		{"seed", strconv.FormatUint(o.Seed, 10), "of the choice of functions"},
	}
}

// ParseOptions reads options by name. The error names every one that is wrong, its value and what
// is allowed; the others are checked by NewReference.
func ParseOptions(settings map[string]string) (Options, error) {
	var o Options
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		v := strings.TrimSpace(settings[key])
		name := strings.ReplaceAll(strings.ToLower(key), "-", "_")
		whole := func(p *int) {
			n, err := strconv.Atoi(v)
			if *p = n; err != nil || n == 0 {
				errs = append(errs, fmt.Errorf("%s %q: must be a whole number other than 0", name, v))
			}
		}
		var err error
		switch name {
		case "window":
			whole(&o.Window)
		case "every":
			whole(&o.Every)
		case "bins":
			whole(&o.Bins)
		case "functions":
			whole(&o.Functions)
		case "test":
			if o.Test, err = ParseTest(v); err != nil {
				errs = append(errs, err)
			}
		case "false_alarms":
			if o.FalseAlarms, err = strconv.ParseFloat(v, 64); err != nil || !(o.FalseAlarms > 0) {
				errs = append(errs, fmt.Errorf("false_alarms %q: must be a number above 0", v))
			}
		case "seed":
			if o.Seed, err = strconv.ParseUint(v, 10, 64); err != nil {
				errs = append(errs, fmt.Errorf("seed %q: must be a whole number from 0", v))
			}
		default:
			var names []string
			for _, s := range Settings(Options{}) {
				names = append(names, fmt.Sprintf("%s (%s, default %s)", s.Name, s.Help, s.Value))
			}
			errs = append(errs, fmt.Errorf("inputs has no setting %q: there are %s", key, strings.Join(names, "; ")))
		}
	}
	return o, errors.Join(errs...)
}
