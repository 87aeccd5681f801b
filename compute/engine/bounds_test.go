package engine

import (
	"math"
	"testing"
	"time"
)

// TestRowsOfOneMessage: however fine a cadence is, however long a value holds and however many
// readings far apart come in one message, it makes a row for each reading and a bounded number of
// others; the rows after it are right.
func TestRowsOfOneMessage(t *testing.T) {
	nan := math.NaN()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	for name, tt := range map[string]struct {
		every, maxAge, apart int64 // microseconds
		readings             int
	}{
		"three hours of milliseconds":         {1e3, 3 * 3600e6, 3 * 3600e6, 2},
		"a value that holds for a year":       {1e6, 366 * 86400e6, 366 * 86400e6, 2},
		"a thousand hours in seconds":         {1e6, 3 * 3600e6, 3600e6, 1000},
		"a thousand hours in seconds, backed": {1e6, 1, 3600e6, 1000},
	} {
		e := mustNew(t, Config{Task: "fine", Kind: Forecast, Series: []Series{{Name: "y", Min: nan, Max: nan}}, Horizon: 60e6, Tolerance: 1e6, On: -1, Every: tt.every, MaxAge: tt.maxAge, Level: 0.9, Learners: []string{}})
		var m []Reading
		for i := range int64(tt.readings) {
			m = append(m, Reading{0, now + i*tt.apart, float64(i)})
		}
		rows := e.Ingest(now, m).Rows
		if n := len(rows); n > tt.readings+maxHeld || n < tt.readings {
			t.Errorf("%s: %d rows of %d readings", name, n, tt.readings)
		}
		for i, r := range rows {
			if i > 0 && r.Time <= rows[i-1].Time || r.Time%tt.every != 0 {
				t.Fatalf("%s: row %d is at %d", name, i, r.Time)
			}
		}
		end := now + int64(tt.readings-1)*tt.apart
		o := e.Ingest(now, []Reading{{0, end + tt.every, 1}})
		if len(o.Rows) != 1 || o.Rows[0].Time != end+tt.every || o.Rows[0].Values[0] != 1 {
			t.Errorf("%s: the next row is %v", name, o.Rows)
		}
	}
}

// TestReadingsThatWait: neither a series that rows fire on and that is silent, nor a lateness of
// years, makes an engine keep everything; the row that comes at last has the newest values.
func TestReadingsThatWait(t *testing.T) {
	nan := math.NaN()
	two := []Series{{Name: "y", Min: nan, Max: nan}, {Name: "x", Min: nan, Max: nan}}
	silent := mustNew(t, Config{Task: "silent", Kind: Forecast, Series: two, Horizon: 60e6, Tolerance: 1e6, On: 0, MaxAge: 30e6, Level: 0.9})
	late := mustNew(t, Config{Task: "late", Kind: Forecast, Series: two, Horizon: 60e6, Tolerance: 1e6, On: 0, MaxAge: 30e6, Lateness: 36500 * 86400e6, Level: 0.9})
	empty := len(silent.Save(nil))
	at, rows := int64(1e15), 0
	for i := range 3 * MaxWaiting {
		at += 1e5
		silent.Ingest(at, []Reading{{1, at, float64(i)}})
		rows += len(late.Ingest(at, []Reading{{0, at, 1}, {1, at, float64(i)}}).Rows)
	}
	if n := len(silent.Save(nil)) - empty; n > 2*HistoryRows*16 {
		t.Errorf("a silent series makes the engine keep %d bytes", n)
	}
	o := silent.Ingest(at, []Reading{{0, at, 5}})
	if len(o.Rows) != 1 || o.Rows[0].Values[0] != 5 || o.Rows[0].Values[1] != 3*MaxWaiting-1 {
		t.Errorf("the row after the silence: %v", o.Rows)
	}
	if rows != 2*MaxWaiting+1 { // the newest row that fired keeps its reading
		t.Errorf("%d rows with a lateness of a hundred years, want those beyond %d waiting readings", rows, MaxWaiting)
	}
	late.Ingest(at, []Reading{{0, at - MaxWaiting*1e5 - 5e5 - 1, 1}})
	if o := late.Status().Overtaken; o.InARow != 1 || o.Room != (MaxWaiting-1)*1e5 {
		t.Errorf("a reading behind those that wait: %+v, want the time for which readings wait", o)
	}
}
