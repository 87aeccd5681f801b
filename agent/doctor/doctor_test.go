package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"skerry.dev/sync/identity"
)

func find(t *testing.T, rs []Result, check string) Result {
	t.Helper()
	for _, r := range rs {
		if r.Check == check {
			return r
		}
	}
	t.Fatalf("no check %q in %v", check, rs)
	return Result{}
}

const goodTask = "task: a\ntarget: {series: x, horizon: 1h}\ninputs: [{series: x, topic: t, path: $.x}]\n"

func TestAloneOnABox(t *testing.T) {
	dir := t.TempDir()
	tasks := filepath.Join(dir, "tasks")
	os.MkdirAll(tasks, 0o755)
	os.WriteFile(filepath.Join(tasks, "a.yaml"), []byte(goodTask), 0o644)
	began := time.Now()
	rs := Run(t.Context(), Options{TaskDir: tasks, StateDir: dir, IdentityDir: filepath.Join(dir, "identity"), Broker: "tcp://127.0.0.1:1", CommitAcks: 16})
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
	for check, want := range map[string]Status{"tasks": OK, "broker": Fail, "disk write": OK, "keys": Warn, "hub": OK} {
		r := find(t, rs, check)
		if r.Status != want || (r.Status != OK && r.Action == "") {
			t.Errorf("%+v, want %s and what to do", r, want)
		}
	}
	if !Failed(rs) {
		t.Error("without a broker the report fails")
	}
	var table, doc bytes.Buffer
	if err := WriteTable(&table, rs); err != nil || !strings.Contains(table.String(), "FAIL  broker") {
		t.Errorf("table: %v\n%s", err, table.String())
	}
	var parsed struct {
		OK      bool
		Results []Result
	}
	if err := WriteJSON(&doc, rs); err != nil || json.Unmarshal(doc.Bytes(), &parsed) != nil || parsed.OK || len(parsed.Results) != len(rs) {
		t.Errorf("json: %v\n%s", err, doc.String())
	}
}

func TestTasks(t *testing.T) {
	dir := t.TempDir()
	if r := tasks(filepath.Join(dir, "none"), t.TempDir())[0]; r.Status != Fail {
		t.Errorf("no directory: %+v", r)
	}
	if r := tasks(dir, t.TempDir())[0]; r.Status != Warn {
		t.Errorf("no files: %+v", r)
	}
	os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(goodTask), 0o644)
	os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(goodTask), 0o644)
	if r := tasks(dir, t.TempDir())[0]; r.Status != Fail || !strings.Contains(r.Detail, "a.yaml") || !strings.Contains(r.Detail, "b.yaml") {
		t.Errorf("one name twice: %+v", r)
	}
	os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(strings.Replace(strings.Replace(goodTask, "task: a", "task: b", 1), "$.x", "$.y", 1)), 0o644)
	if r := tasks(dir, t.TempDir()); len(r) != 2 || r[0].Status != OK || r[1].Status != Warn || !strings.Contains(r[1].Detail, "_b") {
		t.Errorf("one series, two paths: %+v", r)
	}
}

func TestBrokerLimits(t *testing.T) {
	bin, err := exec.LookPath("mosquitto")
	if err != nil {
		if bin = "/usr/sbin/mosquitto"; !exists(bin) {
			t.Skip("mosquitto is not installed: apt-get install mosquitto")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.TempDir(), "m.conf")
	os.WriteFile(conf, []byte("listener "+port+" 127.0.0.1\nallow_anonymous true\n"), 0o600)
	cmd := exec.Command(bin, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	o := Options{Broker: "tcp://" + addr, CommitAcks: 16, Timeout: 10 * time.Second}
	limits, err := ProbeBroker(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if limits.Window != 20 || limits.TookAll || limits.Kept < 1000 || limits.Kept > 1030 {
		t.Errorf("mosquitto's defaults measured as %+v, want a window of 20 and about 1020 kept", limits)
	}
	o.CommitAcks = 50
	rs := broker(t.Context(), o)
	if r := find(t, rs, "broker window"); r.Status != Warn {
		t.Errorf("%+v, want a warning: the window is smaller than what the agent collects", r)
	}
	if r := find(t, rs, "broker queue"); r.Status != Warn || !strings.Contains(r.Action, "max_queued_messages") {
		t.Errorf("%+v, want a warning that names the setting", r)
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func TestClockAndDisk(t *testing.T) {
	if r := clock(time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC)); r.Status != Fail {
		t.Errorf("a clock at 1970: %+v", r)
	}
	if r := clock(time.Now()); r.Status == Fail {
		t.Errorf("%+v", r)
	}
	o := Options{StateDir: t.TempDir(), MinFreeBytes: 1 << 62}
	if r := find(t, disk(o), "disk space"); r.Status != Warn {
		t.Errorf("a disk that is too full: %+v", r)
	}
	if left, _ := os.ReadDir(o.StateDir); len(left) > 0 {
		t.Errorf("the check left %v behind", left)
	}
	if r := disk(Options{StateDir: filepath.Join(o.StateDir, "gone")})[0]; r.Status != Fail || exists(filepath.Join(o.StateDir, "gone")) {
		t.Errorf("a state directory that is not there: %+v, and it must not be made", r)
	}
}

func TestHub(t *testing.T) {
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server did not start")
	}
	late := false
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		if late {
			w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		}
	})
	mux.HandleFunc("POST "+identity.PathEnroll, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"device":"d","site":"s","jwt":"e30.eyJleHAiOjk5OTk5OTk5OTksImlhdCI6MX0.x","nats":[%q]}`, ns.ClientURL())
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	dir := t.TempDir()
	if _, err := identity.Enroll(t.Context(), dir, srv.URL, "token", identity.Options{}); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Open(dir, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{IdentityDir: dir, HTTP: srv.Client(), Timeout: 5 * time.Second}
	rs := hub(t.Context(), o, id)
	if a, b := find(t, rs, "hub"), find(t, rs, "hub link"); a.Status != OK || b.Status != OK {
		t.Errorf("%+v, %+v", a, b)
	}
	late = true
	if r := find(t, hub(t.Context(), o, id), "hub"); r.Status != Warn || !strings.Contains(r.Detail, "off the hub's") {
		t.Errorf("clocks that differ: %+v", r)
	}
	srv.Close()
	ns.Shutdown()
	rs = hub(t.Context(), o, id)
	if a, b := find(t, rs, "hub"), find(t, rs, "hub link"); a.Status != Warn || b.Status != Warn {
		t.Errorf("without a hub: %+v, %+v", a, b)
	}
	if r := keys(id, nil, time.Now())[0]; r.Status != OK {
		t.Errorf("%+v", r)
	}
	if r := keys(id, nil, time.Unix(1e11, 0))[0]; r.Status != Warn {
		t.Errorf("an expired credential: %+v", r)
	}
}
