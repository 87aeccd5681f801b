package field

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"skerry.dev/test/wait"
)

// TestPayloadsOfTheField: what firmware sends becomes the prediction that it stands for.
func TestPayloadsOfTheField(t *testing.T) {
	cases := []struct {
		name, input, time, payload string
		value                      float64
		ts                         string // of the prediction, "" when it is the arrival
	}{
		{"meter", "path: $.p", "path: $.at", `{"at":"2026-03-01T06:00:00Z","p":"417.5"}`, 417.5, "2026-03-01T06:00:00Z"},
		{"probe", "path: $.p", "path: $.at", `{"at":"2026-03-01T06:00:00Z","p":8,"q":-nan}`, 8, "2026-03-01T06:00:00Z"},
		{"cstring", "path: $.p", "path: $.at", "{\"at\":1772344800,\"p\":8}\x00", 8, "2026-03-01T06:00:00Z"},
		{"nanos", "path: $.p", "{path: $.at, format: unix_ns}", `{"at":1772344800000001000,"p":8}`, 8, "2026-03-01T06:00:00.000001Z"},
		{"plug", "path: $.p", "{path: $.at, zone: Europe/Madrid}", `{"at":"2026-07-01 08:00:00","p":8}`, 8, "2026-07-01T06:00:00Z"},
		{"plc", "path: $.p", "path: $.at", `{'at': '2026-03-01t06:00:00z', 'p': 8.0,}`, 8, "2026-03-01T06:00:00Z"},
		{"knx", "", "", "19,25 °C", 19.25, ""},
		{"valve", "", "", "64%", 64, ""},
		{"contact", "", "", "OPEN", 1, ""},
		{"washer", "words: {idle: 0, spin: 3}", "", "Spin", 3, ""},
	}
	tasks := map[string]string{}
	for _, c := range cases {
		input, tm := c.input, c.time
		if input != "" {
			input = ", " + input
		}
		if tm != "" && tm[0] != '{' {
			tm = "{" + tm + "}"
		}
		text := fmt.Sprintf("task: %s\ntarget: {series: %s, horizon: 1h}\ninputs: [{series: %s, topic: field/%s%s}]\n", c.name, c.name, c.name, c.name, input)
		if tm != "" {
			text += "time: " + tm + "\n"
		}
		tasks[c.name] = text
	}
	// seconds where milliseconds are declared: refused by name, and nothing is dated 1970
	tasks["wrong"] = "task: wrong\ntarget: {series: wrong, horizon: 1h}\ninputs: [{series: wrong, topic: field/wrong, path: $.p}]\ntime: {path: $.at, format: unix_ms}\n"
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), tasks), newSensor(t, port)
	a.start()
	s.publish("field/wrong", `{"at":1772344800,"p":8}`, false)
	for _, c := range cases {
		s.publish("field/"+c.name, c.payload, false)
	}
	for _, c := range cases {
		topic := "/" + c.name + "/prediction"
		wait.For(t, "a prediction of "+c.name, func() bool { return s.heard(topic) != "" })
		var p struct {
			TS    string
			Value float64
		}
		if err := json.Unmarshal([]byte(s.heard(topic)), &p); err != nil || p.Value != c.value || (c.ts != "" && p.TS != c.ts) {
			t.Errorf("%s: %s became %s, want %v at %q", c.name, c.payload, s.heard(topic), c.value, c.ts)
		}
	}
	if got := s.heard("/wrong/prediction"); got != "" {
		t.Errorf("seconds as milliseconds became %s", got)
	}
	status, err := a.command("status")
	if err != nil || !strings.Contains(status, "quoted_number 1") || !strings.Contains(status, "as unix it would be 2026-03-01T06:00:00Z") {
		t.Errorf("status = %v\n%s\nwant what was forgiven and what was refused", err, status)
	}
}

const levelTask = "task: level\ntarget: {series: level, horizon: 1h}\ninputs: [{series: level, topic: tank/level}]\n"

// TestWebSocketBroker: a broker that is reached by WebSocket only is a broker like any other, for
// the agent and for doctor.
func TestWebSocketBroker(t *testing.T) {
	port, ws := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("ws://127.0.0.1:%d", ws), map[string]string{"level": levelTask}), newSensor(t, port)
	a.start()
	s.publish("tank/level", "3.5", false)
	wait.For(t, "a prediction", func() bool { return strings.Contains(s.heard("/level/prediction"), `"value":3.5`) })
	if out, _ := a.command("doctor"); !strings.Contains(out, "takes connection, subscription and messages") {
		t.Errorf("doctor = %s", out)
	}
}

// TestNoBroker: one box without a broker takes readings by HTTP, and that is how it should be for
// health and doctor.
func TestNoBroker(t *testing.T) {
	a := newAgent(t, "", map[string]string{"level": levelTask})
	a.start()
	res, err := http.Post("http://"+a.web+"/v1/ingest/tank/level", "", strings.NewReader("3.5 m"))
	if err != nil || res.StatusCode != http.StatusNoContent {
		t.Fatalf("POST = %v, %v", res, err)
	}
	res.Body.Close()
	wait.For(t, "a row", func() bool { return a.rows("level") == 1 })
	if r := a.reasons(); r != "" {
		t.Errorf("health is degraded: %s", r)
	}
	if out, _ := a.command("doctor"); !strings.Contains(out, "readings come by HTTP only") || strings.Contains(out, "FAIL") {
		t.Errorf("doctor = %s", out)
	}
	if out, err := a.command("topics"); err == nil || !strings.Contains(out, "there is no broker") {
		t.Errorf("topics = %v %s", err, out)
	}
}

// TestTopics: what arrives at the broker is shown with lines that a task file takes.
func TestTopics(t *testing.T) {
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), nil), newSensor(t, port)
	s.publish("house/attic", `{"temperature":21.5,"odd name":"55%","seen":"2026-03-01T06:00:00Z","note":"hello"}`, true)
	s.publish("house/attic/switch", "ON", true)
	out, err := a.command("topics", "house/#", "--for", "1s")
	if err != nil {
		t.Fatalf("topics = %v\n%s", err, out)
	}
	var lines []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "  - {series") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 3 || !strings.Contains(out, "retained") {
		t.Fatalf("topics shows %d inputs, want 3\n%s", len(lines), out)
	}
	a.write("tasks/found.yaml", "task: found\nkind: anomaly\ninputs:\n"+strings.Join(lines, "")+"rows: {every: 1m}\n")
	if out, err := a.command("task", "check"); err != nil {
		t.Errorf("the lines are no task: %s", out)
	}
}
