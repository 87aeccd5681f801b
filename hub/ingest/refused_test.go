package ingest_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"skerry.dev/hub/ingest"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// database opens a store with devices dev-0, dev-1, ….
func database(t *testing.T, d metatest.DB, devices int) *meta.Store {
	t.Helper()
	db := d.Open(t)
	if err := db.Tx(t.Context(), func(q *meta.Queries) error {
		for n := range devices {
			name := fmt.Sprint("dev-", n)
			if err := q.InsertDevice(t.Context(), meta.Device{Name: name, Site: "north", PublicKey: name}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return db
}

// forbid makes the database refuse rows of a table where a column has the value "poison".
func forbid(t *testing.T, d metatest.DB, table, column string) {
	t.Helper()
	driver, source := "sqlite", filepath.Join(d.Options.Dir, "hub.db")
	statement := fmt.Sprintf(`CREATE TRIGGER poison BEFORE INSERT ON %s WHEN NEW.%s = 'poison'
		BEGIN SELECT RAISE(ABORT, 'poison'); END`, table, column)
	if d.Shared {
		driver, source = "pgx", d.Options.URL
		statement = fmt.Sprintf("ALTER TABLE %s ADD CHECK (%s <> 'poison')", table, column)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// alarms counts the alarms of a kind, by device.
func alarms(t *testing.T, db *meta.Store, kind string) map[string]int {
	t.Helper()
	events, err := db.Read().Events(t.Context(), meta.EventFilter{Kind: kind})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, e := range events {
		out[e.Device]++
	}
	return out
}

// TestStates holds that a reported state that cannot be stored is refused alone, on both databases
// for the same reasons, and is found: in the log, in quarantine and as an alarm, once a day.
func TestStates(t *testing.T) {
	texts := []string{
		`{"device":"DEVICE","version":"1\u0000"}`,
		`{"device":"DEVICE","tasks":{"flow":{"assignment":{"reason":"a\u0000"}}}}`,
		`{"device":"DEVICE","tasks":{"flow":{"spec":"\u0000"}}}`,
		"{\"device\":\"DEVICE\",\"health\":\"\xff\"}",
		`{"device":"DEVICE","tasks":{"` + strings.Repeat("x", 8<<10) + `":{}}}`,
		`{"device":"DEVICE","tasks":{"a.b":{}}}`,
		`{"device":"DEVICE","tasks":{"flow":{"kind":"` + strings.Repeat("x", 300) + `"}}}`,
		`{"device":"DEVICE","class":"` + strings.Repeat("x", 300) + `"}`,
		`{"device":"dev-1"}`,
		`{`,
		`{"device":"DEVICE","tasks":{"poison":{}}}`, // which only the database refuses
	}
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		const good = 40
		db := database(t, d, good+len(texts))
		forbid(t, d, "task", "name")
		var log strings.Builder
		in := ingest.New(db, ingest.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		var batch []ingest.State
		want := map[string]string{} // the bad documents by subject
		for k := range good + len(texts) {
			device := fmt.Sprint("dev-", k)
			data, err := json.Marshal(spec.Reported{Device: device, Generation: 3, Version: "2"})
			if err != nil {
				t.Fatal(err)
			}
			if k >= good {
				data = []byte(strings.Replace(texts[k-good], "DEVICE", device, 1))
				want[wire.SubjectState("north", device)] = string(data)
			}
			batch = append(batch, ingest.State{Device: device, Data: data})
		}
		for range 2 { // the repeat changes nothing
			for k, err := range in.States(t.Context(), batch) {
				if err != nil {
					t.Fatalf("state %d comes again: %v", k, err)
				}
			}
		}
		alarms := alarms(t, db, "quarantine")
		for k, s := range batch {
			_, err := db.Read().Reported(t.Context(), s.Device)
			bad, n := k >= good, strings.Count(log.String(), "device="+s.Device+" ")
			if stored := err == nil; stored == bad || bad != (n == 1) || bad != (alarms[s.Device] == 1) {
				t.Errorf("state %.60s is stored: %v, and has %d lines in the log and %d alarms", s.Data, stored, n, alarms[s.Device])
			}
		}
		kept, err := db.Read().QuarantinedMessages(t.Context(), 0)
		if err != nil || len(kept) != len(texts) {
			t.Fatalf("%d documents in quarantine, %v, want %d", len(kept), err, len(texts))
		}
		for _, m := range kept {
			if string(m.Bytes) != want[m.Subject] || m.Reason == "" {
				t.Errorf("in quarantine as of %s because of %q: %.60s", m.Subject, m.Reason, m.Bytes)
			}
		}
	})
}

// TestStatesDatabaseDown holds that every state comes again while the database fails.
func TestStatesDatabaseDown(t *testing.T) {
	db, err := meta.Open(t.Context(), meta.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	batch := []ingest.State{{Device: "dev-0", Data: []byte(`{"device":"dev-0"}`)}, {Device: "dev-1", Data: []byte("{")}}
	for n, err := range ingest.New(db, ingest.Options{}).States(t.Context(), batch) {
		if err == nil {
			t.Errorf("state %d is done with, and nothing was stored", n)
		}
	}
}

// TestRefusedByDatabase holds that a chunk with a value that the database refuses, for a reason that
// nobody foresaw, goes to quarantine: the others of its message and of the batch are stored.
func TestRefusedByDatabase(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		db := database(t, d, 4)
		forbid(t, d, "host_value", "metric")
		in := ingest.New(db, ingest.Options{})
		chunk := func(device string, first uint64, metric string) []byte {
			b, err := wire.Encode(wire.Header{Device: device, Run: wire.Run{7}, Class: wire.ClassHost, First: first},
				&wire.Records{Hosts: []wire.Host{{Metric: metric}}})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		answers := map[string]chan wire.Receipt{}
		for n := range 4 {
			device := fmt.Sprint("dev-", n)
			message := chunk(device, 1, "cpu")
			if n == 2 {
				message = wire.Pack([][]byte{message, chunk(device, 2, "poison"), chunk(device, 3, "rss")})
			}
			answer := make(chan wire.Receipt, 2)
			answers[device] = answer
			in.Offer(ingest.Message{
				Site:   "north",
				Device: device,
				Lane:   ingest.Live,
				Data:   message,
				Reply:  func(r wire.Receipt) { answer <- r },
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- in.Run(ctx) }()
		for device, answer := range answers {
			got := <-answer
			if device != "dev-2" && !got.Applied {
				t.Errorf("receipt of %s = %+v, want applied", device, got)
			}
			if device == "dev-2" && (len(got.Refused) != 1 || got.Refused[0].Index != 1 || !strings.Contains(got.Refused[0].Reason, "the database refuses it")) {
				t.Errorf("receipt of %s = %+v, want chunk 1 refused", device, got)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if got := alarms(t, db, "quarantine"); len(got) != 1 || got["dev-2"] != 1 {
			t.Errorf("alarms = %v, want one of dev-2", got)
		}
		values, err := db.Read().HostValues(t.Context(), "dev-2")
		if err != nil || len(values) != 2 {
			t.Errorf("host values of dev-2 = %+v, %v, want cpu and rss", values, err)
		}
	})
}
