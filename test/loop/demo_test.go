package loop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/test/rig"
)

// TestDemo runs the demonstration itself, short and with the simulator: the driver compares what
// it published with the lake and ends with an error when anything is missing, twice, or published
// otherwise after the kill, or when no model came through shadow and canary.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	port, err := rig.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	summary := filepath.Join(dir, "summary.json")
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "demo"), "--once", "--bin", bin, "--data", filepath.Join(dir, "none"), "--hours", "4000", "--cut-hours", "300", "--dir", filepath.Join(dir, "run"),
		"--listen", fmt.Sprintf("127.0.0.1:%d", port), "--summary", summary,
		"--hub-args", "--train-min-labels 5000 --train-min-new-labels 100000 --train-trials 2 --rollout-max-latency 50ms")
	// it stops its own processes
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "SIMULATED") {
		t.Error("the demonstration does not say that its readings are simulated")
	}
	var s struct {
		Devices []struct {
			Name                       string
			Published                  int
			InLakeOnce                 int     `json:"in_lake_once"`
			MAE                        float64 `json:"mae_model"`
			Persistence                float64 `json:"mae_persistence"`
			Gaps, Duplicates, Accepted int
		}
		Rollouts []struct {
			State  string
			Stages []string
		}
		Wall float64 `json:"wall_seconds"`
	}
	b, err := os.ReadFile(summary)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Devices) != 4 {
		t.Fatalf("%d devices, want 4", len(s.Devices))
	}
	for _, d := range s.Devices {
		if d.InLakeOnce != d.Published || d.Published == 0 || d.MAE > 0.9*d.Persistence {
			t.Errorf("%+v: want everything published in the lake once, and an error well below that of the last value", d)
		}
	}
	if len(s.Rollouts) == 0 || s.Rollouts[0].State != "completed" || strings.Join(s.Rollouts[0].Stages, " ") != "shadow canary all" {
		t.Errorf("rollouts %+v, want one completed through shadow, canary and all", s.Rollouts)
	}
	t.Logf("%.0f s, %d rollouts", s.Wall, len(s.Rollouts))
}
