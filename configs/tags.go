package configs

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"skerry.dev/sync/spec"
)

// FillDefaults sets what is zero in a section to the default of its tag, at any depth. It is for
// packages whose options are a section: one that a program or a test makes by hand then needs only
// what differs. Booleans stay as they are, because false may be meant; a key whose zero
// means something therefore has no other default where a package fills its section.
func FillDefaults[T any](section *T) { fill(reflect.ValueOf(section).Elem(), false) }

// withDefaults returns a configuration as it is before anything is read.
func withDefaults[T any]() *T {
	c := new(T)
	fill(reflect.ValueOf(c).Elem(), true)
	return c
}

func fill(v reflect.Value, booleans bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Type.Kind() == reflect.Struct {
			fill(v.Field(i), booleans)
			continue
		}
		text, ok := f.Tag.Lookup("default")
		if !ok || !v.Field(i).IsZero() || f.Type.Kind() == reflect.Bool && !booleans {
			continue
		}
		parse(f, text, v.Field(i))
	}
}

// parse reads the text of a tag by the rules of the file. A tag that cannot be read is a mistake of
// the program, which every start and every test meets.
func parse(f reflect.StructField, text string, into reflect.Value) {
	d := spec.NewDecoder()
	d.Value(f.Name, scalar(into.Kind(), text), into)
	if err := d.Err(); err != nil {
		panic(fmt.Sprintf("configs: tag %q: %v", text, err))
	}
}

// scalar is a value as YAML has it. Lists are separated by commas.
func scalar(kind reflect.Kind, text string) *yaml.Node {
	switch kind {
	case reflect.Slice:
	case reflect.String: // or else an empty text, ~ and null would be no value at all
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: part})
		}
	}
	return n
}

func mapping(key string, n *yaml.Node) *yaml.Node {
	return &yaml.Node{
		Kind:    yaml.MappingNode,
		Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: key}, n},
	}
}

// checkTag reports a value that its check tag does not allow. The tag is a range of numbers,
// durations or bytes ("1s..24h"), with "0|" before it where 0 is allowed as well, or the words that
// are allowed ("text|json"), of which a list needs at least one.
func checkTag(l leaf, bad report) {
	lo, hi, isRange := strings.Cut(strings.TrimPrefix(l.check, "0|"), "..")
	switch {
	case l.check == "":
	case isRange:
		if strings.HasPrefix(l.check, "0|") && l.value.IsZero() {
			return
		}
		low, high := reflect.New(l.value.Type()).Elem(), reflect.New(l.value.Type()).Elem()
		parse(l.field, lo, low)
		parse(l.field, hi, high)
		if v := number(l.value); !(v >= number(low) && v <= number(high)) {
			bad(l.key, "must be "+bounds(low, high))
		}
	case l.value.Kind() == reflect.Slice:
		words := strings.Split(l.check, "|")
		if l.value.Len() == 0 {
			bad(l.key, "name at least one of "+strings.Join(words, ", "))
		}
		for i := range l.value.Len() {
			if !slices.Contains(words, l.value.Index(i).String()) {
				bad(l.key, "each must be "+alternatives(words))
			}
		}
	default:
		if words := strings.Split(l.check, "|"); !slices.Contains(words, l.value.String()) {
			bad(l.key, "must be "+alternatives(words))
		}
	}
}

// number is exact for all that is compared: bounds and sensible values are far below 2^53.
func number(v reflect.Value) float64 {
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

func bounds(low, high reflect.Value) string {
	switch lo := low.Interface().(type) {
	case spec.Duration:
		return shortDuration(lo.Std()) + " to " + shortDuration(high.Interface().(spec.Duration).Std())
	case spec.Bytes:
		return strconv.FormatInt(low.Int(), 10) + " to " + strconv.FormatInt(high.Int(), 10) + " bytes"
	}
	return fmt.Sprintf("%g to %g", number(low), number(high))
}

// alternatives joins words as a sentence does: "text or json", "debug, info or warn".
func alternatives(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
