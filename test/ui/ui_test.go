package ui_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/hub/web"
)

// visit is one look at the UI.
type visit struct {
	Name   string   `json:"name"`
	Hash   string   `json:"hash,omitempty"`
	Path   string   `json:"path,omitempty"`
	Width  int      `json:"width,omitempty"`
	Dark   bool     `json:"dark,omitempty"`
	Window bool     `json:"window,omitempty"` // take a picture of the window only
	Expect []string `json:"expect"`
	Refuse []string `json:"refuse,omitempty"`
	// pattern of console errors that belong to the visit
	Forgive string     `json:"forgive,omitempty"`
	Steps   [][]string `json:"steps,omitempty"`
}

// browser drives the UI and fails the test for everything that is wrong.
type browser struct {
	t                         *testing.T
	node, chromium, ui, shots string
}

const ui = "../../hub/web/ui"

func newBrowser(t *testing.T) *browser {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a browser: run without -short")
	}
	b := &browser{t: t, shots: os.Getenv("SKERRY_SHOTS")}
	if !web.Built() {
		t.Skip("the web UI is not built into this test: install Node.js and npm, and run `make web`")
	}
	var err error
	if b.node, err = exec.LookPath("node"); err != nil {
		t.Skip("node is not installed: install Node.js (apt-get install nodejs npm) to look at the web UI")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if b.chromium, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		t.Skip("neither chromium nor google-chrome is installed: apt-get install chromium")
	}
	if b.ui, err = filepath.Abs(ui); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"playwright-core", "axe-core"} {
		if _, err := os.Stat(filepath.Join(b.ui, "node_modules", name)); err != nil {
			t.Skipf("%s is not installed: run `npm ci --ignore-scripts` in hub/web/ui", name)
		}
	}
	if b.shots == "" {
		b.shots = t.TempDir()
	}
	if b.shots, err = filepath.Abs(b.shots); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(b.shots, 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// look logs a user in and makes the visits in one browser; without a user it makes the visits.
// Every visit but those of a telephone and in the dark, which show the same pages, is looked at by
// axe at both widths and in both colour schemes.
func (b *browser) look(base, user string, visits ...visit) {
	t := b.t
	t.Helper()
	plan, err := json.Marshal(map[string]any{"base": base, "browser": b.chromium, "modules": b.ui, "profile": t.TempDir(), "shots": b.shots, "user": user, "password": password, "visits": visits})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.node, "drive.mjs")
	cmd.Stdin = bytes.NewReader(plan)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("node drive.mjs: %v\n%s", err, errs.String())
	}
	for line := range strings.Lines(out.String()) {
		t.Errorf("as %q: %s", user, strings.TrimSpace(line))
	}
}

// TestEmptyHub looks at a hub that was just installed: every view says what to do next.
func TestEmptyHub(t *testing.T) {
	b := newBrowser(t)
	f := start(t)
	b.look(f.URL(), "admin",
		visit{Name: "empty-fleet", Hash: "#/fleet", Expect: []string{"No device is enrolled yet", "skerry-hub token device", "skerry-agent enroll --hub http://127.0.0.1:"}},
		visit{Name: "empty-tasks", Hash: "#/tasks", Expect: []string{"No task is known yet"}},
		visit{Name: "empty-models", Hash: "#/models", Expect: []string{"No model is registered yet"}},
		visit{Name: "empty-rollouts", Hash: "#/rollouts", Expect: []string{"Nothing was rolled out yet"}},
		visit{Name: "empty-jobs", Hash: "#/jobs", Expect: []string{"Nothing was trained yet"}},
		visit{Name: "empty-events", Hash: "#/events", Expect: []string{"Nothing has happened"}},
		visit{Name: "empty-unknown", Hash: "#/nowhere", Expect: []string{"There is no such view"}},
		visit{Name: "empty-phone", Hash: "#/fleet", Width: 380, Expect: []string{"No device is enrolled yet"}},
		visit{Name: "enrol", Hash: "#/fleet", Expect: []string{"Enrol pump-7", "shown only now", "--token"}, Window: true,
			Steps: [][]string{{"click", "Enrol a device"}, {"fill", "Device", "pump-7"}, {"click", "Create the token"}}},
		visit{Name: "second-tab", Hash: "#/fleet", Expect: []string{"Enrol a device"}, Steps: [][]string{{"key", "Escape"}, {"second tab", ""}}},
		visit{Name: "missing-device", Hash: "#/device/nobody", Expect: []string{"nobody", "not found"}, Forgive: "404", Steps: [][]string{{"key", "Escape"}}},
		visit{Name: "expired", Hash: "#/fleet", Expect: []string{"Sign in to Skerry"}, Refuse: []string{"Enrol"}, Forgive: "40[14]", Steps: [][]string{{"expire"}}},
	)
}

// TestWorkingHub looks at a hub with a fleet, in both colour schemes and on a telephone.
func TestWorkingHub(t *testing.T) {
	b := newBrowser(t)
	f := start(t)
	open, refused := f.seed()
	f.account("vera", "viewer")
	views := []visit{
		{Name: "fleet", Hash: "#/fleet", Expect: []string{"aotizhongxin", "huairou", "pm25-next-hour@1", "4 of 5", "degraded", "disk 91 % full", "µg/m³", "4.6 days"}},
		{Name: "device", Hash: "#/device/aotizhongxin", Expect: []string{"aotizhongxin", "linux/arm64", "pm25-next-hour", "µg/m³", "Drift: error changed", "410 µs", "31.0 MiB", "2, nothing wrong", "air/+/reading", "61.5", "must be a number"}},
		{Name: "device-absent", Hash: "#/device/huairou", Expect: []string{"huairou", "no link", "disk 91 % full", "and 18 more: see the inputs below", "21 of 23 with something wrong", "1 to 8 of 23", "look after the sensor", "7 of 30 inputs", "outbox full", "Local cache was damaged"}},
		{Name: "tasks", Hash: "#/tasks", Expect: []string{"pm25-next-hour", "pm25, 1 h ahead", "pm25-next-hour@1"}},
		{Name: "task", Hash: "#/task/pm25-next-hour", Expect: []string{"Live error", "Truth and prediction", "Coverage", "changping", "page–hinkley", "input temp", "last value", "drift"}},
		{Name: "models", Hash: "#/models", Expect: []string{"pm25-next-hour@3", "histogram boosting", "tombstoned", "champion", "7.63 µg/m³"}},
		{Name: "model", Hash: "#/model/" + open.Spec.Digest, Expect: []string{"pm25-next-hour@3", "7.63 µg/m³", "random forest", "over budget", "pass", "Replaces", open.ID}},
		{Name: "model-refused", Hash: "#/model/" + refused.Digest, Expect: []string{"Forbidden everywhere", "the candidate is worse"}, Refuse: []string{"Roll out…"}},
		{Name: "rollouts", Hash: "#/rollouts", Expect: []string{open.ID, "rolled back", "completed", "running"}},
		{Name: "rollout", Hash: "#/rollout/" + open.ID, Expect: []string{"pm25-next-hour@3", "canary", "probation", "huairou", "no link", "entered stage canary", "Allowed"}},
		{Name: "jobs", Hash: "#/jobs", Expect: []string{"j-e02b6f1d9c35", "Trying models, 17 of 40", "too few labelled rows", "rollout created"}},
		{Name: "job", Hash: "#/job/j-c41e90aa63d2", Expect: []string{"Rollout created", "Leaderboard", "ridge", "7.63 µg/m³", "pass"}},
		{Name: "events", Hash: "#/events", Expect: []string{"Drift: inputs changed", "Local cache was damaged", "changping"}},
	}
	all := views
	for _, v := range views {
		v.Name, v.Width = v.Name+"-phone", 380
		all = append(all, v)
	}
	for _, v := range []int{0, 4, 9} {
		dark := views[v]
		dark.Name, dark.Dark = dark.Name+"-dark", true
		all = append(all, dark)
	}
	pause := visit{Name: "rollout-pause", Hash: "#/rollout/" + open.ID, Expect: []string{"Pause: pm25-next-hour@3?", "nobody activates the model"}, Window: true, Steps: [][]string{{"click", "Pause…"}}}
	paused := visit{Name: "rollout-paused", Expect: []string{"paused", "field work until noon", "Resume…"}, Steps: [][]string{{"fill", "Reason", "field work until noon"}, {"click", "Pause"}}}
	// what this fleet shows was never sent as readings: the hub says so
	explain := visit{Name: "task-explain", Hash: "#/task/pm25-next-hour", Expect: []string{"What aotizhongxin predicted", "sent nothing of the task"}, Forgive: "404", Window: true, Steps: [][]string{{"click", "Explain the newest…"}}}
	b.look(f.URL(), "admin", append(all, explain, pause, paused)...)
	got, _, err := f.learn.Rollouts.Get(t.Context(), open.ID)
	if err != nil || got.State != "paused" {
		t.Errorf("after the dialog the rollout is %v, %v, want paused", got.State, err)
	}
	b.look(f.URL(), "vera",
		visit{Name: "viewer-rollout", Hash: "#/rollout/" + open.ID, Expect: []string{"vera", "viewer", "paused"}, Refuse: []string{"Resume…", "Roll back…"}},
		visit{Name: "viewer-task", Hash: "#/task/pm25-next-hour", Expect: []string{"Live error"}, Refuse: []string{"Train now"}},
		visit{Name: "viewer-fleet", Hash: "#/fleet", Expect: []string{"aotizhongxin"}, Refuse: []string{"Enrol a device"}})
}
