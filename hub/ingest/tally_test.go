package ingest_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/alarm"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/wire"
)

// kinds counts the alarms of a device by kind.
func (r *rig) kinds(t *testing.T, device string) map[string]int {
	t.Helper()
	events, err := r.db.Read().Events(t.Context(), meta.EventFilter{Device: device, Class: int64(wire.ClassAlarm)})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, e := range events {
		out[e.Kind]++
	}
	return out
}

func (r *rig) usage(t *testing.T, device string) meta.Usage {
	t.Helper()
	u, err := r.db.Read().Usage(t.Context(), device, alarm.Day(meta.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestGarbageIsBounded holds that garbage costs a bounded room however much of it comes, that the
// rest is counted, and that the device is named.
func TestGarbageIsBounded(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		r := newRig(t, d, configs.HubIngest{})
		r.run(t)
		const n = 200
		for range n {
			junk := make([]byte, 20_000)
			rand.Read(junk)
			if got := <-r.offer("dev-1", ingest.Live, junk); len(got.Refused) != 1 {
				t.Fatalf("receipt of garbage = %+v, want a refusal", got)
			}
		}
		kept, err := r.db.Read().QuarantinedMessages(t.Context(), 0)
		if u := r.usage(t, "dev-1"); err != nil || len(kept) != 32 || u.Refused != n || u.Kept != 32 || u.Bytes != n*20_000 {
			t.Errorf("%d messages are kept (%v), counted %+v, want 32 of %d", len(kept), err, u, n)
		}
		if k := r.kinds(t, "dev-1"); k["quarantine"] != 32 || k["refused"] != 1 {
			t.Errorf("alarms = %v, want one for each message kept and one that there are more", k)
		}
	})
}

// TestDeviceQuota holds that a device that has sent its share of the day waits while others go on,
// that it has an alarm before, and that a restart of the hub gives it no other share.
func TestDeviceQuota(t *testing.T) {
	d := metatest.SQLite(t)
	opts := configs.HubIngest{DeviceQuota: 100 << 10} // a hundred small chunks
	r := newRig(t, d, opts)
	r.run(t)
	send := func(device string, n int) wire.Receipt {
		return <-r.offer(device, ingest.Live, readings(t, device, wire.Run{1}, uint64(n+1), 1))
	}
	for n := range 100 {
		if got := send("dev-1", n); !got.Applied {
			t.Fatalf("receipt of chunk %d = %+v, want applied", n, got)
		}
		if k := r.kinds(t, "dev-1"); (k["quota"] > 0) != (n >= 79) {
			t.Fatalf("after %d chunks of a hundred the alarms are %v, want one at 80 %%", n+1, k)
		}
	}
	if k := r.kinds(t, "dev-1"); k["quota"] != 2 {
		t.Errorf("alarms = %v, want one at 80 %% and one at all of it", k)
	}
	refused := func(got wire.Receipt) bool {
		return got.RetryMS >= time.Minute.Milliseconds() && strings.Contains(got.Error, "device_quota")
	}
	if got := send("dev-1", 100); !refused(got) {
		t.Errorf("receipt beyond the share = %+v, want a time to come again, and why", got)
	}
	if got := send("dev-2", 0); !got.Applied {
		t.Errorf("receipt of another device = %+v, want applied", got)
	}
	r.in = ingest.New(r.db, ingest.Options{HubIngest: opts})
	r.run(t)
	if got := send("dev-1", 100); !got.Applied {
		t.Errorf("receipt of the first message after a restart = %+v, want applied: the share is read with it", got)
	}
	if got := send("dev-1", 101); !refused(got) {
		t.Errorf("receipt of the second message after a restart = %+v, want a time to come again", got)
	}
}

// TestOddReadings holds that readings with odd times or no value are counted and the device named.
func TestOddReadings(t *testing.T) {
	r := newRig(t, metatest.SQLite(t), configs.HubIngest{})
	r.run(t)
	now := meta.Now()
	records := &wire.Records{Readings: []wire.Reading{
		{Series: "a", Time: now, Value: 1},
		{Series: "a", Time: 0, Value: 1},
		{Series: "a", Time: now + 3*86400e6, Value: 1},
		{Series: "a", Time: now, Value: math.NaN()},
		{Series: "a", Time: now, Value: math.Inf(-1)},
	}}
	b, err := wire.Encode(wire.Header{Device: "dev-1", Run: wire.Run{1}, Class: wire.ClassReading, First: 1}, records)
	if err != nil {
		t.Fatal(err)
	}
	r.stored(t, "dev-1", ingest.Live, b)
	if u := r.usage(t, "dev-1"); u.OddTimes != 2 || u.NonFinite != 2 || u.Chunks != 1 {
		t.Errorf("counted %+v, want 2 odd times and 2 values that are no number", u)
	}
	if k := r.kinds(t, "dev-1"); k["clock"] != 1 || k["non_finite"] != 1 {
		t.Errorf("alarms = %v, want the clock and the values", k)
	}
}

// TestManyRuns holds that the answer to a hello of thousands of runs fits a message, and that a
// device that starts all the time is named, then refused.
func TestManyRuns(t *testing.T) {
	r := newRig(t, metatest.SQLite(t), configs.HubIngest{})
	run := func(n int) (out wire.Run) {
		copy(out[:], fmt.Sprintf("%016d", n+1))
		return out
	}
	next := 0
	greet := func(n int) (wire.HelloReply, error) {
		var runs []wire.Run
		for range n {
			runs = append(runs, run(next))
			next++
		}
		h := hello(1, runs...)
		return r.in.Greet(t.Context(), "dev-1", h)
	}
	reply, err := greet(5300)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(reply)
	if err != nil || len(b) > wire.MaxMessage {
		t.Errorf("the answer to 5,300 runs has %d bytes, %v, want at most %d", len(b), err, wire.MaxMessage)
	}
	if last := reply.Applied.Sets[len(reply.Applied.Sets)-1].Run; last != run(5299) {
		t.Errorf("the answer ends with run %s, want the newest", last)
	}
	if k := r.kinds(t, "dev-1"); k["restarts"] != 1 {
		t.Errorf("alarms = %v, want one about the many starts", k)
	}
	for range 2 {
		if _, err = greet(5300); err != nil {
			t.Fatal(err)
		}
	}
	if _, err = greet(5300); err == nil || !strings.Contains(err.Error(), "more than 20000 times today") {
		t.Errorf("hello of 21,200 runs on one day = %v, want a refusal that names the bound", err)
	}
}

// TestNote raises what a device did outside of its telemetry once a day.
func TestNote(t *testing.T) {
	r := newRig(t, metatest.SQLite(t), configs.HubIngest{})
	for range 3 {
		if err := r.in.Note(t.Context(), "dev-1", "foreign_reply", map[string]any{"reason": "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if k := r.kinds(t, "dev-1"); k["foreign_reply"] != 1 {
		t.Errorf("alarms = %v, want one", k)
	}
}

// TestRunsAreBounded: runs that come with chunks count as those of hellos do, and beyond a day's
// bound their chunks wait.
func TestRunsAreBounded(t *testing.T) {
	r := newRig(t, metatest.SQLite(t), configs.HubIngest{})
	r.run(t)
	r.tx(t, func(q *meta.Queries) error {
		now, err := q.Clock(t.Context())
		if err != nil {
			return err
		}
		return q.PutUsage(t.Context(), meta.Usage{Device: "dev-1", Day: alarm.Day(now), Runs: 19_990})
	})
	let := 0
	for n := range 20 {
		run := wire.Run{2, byte(n)}
		if got := <-r.offer("dev-1", ingest.Live, readings(t, "dev-1", run, 1, 1)); got.Applied {
			let++
		} else if len(got.Refused) != 1 || !strings.Contains(got.Refused[0].Reason, "20000 times today") {
			t.Fatalf("receipt = %+v, want the reason", got)
		}
	}
	if let != 10 {
		t.Errorf("%d chunks of new runs are stored, want 10", let)
	}
	if got := <-r.offer("dev-1", ingest.Live, readings(t, "dev-1", wire.Run{2, 0}, 2, 1)); !got.Applied {
		t.Errorf("receipt of a run that is known = %+v, want applied", got)
	}
	if got := <-r.offer("dev-2", ingest.Live, readings(t, "dev-2", wire.Run{3}, 1, 1)); !got.Applied {
		t.Errorf("receipt of another device = %+v, want applied", got)
	}
}

// TestRowsAreCharged: labels and events count by the rows that they become, not by the few bytes
// that they are sent in.
func TestRowsAreCharged(t *testing.T) {
	r := newRig(t, metatest.SQLite(t), configs.HubIngest{})
	r.run(t)
	labels := make([]wire.Label, 500)
	for i := range labels {
		labels[i] = wire.Label{Task: "pm", Row: int64(i), At: int64(i)}
	}
	r.stored(t, "dev-1", ingest.Live, chunk(t, "dev-1", wire.Run{1}, wire.ClassLabel, 1, wire.Records{Labels: labels}))
	u, err := r.db.Read().Usages(t.Context(), "dev-1", 1)
	if err != nil || len(u) != 1 || u[0].Bytes < 256*500 {
		t.Errorf("usage = %+v, %v, want 256 bytes a label at least", u, err)
	}
}
