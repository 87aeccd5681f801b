//go:build linux

package field

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sys/unix"

	"skerry.dev/test/wait"
)

// disk is a small file system of its own, mounted at dir.
type disk struct {
	t    *testing.T
	dir  string
	loop string // the block device, "" for a tmpfs
}

// newDisk mounts an ext4 image of so many MiB, which needs root and a loop device.
func newDisk(t *testing.T, mib int64) *disk {
	t.Helper()
	onlyByMake(t)
	if os.Getuid() != 0 {
		t.Skip("a file system of its own needs root: run this test as root")
	}
	base := t.TempDir()
	image, dir := filepath.Join(base, "disk.img"), filepath.Join(base, "mnt")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(mib<<20), f.Close(), os.Mkdir(dir, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{"mkfs.ext4", "-q", "-F", image},
		{"mount", "-o", "loop,errors=remount-ro", image, dir},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system of its own: %s: %v: %s", c[0], err, out)
		}
	}
	d := &disk{t: t, dir: dir}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Logf("umount: %v: %s", err, out)
		}
	})
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[1] == dir {
			d.loop = filepath.Base(f[0])
		}
	}
	return d
}

// fill takes all space, as another program does, until free gives it back.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(filepath.Join(d.dir, "other"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 1 << 10} {
		for block := make([]byte, size); err == nil || !errors.Is(err, syscall.ENOSPC); {
			if _, err = f.Write(block); err != nil && !errors.Is(err, syscall.ENOSPC) {
				d.t.Fatal(err)
			}
		}
		err = nil
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}

func (d *disk) free() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.dir, "other")); err != nil {
		d.t.Fatal(err)
	}
}

// abort makes the file system read-only, as ext4 does at an error of the disk.
func (d *disk) abort() {
	d.t.Helper()
	if err := os.WriteFile("/sys/fs/ext4/"+d.loop+"/trigger_fs_error", []byte("1"), 0o200); err != nil {
		d.t.Skipf("the file system cannot be made read-only: %v", err)
	}
}

// remount makes the file system read-only ("ro") or writable ("rw").
func (d *disk) remount(how string) {
	d.t.Helper()
	if out, err := exec.Command("mount", "-o", "remount,"+how, d.dir).CombinedOutput(); err != nil {
		d.t.Fatalf("remount,%s: %v: %s", how, err, out)
	}
}

// die makes every further access fail with EIO, as a card that was pulled out.
func (d *disk) die() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	const shutdown, nolog = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, nolog); err != nil {
		d.t.Skipf("the file system cannot be made to fail: %v", err)
	}
}

const flowTask = "task: flow\ntarget: {series: flow, horizon: 10s}\ninputs: [{series: flow, topic: pipe/flow, path: $.v}]\ntime: {path: $.ts, format: unix_ms}\n"

// flow publishes readings without a pause until it is stopped, and counts what is predicted of them.
type flow struct {
	t     *testing.T
	cli   mqtt.Client
	start time.Time // of reading 0; readings are 10 ms apart
	quit  chan struct{}
	done  sync.WaitGroup

	mu   sync.Mutex
	sent int64
	said map[int64]int // predictions by the number of their reading
	slow time.Duration // the longest time from a reading to its prediction within a second
	late int           // beyond one
	at   map[int64]time.Time
}

// onDisk starts an agent whose state lies on a disk of its own, and a sensor that it reads.
func onDisk(t *testing.T) (*disk, *agent, *sensor) {
	t.Helper()
	d := newDisk(t, 40)
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{"flow": flowTask}), newSensor(t, port)
	a.stateIn(filepath.Join(d.dir, "state"))
	a.start()
	return d, a, s
}

// newFlow publishes 100 readings a second at most.
func newFlow(t *testing.T, s *sensor) *flow {
	f := &flow{t: t, cli: s.cli, start: time.Now().Truncate(time.Second), quit: make(chan struct{}), said: map[int64]int{}, at: map[int64]time.Time{}}
	token := s.cli.Subscribe("skerry/+/flow/prediction", 1, func(_ mqtt.Client, m mqtt.Message) {
		var p struct {
			Time time.Time `json:"ts"`
		}
		if err := json.Unmarshal(m.Payload(), &p); err != nil {
			t.Errorf("prediction %s: %v", m.Payload(), err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		k := p.Time.Sub(f.start).Milliseconds() / 10
		f.said[k]++
		if took := time.Since(f.at[k]); took > time.Second {
			f.late++
		} else {
			f.slow = max(f.slow, took)
		}
		delete(f.at, k)
	})
	if !token.WaitTimeout(5*time.Second) || token.Error() != nil {
		t.Fatal("no subscription", token.Error())
	}
	f.done.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-f.quit:
				return
			case <-tick.C:
			}
			f.mu.Lock()
			k := f.sent
			f.sent++
			f.at[k] = time.Now()
			f.mu.Unlock()
			f.cli.Publish("pipe/flow", 1, false, fmt.Sprintf(`{"ts":%d,"v":%d}`, f.start.UnixMilli()+10*k, k%97))
		}
	})
	t.Cleanup(f.stop)
	return f
}

func (f *flow) stop() {
	select {
	case <-f.quit:
	default:
		close(f.quit)
	}
	f.done.Wait()
}

// counts returns how many readings were sent, and how many of them were predicted from.
func (f *flow) counts() (sent, said int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent, int64(len(f.said))
}

// predicted waits until everything sent so far was predicted from.
func (f *flow) predicted(what string) { f.t.Helper(); f.predictedSince(0, what) }

// predictedSince leaves out the readings before number from.
func (f *flow) predictedSince(from int64, what string) {
	f.t.Helper()
	sent, _ := f.counts()
	waits := func() (n int, first int64) {
		f.mu.Lock()
		defer f.mu.Unlock()
		first = -1
		for k := from; k < sent; k++ {
			if f.said[k] == 0 {
				if n++; first < 0 {
					first = k
				}
			}
		}
		return n, first
	}
	defer func() {
		if n, first := waits(); n > 0 {
			f.t.Logf("%d of %d readings are not predicted from, the first is number %d", n, sent, first)
		}
	}()
	wait.For(f.t, what, func() bool { n, _ := waits(); return n == 0 })
}

// stored is how many readings the agent has accepted and kept.
func (a *agent) stored() int64 {
	d, err := a.detail()
	if err != nil {
		return -1
	}
	return int64(d.State.Outbox.Stored["reading"])
}

// onlyByMake skips a test of disks unless make field runs it.
func onlyByMake(t *testing.T) {
	t.Helper()
	if os.Getenv("SKERRY_FIELD_ROUNDS") == "" {
		t.Skip("disks that fill up and die are tried by make field, on a machine with nothing else to do: its tests hold times")
	}
}

// rounds is how often a disk fills up and becomes free again.
func rounds(t *testing.T) int {
	t.Helper()
	onlyByMake(t)
	n, err := strconv.Atoi(os.Getenv("SKERRY_FIELD_ROUNDS"))
	if err != nil || n < 1 {
		t.Fatalf("SKERRY_FIELD_ROUNDS is %q: must be a number of rounds", os.Getenv("SKERRY_FIELD_ROUNDS"))
	}
	return n
}

// TestOthersFillTheDisk: another program fills the state disk and frees it again, many times, while
// readings come through a broker that hands out 20 at a time. Every reading is predicted from at
// once, nothing that was acknowledged is lost or dropped, the cap is what was configured, and
// storing goes on by itself.
func TestOthersFillTheDisk(t *testing.T) {
	d, a, s := onDisk(t)
	before, err := a.detail()
	if err != nil {
		t.Fatal(err)
	}
	f := newFlow(t, s)
	for round := range rounds(t) {
		f.predicted("all is well")
		d.fill()
		wait.For(t, "the full disk is noticed", func() bool { return strings.Contains(a.reasons(), "nothing can be stored") })
		wait.For(t, "it is said that predictions go on from memory", func() bool { return strings.Contains(a.reasons(), "predicting from memory since") })
		kept := a.stored()
		from, _ := f.counts()
		wait.For(t, "400 readings come meanwhile", func() bool { n, _ := f.counts(); return n >= from+400 })
		f.predictedSince(from, fmt.Sprintf("round %d: every reading is predicted from while the disk is full", round))
		d.free()
		wait.For(t, "it is stored again", func() bool { return a.stored() > kept && !strings.Contains(a.reasons(), "nothing can be stored") })
	}
	f.stop()
	f.predicted("all is well in the end")
	sent, said := f.counts()
	wait.For(t, "every reading is stored", func() bool { return a.stored() == sent })
	after, err := a.detail()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d readings, %d predicted from late, the others within %v", sent, f.late, f.slow)
	if said != sent || f.late > 20*rounds(t) { // those that the broker had queued by the time it was noticed
		t.Errorf("%d readings predicted from of %d, %d of them late", said, sent, f.late)
	}
	if n := a.metric("skerry_agent_outbox_dropped_records"); n != "0" || after.State.Outbox.CapBytes != before.State.Outbox.CapBytes {
		t.Errorf("%s records dropped, cap %d, want %d", n, after.State.Outbox.CapBytes, before.State.Outbox.CapBytes)
	}
	a.stop()
	a.start()
	if n := a.stored(); n < sent { // of all runs
		d, _ := a.detail()
		t.Errorf("after a restart %d readings are stored, want %d; pending %d", n, sent, d.State.Outbox.PendingRecords)
	}
}

// TestDiskTurnsReadOnly: a disk that a fault has made read-only is as a full one: predictions go on,
// nothing is acknowledged, and storing goes on once it can be written again.
func TestDiskTurnsReadOnly(t *testing.T) {
	d, a, s := onDisk(t)
	f := newFlow(t, s)
	f.predicted("all is well")
	d.abort()
	wait.For(t, "it is noticed", func() bool { return strings.Contains(a.reasons(), "predicting from memory since") })
	from, _ := f.counts()
	wait.For(t, "300 readings come meanwhile", func() bool { n, _ := f.counts(); return n >= from+300 })
	f.predictedSince(from, "every reading is predicted from while the disk is read-only")
}

// TestDiskDies: the disk first turns read-only and then fails altogether while everything that may
// wait does. The agent ends by itself within 10 s, so that a service manager starts it anew.
func TestDiskDies(t *testing.T) {
	for round := range rounds(t) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			d, a, s := onDisk(t)
			f := newFlow(t, s)
			f.predicted("all is well")
			if round%2 == 0 {
				d.abort()
				wait.For(t, "it is noticed", func() bool { return strings.Contains(a.reasons(), "nothing can be stored") })
				f.predicted("all that comes waits in memory")
			}
			d.die()
			began := time.Now()
			wait.For(t, "the agent ends", func() bool { _, ended := a.proc.Exited(); return ended })
			if err, _ := a.proc.Exited(); err == nil || time.Since(began) > 10*time.Second {
				t.Errorf("ended after %v with %v", time.Since(began), err)
			}
			if !strings.Contains(a.log(), "state on disk is unknown") {
				t.Error("the log does not say why")
			}
		})
	}
}

// TestStartOnAFullDisk: an agent whose disk was filled while it was down starts, predicts and says
// what is wrong; once there is space it stores.
func TestStartOnAFullDisk(t *testing.T) {
	d, a, s := onDisk(t)
	a.stop()
	d.fill()
	a.start()
	f := newFlow(t, s)
	wait.For(t, "it is said", func() bool { return strings.Contains(a.reasons(), "predicting from memory since") })
	from, _ := f.counts()
	wait.For(t, "300 readings come meanwhile", func() bool { n, _ := f.counts(); return n >= from+300 })
	f.predictedSince(from, "every reading is predicted from")
	d.free()
	f.stop()
	f.predicted("all of them")
	sent, _ := f.counts()
	wait.For(t, "every reading is stored", func() bool { return a.stored() == sent })
}

// TestStartOnAReadOnlyDisk: an agent whose disk became read-only while it was down starts with what
// it had learned, predicts and says what is wrong. Once the disk can be written it goes on with its
// own state by itself, and stores what the broker has kept.
func TestStartOnAReadOnlyDisk(t *testing.T) {
	d, a, s := onDisk(t)
	f := newFlow(t, s)
	wait.For(t, "some is stored", func() bool { return a.stored() >= 100 })
	f.stop()
	f.predicted("all is well")
	sent, _ := f.counts()
	wait.For(t, "all is stored", func() bool { return a.stored() == sent })
	rows := a.rows("flow")
	a.stop()
	if err := os.RemoveAll(filepath.Join(d.dir, "state", "slots")); err != nil { // of models there were none
		t.Fatal(err)
	}
	d.remount("ro")
	a.start()
	if got := a.rows("flow"); got != rows {
		t.Errorf("%d rows are learned from at the start, want %d", got, rows)
	}
	g := newFlow(t, s)
	wait.For(t, "it is said", func() bool {
		return strings.Contains(a.reasons(), "works from a copy in memory") && strings.Contains(a.reasons(), "predicting from memory since")
	})
	from, _ := g.counts()
	wait.For(t, "300 readings come meanwhile", func() bool { n, _ := g.counts(); return n >= from+300 })
	g.predictedSince(from, "every reading is predicted from")
	g.stop()
	d.remount("rw")
	more, _ := g.counts()
	wait.For(t, "every reading is stored", func() bool { return a.stored() == sent+more }) // of all runs
	wait.For(t, "what was learned goes on", func() bool { return a.rows("flow") == rows+more })
	if left, err := filepath.Glob("/dev/shm/skerry-state-*"); err != nil || len(left) > 0 {
		t.Errorf("copies are left: %v, %v", left, err)
	}
}
