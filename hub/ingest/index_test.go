package ingest_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/wire"
)

// TestIndexed holds what of a chunk other parts of the hub can query at once: events, labels with
// their missing values, the newest host telemetry, and what the feed has of it.
func TestIndexed(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		r, ctx, run := newRig(t, d, configs.HubIngest{}), t.Context(), wire.Run{1}
		r.run(t)
		r.reports(t, "dev-1", "pm")
		r.stored(t, "dev-1", ingest.Events, chunk(t, "dev-1", run, wire.ClassEvent, 3, wire.Records{Events: []wire.Event{
			{Time: 50, Kind: "drift", Task: "pm", Detail: `{"model":"d1"}`},
			{Time: 51, Kind: "note", Detail: "plain words"},
		}}))
		r.stored(t, "dev-1", ingest.Live, chunk(t, "dev-1", run, wire.ClassLabel, 1, wire.Records{Labels: []wire.Label{{
			Task:        "pm",
			Row:         10,
			At:          20,
			Truth:       1.5,
			Predicted:   2,
			Lower:       1,
			Upper:       3,
			Persistence: 4,
			Champion:    5,
			Candidate:   math.NaN(),
			ChampionID:  "c",
			ShadowID:    "s",
		}}}))
		r.stored(t, "dev-1", ingest.Backfill, chunk(t, "dev-1", run, wire.ClassHost, 1, wire.Records{Hosts: []wire.Host{
			{Time: 7, Metric: "cpu", Value: 1}, {Time: 9, Metric: "cpu", Value: 2}, {Time: 8, Metric: "cpu", Value: 3}, {Time: 7, Metric: "mem", Value: 4},
		}}))

		events, err := r.db.Read().Events(ctx, meta.EventFilter{Device: "dev-1"})
		if err != nil || len(events) != 2 {
			t.Fatalf("Events = %+v, %v, want two", events, err)
		}
		for i, want := range []meta.Event{
			{ID: "note", Time: 51, Kind: "note", Detail: `{"text":"plain words"}`},
			{ID: "drift", Time: 50, Kind: "drift", Task: "pm", Detail: `{"model":"d1"}`},
		} {
			want.ID = fmt.Sprintf("dev-1/%s/%d/%d", run, wire.ClassEvent, 4-i)
			want.Device, want.Class, want.ReceivedAt = "dev-1", int64(wire.ClassEvent), events[i].ReceivedAt
			if events[i] != want || want.ReceivedAt == 0 {
				t.Errorf("event %d = %+v, want %+v", i, events[i], want)
			}
		}
		labels, err := r.db.Read().LabelPoints(ctx, "pm", "dev-1", 0, 100, 0)
		if err != nil || len(labels) != 1 {
			t.Fatalf("LabelPoints = %+v, %v, want one", labels, err)
		}
		l := labels[0]
		if !math.IsNaN(float64(l.Candidate)) {
			t.Errorf("the missing prediction of a candidate is %v, want NaN", l.Candidate)
		}
		if !math.IsNaN(float64(l.Chance + l.ChampionChance)) {
			t.Errorf("a label of a number has probabilities %v and %v", l.Chance, l.ChampionChance)
		}
		l.Candidate, l.Chance, l.ChampionChance, l.CandidateChance, l.BaselineChance = 0, 0, 0, 0, 0
		if want := (meta.LabelPoint{Task: "pm", Device: "dev-1", RowTime: 10, At: 20, Truth: 1.5, Predicted: 2, Lower: 1, Upper: 3, Persistence: 4,
			Champion: 5, ChampionID: "c", CandidateID: "s", ReceivedAt: l.ReceivedAt}); l != want {
			t.Errorf("label = %+v, want %+v", l, want)
		}
		hosts, err := r.db.Read().HostValues(ctx, "dev-1")
		if err != nil || len(hosts) != 2 || hosts[0].Value != 2 || hosts[0].Time != 9 || hosts[1].Value != 4 {
			t.Errorf("HostValues = %+v, %v, want the newest of each metric", hosts, err)
		}

		drifts := r.feed(t, feed.KindDrift)
		if len(drifts) != 1 || drifts[0].Device != "dev-1" || drifts[0].Task != "pm" {
			t.Errorf("the feed has the drifts %+v, want that of the model d1", drifts)
		}
		var sums feed.Applied
		for _, e := range r.feed(t, feed.KindApplied) {
			if err := json.Unmarshal(e.Detail, &sums); err != nil {
				t.Fatal(err)
			}
		}
		if pm := sums.Tasks["pm"]; pm.Labels != 1 || pm.Newest != 20 || pm.Scored != 1 || pm.Model != 3.5 || pm.Base != 2.5 {
			t.Errorf("the feed sums pm up to %+v, want one label with losses 3.5 and 2.5", pm)
		}
	})
}

// TestRepeatsAreCountedOnce: what comes again is in no sum and no event once more, whether in a
// message of its own or twice in one.
func TestRepeatsAreCountedOnce(t *testing.T) {
	r, run := newRig(t, metatest.SQLite(t), configs.HubIngest{}), wire.Run{1}
	r.run(t)
	r.reports(t, "dev-1", "pm")
	event := chunk(t, "dev-1", run, wire.ClassEvent, 1, wire.Records{Events: []wire.Event{{Kind: "drift", Task: "pm", Detail: `{"model":"d1"}`}}})
	r.stored(t, "dev-1", ingest.Events, wire.Pack([][]byte{event, event}))
	r.stored(t, "dev-1", ingest.Events, event)
	if got := r.feed(t, feed.KindDrift); len(got) != 1 {
		t.Errorf("the feed has %d drifts, want 1", len(got))
	}
	for label, want := range map[string]float64{"stored": 1, "duplicate": 2} {
		if got := r.value(t, "skerry_ingest_chunks_total", label); got != want {
			t.Errorf("%v chunks are counted as %s, want %v", got, label, want)
		}
	}
	if got := r.value(t, "skerry_ingest_records_total", "event"); got != 1 {
		t.Errorf("%v events are counted, want 1", got)
	}
}

// TestGaps holds what a declared loss does to the ledger, and that one which is none raises an
// alarm and moves nothing.
func TestGaps(t *testing.T) {
	run := wire.Run{1}
	for _, tt := range []struct {
		name, detail string
		mark         uint64 // of the readings
	}{
		{"a gap", fmt.Sprintf(`{"run":%q,"class":"reading","from":1,"to":5,"reason":"cap"}`, run), 5},
		{"a gap before what is stored", fmt.Sprintf(`{"run":%q,"class":"reading","from":1,"to":10,"reason":"cap"}`, run), 20},
		{"not JSON", "lost", 0},
		{"no class", fmt.Sprintf(`{"run":%q,"class":"opinion","from":1,"to":5}`, run), 0},
		{"from nothing", fmt.Sprintf(`{"run":%q,"class":"reading","from":0,"to":5}`, run), 0},
		{"backwards", fmt.Sprintf(`{"run":%q,"class":"reading","from":5,"to":1}`, run), 0},
		{"to the end of all numbers", fmt.Sprintf(`{"run":%q,"class":"reading","from":1,"to":%d}`, run, uint64(math.MaxInt64)), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, ctx := newRig(t, metatest.SQLite(t), configs.HubIngest{}), t.Context()
			r.run(t)
			r.stored(t, "dev-1", ingest.Live, readings(t, "dev-1", run, 11, 10))
			r.stored(t, "dev-1", ingest.Events, chunk(t, "dev-1", run, wire.ClassEvent, 1, wire.Records{Events: []wire.Event{{Kind: wire.GapKind, Detail: tt.detail}}}))
			applied, err := r.in.Applied(ctx, "dev-1", run)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range applied.Sets {
				if s.Class == wire.ClassReading && s.Mark != tt.mark {
					t.Errorf("the readings are applied up to %d, want %d", s.Mark, tt.mark)
				}
			}
			gaps, err := r.db.Read().Gaps(ctx, "dev-1", 0)
			if err != nil || len(gaps) != min(1, int(tt.mark)) {
				t.Errorf("Gaps = %+v, %v", gaps, err)
			}
			alarms, err := r.db.Read().Events(ctx, meta.EventFilter{Kind: "bad_gap"})
			if err != nil || len(alarms) != 1-len(gaps) {
				t.Errorf("%d alarms of a bad gap, %v, with %d gaps", len(alarms), err, len(gaps))
			}
		})
	}
}

// TestRefusals holds what is refused, why, where its bytes are kept and that its alarm is raised
// once.
func TestRefusals(t *testing.T) {
	run := wire.Run{1}
	good := readings(t, "dev-1", run, 1, 10)
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)-1] ^= 1
	alarm := wire.Records{Events: []wire.Event{{Kind: "fire", Detail: "{}"}}}
	for _, tt := range []struct {
		name    string
		lane    ingest.Lane
		message []byte
		why     string // in the reason
		alarm   string // kind of the hub's own
	}{
		{"nothing", ingest.Live, nil, "", "quarantine"},
		{"a flipped bit", ingest.Live, flipped, "", "quarantine"},
		{"a cut chunk", ingest.Live, good[:len(good)-1], "", "quarantine"},
		{"another device's", ingest.Live, readings(t, "dev-2", run, 1, 10), `chunk of device "dev-2" sent by "dev-1"`, "quarantine"},
		{"an alarm among telemetry", ingest.Backfill, chunk(t, "dev-1", run, wire.ClassAlarm, 1, alarm), "class alarm does not belong on the lane back", "quarantine"},
		{"telemetry among events", ingest.Events, good, "class reading does not belong on the lane evt", "quarantine"},
		{"numbers stored in part", ingest.Live, readings(t, "dev-1", run, 95, 10), "overlap stored ones with other contents", "conflict"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, ctx := newRig(t, metatest.SQLite(t), configs.HubIngest{}), t.Context()
			r.run(t)
			r.stored(t, "dev-1", ingest.Live, readings(t, "dev-1", run, 100, 1))
			for range 2 {
				got := <-r.offer("dev-1", tt.lane, tt.message)
				if got.Applied || got.RetryMS != 0 || len(got.Refused) != 1 || got.Refused[0].Index != 0 || got.Error == "" {
					t.Fatalf("receipt = %+v, want the one chunk refused for good", got)
				}
				if why := got.Refused[0].Reason; why == "" || !strings.Contains(why, tt.why) {
					t.Errorf("reason = %q, want %q in it", why, tt.why)
				}
			}
			kept, err := r.db.Read().QuarantinedMessages(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			conflicts, err := r.db.Read().Conflicts(ctx, "dev-1", 0)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.alarm == "conflict":
				if len(kept) != 0 || len(conflicts) != 1 || string(conflicts[0].Bytes) != string(tt.message) || conflicts[0].StoredFrom != 100 || conflicts[0].StoredTo != 100 {
					t.Errorf("%d messages in quarantine, conflicts %+v, want the bytes in one conflict with number 100", len(kept), conflicts)
				}
			case len(kept) != 1 || len(conflicts) != 0 || string(kept[0].Bytes) != string(tt.message) || kept[0].Subject != "edge.north.dev-1."+tt.lane.String():
				t.Errorf("in quarantine is %+v, conflicts %+v, want the bytes and their subject", kept, conflicts)
			}
			alarms, err := r.db.Read().Events(ctx, meta.EventFilter{Device: "dev-1", Class: int64(wire.ClassAlarm)})
			alarms = slices.DeleteFunc(alarms, func(e meta.Event) bool { return e.Kind == "clock" }) // of the first, whose times are small
			if err != nil || len(alarms) != 1 || alarms[0].Kind != tt.alarm {
				t.Errorf("alarms = %+v, %v, want one of kind %s", alarms, err, tt.alarm)
			}
		})
	}
}

// TestMergedConflict: an interval that was merged has no hash left; what lies within it counts as a
// repeat, what sticks out does not.
func TestMergedConflict(t *testing.T) {
	r, ctx, run := newRig(t, metatest.SQLite(t), configs.HubIngest{}), t.Context(), wire.Run{1}
	r.run(t)
	r.stored(t, "dev-1", ingest.Live, readings(t, "dev-1", run, 1, 10))
	r.stored(t, "dev-1", ingest.Live, readings(t, "dev-1", run, 11, 10))
	r.tx(t, func(q *meta.Queries) error {
		n, err := q.MergeIntervals(ctx, meta.Now()+1)
		if err == nil && n != 1 {
			err = fmt.Errorf("%d rows saved, want 1", n)
		}
		return err
	})
	r.stored(t, "dev-1", ingest.Live, readings(t, "dev-1", run, 5, 10))
	if got := <-r.offer("dev-1", ingest.Live, readings(t, "dev-1", run, 15, 10)); len(got.Refused) != 1 {
		t.Errorf("receipt of what sticks out = %+v, want it refused", got)
	}
	if got, err := r.db.Read().Conflicts(ctx, "", 0); err != nil || len(got) != 1 || got[0].From != 15 || got[0].StoredTo != 20 || got[0].StoredSHA256 != "" {
		t.Errorf("Conflicts = %+v, %v, want the one from 15 on", got, err)
	}
}

// TestStrangersAskForNothing: what a device says of a task that it does not run, or of a time far
// ahead, asks for no training; what it said before it was known to run the task counts once it is.
func TestStrangersAskForNothing(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		r := newRig(t, d, configs.HubIngest{})
		r.run(t)
		r.reports(t, "dev-1", "pm")
		send := func(device string, first uint64, at int64) {
			t.Helper()
			r.stored(t, device, ingest.Live, chunk(t, device, wire.Run{1}, wire.ClassLabel, first, wire.Records{Labels: []wire.Label{
				{Task: "pm", Row: at - 2, At: at, Truth: 1}, {Task: "pm", Row: at - 1, At: at, Truth: 2},
			}}))
		}
		sums := func() (labels, newest int64) {
			t.Helper()
			for _, e := range r.feed(t, feed.KindApplied) {
				var a feed.Applied
				if err := json.Unmarshal(e.Detail, &a); err != nil {
					t.Fatal(err)
				}
				labels, newest = labels+a.Tasks["pm"].Labels, max(newest, a.Tasks["pm"].Newest)
			}
			return labels, newest
		}
		send("dev-1", 1, 20)
		send("dev-1", 3, math.MaxInt64-1000)
		send("dev-2", 1, 30)
		r.stored(t, "dev-2", ingest.Events, chunk(t, "dev-2", wire.Run{1}, wire.ClassEvent, 1, wire.Records{Events: []wire.Event{{Kind: "drift", Task: "pm", Detail: `{"model":"d1"}`}}}))
		if labels, newest := sums(); labels != 2 || newest != 20 {
			t.Errorf("%d labels up to %d count, want the two up to 20 of the device that runs the task", labels, newest)
		}
		if got := r.feed(t, feed.KindDrift); len(got) > 0 {
			t.Errorf("the drift of a device that does not run the task is in the feed: %+v", got)
		}
		r.reports(t, "dev-2", "pm")
		send("dev-2", 3, 40)
		r.reports(t, "dev-2", "pm")
		if labels, newest := sums(); labels != 6 || newest != 40 {
			t.Errorf("%d labels up to %d count, want all six plausible ones", labels, newest)
		}
	})
}
