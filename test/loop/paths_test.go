package loop

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"skerry.dev/hub/rollout"
	"skerry.dev/test/rig"
)

// get reads a path as curl would.
func (w *world) get(t *testing.T, url, token string) (status int, contentType, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

// TestHealthPaths asks every path that README shows, on agent and hub, and both for an inference
// with the model in force.
func TestHealthPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", time.Minute)
	a := w.agent("tank", "tank", nil)
	p := &plant{world: w, sensors: []*sensor{w.sensor("tank", newSeries(95))}}
	p.feed(60)
	digest := w.upload(goodModel(t))
	id := w.rollOut(rollout.Spec{Digest: digest, MinShadow: 20, Probation: 10, MaxLatencyUS: 20_000, Stages: []rollout.Stage{{Name: "all", Percent: 100}}})
	p.untilState(id, "completed")

	agent, hub := "http://"+a.HTTP, w.api.URL
	for _, tt := range []struct {
		url, token  string
		status      int
		contentType string
		contains    string
	}{
		{agent + "/health", "", 200, "application/json", `"status":"ok"`},
		{agent + "/health/detailed", "", 200, "application/json", `"links":{"hub":true,"mqtt":true}`},
		{agent + "/ready", "", 200, "application/json", `"ok":true`},
		{agent + "/alive", "", 200, "application/json", `"ok":true`},
		{agent + "/metrics", "", 200, "text/plain", "skerry_agent_readings_accepted_total"},
		{agent + "/docs", "", 200, "text/html", "<html"},
		{agent + "/", "", 200, "text/html", "<html"},
		{agent + "/v1/tasks/level", "", 200, "application/json", digest},
		{agent + "/v2", "", 200, "application/json", "skerry-agent"},
		{agent + "/v2/health/ready", "", 200, "application/json", "true"},
		{agent + "/nothing", "", 404, "", ""},
		{hub + "/health", "", 200, "application/json", `"status":"ok"`},
		{hub + "/ready", "", 200, "application/json", ""},
		{hub + "/alive", "", 200, "application/json", `"status":"ok"`},
		{hub + "/health/detailed", "", 401, "application/json", `"error"`},
		{hub + "/health/detailed", w.api.Token, 200, "application/json", "database"},
		{hub + "/metrics", "", 200, "text/plain", "skerry_"},
		{hub + "/docs", "", 200, "text/html", "<html"},
		{hub + "/openapi.json", "", 200, "json", `"openapi":"3.1`},
		{hub + "/", "", 200, "text/html", "<html"},
		{hub + "/v1/devices", "", 401, "application/json", `"error"`},
		{hub + "/v1/devices", "nonsense", 401, "application/json", `"error"`},
		{hub + "/v1/devices", w.api.Token, 200, "application/json", `"tank"`},
		{hub + "/v1/nothing", w.api.Token, 404, "application/json", `"error"`},
	} {
		status, contentType, body := w.get(t, tt.url, tt.token)
		if status != tt.status || !strings.Contains(contentType, tt.contentType) || !strings.Contains(strings.ToLower(body), strings.ToLower(tt.contains)) {
			t.Errorf("GET %s: %d %s %.200q, want %d %s with %q", tt.url, status, contentType, body, tt.status, tt.contentType, tt.contains)
		}
	}

	// One row: y(t) = 60, so the change is 15 - 0.3·60 = -3.
	const request = `{"inputs":[{"name":"time","datatype":"INT64","shape":[1],"data":[1700000000000000]},{"name":"rows","datatype":"FP64","shape":[1,2],"data":[60,60]}]}`
	for base, token := range map[string]string{agent: "", hub: w.api.Token} {
		req, err := http.NewRequestWithContext(w.ctx, "POST", base+"/v2/models/"+task+"/infer", strings.NewReader(request))
		w.must(err)
		req.Header.Set("Content-Type", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		w.must(err)
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		w.must(err)
		var out struct {
			Model   string `json:"model_name"`
			Outputs []struct {
				Name string
				Data []float64
			}
		}
		if err := json.Unmarshal(b, &out); err != nil || resp.StatusCode != 200 || len(out.Outputs) == 0 || len(out.Outputs[0].Data) != 1 || out.Outputs[0].Data[0] != 57 {
			t.Errorf("POST %s/v2/models/%s/infer: %s (%v): %s, want one prediction of 57", base, task, resp.Status, err, b)
		}
		t.Logf("POST /v2/models/%s/infer: %s", task, strings.TrimSpace(string(b)))
	}
	resp, err := http.Post(hub+"/v2/models/"+task+"/infer", "application/json", strings.NewReader(request))
	w.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("inference at the hub without a token: %s, want 401", resp.Status)
	}
}

// TestInstallUnit asks systemd for its opinion of the unit that install would write.
func TestInstallUnit(t *testing.T) {
	t.Parallel()
	analyze := tool(t, "systemd-analyze", "systemd")
	dir := t.TempDir()
	conf := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(conf, []byte("state_dir: "+dir+"/state\ntask_dir: "+dir+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	unit, err := exec.CommandContext(t.Context(), filepath.Join(bin, "skerry-agent"), "install", "--dry-run", "--config", conf).Output()
	if err != nil {
		t.Fatalf("install --dry-run: %v", err)
	}
	for _, want := range []string{"Type=notify", "WatchdogSec=", "ExecStart="} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("the unit has no %s:\n%s", want, unit)
		}
	}
	path := filepath.Join(dir, "skerry-agent.service")
	if err := os.WriteFile(path, unit, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", path).CombinedOutput()
	_, after, ok := strings.Cut(string(out), "Overall exposure level for skerry-agent.service: ")
	if !ok {
		t.Skipf("systemd-analyze security --offline=true does not work here (%v): install systemd 250 or newer (apt-get install systemd)\n%s", err, out)
	}
	score, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	if err != nil || score > 2.0 {
		t.Errorf("systemd-analyze security gives %v (%v), at most 2.0:\n%s", score, err, out)
	}
	t.Logf("systemd-analyze security: %.1f", score)
}

// TestDoctor runs doctor --json with broker and hub, and with neither.
func TestDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, anyBroker(t), time.Minute)
	a := w.agent("patient", "patient", nil)
	lonely, err := rig.NewAgent(rig.AgentOptions{Bin: bin, Dir: w.dir, Device: "lonely", Broker: "tcp://" + w.address(), NATS: w.address(), Hub: w.address(),
		Tasks: map[string]string{"level.yaml": strings.ReplaceAll(taskFile, "SITE", "a")}})
	w.must(err)
	t.Cleanup(lonely.Close)
	for _, tt := range []struct {
		a    *rig.Agent
		ok   bool
		want map[string]string
	}{
		{a, true, map[string]string{"tasks": "ok", "broker": "ok", "broker queue": "ok", "disk write": "ok", "keys": "ok", "hub": "ok", "hub link": "ok"}},
		{lonely, false, map[string]string{"tasks": "ok", "broker": "fail"}},
	} {
		cmd := exec.CommandContext(w.ctx, tt.a.Path, "doctor", "--json", "--timeout", "5s", "--config", tt.a.Config())
		out, err := cmd.Output()
		var said struct {
			OK      bool
			Results []struct{ Check, Status, Detail, Action string }
		}
		if jerr := json.Unmarshal(out, &said); jerr != nil {
			t.Errorf("doctor --json of %s (%v): %v\n%s", tt.a.Device, err, jerr, out)
			continue
		}
		if said.OK != tt.ok || (err == nil) != tt.ok {
			t.Errorf("doctor of %s: ok %t, exit %v, want %t", tt.a.Device, said.OK, err, tt.ok)
		}
		got := map[string]string{}
		for _, r := range said.Results {
			got[r.Check] = r.Status
			if r.Status != "ok" && r.Action == "" {
				t.Errorf("doctor of %s: %s: %s: it does not say what to do", tt.a.Device, r.Check, r.Detail)
			}
		}
		for check, status := range tt.want {
			if got[check] != status {
				t.Errorf("doctor of %s says of %s %q, want %q", tt.a.Device, check, got[check], status)
			}
		}
		t.Logf("%s: %v", tt.a.Device, got)
	}
}
