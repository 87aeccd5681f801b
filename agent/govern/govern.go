package govern

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"
	"github.com/shirou/gopsutil/v3/process"

	"skerry.dev/configs"
	"skerry.dev/sync/wire"
)

// Options of a Governor.
type Options struct {
	// Govern is the section of agent.yaml. GOMEMLIMIT and GOMAXPROCS in the environment go before
	// its bounds. Zero means no bound, for Interval and the disk's the key's default.
	configs.Govern
	Dir string // whose disk is guarded: the state directory
	// Samples takes each measurement, in order. It is called from Run.
	Samples func([]wire.Host)
	Clock   func() int64 // microseconds; default: the system's
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Governor measures the host and guards the disk.
type Governor struct {
	opts    Options
	proc    *process.Process
	sensors *prometheus.GaugeVec
	disk    atomic.Pointer[string] // why the disk is not well, nil when it is
	rss     atomic.Int64
}

// New applies the bounds of memory and processors and returns a governor.
func New(opts Options) *Governor {
	limit := opts.MemoryLimit // 0 is a choice
	configs.FillDefaults(&opts.Govern)
	opts.MemoryLimit = limit
	if opts.Clock == nil {
		opts.Clock = func() int64 { return time.Now().UnixMicro() }
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.MemoryLimit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(opts.MemoryLimit))
	}
	if opts.MaxWorkers > 0 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(opts.MaxWorkers, runtime.NumCPU()))
	}
	g := &Governor{
		opts: opts,
		sensors: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skerry_host",
			Help: "What the host measures: percent, bytes, degrees Celsius, load.",
		}, []string{"metric"}),
	}
	if opts.Metrics != nil {
		opts.Metrics.MustRegister(g.sensors)
	}
	g.proc, _ = process.NewProcess(int32(os.Getpid())) // nil where processes cannot be read
	return g
}

// Run measures at once and then every interval, until ctx ends.
func (g *Governor) Run(ctx context.Context) error {
	ticker := time.NewTicker(g.opts.Interval.Std())
	defer ticker.Stop()
	for {
		samples := g.Measure(ctx)
		if g.opts.Samples != nil {
			g.opts.Samples(samples)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// RSS returns the agent's resident memory in bytes at the last measurement, 0 when unknown.
func (g *Governor) RSS() int64 { return g.rss.Load() }

// Reasons reports what makes the agent's health degraded, nothing when all is well.
func (g *Governor) Reasons() []string {
	if r := g.disk.Load(); r != nil {
		return []string{*r}
	}
	return nil
}

// Measure takes one measurement.
func (g *Governor) Measure(ctx context.Context) []wire.Host {
	now := g.opts.Clock()
	var out []wire.Host
	add := func(metric string, v float64) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		out = append(out, wire.Host{Time: now, Metric: metric, Value: v})
		g.sensors.WithLabelValues(metric).Set(v)
	}
	if p, err := cpu.PercentWithContext(ctx, 0, false); err == nil && len(p) == 1 {
		add("cpu_percent", p[0])
	}
	if m, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		add("mem_used_percent", m.UsedPercent)
		add("mem_available_bytes", float64(m.Available))
	}
	if l, err := load.AvgWithContext(ctx); err == nil && runtime.GOOS != "windows" {
		add("load1", l.Load1)
	}
	if up, err := host.UptimeWithContext(ctx); err == nil {
		add("uptime_seconds", float64(up))
	}
	for name, v := range temperatures(ctx) {
		add("temperature_"+name+"_celsius", v)
	}
	if g.proc != nil {
		if m, err := g.proc.MemoryInfoWithContext(ctx); err == nil {
			g.rss.Store(int64(m.RSS))
			add("agent_rss_bytes", float64(m.RSS))
		}
	}
	if g.opts.Dir != "" {
		free, total, err := Disk(g.opts.Dir)
		if err == nil {
			add("disk_free_bytes", float64(free))
			add("disk_free_percent", 100*float64(free)/float64(max(total, 1)))
		}
		g.guard(free, total, err)
	}
	return out
}

// temperatures returns the hottest sensor of each kind.
func temperatures(ctx context.Context) map[string]float64 {
	// Sensors that cannot be read come with an error beside those that can.
	list, _ := host.SensorsTemperaturesWithContext(ctx)
	return hottest(list)
}

// coldest is the lowest temperature that is one: sensors that fail give less, -127 or so. A box
// outdoors is below zero in winter.
const coldest = -60

func hottest(list []host.TemperatureStat) map[string]float64 {
	out := map[string]float64{}
	for _, s := range list {
		if s.Temperature < coldest || s.Temperature > 200 {
			continue
		}
		name := plain(s.SensorKey)
		have, ok := out[name]
		switch {
		case name == "" || !ok && len(out) >= 16:
		case !ok || s.Temperature > have:
			out[name] = s.Temperature
		}
	}
	return out
}

// plain keeps the letters of a sensor's name: coretemp_core_3 and coretemp_core_4 are one kind.
func plain(key string) string {
	var b []byte
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'A' && c <= 'Z':
			b = append(b, c+'a'-'A')
		case c >= 'a' && c <= 'z':
			b = append(b, c)
		case len(b) > 0 && b[len(b)-1] != '_':
			b = append(b, '_')
		}
	}
	for len(b) > 0 && b[len(b)-1] == '_' {
		b = b[:len(b)-1]
	}
	return string(b)
}

// Disk returns the free and total bytes of the file system that holds dir.
func Disk(dir string) (free, total uint64, err error) {
	u, err := disk.Usage(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("disk of %s: %w", dir, err)
	}
	return u.Free, u.Total, nil
}

// DiskReason reports why a disk is too full, "" when it is not.
func DiskReason(free, total uint64, minBytes int64, minShare float64) string {
	switch {
	case free < uint64(max(minBytes, 0)):
		return fmt.Sprintf("disk: %d MiB free, the least is %d MiB", free>>20, minBytes>>20)
	case total > 0 && float64(free) < minShare*float64(total):
		return fmt.Sprintf("disk: %.1f %% free, the least is %.1f %%", 100*float64(free)/float64(total), 100*minShare)
	}
	return ""
}

func (g *Governor) guard(free, total uint64, err error) {
	reason := ""
	switch {
	case errors.Is(err, context.Canceled):
		return
	case err != nil:
		reason = err.Error()
	default:
		reason = DiskReason(free, total, int64(g.opts.MinFreeBytes), g.opts.MinFreeShare)
	}
	was := g.disk.Load()
	switch {
	case reason == "" && was != nil:
		g.opts.Log.Info("disk recovered", "free_bytes", free)
		g.disk.Store(nil)
	case reason != "":
		if was == nil {
			g.opts.Log.Warn("disk is not well", "reason", reason, "free_bytes", free)
		}
		g.disk.Store(&reason)
	}
}
