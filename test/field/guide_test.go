package field

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/test/wait"
)

// section is what stands under one heading of docs/guides/tasks.md.
type section struct {
	title, task           string
	messages, predictions []string
}

// TestTaskGuide runs the examples of docs/guides/tasks.md: each task file with the messages below
// it, through a broker and the agent, must give the predictions that are shown.
func TestTaskGuide(t *testing.T) {
	port, _ := mosquitto(t)
	sections := guide(t)
	if len(sections) < 5 {
		t.Fatalf("%d examples in the guide, want one of every kind and of many machines", len(sections))
	}
	tasks := map[string]string{}
	for i, s := range sections {
		tasks[fmt.Sprintf("task%d", i)] = s.task
	}
	a := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), tasks)
	a.start()
	out := newSensor(t, port)
	var mu sync.Mutex
	published := map[string][]string{} // by task: messages may be handed over in any order
	token := out.cli.Subscribe("skerry/+/+/prediction", 1, func(_ mqtt.Client, m mqtt.Message) {
		mu.Lock()
		defer mu.Unlock()
		name := strings.Split(m.Topic(), "/")[2]
		published[name] = append(published[name], string(m.Payload()))
	})
	if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal("no subscription", token.Error())
	}
	for _, s := range sections {
		t.Run(s.title, func(t *testing.T) {
			for _, m := range s.messages {
				topic, payload, _ := strings.Cut(m, " ")
				if token := out.cli.Publish(topic, 1, false, payload); token.Wait() && token.Error() != nil {
					t.Fatal(token.Error())
				}
			}
			for _, p := range s.predictions {
				name, want, _ := strings.Cut(p, " ")
				wait.For(t, "the prediction "+p, func() bool {
					mu.Lock()
					defer mu.Unlock()
					return slices.ContainsFunc(published[name], func(p string) bool { return holds(p, want) })
				})
			}
		})
	}
	if r := a.reasons(); r != "" {
		t.Errorf("health is degraded after the examples of the guide: %s", r)
	}
}

// holds reports whether a JSON object has all that another has.
func holds(payload, want string) bool {
	var p, w map[string]any
	if json.Unmarshal([]byte(payload), &p) != nil || json.Unmarshal([]byte(want), &w) != nil {
		return false
	}
	for k, v := range w {
		if p[k] != v {
			return false
		}
	}
	return len(w) > 0
}

var block = regexp.MustCompile("(?ms)^```(yaml|mqtt|prediction)\n(.*?)^```$")

func guide(t *testing.T) (out []section) {
	t.Helper()
	text, err := os.ReadFile("../../docs/guides/tasks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		s := section{title: strings.SplitN(part, "\n", 2)[0]}
		for _, b := range block.FindAllStringSubmatch(part, -1) {
			switch lines := strings.Split(strings.TrimSpace(b[2]), "\n"); b[1] {
			case "yaml":
				s.task = b[2]
			case "mqtt":
				s.messages = append(s.messages, lines...)
			case "prediction":
				s.predictions = append(s.predictions, lines...)
			}
		}
		if s.task != "" {
			if len(s.messages) == 0 || len(s.predictions) == 0 {
				t.Fatalf("the example %q shows no messages or no prediction", s.title)
			}
			out = append(out, s)
		}
	}
	return out
}
