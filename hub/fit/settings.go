package fit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"skerry.dev/sync/spec"
)

// Settings are what --set gives a learner, by name.
type Settings map[string]string

// setting is one that a learner has: where it goes and what it is.
type setting struct {
	name string
	to   any // *int, *float64, *uint64, *bool or *string
	help string
}

// apply writes the settings to their places. It reports every one that is unknown or malformed,
// with what is allowed.
func (s Settings) apply(learner string, known []setting) error {
	var wrong, names []string
	for _, k := range known {
		names = append(names, k.name)
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		i := slices.IndexFunc(known, func(k setting) bool { return k.name == name })
		if i < 0 {
			wrong = append(wrong, fmt.Sprintf("%s has no setting %q%s", learner, name, spec.Suggest(name, names)))
			continue
		}
		if err := known[i].parse(s[name]); err != nil {
			wrong = append(wrong, fmt.Sprintf("setting %s=%q: %v (%s)", name, s[name], err, known[i].help))
		}
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(wrong, "; "))
}

func (k *setting) parse(v string) (err error) {
	switch to := k.to.(type) {
	case *int:
		if *to, err = strconv.Atoi(v); err != nil {
			return fmt.Errorf("must be a whole number")
		}
	case *float64:
		if *to, err = strconv.ParseFloat(v, 64); err != nil {
			return fmt.Errorf("must be a number")
		}
	case *bool:
		if *to, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("must be true or false")
		}
	case *string:
		*to = v
	default:
		panic(fmt.Sprintf("fit: setting %s is a %T", k.name, k.to))
	}
	return nil
}
