package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"skerry.dev/agent/source"
)

const twoTasks = `
task: air
target: {series: pm25, horizon: 1h}
inputs: [{series: pm25, topic: air/1, path: $.pm25}, {series: wd, topic: air/1, path: $.wd, categories: [N, S]}]
---
task: pump
kind: anomaly
inputs: [{series: p, topic: pump/1, path: $.p}]
`

// writeTasks puts task files into the task directory of a box.
func writeTasks(t *testing.T, dir string) {
	t.Helper()
	for _, text := range strings.Split(twoTasks, "---") {
		name := regexp.MustCompile(`task: (\w+)`).FindStringSubmatch(text)[1]
		if err := os.WriteFile(filepath.Join(dir, "tasks", name+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTaskTables holds what task check and task list print of two files, for people and programs.
func TestTaskTables(t *testing.T) {
	dir, flags := box(t)
	writeTasks(t, dir)
	if out := must(t, append(flags, "task", "check", "--set", "http.listen=127.0.0.1:1")...); !strings.HasPrefix(out, "ok: tasks 2, series 3, topics air/1, pump/1\n") {
		t.Errorf("task check = %q", out)
	}
	lines := strings.Split(must(t, append(flags, "task", "list")...), "\n")
	for i, want := range []string{
		"TASK KIND TARGET HORIZON INPUTS FILE",
		"air forecast pm25 1h0m0s 2 " + filepath.Join(dir, "tasks", "air.yaml"),
		"pump anomaly 1 " + filepath.Join(dir, "tasks", "pump.yaml"),
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("task list, line %d = %q, want %q", i+1, got, want)
		}
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(must(t, append(flags, "task", "list", "--json")...)), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 || rows[0]["task"] != "air" || rows[0]["horizon"] != "1h0m0s" || rows[0]["inputs"] != 2.0 || len(rows[0]["hash"].(string)) != 64 || rows[1]["kind"] != "anomaly" || rows[1]["horizon"] != nil {
		t.Errorf("task list --json = %v", rows)
	}

	bad := write(t, "bad.yaml", "task: A\ntarget: {series: x, horizon: 1h}\ninputs: [{series: x, topic: a}]\n")
	gone := filepath.Join(dir, "gone.yaml")
	_, err := agent(t, "", append(flags, "task", "check", bad, gone)...)
	for _, want := range []string{bad, "task (line 1)", gone} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("task check of a bad and a missing file = %v, want %q", err, want)
		}
	}
	good := filepath.Join(dir, "tasks", "pump.yaml")
	if out := must(t, append(flags, "task", "check", good)...); !strings.HasPrefix(out, "ok: tasks 1, series 1,") {
		t.Errorf("task check of one file = %q", out)
	}
}

// TestConfigShow holds that every key is listed with its origin and variable, and no secret.
func TestConfigShow(t *testing.T) {
	_, flags := box(t)
	t.Setenv("SKERRY_MQTT_CLIENT_ID", "from-env")
	text := must(t, append(flags, "config", "show")...)
	if !regexp.MustCompile(`(?m)^KEY +VALUE +ORIGIN +ENVIRONMENT$`).MatchString(text) {
		t.Errorf("config show has no head: %s", text)
	}
	for _, want := range []string{
		`mqtt\.client_id +from-env +env SKERRY_MQTT_CLIENT_ID +SKERRY_MQTT_CLIENT_ID`,
		`mqtt\.password +\*{8} +` + regexp.QuoteMeta(flags[1]) + `:3 +SKERRY_MQTT_PASSWORD`,
		`cache\.max_bytes +268435456 +default +SKERRY_CACHE_MAX_BYTES`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(text) {
			t.Errorf("config show lacks %s:\n%s", want, text)
		}
	}
	var rows []struct{ Key, Value, Origin, Env string }
	if err := json.Unmarshal([]byte(must(t, append(flags, "config", "show", "--json")...)), &rows); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text, "\n") - 1; len(rows) != n {
		t.Errorf("config show --json has %d keys, the table %d", len(rows), n)
	}
	for _, r := range rows {
		if strings.Contains(r.Value, "hunter2") || r.Key == "" || r.Origin == "" || !strings.HasPrefix(r.Env, "SKERRY_") {
			t.Errorf("config show --json has %+v", r)
		}
	}
	t.Setenv("SKERRY_MQTT_QOS", "7")
	for _, command := range [][]string{{"config", "show"}, {"config", "check"}, {"install", "--dry-run"}, {"task", "list"}} {
		refused(t, "env SKERRY_MQTT_QOS: mqtt.qos: \"7\": must be 0 to 1", append(flags, command...)...)
	}
}

// TestBenchTable holds the table that people read, and what bench refuses.
func TestBenchTable(t *testing.T) {
	model := filepath.Join("..", "..", "..", "compute", "artifact", "testdata", "v1.skerry")
	out := must(t, "bench", "--model", model, "--batch", "1,16", "--threads", "4", "--runs", "2", "--run-time", "200us")
	for _, want := range []string{
		`model +[0-9a-f]{12} \(\w+\), \d+ features`,
		`kernel +trees/\S+`,
		`BATCH +THREADS +NS PER ROW +ALLOCATIONS`,
		`1 +1 +\d+\.\d +0`,
		`16 +4 +\d+\.\d +\d+`,
		`pipeline +1 +\d+\.\d +\d+`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(out) {
			t.Errorf("bench lacks %s:\n%s", want, out)
		}
	}
	for _, bad := range [][]string{
		{"--batch", "1048577"}, {"--batch", "4,-1"}, {"--threads", "0"}, {"--runs", "0"}, {"--run-time", "0s"},
	} {
		refused(t, "batches of 1 to 1048576 rows, and at least one thread and run", append([]string{"bench", "--model", model}, bad...)...)
	}
	refused(t, `required flag(s) "model" not set`, "bench")
	refused(t, "unknown command", "bench", "--model", model, "more")
	refused(t, "no such file", "bench", "--model", filepath.Join(t.TempDir(), "none.skerry"))
	refused(t, "", "bench", "--model", write(t, "m.skerry", "not a model"))
}

// TestServiceArguments are refused before anything is changed.
func TestServiceArguments(t *testing.T) {
	_, flags := box(t)
	for _, action := range []string{"install", "uninstall", "start", "stop", "restart"} {
		refused(t, "service name \"a\\nb\": must not contain line breaks", append(flags, action, "--name", "a\nb")...)
		refused(t, "unknown command", append(flags, action, "twice")...)
	}
	for _, action := range []string{"uninstall", "start", "stop", "restart"} {
		refused(t, "unknown flag: --dry-run", append(flags, action, "--dry-run")...)
	}
	out := must(t, append(flags, "install", "--dry-run", "--name", "edge-7")...)
	if !strings.Contains(out, "\nStateDirectory=edge-7\n") || !strings.Contains(out, "\nUser=edge-7\n") {
		t.Errorf("install --dry-run --name edge-7:\n%s", out)
	}
}

// TestInstallChecksFirst holds that a service that cannot start is not installed, and that the dry
// run says so.
func TestInstallChecksFirst(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere there is no sandbox to check: run the tests on Linux")
	}
	_, flags := box(t)
	out, err := agent(t, "", append(flags, "install")...)
	if err == nil || !strings.Contains(err.Error(), "nothing was written") || !strings.Contains(err.Error(), "systemd does not run here") && !strings.Contains(err.Error(), "PrivateTmp") {
		t.Errorf("install of a program in a folder that the service does not see: %v\n%s", err, out)
	}
	if out := must(t, append(flags, "install", "--dry-run")...); !strings.Contains(out, "install refuses this here") {
		t.Errorf("dry run:\n%s", out)
	}
}

// TestTopicsLeaveAgentsOut: what agents publish is shown and not proposed as an input, which would
// make a model predict from its own predictions.
func TestTopicsLeaveAgentsOut(t *testing.T) {
	var b bytes.Buffer
	values := []source.FoundPath{{Path: "$.value", Kind: "number", Value: "4.5"}}
	err := writeTopics(&b, []source.Found{
		{Topic: "plant/temp", Messages: 1, Sample: `{"value":4.5}`, Values: values},
		{Topic: "skerry/roof/air/prediction", Messages: 1, Sample: `{"value":4.5}`, Values: values},
		{Topic: "hall", Messages: 1, Values: append([]source.FoundPath{{Path: "$.at", Kind: "time", Local: true}}, values...)},
	}, 0, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	out := b.String()
	if n := strings.Count(out, "- {series:"); n != 2 || !strings.Contains(out, `time: {path: "$.at", zone: Area/City}}  # the time says no zone`) || !strings.Contains(out, "skerry/roof/air/prediction") || !strings.Contains(out, "published by an agent") {
		t.Errorf("%d lines are proposed, want those of the sensors alone:\n%s", n, out)
	}
}

// TestEnrollWithoutAHub ends by itself where nothing answers, and says what to correct.
func TestEnrollWithoutAHub(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := agent(t, "", "enroll", "--hub", url, "--token", "x", "--timeout", "1s", "--set", "state_dir="+t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "no hub answered at "+url) || !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), "--hub") {
		t.Errorf("enroll at a closed port: %v\n%s", err, out)
	}
}
