package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/server"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
	"skerry.dev/test/wait"
)

// smallDisk is a file system of its own, in memory. The test is skipped where none may be mounted.
func smallDisk(t *testing.T, mib int) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no small file system, which needs the right to mount one: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fillDisk writes until nothing more fits, as another program does, and returns what frees it again.
func fillDisk(t *testing.T, dir string) (free func()) {
	t.Helper()
	file := filepath.Join(dir, "another-program")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		err = nil
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

// ready returns the status of /ready and its body.
func (h *hub) ready() (int, string) {
	res, err := http.Get(h.URL() + "/ready")
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestFullDisk lets another program fill the hub's disk and free it, again and again: what was
// acknowledged is there, nothing is acknowledged that is not, /ready says so meanwhile, and
// telemetry and reported state flow again without a hand.
func TestFullDisk(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	dir := smallDisk(t, 96)
	h := start(t, server.Options{Config: configs.HubConfig{DataDir: filepath.Join(dir, "data")}})
	a := h.agent("pump-1")
	a.hello()

	var acked atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // sends without end, each chunk until it is taken
		defer close(done)
		for first := uint64(1); ; {
			select {
			case <-stop:
				return
			default:
			}
			records := &wire.Records{}
			for n := range 100 {
				records.Readings = append(records.Readings, wire.Reading{Series: "s", Time: time.Now().UnixMicro() + int64(n), Value: float64(n)})
			}
			b, err := wire.Encode(wire.Header{Device: "pump-1", Run: a.run, Class: wire.ClassReading, First: first}, records)
			if err != nil {
				t.Error(err)
				return
			}
			for taken := false; !taken; {
				var r wire.Receipt
				if m, err := a.nc.Request(wire.SubjectLive("north", "pump-1"), b, 5*time.Second); err == nil {
					taken = json.Unmarshal(m.Data, &r) == nil && r.Applied
				}
				pause := 5 * time.Millisecond
				if !taken {
					pause = 50 * time.Millisecond
				}
				select {
				case <-stop:
					if !taken {
						return
					}
				case <-time.After(pause):
				}
			}
			acked.Add(100)
			first += 100
		}
	}()
	wait.Within(t, 20*time.Second, "telemetry flows", func() bool { return acked.Load() > 500 })
	longest := time.Duration(0)
	for round := range rounds {
		free := fillDisk(t, dir)
		wait.For(t, "/ready is 503 on a full disk", func() bool {
			code, body := h.ready()
			return code == http.StatusServiceUnavailable && strings.Contains(body, `"disk"`)
		})
		stuck := acked.Load()
		wait.For(t, "a message is refused with a time to come again", func() bool {
			m, err := a.nc.Request(wire.SubjectLive("north", "pump-1"), []byte("x"), time.Second)
			var r wire.Receipt
			return err == nil && json.Unmarshal(m.Data, &r) == nil && r.RetryMS > 0 && strings.Contains(r.Error, "room")
		})
		reportState(t, a, uint64(2*round+1)) // which cannot be stored
		free()
		began := time.Now()
		wait.Within(t, time.Minute, "telemetry flows again", func() bool { return acked.Load() > stuck })
		wait.Within(t, time.Minute, "the hub is ready again", func() bool { code, _ := h.ready(); return code == http.StatusOK })
		wait.Within(t, time.Minute, "reported state flows again", func() bool {
			reportState(t, a, uint64(2*round+2))
			doc, err := h.DB.Read().Reported(t.Context(), "pump-1")
			return err == nil && doc.Generation == int64(2*round+2)
		})
		longest = max(longest, time.Since(began))
	}
	close(stop)
	<-done
	if _, err := h.Lake.Compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	c, err := h.Lake.ExactlyOnce(t.Context(), "pump-1")
	if n := acked.Load(); err != nil || c.Readings < n || c.Readings > n+100 || c.Duplicates != 0 {
		t.Errorf("the lake has %d readings and %d duplicates (%v), %d were acknowledged", c.Readings, c.Duplicates, err, n)
	}
	if err := errors.Join(h.DB.Verify(t.Context()), h.Bus.Probe(t.Context())); err != nil {
		t.Error(err)
	}
	t.Logf("%d readings, %d times full, at most %v from free to normal", acked.Load(), rounds, longest.Round(time.Millisecond))
}

func reportState(t *testing.T, a *agent, generation uint64) {
	t.Helper()
	b, err := json.Marshal(spec.Reported{Device: a.reply.Device, Generation: generation})
	if err == nil {
		err = a.nc.Publish(wire.SubjectState("north", a.reply.Device), b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamageIsSeen damages what the hub stores and expects its health to name it.
func TestDamageIsSeen(t *testing.T) {
	h := start(t, server.Options{})
	a := h.agent("pump-1")
	a.hello()
	if r := a.live(a.chunk(1, 100, 1)); !r.Applied {
		t.Fatalf("receipt = %+v", r)
	}
	if _, err := h.Lake.Compact(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	files, err := h.DB.Read().LakeFiles(t.Context(), 0)
	if err != nil || len(files) != 1 {
		t.Fatalf("LakeFiles = %v, %v", files, err)
	}
	path := filepath.Join(h.opts.Config.DataDir, "lake", files[0].Path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), whole...)
	flipped[len(flipped)/2] ^= 1
	for name, content := range map[string][]byte{"truncated": whole[:len(whole)/2], "a flipped bit": flipped} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := h.Lake.Verify(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		if err := h.Lake.Err(); err == nil || !strings.Contains(err.Error(), files[0].Path) {
			t.Errorf("%s: Err = %v, want the file named", name, err)
		}
		if code, body := h.ready(); code != http.StatusServiceUnavailable || !strings.Contains(body, "lake_files") {
			t.Errorf("%s: /ready = %d %s", name, code, body)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(h.Lake.Verify(t.Context(), 1<<20), h.Lake.Err()); err != nil {
			t.Errorf("%s: put back: %v", name, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	h.stop()
	h.up() // a start compares the sizes of all
	wait.For(t, "a missing file is named after a start", func() bool { return h.Lake.Err() != nil })

	h.stop()
	db := filepath.Join(h.opts.Config.DataDir, "hub.db")
	b, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for p := 8 * page; p+page <= len(b); p += 3 * page { // the schema stays readable
		for i := range 512 {
			b[p+i] ^= 0x5a
		}
	}
	if err := os.WriteFile(db, b, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged, err := server.Open(t.Context(), h.opts)
	if err != nil {
		return // noticed at once
	}
	defer damaged.Close()
	if err := damaged.DB.Verify(t.Context()); err == nil {
		t.Error("Verify of a damaged database = nil")
	}
}
