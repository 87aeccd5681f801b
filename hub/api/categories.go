package api

import (
	"context"
	"math"
	"slices"
	"strings"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

// categoryNames are the names of the values of a device's series that hold categories, by series;
// nil for one that tasks name differently.
type categoryNames map[string][]string

// categories returns the names that the task files of a device give, those of the definition where
// the device's own is the same. Readings are stored as the numbers of the names, so that a file
// whose list was changed since names older ones by its present list. A file that this hub cannot
// read has none.
func (s *Server) categories(ctx context.Context, device string) (categoryNames, error) {
	q := s.DB.Read()
	rows, err := q.DeviceTasks(ctx, device)
	if err != nil {
		return nil, err
	}
	texts, tasks := map[string]string{}, []string(nil)
	for _, r := range rows {
		texts[r.Task], tasks = r.Spec, append(tasks, r.Task)
	}
	defs, err := q.TasksNamed(ctx, tasks)
	if err != nil {
		return nil, err
	}
	names := categoryNames{}
	for _, d := range defs {
		text := texts[d.Name]
		if text == "" {
			text = d.Spec
		}
		if strings.Contains(text, "categories") { // the others need not be parsed
			names.add(d, text)
		}
	}
	return names, nil
}

func (c categoryNames) add(t meta.Task, text string) {
	file, err := spec.ParseTask(t.Name, strings.NewReader(text))
	if err != nil {
		return
	}
	for _, in := range file.Inputs {
		c.name(in.Series, in.Categories)
	}
	if file.Target.Topic != "" { // labels by message
		c.name(file.Target.Series, file.Target.Categories)
	}
}

// name gives a series the names of its categories; where tasks differ it has none.
func (c categoryNames) name(series string, categories []string) {
	have, known := c[series]
	switch {
	case len(categories) == 0:
	case !known:
		c[series] = categories
	case !slices.Equal(have, categories):
		c[series] = nil
	}
}

// of returns the name of a value, "" where there is none.
func (c categoryNames) of(series string, v float64) string {
	names := c[series]
	if v != math.Trunc(v) || v < 0 || v >= float64(len(names)) { // also NaN
		return ""
	}
	return names[int(v)]
}
