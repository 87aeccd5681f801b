package packaging

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"

	"skerry.dev/agent/service"
)

var update = flag.Bool("update", false, "write the agent's unit")

// TestAgentUnit holds that the packaged unit is the one `skerry-agent install` writes.
func TestAgentUnit(t *testing.T) {
	want, err := service.Unit(service.Config{Exec: "/usr/bin/skerry-agent", ConfigFile: "/etc/skerry/agent.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	const path = "systemd/skerry-agent.service"
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what install writes: run go test ./packaging -update", path)
	}
}

// TestExposure holds both units to systemd's own judgement.
func TestExposure(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed: apt-get install systemd")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, unit := range []string{"systemd/skerry-agent.service", "systemd/skerry-hub.service"} {
		score, _, err := service.Security(ctx, unit)
		if err != nil {
			t.Fatal(err)
		}
		if score > 2.0 {
			t.Errorf("%s: exposure %.1f, want at most 2.0", unit, score)
		}
		t.Logf("%s: exposure %.1f", unit, score)
	}
}
