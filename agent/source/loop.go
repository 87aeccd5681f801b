package source

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"skerry.dev/sync/spec"
)

// Publishing returns the plan as it is on a device whose tasks publish predictions: what comes back
// of these by a wildcard is no reading, and a task never reads its own, so that none feeds itself.
// Another task reads them where it names the topic in full.
func (p *Plan) Publishing(device string, tasks []*spec.Task) *Plan {
	q := *p
	q.own = map[string][]string{}
	for _, t := range tasks {
		topic := t.PublishTopic(device)
		q.own[topic] = append(q.own[topic], t.Name)
	}
	return &q
}

// fedBack reports whether a series would take up what tasks have published.
func fedBack(s *Series, publishers []string) bool {
	if strings.ContainsAny(s.Topic, "+#") {
		return true
	}
	return slices.ContainsFunc(s.Tasks, func(t string) bool { return slices.Contains(publishers, t) })
}

// checkLoops is an error when tasks read each other's predictions in a circle, or one its own: each
// prediction would make the next, without end. Topics that name the device are not looked at.
func checkLoops(tasks []*spec.Task) error {
	publishers := map[string][]string{}
	reads := map[string][]string{} // by task
	for _, t := range tasks {
		if out := t.PublishTopic("{device}"); !strings.Contains(out, "{") {
			publishers[out] = append(publishers[out], t.Name)
		}
		for i := range t.Inputs {
			reads[t.Name] = append(reads[t.Name], t.Inputs[i].Topic)
		}
		reads[t.Name] = append(reads[t.Name], t.Target.Topic)
	}
	done := map[string]bool{}
	var follow func(task string, path []string) error
	follow = func(task string, path []string) error {
		if i := slices.Index(path, task); i >= 0 {
			loop := append(slices.Clone(path[i:]), task)
			slices.Reverse(loop)
			return fmt.Errorf("predictions would make predictions without end: %s, each reads on the topic that the one before publishes on: name another topic (publish.topic)", strings.Join(loop, " → "))
		}
		if done[task] {
			return nil
		}
		path = append(path, task)
		for _, topic := range reads[task] {
			for _, from := range publishers[topic] {
				if err := follow(from, path); err != nil {
					return err
				}
			}
		}
		done[task] = true
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(reads)) {
		if err := follow(name, nil); err != nil {
			return err
		}
	}
	return nil
}
