package loop

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestFootprint holds what the agent may cost: its size on disk, its memory when idle and
// connected, and how long it takes to answer.
func TestFootprint(t *testing.T) {
	info, err := os.Stat(filepath.Join(bin, "skerry-agent"))
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(16 << 20); info.Size() > most {
		t.Errorf("skerry-agent has %d bytes, at most %d", info.Size(), most)
	}
	w := newWorld(t, "", time.Minute)
	a := w.agent("idle", "idle", nil)
	p := w.sensor("idle", newSeries(71))
	p.publish(50)
	p.settle()
	w.drained(20*time.Second, a, p.next-1, 100)
	time.Sleep(3 * time.Second)
	rss := residentKB(t, a.PID())
	if rss > 30_000 {
		t.Errorf("idle and connected, the agent takes %d kB, at most 30,000", rss)
	}
	var starts []time.Duration
	for range 5 {
		a.Stop(5 * time.Second)
		began := time.Now()
		w.must(a.Start())
		for {
			if resp, err := http.Get("http://" + a.HTTP + "/health"); err == nil {
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					break
				}
			}
			if time.Since(began) > 10*time.Second {
				t.Fatal("no answer of /health within 10 s")
			}
			time.Sleep(2 * time.Millisecond)
		}
		starts = append(starts, time.Since(began))
		w.must(a.WaitUp(w.ctx, true))
	}
	slices.Sort(starts)
	if starts[2] > 200*time.Millisecond {
		t.Errorf("from start to the first answer of /health: %v, the median may be 200 ms", starts)
	}
	t.Logf("%.2f MB on disk, %.1f MB resident, start to /health %s (median of 5, %s to %s)", float64(info.Size())/1e6, float64(rss)/1000, starts[2].Round(100*time.Microsecond),
		starts[0].Round(100*time.Microsecond), starts[4].Round(100*time.Microsecond))
}

// residentKB reads VmRSS; 0 where there is none.
func residentKB(t *testing.T, pid int) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Logf("resident memory is not measured on %s", runtime.GOOS)
		return 0
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			return kb
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
