package api_test

import (
	"encoding/csv"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// stage stores n readings of a device as one chunk, with a value that is no number in the middle.
func (f *fixture) stage(device string, n int) {
	f.t.Helper()
	run := wire.Run{1}
	r := &wire.Records{}
	for i := range n {
		value := float64(i)
		if i == n/2 {
			value = math.NaN()
		}
		r.Readings = append(r.Readings, wire.Reading{Series: []string{"flow", "level"}[i%2], Time: int64(1000 + i), Value: value})
	}
	b, err := wire.Encode(wire.Header{Device: device, Run: run, Class: wire.ClassReading, First: 1}, r)
	if err != nil {
		f.t.Fatal(err)
	}
	err = f.db.Tx(f.t.Context(), func(q *meta.Queries) error {
		return q.InsertStaged(f.t.Context(), meta.Staged{
			Device:     device,
			Run:        run.String(),
			Class:      int64(wire.ClassReading),
			From:       1,
			Count:      int64(n),
			RunOrdinal: 1,
			Site:       "north",
			Bytes:      b,
			StagedAt:   meta.Now(),
		})
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

type readingsPage struct {
	Items []struct {
		Series string
		Time   int64
		Value  *float64
	}
	Next string
}

// TestReadings exports readings in pages, in both formats, before and after they moved to the lake.
func TestReadings(t *testing.T) {
	f := newFixture(t)
	viewer, admin := f.login("viewer"), f.login("admin")
	f.stage("pump-7", 25)
	check := func() {
		t.Helper()
		var times []int64
		empty := 0
		after := ""
		for pages := 1; ; pages++ {
			var page readingsPage
			f.get("/v1/lake/readings?device=pump-7&limit=10&after="+after, viewer, &page)
			for _, r := range page.Items {
				times = append(times, r.Time)
				if r.Value == nil {
					empty++
				}
			}
			if after = page.Next; after == "" {
				if pages != 3 {
					t.Errorf("%d pages of 10, want 3", pages)
				}
				break
			}
		}
		if len(times) != 25 || !slices.IsSorted(times) || empty != 1 {
			t.Errorf("the pages have %d readings, sorted %v, %d that are no number; want 25 and 1", len(times), slices.IsSorted(times), empty)
		}
		var some readingsPage
		f.get("/v1/lake/readings?device=pump-7&series=level&from=1004&to=1010", viewer, &some)
		if len(some.Items) != 3 || some.Next != "" {
			t.Errorf("series level from 1004 to 1010 has %+v, want three readings", some)
		}
		code, text := f.do("GET", "/v1/lake/readings?device=pump-7&format=csv&limit=4", viewer, "")
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || code != http.StatusOK || len(rows) != 5 || strings.Join(rows[0], ",") != "device,run,run_ordinal,seq,series,time,value,mono,flags,category" {
			t.Errorf("CSV = %d %s, %v, want a header and four rows", code, text, err)
		}
	}
	check()
	var devices struct{ Items []string }
	f.get("/v1/lake/devices", viewer, &devices)
	if !slices.Equal(devices.Items, []string{"pump-7"}) {
		t.Errorf("devices = %v, want pump-7", devices.Items)
	}
	code, reply := f.do("POST", "/v1/lake/compact", admin, "")
	if code != http.StatusOK || !strings.Contains(reply, `"chunks":1`) {
		t.Errorf("compact = %d %s, want one chunk", code, reply)
	}
	var holds struct {
		Classes []struct {
			Class       string
			Files, Rows int64
		}
	}
	f.get("/v1/lake", viewer, &holds)
	if len(holds.Classes) != 1 || holds.Classes[0].Class != "reading" || holds.Classes[0].Files != 1 || holds.Classes[0].Rows != 25 {
		t.Errorf("lake = %+v, want 25 readings in one file", holds)
	}
	check()
	var exact struct{ Readings, Distinct, Duplicates int64 }
	f.get("/v1/lake/check?device=pump-7", viewer, &exact)
	if exact.Readings != 25 || exact.Distinct != 25 || exact.Duplicates != 0 {
		t.Errorf("check = %+v, want 25 distinct", exact)
	}
	for _, path := range []string{"/v1/lake/readings", "/v1/lake/readings?device=pump-7&after=x",
		"/v1/lake/readings?device=pump-7&format=xml", "/v1/lake/readings?device=pump-7&from=now", "/v1/lake/check"} {
		f.refused("GET", path, viewer, "", 422, "invalid")
	}
	// A mistyped name is no device without readings.
	for _, path := range []string{"/v1/lake/readings?device=pump-8", "/v1/lake/readings?device=pump-8&format=csv", "/v1/lake/check?device=pump-8"} {
		f.refused("GET", path, viewer, "", 404, "not_found")
	}
	f.device("pump-8")
	f.get("/v1/lake/check?device=pump-8", viewer, &exact)
	if exact.Readings != 0 {
		t.Errorf("check of a device that sent nothing = %+v", exact)
	}
}

// TestExportBreaksOff cuts the connection when the database fails in the middle of an export: a
// status is sent by then, and an answer that just ends would look complete.
func TestExportBreaksOff(t *testing.T) {
	f := newFixture(t)
	viewer := f.login("viewer")
	f.device("pump-7")
	f.stage("pump-7", 25)
	f.breakTable("staging")
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("the handler ends with %v, want http.ErrAbortHandler", v)
		}
		if !strings.Contains(f.log.String(), "export broke off") {
			t.Errorf("the log has %q, want the fault", f.log)
		}
	}()
	code, reply := f.do("GET", "/v1/lake/readings?device=pump-7", viewer, "")
	t.Errorf("export without a staging table = %d %s, want a cut connection", code, reply)
}
