package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/agent/serve"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
)

// agent runs a command as a person would and returns what it prints.
func agent(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := newRoot()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// box returns the flags of a device in a directory of its own.
func box(t *testing.T) (dir string, flags []string) {
	dir = t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tasks"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "agent.yaml")
	text := "state_dir: " + dir + "\ntask_dir: " + filepath.Join(dir, "tasks") + "\nmqtt: {broker: \"tcp://127.0.0.1:1\", password: hunter2}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"--config", conf}
}

func TestVersionAndCompletion(t *testing.T) {
	if out, err := agent(t, "", "version"); err != nil || !strings.HasPrefix(out, "skerry-agent ") {
		t.Errorf("version: %q, %v", out, err)
	}
	out, err := agent(t, "", "version", "--json")
	var v map[string]string
	if err != nil || json.Unmarshal([]byte(out), &v) != nil || v["version"] == "" || v["class"] == "" {
		t.Errorf("version --json: %q, %v", out, err)
	}
	if out, err := agent(t, "", "completion", "bash"); err != nil || !strings.Contains(out, "skerry-agent") {
		t.Errorf("completion: %v", err)
	}
	if _, err := agent(t, "", "nonsense"); err == nil {
		t.Error("an unknown command was accepted")
	}
}

func TestConfig(t *testing.T) {
	dir, flags := box(t)
	if out, err := agent(t, "", append(flags, "config", "check")...); err != nil || !strings.Contains(out, "ok") {
		t.Errorf("config check: %q, %v", out, err)
	}
	out, err := agent(t, "", append(flags, "config", "show", "--set", "log.level=debug")...)
	if err != nil || !strings.Contains(out, dir) || strings.Contains(out, "hunter2") {
		t.Errorf("config show: %v\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "log.level ") && !(strings.Contains(line, "debug") && strings.Contains(line, "flag")) {
			t.Errorf("config show: %s", line)
		}
	}
	if _, err := agent(t, "", append(flags, "config", "check", "--set", "mqtt.brokr=x")...); err == nil || !strings.Contains(err.Error(), "mqtt.broker") {
		t.Errorf("a key that is not there = %v, want a suggestion", err)
	}
	if _, err := agent(t, "", "config", "check", "--config", filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a configuration file that is not there was accepted")
	}
}

func TestTasks(t *testing.T) {
	dir, flags := box(t)
	sample := "../../../configs/tasks/pm25-next-hour.yaml"
	if out, err := agent(t, "", "task", "check", sample); err != nil || !strings.Contains(out, "ok: tasks 1, series 12, topics air/roof/reading") {
		t.Errorf("task check: %q, %v", out, err)
	}
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "tasks", "a.yaml"), text, 0o600)
	if out, err := agent(t, "", append(flags, "task", "list")...); err != nil || !strings.Contains(out, "pm25-next-hour") || !strings.Contains(out, "1h0m0s") {
		t.Errorf("task list: %q, %v", out, err)
	}
	os.WriteFile(filepath.Join(dir, "tasks", "b.yaml"), []byte("task: b\nkinds: x\n"), 0o600)
	if _, err := agent(t, "", append(flags, "task", "check")...); err == nil || !strings.Contains(err.Error(), "b.yaml") || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("task check of a wrong file = %v", err)
	}
}

func TestDoctor(t *testing.T) {
	_, flags := box(t)
	out, err := agent(t, "", append(flags, "doctor")...)
	if err == nil || !strings.Contains(out, "FAIL  broker") || !strings.Contains(out, "WARN  tasks") {
		t.Errorf("doctor on a box without a broker: %v\n%s", err, out)
	}
}

func TestInstallDryRun(t *testing.T) {
	_, flags := box(t)
	out, err := agent(t, "", append(flags, "install", "--dry-run", "--user", "edge")...)
	if err != nil || !strings.Contains(out, " run --config "+flags[1]) || !strings.Contains(out, "User=edge") || !strings.Contains(out, "WatchdogSec=30") {
		t.Errorf("install --dry-run: %v\n%s", err, out)
	}
}

func TestEnroll(t *testing.T) {
	dir, flags := box(t)
	var token string
	root := "root of one hub"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var req identity.EnrollRequest
		json.NewDecoder(r.Body).Decode(&req)
		token = req.Token
		json.NewEncoder(w).Encode(identity.EnrollReply{Device: "dev1", Site: "north", JWT: "a.b.c", TUFRoot: []byte(root)})
	}))
	defer srv.Close()
	if _, err := agent(t, "", append(flags, "enroll", "--token", "x")...); err == nil || !strings.Contains(err.Error(), "--hub") {
		t.Errorf("enroll without a hub = %v", err)
	}
	if _, err := agent(t, "", append(flags, "enroll", "--hub", srv.URL)...); err == nil {
		t.Error("enroll without a token was accepted")
	}
	out, err := agent(t, "secret\n", append(flags, "enroll", "--hub", srv.URL, "--token", "-")...)
	if err != nil || token != "secret" || !strings.Contains(out, "dev1 at north") {
		t.Errorf("enroll: %q, %v, token %q", out, err, token)
	}
	if id, err := identity.Open(filepath.Join(dir, "identity"), identity.Options{}); err != nil || id.Device() != "dev1" {
		t.Errorf("after the enrolment: %v", err)
	}

	// What the hub vouched for outlives enrolling there again, but for floors that cannot be
	// read, and goes with the hub.
	trusted, floors := filepath.Join(dir, "trust", "root.json"), filepath.Join(dir, "floors.json")
	if err := os.MkdirAll(filepath.Dir(trusted), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, root, floors string
		trust, kept        bool
	}{{"the same hub", root, `{"document":7}`, true, true}, {"damaged floors", root, `{"docu`, true, false}, {"another hub", "root of another", `{"document":7}`, false, false}} {
		for path, text := range map[string]string{trusted: root, floors: c.floors} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		root = c.root
		if _, err := agent(t, "", append(flags, "enroll", "--hub", srv.URL, "--token", "x")...); err != nil {
			t.Fatal(err)
		}
		_, noTrust := os.Stat(trusted)
		_, noFloors := os.Stat(floors)
		if (noTrust == nil) != c.trust || (noFloors == nil) != c.kept {
			t.Errorf("%s: trust %v, floors %v", c.name, noTrust, noFloors)
		}
	}
}

func TestStatus(t *testing.T) {
	_, flags := box(t)
	if _, err := agent(t, "", append(flags, "status", "--set", "http.listen=127.0.0.1:1")...); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("status without an agent = %v", err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"status":"degraded","reasons":["no broker"],"version":"v1","uptime_s":90,"links":{"mqtt":false},"state":{"device":"dev1","site":"north",
			"tasks":{"air":{"champion":"abcdef0123","version":"air@3","mae":1.5,"rows":7,"assignment":{"phase":"vetoed","reason":"worse"}}},"outbox":{"pending_records":5,"cap_bytes":1048576,"offline_days":-1}}}`))
	}))
	defer srv.Close()
	listen := strings.TrimPrefix(srv.URL, "http://")
	out, err := agent(t, "", append(flags, "status", "--set", "http.listen="+listen)...)
	for _, want := range []string{"dev1 at north", "degraded", "no broker", "away", "5 records", "air@3", "vetoed: worse", "1m30s"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("status lacks %q: %v\n%s", want, err, out)
		}
	}
	out, err = agent(t, "", append(flags, "status", "--json", "--set", "http.listen="+listen)...)
	if err != nil || !json.Valid([]byte(out)) {
		t.Errorf("status --json: %v\n%s", err, out)
	}
}

// TestTaskCheckTellsResets: beside a running agent, a check tells which tasks would begin anew.
func TestTaskCheckTellsResets(t *testing.T) {
	dir := t.TempDir()
	text := func(name, horizon, more string) string {
		return more + "task: " + name + "\ntarget: {series: y, horizon: " + horizon + "}\ninputs: [{series: y, topic: t, path: $.y}]\n"
	}
	for name, body := range map[string]string{"words": text("words", "1h", "# another comment\n"), "ahead": text("ahead", "2h", ""), "new": text("new", "1h", "")} {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var d serve.Detailed
		d.State.Tasks = map[string]spec.ReportedTask{
			"words": {Spec: text("words", "1h", ""), Rows: 5},
			"ahead": {Spec: text("ahead", "1h", ""), Rows: 70, Labels: 60},
			"gone":  {Spec: text("gone", "1h", ""), Rows: 8},
		}
		json.NewEncoder(w).Encode(d)
	}))
	defer srv.Close()
	_, flags := box(t)
	flags = append(flags, "--set", "task_dir="+dir)
	listen := "http.listen=" + strings.TrimPrefix(srv.URL, "http://")
	out, err := agent(t, "", append(flags, "task", "check", "--set", listen)...)
	for _, want := range []string{"ok: tasks 3", "task ahead will start learning anew (70 rows and 60 labels so far): target.horizon was 1h0m0s and is 2h0m0s", "task gone is in no file any more"} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("task check lacks %q: %v\n%s", want, err, out)
		}
	}
	if strings.Contains(out, "words") || strings.Contains(out, "task new") {
		t.Errorf("task check tells of tasks that go on:\n%s", out)
	}
	if out, err := agent(t, "", append(flags, "task", "check", "--set", listen, filepath.Join(dir, "words.yaml"))...); err != nil || strings.Contains(out, "gone") {
		t.Errorf("a check of one file: %v\n%s", err, out)
	}
	if out, err := agent(t, "", append(flags, "task", "check", "--set", "http.listen=127.0.0.1:1")...); err != nil || !strings.Contains(out, "no agent answers") {
		t.Errorf("a check without an agent: %v\n%s", err, out)
	}
}
