package spec

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// DefaultMaxDevices and MaxDevices bound the tasks that one file with a captured topic level makes.
const (
	DefaultMaxDevices = 64
	MaxDevices        = 1024
)

// A level of a topic in braces, plant/{line}/temp, is captured: it matches any text, and the file
// is a template that makes one task for each text seen there, with series, rows and a model of its
// own. All captured topics of a task name the same levels; topics without one are shared by all.

var capturePattern = regexp.MustCompile(`^\{[a-z][a-z0-9_]*\}$`)

// captured returns the names that a topic captures.
func captured(topic string) (names []string) {
	for l := range strings.SplitSeq(topic, "/") {
		if capturePattern.MatchString(l) {
			names = append(names, l[1:len(l)-1])
		}
	}
	return names
}

// topics returns every topic of the task.
func (t *Task) topics() (all []string) {
	for i := range t.Inputs {
		all = append(all, t.Inputs[i].Topic)
	}
	if t.Target.Topic != "" {
		all = append(all, t.Target.Topic)
	}
	return all
}

// Captures returns the names of the topic levels that the task captures, sorted; nil for a task
// that is no template.
func (t *Task) Captures() (names []string) {
	for _, topic := range t.topics() {
		for _, n := range captured(topic) {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	return names
}

// CapturedFilters returns the topic filters of a template, with + where a level is captured.
func (t *Task) CapturedFilters() (filters []string) {
	for _, topic := range t.topics() {
		if captured(topic) != nil {
			filters = append(filters, fill(topic, func(string) string { return "+" }))
		}
	}
	return filters
}

// SharedInputs returns the inputs of a template whose topics capture nothing: all of its tasks read
// them.
func (t *Task) SharedInputs() (shared []*Input) {
	for i := range t.Inputs {
		if captured(t.Inputs[i].Topic) == nil {
			shared = append(shared, &t.Inputs[i])
		}
	}
	return shared
}

func fill(topic string, value func(name string) string) string {
	levels := strings.Split(topic, "/")
	for i, l := range levels {
		if capturePattern.MatchString(l) {
			levels[i] = value(l[1 : len(l)-1])
		}
	}
	return strings.Join(levels, "/")
}

// Plain returns the task as if it captured nothing: what a file of one device's readings is read
// with. A task that is no template is returned as it is.
func (t *Task) Plain() *Task {
	if t.Captures() == nil {
		return t
	}
	c := *t
	c.Inputs = slices.Clone(t.Inputs)
	plus := func(string) string { return "+" }
	for i := range c.Inputs {
		c.Inputs[i].Topic = fill(c.Inputs[i].Topic, plus)
	}
	c.Target.Topic = fill(c.Target.Topic, plus)
	return &c
}

// Capture returns what a topic holds where the template's topics capture, in the order of
// [Task.Captures]; ok is false when it matches none of them.
func (t *Task) Capture(topic string) (values []string, ok bool) {
	names := t.Captures()
	have := strings.Split(topic, "/")
next:
	for _, filter := range t.topics() {
		if captured(filter) == nil {
			continue
		}
		levels := strings.Split(filter, "/")
		values = make([]string, len(names))
		for i, l := range levels {
			switch {
			case l == "#":
				return values, true
			case i >= len(have):
				continue next
			case capturePattern.MatchString(l):
				values[slices.Index(names, l[1:len(l)-1])] = have[i]
			case l != "+" && l != have[i]:
				continue next
			}
		}
		if len(levels) == len(have) {
			return values, true
		}
	}
	return nil, false
}

func (t *Task) checkCaptures(bad func(path, value, msg string)) {
	names := t.Captures()
	for i, topic := range t.topics() {
		at := fmt.Sprintf("inputs[%d].topic", i)
		if i == len(t.Inputs) {
			at = "target.topic"
		}
		own := captured(topic)
		slices.Sort(own)
		if len(slices.Compact(slices.Clone(own))) != len(own) {
			bad(at, topic, "captures a level twice under one name")
		} else if own != nil && !slices.Equal(own, names) {
			bad(at, topic, "must capture the same levels as the task's other topics, {"+strings.Join(names, "}, {")+"}, or none: one without is shared by all")
		}
	}
	if t.MaxDevices < 0 || t.MaxDevices > MaxDevices {
		bad("max_devices", fmt.Sprint(t.MaxDevices), fmt.Sprintf("must be 1 to %d", MaxDevices))
	}
}

// InstanceName is the name of the task that a template makes for captured values, before it is
// made different from others.
func (t *Task) InstanceName(values []string) string {
	text := strings.Join(values, "-")
	name := strings.TrimRight(t.Name+"-"+strings.Trim(NameFrom(text), "-_"), "-_")
	kept, lost := 0, 0
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			kept++
		case r >= utf8.RuneSelf:
			lost++
		}
	}
	if lost > kept || kept == 0 { // of another script: what is left says nothing, and is that of others
		end := fmt.Sprintf("-%08x", crc32.ChecksumIEEE([]byte(text)))
		return strings.TrimRight(name[:min(len(name), 63-len(end))], "-_") + end
	}
	return strings.TrimRight(name[:min(len(name), 63)], "-_")
}

// Instance makes the task of a template for captured values: a file of its own in which topics have
// the values, and the series of captured topics are named after the task (temperature_kitchen).
func (t *Task) Instance(name string, values []string) (*Task, error) {
	names := t.Captures()
	for i, v := range values {
		if v == "" || strings.ContainsAny(v, "{}+#") {
			return nil, fmt.Errorf("task %s: %q cannot be a device's name: it is empty or holds one of {}+#", t.Name, v)
		}
		if i >= len(names) {
			return nil, fmt.Errorf("task %s: %d values for %d captured levels", t.Name, len(values), len(names))
		}
	}
	renamed := map[string]string{}
	tail := strings.TrimPrefix(name, t.Name+"-")
	for i := range t.Inputs {
		if captured(t.Inputs[i].Topic) != nil {
			renamed[t.Inputs[i].Series] = ScopedName(t.Inputs[i].Series, tail)
		}
	}
	if captured(t.Target.Topic) != nil {
		renamed[t.Target.Series] = ScopedName(t.Target.Series, tail)
	}
	out, err := t.rewrite(name, renamed, func(topic string) string {
		return fill(topic, func(n string) string { return values[slices.Index(names, n)] })
	})
	if err != nil {
		return nil, err
	}
	out.Template, out.Values = t.Name, values
	return out, nil
}

// Scoped returns the task with series of its own: each of those given has the task's name behind its
// own (temp_boiler). It is what a device runs where another task reads something else under that
// name. With series that the task does not have it is the task as it is.
func (t *Task) Scoped(series []string) (*Task, error) {
	renamed := map[string]string{}
	for i := range t.Inputs {
		if s := t.Inputs[i].Series; slices.Contains(series, s) {
			renamed[s] = ScopedName(s, t.Name)
		}
	}
	if s := t.Target.Series; t.Target.Topic != "" && slices.Contains(series, s) {
		renamed[s] = ScopedName(s, t.Name)
	}
	if len(renamed) == 0 {
		return t, nil
	}
	return t.rewrite(t.Name, renamed, func(topic string) string { return topic })
}

// ScopedName is a series with the name of the task that has it to itself behind its own.
func ScopedName(series, name string) string {
	suffix := "_" + strings.ReplaceAll(name, "-", "_")
	return series[:min(len(series), 127-len(suffix))] + suffix
}

// rewrite makes a task file of its own: another name, other topics, other names of series.
func (t *Task) rewrite(name string, renamed map[string]string, topic func(string) string) (*Task, error) {
	root, err := Document([]byte(t.Source))
	if err != nil {
		return nil, err
	}
	series := func(s string) string {
		if to, ok := renamed[s]; ok {
			return to
		}
		return s
	}
	edit := func(n *yaml.Node, key string, to func(string) string) {
		if v := child(n, key); v != nil && v.Kind == yaml.ScalarNode {
			v.Value = to(v.Value)
		}
	}
	edit(root, "task", func(string) string { return name })
	target := child(root, "target")
	edit(target, "series", series)
	edit(target, "topic", topic)
	edit(child(root, "rows"), "on", series)
	for _, in := range items(child(root, "inputs")) {
		edit(in, "series", series)
		edit(in, "topic", topic)
	}
	for _, f := range items(child(root, "features")) {
		edit(f, "expr", func(s string) string { return renameIn(s, renamed) })
		for _, of := range items(child(f, "of")) {
			of.Value = series(of.Value)
		}
	}
	drop(root, "max_devices") // a wider bound changes no task
	bare(root)
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, err
	}
	return ParseTask(t.Path, &text)
}

// renameIn renames the series of an expression.
func renameIn(expr string, to map[string]string) string {
	return namePart.ReplaceAllStringFunc(expr, func(s string) string {
		if q := strings.Trim(s, "`"); q != s {
			if n, ok := to[q]; ok {
				return "`" + n + "`"
			}
		} else if n, ok := to[s]; ok {
			return n
		}
		return s
	})
}

var namePart = regexp.MustCompile("`[^`]*`|[0-9][0-9A-Za-z_.]*|[\\p{L}_][\\p{L}\\p{N}_.]*")

func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func drop(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		}
	}
}

// bare removes comments: they are the template's.
func bare(n *yaml.Node) {
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, c := range n.Content {
		bare(c)
	}
}
