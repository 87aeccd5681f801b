package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/feature"
	"skerry.dev/compute/linear"
)

// run executes a command line and returns what it printed.
func run(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var b, e bytes.Buffer
	c := root()
	c.SetArgs(args)
	c.SetOut(&b)
	c.SetErr(&e)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	err = c.ExecuteContext(ctx)
	return b.String(), err
}

// must is run for a command that has to work.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, args...)
	if err != nil {
		t.Fatalf("skerry-hub %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refused is run for a command that has to fail with these words.
func refused(t *testing.T, words string, args ...string) {
	t.Helper()
	if out, err := run(t, args...); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("skerry-hub %s: error %v, want %q\n%s", strings.Join(args, " "), err, words, out)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// serveHub runs the serve command until the test ends and logs in.
func serveHub(t *testing.T, args ...string) (url string) {
	t.Helper()
	dir := t.TempDir()
	pw := filepath.Join(dir, "password")
	if err := os.WriteFile(pw, []byte("correct horse battery"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := freePort(t)
	url = "http://" + addr
	ctx, cancel := context.WithCancel(context.Background())
	c := root()
	c.SetArgs(append([]string{"serve", "--data", filepath.Join(dir, "data"), "--listen", addr, "--nats-listen", "127.0.0.1:-1", "--admin-password-file", pw, "--log-level", "error"}, args...))
	c.SetOut(t.Output())
	c.SetErr(t.Output())
	done := make(chan error, 1)
	go func() { done <- c.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve = %v", err)
		}
	})
	for range 400 {
		if res, err := http.Get(url + "/ready"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SKERRY_TOKEN", "")
	t.Setenv("SKERRY_HUB", url)
	t.Setenv("SKERRY_PASSWORD", "correct horse battery")
	must(t, "login")
	return url
}

const hourUS = int64(3_600_000_000)

// sampleArtifact is the smallest forecast: the change is a tenth of the value.
func sampleArtifact(t *testing.T, slope float64) []byte {
	t.Helper()
	in := []feature.Input{{Name: "pm25", Unit: "µg/m³"}, {Name: "wd", Categories: []string{"N", "S"}}}
	zero := 0.0
	lin, err := linear.New(1, ensemble.Identity, []float64{0}, []float64{slope})
	if err != nil {
		t.Fatal(err)
	}
	a := &artifact.Artifact{
		Manifest: artifact.Manifest{Task: "pm25-next-hour", Kind: artifact.KindForecast, HorizonUS: hourUS, Inputs: in, Output: artifact.Output{Series: "pm25"}, Learner: "linear", Rows: 1,
			Metrics: map[string]float64{"mae": 2}},
		Pipeline:    &feature.Pipeline{Inputs: in, Tolerance: hourUS / 2, Rows: 1, Columns: []feature.Column{{Name: "pm25", Op: feature.OpValue, Impute: &zero}}},
		Models:      map[artifact.Role]artifact.Predictor{artifact.Point: lin},
		Calibration: artifact.Calibration{Level: 0.9, Scores: []float64{0.1, 0.5, 1}},
	}
	if a.Vectors, err = artifact.MakeVectors(a, []int64{hourUS, 2 * hourUS}, []float64{1, 0, 2, 1}, 2); err != nil {
		t.Fatal(err)
	}
	b, err := artifact.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeTemp(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func decode(t *testing.T, text string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// TestLoginTTL sets a key by its variable and meets it at the far end.
func TestLoginTTL(t *testing.T) {
	t.Setenv("SKERRY_AUTH_LOGIN_TTL", "30m")
	serveHub(t, "--no-auto-train")
	if left := time.Until(time.UnixMicro((&remote{}).session().Expires)); left < 29*time.Minute || left > 30*time.Minute {
		t.Errorf("the login lives for %s, want half an hour", left)
	}
	t.Setenv("SKERRY_AUTH_LOGIN_TTL", "30s")
	refused(t, `env SKERRY_AUTH_LOGIN_TTL: auth.login_ttl: "30s": must be 1m to 720h`, "serve", "--data", t.TempDir())
}

func TestModelsAndRollouts(t *testing.T) {
	url := serveHub(t, "--no-auto-train")
	b := sampleArtifact(t, 0.1)
	file := writeTemp(t, "m.skerry", b)
	if out := must(t, "import-model", file); !strings.Contains(out, "as pm25-next-hour@1") {
		t.Errorf("import-model = %q", out)
	}
	refused(t, "for task", "import-model", file, "--task", "other")
	damaged := bytes.Clone(b)
	damaged[len(damaged)/2] ^= 1
	refused(t, "corrupt", "import-model", writeTemp(t, "bad.skerry", damaged))
	// The hub itself refuses it as well, with the reason.
	req, _ := http.NewRequest("POST", url+"/v1/models", bytes.NewReader(damaged))
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Authorization", "Bearer "+(&remote{}).session().Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("upload of a damaged artifact = %s, want 422", res.Status)
	}

	out := filepath.Join(t.TempDir(), "out.skerry")
	must(t, "export-model", "pm25-next-hour@1", "--out", out)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, b) {
		t.Errorf("export-model: %d bytes, %v, want the imported %d", len(got), err, len(b))
	}
	if got := must(t, "export-model", artifact.Digest(b)[:10], "--out", "-"); got != string(b) {
		t.Error("export-model by digest to standard output gives other bytes")
	}
	refused(t, "no such model", "export-model", "pm25-next-hour@9", "--out", "-")
	if out := must(t, "model", "list"); !strings.Contains(out, "pm25-next-hour@1") || !strings.Contains(out, "linear") {
		t.Errorf("model list = %q", out)
	}
	prints(t, `^model pm25-next-hour@1 task pm25-next-hour kind \S+ .* size [0-9.]+ k?B digest [0-9a-f]{64} created \d{4}-\d\d-\d\dT\S+ by .* LINEAGE .*trigger import`, "model", "show", "pm25-next-hour@1")
	if out := must(t, "model", "show", "pm25-next-hour@1", "--json"); !strings.Contains(out, `"trigger": "import"`) {
		t.Errorf("model show = %q", out)
	}

	var plan struct {
		Spec struct {
			Stages []struct {
				Name    string
				Percent float64
				Count   int
			}
			MinShadow    int     `json:"min_shadow"`
			MaxLatencyUS float64 `json:"max_latency_us"`
			Deadline     int64   `json:"deadline_s"`
		}
	}
	knobs := writeTemp(t, "r.yaml", []byte("min_shadow: 7\nmax_latency_us: 9\nstages: [{name: one, percent: 10}, {name: all, percent: 100}]\n"))
	decode(t, must(t, "rollout", "create", "pm25-next-hour@1", "--dry-run", "--json", "--file", knobs, "--max-latency", "2ms", "--deadline", "1h"), &plan)
	if s := plan.Spec; s.MinShadow != 7 || s.MaxLatencyUS != 2000 || s.Deadline != 3600 || len(s.Stages) != 2 || s.Stages[0].Name != "one" {
		t.Errorf("plan = %+v: the file gives the knobs, flags win", plan)
	}
	if out := must(t, "rollout", "create", "pm25-next-hour@1", "--dry-run"); !strings.Contains(out, "in shadow on 0 devices") {
		t.Errorf("dry run = %q", out)
	}
	refused(t, "unknown field", "rollout", "create", "pm25-next-hour@1", "--file", writeTemp(t, "r.yaml", []byte("min_shadows: 7\n")))
	refused(t, "name=percent", "rollout", "create", "pm25-next-hour@1", "--stage", "canary")
	refused(t, "must be 100 percent", "rollout", "create", "pm25-next-hour@1", "--stage", "canary=5:2")
	var r struct{ ID, State string }
	decode(t, must(t, "rollout", "create", "pm25-next-hour@1", "--approval", "--json", "--stage", "canary=5:2", "--stage", "all=100"), &r)
	if r.State != "awaiting_approval" {
		t.Errorf("create --approval = %+v", r)
	}
	refused(t, "under way", "rollout", "create", "pm25-next-hour@1")
	if out := must(t, "rollout", "approve", r.ID, "--reason", "looks good"); !strings.Contains(out, "is running") {
		t.Errorf("approve = %q", out)
	}
	refused(t, "possible only while", "rollout", "approve", r.ID)
	must(t, "rollout", "pause", r.ID)
	must(t, "rollout", "resume", r.ID)
	if out := must(t, "rollout", "show", r.ID); !strings.Contains(out, "shadow → canary → all") {
		t.Errorf("show = %q", out)
	}
	must(t, "rollout", "abort", r.ID, "--reason", "holiday")
	refused(t, "is aborted: holiday", "rollout", "show", r.ID, "--watch")
	refused(t, "is aborted: holiday", "rollout", "watch", r.ID)
	if out := must(t, "rollout", "list"); !strings.Contains(out, "aborted") || !strings.Contains(out, "0/0") {
		t.Errorf("list = %q", out)
	}
	if out := must(t, "__complete", "rollout", "show", ""); !strings.Contains(out, r.ID) {
		t.Errorf("completion = %q, want %s", out, r.ID)
	}
	refused(t, `task "none"`, "train", "none", "--wait")
	if out := must(t, "job", "list"); !strings.Contains(out, "OUTCOME") {
		t.Errorf("job list = %q", out)
	}
	refused(t, "not found", "job", "show", "j-none")
	refused(t, "not found", "job", "cancel", "j-none")

	t.Run("inference", func(t *testing.T) { testInference(t, url, r.ID) })
}

func testInference(t *testing.T, url, _ string) {
	for _, path := range []string{"/v2/models/pm25-next-hour", "/v2"} {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("GET %s without a token = %s, want 401", path, res.Status)
		}
	}
	if b := infer(t, url, http.StatusNotFound); !strings.Contains(b, "pm25-next-hour") {
		t.Errorf("inference without a champion = %s", b)
	}
	promote(t, "pm25-next-hour@1")
	var out struct {
		ModelVersion string `json:"model_version"`
		Outputs      []struct {
			Name string
			Data []*float64
		}
	}
	decode(t, infer(t, url, http.StatusOK), &out)
	if out.ModelVersion != "pm25-next-hour@1" || len(out.Outputs) != 3 || *out.Outputs[0].Data[0] != 11 {
		t.Errorf("inference = %+v, want 10 + 0.1·10 by version 1", out)
	}
	must(t, "import-model", writeTemp(t, "two.skerry", sampleArtifact(t, 0.5)))
	promote(t, "pm25-next-hour@2")
	decode(t, infer(t, url, http.StatusOK), &out)
	if out.ModelVersion != "pm25-next-hour@2" || *out.Outputs[0].Data[0] != 15 {
		t.Errorf("inference after a new champion = %+v, want 15 by version 2", out)
	}
}

// promote makes a model the champion; a rollout that no device runs cannot.
func promote(t *testing.T, model string) {
	t.Helper()
	var r struct{ ID, State string }
	decode(t, must(t, "rollout", "create", model, "--json"), &r)
	refused(t, "no device has the model in", "rollout", "skip", r.ID)
	must(t, "rollout", "abort", r.ID)
	must(t, "model", "promote", model)
	if out := must(t, "model", "list"); !strings.Contains(out, "champion") {
		t.Fatalf("model list after the rollout of %s = %s", model, out)
	}
}

func infer(t *testing.T, url string, want int) string {
	t.Helper()
	body := `{"inputs":[{"name":"rows","datatype":"FP64","shape":[1,2],"data":[10,1]},{"name":"time","datatype":"INT64","shape":[1],"data":[3600000000]}]}`
	req, _ := http.NewRequest("POST", url+"/v2/models/pm25-next-hour/infer", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+(&remote{}).session().Token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != want {
		t.Fatalf("infer = %s %s, want %d", res.Status, b.String(), want)
	}
	return b.String()
}
