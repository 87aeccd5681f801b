package ingest_test

import (
	"strings"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/wire"
)

// hello makes the hello of dev-1 with runs, each of which continues the one before.
func hello(counter uint64, runs ...wire.Run) wire.Hello {
	h := wire.Hello{Device: "dev-1", JoinCounter: counter, Version: "v2"}
	prev := wire.Run{}
	for _, r := range runs {
		h.Runs = append(h.Runs, wire.RunInfo{Run: r, Prev: prev, BootID: "boot", StartedAt: int64(r[0]), ClockOK: true})
		prev = r
	}
	return h
}

// TestGreet registers the chain of a device and returns what the ledger holds of it: the prefix,
// what lies above, nothing of a new run.
func TestGreet(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		r := newRig(t, d, configs.HubIngest{})
		r.run(t)
		old, now := wire.Run{1}, wire.Run{2}
		reply, err := r.in.Greet(t.Context(), "dev-1", hello(1, old))
		if err != nil || reply.Suspect || reply.HubTime == 0 || reply.MaxChunks != wire.MaxChunks {
			t.Fatalf("Greet = %+v, %v, want the hub's time and its bound of chunks", reply, err)
		}
		for _, first := range []uint64{1, 11, 41} {
			r.stored(t, "dev-1", ingest.Live, readings(t, "dev-1", old, first, 10))
		}
		if reply, err = r.in.Greet(t.Context(), "dev-1", hello(2, old, now)); err != nil {
			t.Fatal(err)
		}
		if len(reply.Applied.Sets) != 2*len(wire.Classes) {
			t.Errorf("Greet returns %d sets, want one for each class of both runs", len(reply.Applied.Sets))
		}
		for _, s := range reply.Applied.Sets {
			want := uint64(0)
			if s.Run == old && s.Class == wire.ClassReading {
				want = 20
				if len(s.Ranges) != 1 || s.Ranges[0] != (wire.Range{From: 41, To: 50}) {
					t.Errorf("above the mark is %v, want 41 to 50", s.Ranges)
				}
			} else if len(s.Ranges) > 0 {
				t.Errorf("run %s has %v of class %s", s.Run, s.Ranges, s.Class)
			}
			if s.Mark != want {
				t.Errorf("the mark of class %s of run %s = %d, want %d", s.Class, s.Run, s.Mark, want)
			}
		}
		runs, err := r.db.Read().Runs(t.Context(), "dev-1")
		if err != nil || len(runs) != 2 || runs[1].Prev != old.String() || runs[1].Ordinal != 2 || runs[1].BootID != "boot" || !runs[1].ClockOK || runs[1].StartedAt != 2 {
			t.Errorf("Runs = %+v, %v, want the chain of two", runs, err)
		}
		dev, err := r.db.Read().Device(t.Context(), "dev-1")
		if err != nil || dev.Version != "v2" || dev.SeenAt == 0 {
			t.Errorf("Device = %+v, %v, want it seen with its version", dev, err)
		}
	})
}

// TestGreetRefuses holds who is not greeted, and that nothing of it is stored.
func TestGreetRefuses(t *testing.T) {
	r := newRig(t, metatest.SQLite(t), configs.HubIngest{})
	r.tx(t, func(q *meta.Queries) error {
		return q.UpdateDevice(t.Context(), meta.Device{Name: "dev-2", Site: "north", PublicKey: "k", RevokedAt: 5})
	})
	for _, tt := range []struct{ name, says, sends, want string }{
		{"another's name", "dev-1", "dev-2", `hello of device "dev-1" sent by "dev-2"`},
		{"a device that is not enrolled", "dev-9", "dev-9", `device "dev-9" is not enrolled`},
		{"a revoked device", "dev-2", "dev-2", `device "dev-2" is not enrolled`},
	} {
		h := hello(1, wire.Run{1})
		h.Device = tt.says
		if _, err := r.in.Greet(t.Context(), tt.sends, h); err == nil || err.Error() != tt.want {
			t.Errorf("%s: Greet = %v, want %s", tt.name, err, tt.want)
		}
		if runs, err := r.db.Read().Runs(t.Context(), tt.sends); err != nil || len(runs) != 0 {
			t.Errorf("%s: Runs = %v, %v, want none", tt.name, runs, err)
		}
	}
}

// TestSuspicion holds what makes a device suspect, that it is reported once, and what is innocent.
func TestSuspicion(t *testing.T) {
	a, b, c := wire.Run{1}, wire.Run{2}, wire.Run{3}
	for _, tt := range []struct {
		name   string
		joined int64 // what the device has confirmed
		hellos []wire.Hello
		want   string // "" : not suspect
	}{
		{"a chain that grows", 0, []wire.Hello{hello(1, a), hello(2, a, b), hello(3, a, b, c)}, ""},
		{"a store that was lost", 0, []wire.Hello{hello(1, a), hello(2, b)}, ""},
		{"two runs that continue one", 0, []wire.Hello{hello(1, a, b), hello(2, a, c)}, "both continue run " + a.String()},
		{"a counter that is far behind", 7, []wire.Hello{hello(5, a)}, "join counter 5 is behind 7"},
		{"an answer that was lost", 7, []wire.Hello{hello(6, a)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, metatest.SQLite(t), configs.HubIngest{})
			r.tx(t, func(q *meta.Queries) error {
				return q.UpdateDevice(t.Context(), meta.Device{Name: "dev-1", Site: "north", PublicKey: "k", JoinCounter: tt.joined})
			})
			var reply wire.HelloReply
			for _, h := range append(tt.hellos, tt.hellos[len(tt.hellos)-1]) { // the last once more
				var err error
				if reply, err = r.in.Greet(t.Context(), "dev-1", h); err != nil {
					t.Fatal(err)
				}
			}
			dev, err := r.db.Read().Device(t.Context(), "dev-1")
			if err != nil || reply.Suspect != (tt.want != "") || !strings.Contains(dev.Suspect, tt.want) || (tt.want == "") != (dev.Suspect == "") {
				t.Errorf("suspect %v because %q, %v, want %q", reply.Suspect, dev.Suspect, err, tt.want)
			}
			reported := 0
			if tt.want != "" {
				reported = 1
			}
			alarms, err := r.db.Read().Events(t.Context(), meta.EventFilter{Device: "dev-1", Kind: "suspect", Class: int64(wire.ClassAlarm)})
			if err != nil || len(alarms) != reported || len(r.feed(t, feed.KindSuspect)) != reported {
				t.Errorf("%d alarms and %d events of the feed, %v, want %d of each", len(alarms), len(r.feed(t, feed.KindSuspect)), err, reported)
			}
		})
	}
}

// TestHostileHello: a hello with a text that PostgreSQL does not take is refused by name, on both
// databases.
func TestHostileHello(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		r, h := newRig(t, d, configs.HubIngest{}), hello(1, wire.Run{1})
		h.Version = "v\x001"
		if _, err := r.in.Greet(t.Context(), "dev-1", h); err == nil || !strings.Contains(err.Error(), "version") {
			t.Errorf("Greet = %v, want the version to be refused", err)
		}
	})
}
