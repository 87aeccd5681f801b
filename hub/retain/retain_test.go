package retain

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/spec"
)

// TestPrune holds that old rows of every kind go and young ones stay, that a device has no more
// events than its share, and that the audit chain can be verified after its beginning was cut off,
// but not when somebody else cut it.
func TestPrune(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		now := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
		day := func(n int) int64 { return now.AddDate(0, 0, -n).UnixMicro() }
		tx := func(fn func(q *meta.Queries) error) {
			t.Helper()
			if err := db.Tx(ctx, fn); err != nil {
				t.Fatal(err)
			}
		}
		tx(func(q *meta.Queries) error {
			err := q.InsertDevice(ctx, meta.Device{Name: "a", Site: "s", PublicKey: "k"})
			for _, at := range []int64{day(0), day(29), day(31), day(89), day(91), day(731)} {
				id := fmt.Sprint(at)
				_, err1 := q.InsertQuarantined(ctx, meta.Quarantined{SHA256: id, SeenAt: at})
				_, err2 := q.InsertConflict(ctx, meta.Conflict{SHA256: id, Device: "a", Bytes: []byte{1}, SeenAt: at})
				err = errors.Join(err, err1, err2,
					q.InsertEvent(ctx, meta.Event{ID: id, Device: "a", Class: 1, ReceivedAt: at}),
					q.InsertGap(ctx, meta.Gap{Device: "a", From: at, To: at, DeclaredAt: at}),
					q.InsertLinkEvent(ctx, meta.LinkEvent{ID: id, Device: "a", At: at}),
					q.PutUsage(ctx, meta.Usage{Device: "a", Day: time.UnixMicro(at).UTC().Format(time.DateOnly)}),
					q.Audit(ctx, "user/x", "something", id, ""))
			}
			return err
		})
		p := New(db, configs.HubKeep{}, nil, nil)
		if err := p.Prune(ctx, nil, now); err != nil {
			t.Fatal(err)
		}
		count := func() map[string]int {
			q := db.Read()
			quarantine, err1 := q.QuarantinedMessages(ctx, 0)
			conflicts, err2 := q.Conflicts(ctx, "", 0)
			events, err3 := q.Events(ctx, meta.EventFilter{})
			gaps, err4 := q.Gaps(ctx, "", 0)
			links, err5 := q.LinkEvents(ctx, "a", 0)
			usage, err6 := q.Usages(ctx, "a", 100)
			audit, err7 := q.AuditEntries(ctx, 0, 0)
			if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
				t.Fatal(err)
			}
			return map[string]int{"quarantine": len(quarantine), "conflict": len(conflicts), "event": len(events), "gap": len(gaps), "link": len(links), "usage": len(usage), "audit": len(audit)}
		}
		want := map[string]int{"quarantine": 2, "conflict": 2, "event": 4, "gap": 5, "link": 4, "usage": 5, "audit": 6}
		if got := count(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("left are %v, want %v", got, want)
		}

		tx(func(q *meta.Queries) error {
			var err error
			for n := range 150 {
				err = errors.Join(err, q.InsertEvent(ctx, meta.Event{ID: fmt.Sprintf("flood/%04d", n), Device: "a", ReceivedAt: now.UnixMicro() + int64(n)}))
			}
			for n := range 30 {
				err = errors.Join(err, q.Audit(ctx, "user/x", "something", fmt.Sprint(n), ""))
			}
			return err
		})
		if n, err := prune(db, func(q *meta.Queries) (int64, error) { return q.PruneEvents(ctx, "a", 100) }, t); err != nil || n != 54 {
			t.Errorf("PruneEvents to a hundred deletes %d, %v, want 54", n, err)
		}
		if left := count()["event"]; left != 100 {
			t.Errorf("%d events are left, want a hundred", left)
		}
		if events, err := db.Read().Events(ctx, meta.EventFilter{Limit: 1}); err != nil || events[0].ID != "flood/0149" {
			t.Errorf("the newest event is %v, %v", events, err)
		}

		p = New(db, configs.HubKeep{Audit: spec.Duration(time.Hour)}, nil, nil)
		if err := p.Prune(ctx, nil, now.Add(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if n := count()["audit"]; n > 3 {
			t.Errorf("%d audit entries are left after all were too old", n)
		}
		if err := db.Read().VerifyAudit(ctx); err != nil {
			t.Errorf("VerifyAudit after pruning = %v", err)
		}
	})
}

func prune(db *meta.Store, fn func(q *meta.Queries) (int64, error), t *testing.T) (n int64, err error) {
	err = db.Tx(t.Context(), func(q *meta.Queries) (err error) { n, err = fn(q); return err })
	return n, err
}

// TestPruneUnsetClock holds that what came while the hub's clock was not set stays: nobody knows how
// old it is. Nor does an audit entry of that time take the younger ones before it along.
func TestPruneUnsetClock(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db, ctx := d.Open(t), t.Context()
		now := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
		unset := time.Unix(3600, 0).UnixMicro()
		err := db.Tx(ctx, func(q *meta.Queries) error {
			err := q.InsertDevice(ctx, meta.Device{Name: "a", Site: "s", PublicKey: "k"})
			_, err1 := q.InsertQuarantined(ctx, meta.Quarantined{SHA256: "x", SeenAt: unset})
			return errors.Join(err, err1,
				q.InsertEvent(ctx, meta.Event{ID: "x", Device: "a", Class: 1, ReceivedAt: unset}),
				q.InsertLinkEvent(ctx, meta.LinkEvent{ID: "x", Device: "a", At: unset}),
				q.PutUsage(ctx, meta.Usage{Device: "a", Day: "1970-01-01"}))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := New(db, configs.HubKeep{}, nil, nil).Prune(ctx, nil, now); err != nil {
			t.Fatal(err)
		}
		q := db.Read()
		quarantine, err1 := q.QuarantinedMessages(ctx, 0)
		events, err2 := q.Events(ctx, meta.EventFilter{})
		links, err3 := q.LinkEvents(ctx, "a", 0)
		usage, err4 := q.Usages(ctx, "a", 100)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		if len(quarantine) != 1 || len(events) != 1 || len(links) != 1 || len(usage) != 1 {
			t.Errorf("left are %d rejected messages, %d events, %d link events and %d days, want one of each", len(quarantine), len(events), len(links), len(usage))
		}
	})
}

// TestDoubtedClock holds that nothing is deleted while the clock may not decide what is old.
func TestDoubtedClock(t *testing.T) {
	db, ctx := metatest.SQLite(t).Open(t), t.Context()
	err := db.Tx(ctx, func(q *meta.Queries) error {
		return q.InsertEvent(ctx, meta.Event{ID: "x", Class: 1, ReceivedAt: meta.Now()})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ok := range []bool{false, true} {
		New(db, configs.HubKeep{}, func(context.Context) (time.Time, bool) { return time.Now().AddDate(0, 0, 92), ok }, nil).turn(ctx, nil)
		events, err := db.Read().Events(ctx, meta.EventFilter{})
		if err != nil || (len(events) == 0) != ok {
			t.Errorf("with a clock that may decide %v, %d events are left, %v", ok, len(events), err)
		}
	}
}
