package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/client"
	"skerry.dev/hub/training"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// pump is a device with a connection of its own to the hub, as an agent has.
type pump struct {
	t  *testing.T
	nc *nats.Conn
	identity.EnrollReply
}

// enrol makes a token by the command and enrols a device with it.
func enrol(t *testing.T, url, name string) *pump {
	t.Helper()
	kp, key := bustest.Key(t)
	body, err := json.Marshal(identity.EnrollRequest{
		Token:       strings.TrimSpace(must(t, "token", "device", name, "--site", "north", "--cohort", "beta", "--minutes", "5")),
		PublicKey:   key,
		Fingerprint: "f",
		Class:       "linux/amd64",
		Version:     "1.0",
	})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(url+identity.PathEnroll, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	p := &pump{t: t}
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(b, &p.EnrollReply) != nil {
		t.Fatalf("enrol %s = %s %s, %v", name, res.Status, b, err)
	}
	p.nc, err = nats.Connect(p.NATS[0], nats.CustomInboxPrefix(wire.InboxPrefix(name)), nats.MaxReconnects(0),
		nats.UserJWT(func() (string, error) { return p.JWT, nil }, kp.Sign))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.nc.Close)
	return p
}

// send stores readings of a series at the hub.
func (p *pump) send(first uint64, times ...int64) {
	p.t.Helper()
	r := &wire.Records{}
	for _, at := range times {
		r.Readings = append(r.Readings, wire.Reading{Series: "flow", Time: at, Value: float64(at)})
	}
	b, err := wire.Encode(wire.Header{Device: p.Device, Run: wire.Run{1}, Class: wire.ClassReading, First: first}, r)
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := p.nc.Request(wire.SubjectLive(p.Site, p.Device), b, 10*time.Second)
	var receipt wire.Receipt
	if err != nil || json.Unmarshal(m.Data, &receipt) != nil || !receipt.Applied {
		p.t.Fatalf("receipt = %+v, %v, want applied", receipt, err)
	}
}

// report publishes a state and waits until the hub has it.
func (p *pump) report(r spec.Reported) {
	p.t.Helper()
	r.Device = p.Device
	b, err := json.Marshal(r)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := errors.Join(p.nc.Publish(wire.SubjectState(p.Site, p.Device), b), p.nc.Flush()); err != nil {
		p.t.Fatal(err)
	}
	await(p.t, "the state of "+p.Device, func() bool {
		return strings.Contains(must(p.t, "device", "show", p.Device, "--json"), `"health": "`+r.Health+`"`)
	})
}

// await looks again until ok.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within ten seconds: %s", what)
		case <-tick.C:
		}
	}
}

// prints runs a command that has to work and compares what it prints with a pattern, in which
// runs of white space are one space.
func prints(t *testing.T, pattern string, args ...string) {
	t.Helper()
	out := strings.Join(strings.Fields(must(t, args...)), " ")
	if !regexp.MustCompile(pattern).MatchString(out) {
		t.Errorf("skerry-hub %s = %s, want %s", strings.Join(args, " "), out, pattern)
	}
}

const taskFile = "task: flow\nkind: forecast\ntarget: {series: flow, horizon: 1h}\ninputs:\n  - {series: flow, topic: t, unit: l/s}\nrows: {on: flow}\n"

// TestFleetCommands looks at a device, its data and its task by every command that shows them, and
// ends with the device revoked.
func TestFleetCommands(t *testing.T) {
	url := serveHub(t, "--no-auto-train")
	p := enrol(t, url, "pump-1")
	const stamp = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)`

	prints(t, `^DEVICE SITE COHORT CLASS VERSION LINK HEALTH PENDING SUSPECT SEEN pump-1 north beta linux/amd64 1\.0 (yes|no) unknown - - `, "device", "list")
	p.report(spec.Reported{
		Class:   "linux/arm64",
		Version: "2.0",
		Health:  "degraded",
		Reasons: []string{"hot"},
		Outbox:  spec.ReportedOutbox{PendingRecords: 17},
		Tasks:   map[string]spec.ReportedTask{"flow": {Kind: "forecast", Spec: taskFile, SpecHash: "h"}},
		Inputs: []spec.ReportedInput{{Series: "flow", Topic: "t", Path: "$.q", Readings: 12, LastSeen: 1_790_000_000_000_000, LastValue: 2.5, EveryS: 10, Refused: 1, LastRefused: "no number",
			Wrong: []string{"hot", "no reading comes: look after the sensor"}},
			{Series: "valve", Topic: "v", Readings: 1, LastSeen: 1_790_000_000_000_000, LastValue: 1, LastText: "shut"}},
		LeftOut: "3 of 4 inputs",
	})
	prints(t, `pump-1 north beta linux/arm64 2\.0 yes degraded 17 - `+stamp+`$`, "device", "list")
	var devices struct {
		Items []struct {
			Name    string
			Health  string
			Reasons []string
		}
	}
	decode(t, must(t, "device", "list", "--json"), &devices)
	if len(devices.Items) != 1 || devices.Items[0].Name != "pump-1" || devices.Items[0].Reasons[0] != "hot" {
		t.Errorf("device list --json = %+v", devices)
	}
	refused(t, `device "pump-2"`, "device", "show", "pump-2")
	refused(t, "accepts 1 arg", "device", "show")
	prints(t, `^device pump-1 site north cohort beta class linux/arm64 version 2\.0 link up health degraded, reported `+stamp+` - hot enrolled `+stamp+` waiting 17 records, .* starts \d+.* TASK RUNS SHOULD RUN .* flow baselines baselines 0 0 - - - `+
		`.*INPUT TOPIC READINGS EVERY LAST VALUE REFUSED OUT OF RANGE WHY flow t \$\.q 12 10s `+stamp+` 2\.5 1 0 no number ! no reading comes: look after the sensor valve v 1 - `+stamp+` shut 0 0 - not reported: 3 of 4 inputs$`, "device", "show", "pump-1")

	prints(t, `^TASK KIND DEFINED BY FIRST SEEN LAST SEEN flow forecast device/pump-1 `+stamp+` `+stamp+`$`, "task", "list")
	prints(t, `"name": "flow", .*"devices": \[ "pump-1" \], "differing": \[\], "champion": ""`, "task", "show", "flow", "--json")
	prints(t, `^task flow kind forecast defined by device/pump-1 \(version 1\) .* devices 1: pump-1 champion none yet`, "task", "show", "flow")
	refused(t, `task "none"`, "task", "show", "none")
	other := filepath.Join(t.TempDir(), "flow.yaml")
	if err := os.WriteFile(other, []byte("task: flow\nkind: forecast\ntarget: {series: flow, horizon: 2h}\ninputs:\n  - {series: flow, topic: t, unit: l/s}\nrows: {on: flow}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	prints(t, `^Task flow is at version 2: 0 devices run it, 1 differ$`, "task", "set", "flow", "--file", other)
	prints(t, `defined by user/admin \(version 2\) .* horizon: 2h.* DIFFERS: device pump-1 .* task set flow --from pump-1 .* horizon: 1h`, "task", "show", "flow")
	refused(t, `is of task "flow", not "flaw"`, "task", "set", "flaw", "--file", other)
	refused(t, "at least one of the flags", "task", "set", "flow")
	prints(t, `^Removed task flow$`, "task", "remove", "flow")
	refused(t, `task "flow"`, "task", "show", "flow")
	prints(t, `^Task flow is at version 3: 1 devices run it, 0 differ$`, "task", "set", "flow", "--from", "pump-1")

	base := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) int64 { return base.Add(time.Duration(minutes) * time.Minute).UnixMicro() }
	p.send(1, at(0), at(1), at(2), at(3))
	prints(t, `^pump-1: 4 readings, 4 distinct, 0 duplicates, 1 series$`, "data", "check", "pump-1")
	p.send(5, at(3))
	refused(t, "1 readings arrived more than once", "data", "check", "pump-1")
	var check struct{ Readings, Duplicates int64 }
	if out, err := run(t, "data", "check", "pump-1", "--json"); err == nil {
		t.Error("data check --json of doubled readings ends well")
	} else if decode(t, out, &check); check.Readings != 5 || check.Duplicates != 1 {
		t.Errorf("data check --json = %+v, want 5 readings and 1 duplicate", check)
	}

	prints(t, `^reading 0 files, 0 rows, 0.0 MB, 0.0 MB not moved yet .*merged or too old.*: 0 files.* there already: 0$`, "data", "lake")

	exported := func(args ...string) int {
		t.Helper()
		rows, err := csv.NewReader(strings.NewReader(must(t, append([]string{"data", "export", "pump-1"}, args...)...))).ReadAll()
		if err != nil || len(rows) == 0 || rows[0][0] != "device" {
			t.Fatalf("data export %v = %v, %v, want a header", args, rows, err)
		}
		return len(rows) - 1
	}
	for want, args := range map[int][]string{
		5: nil,
		2: {"--from", "2026-01-31T12:01:00Z", "--to", "2026-01-31T12:02:00Z"},
		1: {"--to", "2026-01-31T13:00:00+01:00"}, // the same instant as noon
		3: {"--limit", "3"},
		0: {"--series", "level"},
	} {
		if got := exported(args...); got != want {
			t.Errorf("data export %v writes %d readings, want %d", args, got, want)
		}
	}
	var page struct{ Items []struct{ Value float64 } }
	decode(t, must(t, "data", "export", "pump-1", "--format", "json"), &page)
	if len(page.Items) != 5 || page.Items[0].Value != float64(at(0)) {
		t.Errorf("data export as JSON = %+v", page)
	}
	file := filepath.Join(t.TempDir(), "out.csv")
	if out := must(t, "data", "export", "pump-1", "-o", file); out != "" {
		t.Errorf("data export to a file prints %q", out)
	}
	if b, err := os.ReadFile(file); err != nil || strings.Count(string(b), "\n") != 6 {
		t.Errorf("the file has %q, %v, want a header and five lines", b, err)
	}
	refused(t, `--from "yesterday": must be a time such as 2026-01-31T12:00:00Z`, "data", "export", "pump-1", "--from", "yesterday")
	refused(t, "format", "data", "export", "pump-1", "--format", "xml")
	refused(t, "no such file or directory", "data", "export", "pump-1", "-o", filepath.Join(t.TempDir(), "no", "out.csv"))

	// the shell is offered what is there
	for _, args := range [][]string{{"device", "show", ""}, {"task", "show", ""}, {"train", ""}} {
		want := map[string]string{"device": "pump-1", "task": "flow", "train": "flow"}[args[0]]
		if out := must(t, append([]string{"__complete"}, args...)...); !strings.HasPrefix(out, want+"\n") {
			t.Errorf("completion of %v = %q, want %s", args, out, want)
		}
	}

	refused(t, "not found", "device", "revoke", "pump-2")
	must(t, "device", "clear-suspect", "pump-1")
	must(t, "device", "revoke", "pump-1")
	await(t, "the end of a revoked device's connection", p.nc.IsClosed)
	await(t, "the hub's note of it", func() bool {
		return strings.Contains(must(t, "device", "show", "pump-1", "--json"), `"connected": false`)
	})
	if out := must(t, "device", "show", "pump-1", "--json"); strings.Contains(out, `"revoked_at": 0`) {
		t.Errorf("device show of a revoked device = %s", out)
	}
	prints(t, `revoked `+stamp, "device", "show", "pump-1")
	prints(t, `pump-1 north beta linux/arm64 2\.0 no revoked `, "device", "list")
	must(t, "device", "remove", "pump-1")
	refused(t, "not found", "device", "show", "pump-1")
	refused(t, "not found", "device", "remove", "pump-1")
}

// TestTrainWaits follows a training that cannot be done: the command shows why and fails.
func TestTrainWaits(t *testing.T) {
	url := serveHub(t, "--no-auto-train")
	p := enrol(t, url, "pump-1")
	p.report(spec.Reported{Health: "ok", Tasks: map[string]spec.ReportedTask{
		"flow": {Kind: "forecast", Spec: taskFile, SpecHash: "h"},
	}})
	p.send(1, 1, 2, 3)
	out, err := run(t, "train", "flow", "--wait", "--reason", "sensor replaced")
	if err == nil || !regexp.MustCompile(`^job j-\w+ failed: `).MatchString(err.Error()) {
		t.Fatalf("train --wait of three readings: %v, want a job that failed\n%s", err, out)
	}
	for _, want := range []string{`task +flow`, `state +failed`, `trigger +sensor replaced`, `error +\S`} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(out) {
			t.Errorf("train --wait prints %s, want a line %q", out, want)
		}
	}
	var jobs struct{ Items []struct{ ID, State string } }
	decode(t, must(t, "job", "list", "--task", "flow", "--state", "failed", "--json"), &jobs)
	if len(jobs.Items) != 1 {
		t.Fatalf("job list = %+v, want the failed one", jobs)
	}
	id := jobs.Items[0].ID
	prints(t, `JOB TASK STATE STAGE MODEL OUTCOME BY CREATED `+id+` flow failed `, "job", "list")
	prints(t, `^JOB TASK STATE STAGE MODEL OUTCOME BY CREATED$`, "job", "list", "--state", "done")
	prints(t, `^job `+id+` task flow state failed trigger sensor replaced`, "job", "show", id)
	var job struct {
		State string
		Error string
	}
	decode(t, must(t, "job", "show", id, "--json"), &job)
	if job.State != "failed" || job.Error == "" {
		t.Errorf("job show --json = %+v", job)
	}
	refused(t, "cancel job", "job", "cancel", id)
	if out := must(t, "__complete", "job", "show", ""); !strings.HasPrefix(out, id+"\n") {
		t.Errorf("completion of jobs = %q, want %s", out, id)
	}
	if out, err := run(t, "train", "flow", "--wait", "--json"); err == nil {
		t.Error("train --wait --json of three readings ends well")
	} else if decode(t, out, &job); job.State != "failed" {
		t.Errorf("train --wait --json = %+v, want the job alone", job)
	}
	if out := must(t, "train", "flow"); !strings.Contains(out, "Follow it with: skerry-hub job show j-") {
		t.Errorf("train = %q, want how to follow it", out)
	}
	if got, want := queued(training.Job{ID: "j-1", Task: "flow", State: "running", Existing: true}), "Task flow has the training j-1 already, which is running: nothing new was queued."; got != want {
		t.Errorf("a training that runs = %q, want %q", got, want)
	}
}

// TestAccessCommands creates users and tokens, uses them, and takes them away again.
func TestAccessCommands(t *testing.T) {
	url := serveHub(t, "--no-auto-train")
	admin := (&remote{}).session().Token

	t.Setenv("SKERRY_PASSWORD", "a long password")
	prints(t, `^Created user eve with role operator$`, "user", "add", "eve", "--role", "operator")
	refused(t, "exists", "user", "add", "eve")
	refused(t, "role", "user", "add", "bob", "--role", "king")
	refused(t, "user name", "user", "add", "Bob!")
	prints(t, `^NAME ROLE CREATED admin admin \S+ eve operator `, "user", "list")

	token := strings.TrimSpace(must(t, "token", "api", "ci", "--role", "viewer", "--days", "1"))
	var tokens struct {
		Items []struct{ ID, Name, Role string }
	}
	decode(t, must(t, "token", "list", "--json"), &tokens)
	if len(tokens.Items) != 1 || tokens.Items[0].Name != "ci" || tokens.Items[0].Role != "viewer" {
		t.Fatalf("token list = %+v", tokens)
	}
	prints(t, `^ID NAME ROLE EXPIRES REVOKED `+tokens.Items[0].ID+` ci viewer \S+ -$`, "token", "list")

	// the variable wins over the session, and has its own role
	t.Setenv("SKERRY_TOKEN", token)
	must(t, "device", "list")
	refused(t, "needs the role admin", "user", "list")
	t.Setenv("SKERRY_TOKEN", admin)
	must(t, "token", "revoke", tokens.Items[0].ID)
	t.Setenv("SKERRY_TOKEN", token)
	_, err := run(t, "device", "list")
	if err == nil || hint(err) != "log in with: skerry-hub login --hub "+url+", or set SKERRY_TOKEN" {
		t.Errorf("a revoked token: %v, hint %q", err, hint(err))
	}
	t.Setenv("SKERRY_TOKEN", "")

	must(t, "token", "device", "pump-1")
	refused(t, "device name", "token", "device", "Pump One")
	prints(t, `^ID DEVICE SITE EXPIRES USED \S+ pump-1 default \S+ -$`, "token", "list-devices")

	// somebody else's password, then one's own, which needs the old one
	t.Setenv("SKERRY_PASSWORD", "another password")
	must(t, "user", "passwd", "eve")
	must(t, "login", "--user", "eve")
	t.Setenv("SKERRY_PASSWORD", "a third password")
	t.Setenv("SKERRY_CURRENT_PASSWORD", "wrong password")
	if _, err := run(t, "user", "passwd", "eve"); err == nil {
		t.Error("a password is set without the current one")
	}
	t.Setenv("SKERRY_CURRENT_PASSWORD", "another password")
	must(t, "user", "passwd", "eve")
	refused(t, "log in", "device", "list") // a new password ends the logins of the old one
	t.Setenv("SKERRY_PASSWORD", "a third password")
	must(t, "login", "--user", "eve")
	refused(t, "only an admin", "user", "passwd", "admin")
	t.Setenv("SKERRY_PASSWORD", "another password")
	if _, err := run(t, "login", "--user", "eve"); err == nil {
		t.Error("the old password logs in")
	}
	t.Setenv("SKERRY_TOKEN", admin)
	must(t, "user", "remove", "eve")
	refused(t, "not found", "user", "remove", "eve")
	refused(t, "remove yourself", "user", "remove", "admin")
}

// TestSession holds whose token is used for which hub: one that another hub gave is never sent.
func TestSession(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("HOME", dir)
	path, err := sessionPath()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	const kept = `{"hub":"http://a.example","token":"kept","expires_at":1}`
	for name, tt := range map[string]struct {
		file, hub, token, flag string
		wantHub, wantToken     string
	}{
		"no session":         {"", "", "", "", "http://127.0.0.1:8000", ""},
		"session":            {kept, "", "", "", "http://a.example", "kept"},
		"damaged session":    {"{", "", "", "", "http://127.0.0.1:8000", ""},
		"same hub":           {kept, "http://a.example", "", "", "http://a.example", "kept"},
		"another hub":        {kept, "http://b.example", "", "", "http://b.example", ""},
		"another by flag":    {kept, "", "", "http://c.example/", "http://c.example", ""},
		"flag over variable": {kept, "http://b.example", "", "http://a.example", "http://a.example", "kept"},
		"token of its own":   {kept, "http://b.example", "own", "", "http://b.example", "own"},
	} {
		if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("SKERRY_HUB", tt.hub)
		t.Setenv("SKERRY_TOKEN", tt.token)
		if got := (&remote{url: tt.flag}).session(); got.Hub != tt.wantHub || got.Token != tt.wantToken {
			t.Errorf("%s: session() = %q, %q, want %q, %q", name, got.Hub, got.Token, tt.wantHub, tt.wantToken)
		}
	}
}

// TestHints holds what the user is told to do next.
func TestHints(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("SKERRY_TOKEN", "")
	nobody := "http://" + freePort(t)
	_, err := run(t, "device", "list", "--hub", nobody)
	if err == nil || hint(err) != "is the hub running at "+nobody+"? choose another with --hub" {
		t.Errorf("a hub that is not there: %v, hint %q", err, hint(err))
	}
	_, err = run(t, "export-model", writeTemp(t, "x.skerry", []byte("no artifact")), "--out", "-")
	if err == nil || !strings.Contains(hint(err), "make one with: skerry-hub fit") {
		t.Errorf("a file that is no artifact: %v, hint %q", err, hint(err))
	}
	if got := hint(client.ErrNoModel); !strings.Contains(got, "skerry-hub model list") {
		t.Errorf("hint(ErrNoModel) = %q", got)
	}
	if got := hint(errors.New("x")); got != "" {
		t.Errorf("hint of an unknown error = %q, want none", got)
	}
}

// TestInit sets up a directory once.
func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if out := must(t, "init", "--data", dir); !regexp.MustCompile(`password is shown this once:\s+\S{12,}\s`).MatchString(out) {
		t.Errorf("init = %q, want the first password", out)
	}
	refused(t, dir+" is already set up", "init", "--data", dir)
	if out := must(t, "init", "--data", dir, "--reset-admin"); !regexp.MustCompile(`new password, and its logins have ended.*\s+\S{12,}\s`).MatchString(out) {
		t.Errorf("init --reset-admin = %q, want another password", out)
	}
}

// TestOpenAPI prints a document that has every noun, the pages' routes apart.
func TestOpenAPI(t *testing.T) {
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ OperationID string }
	}
	decode(t, must(t, "openapi"), &doc)
	for _, path := range []string{"/v1/devices", "/v1/jobs", "/v1/rollouts", "/v1/models", "/v1/tasks/{task}/train", "/v1/enroll"} {
		if len(doc.Paths[path]) == 0 {
			t.Errorf("the document lacks %s", path)
		}
	}
	ids := map[string]string{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if other := ids[op.OperationID]; other != "" || op.OperationID == "" {
				t.Errorf("%s %s has the operation id %q, as %s has", method, path, op.OperationID, other)
			}
			ids[op.OperationID] = method + " " + path
		}
	}
}

func TestHostText(t *testing.T) {
	for metric, want := range map[string]string{
		"cpu_percent": "cpu 12.3 %", "mem_available_bytes": "mem available 12 B", "uptime_seconds": "uptime 12.3s",
		"temperature_cpu_thermal_celsius": "temperature cpu thermal 12.3 °C", "load1": "load1 12.34", "fans_running": "fans running 12.34",
	} {
		if name, value := hostText(metric, 12.34); name+" "+value != want {
			t.Errorf("%s is shown as %q %q, want %q", metric, name, value, want)
		}
	}
}
