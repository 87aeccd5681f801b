package govern

import (
	"context"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/configs"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

func TestRunMeasures(t *testing.T) {
	got := make(chan []wire.Host, 10)
	g := New(Options{Dir: t.TempDir(), Govern: configs.Govern{Interval: spec.Duration(20 * time.Millisecond), MinFreeBytes: 1, MinFreeShare: 1e-9}, Clock: func() int64 { return 42 },
		Samples: func(s []wire.Host) { got <- s }, Metrics: prometheus.NewRegistry()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	for range 2 {
		have := map[string]float64{}
		for _, h := range <-got {
			if h.Time != 42 {
				t.Fatalf("%s has time %d, want the clock's", h.Metric, h.Time)
			}
			have[h.Metric] = h.Value
		}
		for _, want := range []string{"mem_available_bytes", "disk_free_bytes", "disk_free_percent", "agent_rss_bytes", "uptime_seconds"} {
			if !(have[want] > 0) {
				t.Errorf("%s = %v, want a positive value", want, have[want])
			}
		}
	}
	cancel()
	if err := <-done; err != nil || g.RSS() <= 0 || len(g.Reasons()) > 0 {
		t.Errorf("Run = %v, RSS %d, reasons %v", err, g.RSS(), g.Reasons())
	}
}

func TestDiskGuard(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		free, total uint64
		want        string
	}{
		{10 * gib, 20 * gib, ""}, {63 << 20, 100 << 20, "63 MiB"}, {gib, 20 * gib, "5.0 %"}, {0, 0, "0 MiB"},
	}
	for _, tt := range tests {
		got := DiskReason(tt.free, tt.total, 64<<20, 0.1)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("DiskReason(%d, %d) = %q, want %q", tt.free, tt.total, got, tt.want)
		}
	}
	g := New(Options{Dir: filepath.Join(t.TempDir(), "gone")})
	g.Measure(t.Context())
	if r := g.Reasons(); len(r) != 1 || !strings.Contains(r[0], "gone") {
		t.Errorf("reasons %v, want the directory that is gone", r)
	}
	g.guard(10*gib, 20*gib, nil)
	if r := g.Reasons(); len(r) != 0 {
		t.Errorf("reasons %v after the disk recovered", r)
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	New(Options{Govern: configs.Govern{MemoryLimit: 1 << 30}})
	if got := debug.SetMemoryLimit(-1); got != 1<<30 {
		t.Errorf("memory limit %d, want 1 GiB", got)
	}
	t.Setenv("GOMEMLIMIT", "2GiB")
	New(Options{Govern: configs.Govern{MemoryLimit: 3 << 30}})
	if got := debug.SetMemoryLimit(-1); got != 1<<30 {
		t.Errorf("memory limit %d: GOMEMLIMIT in the environment goes first", got)
	}
}

func TestSensorNames(t *testing.T) {
	for key, want := range map[string]string{"coretemp_core_3": "coretemp_core", "cpu-thermal": "cpu_thermal", "42": "", "NVMe Composite 1": "nvme_composite"} {
		if got := plain(key); got != want {
			t.Errorf("plain(%q) = %q, want %q", key, got, want)
		}
	}
}
