package spec

import (
	"strings"
	"testing"

	"skerry.dev/compute/engine"
)

// TestToleranceEndsAtTheRow: of a sensor that sends less often than its horizon the newest reading
// is the one that made the row, and no truth of it, however wide the tolerance is.
func TestToleranceEndsAtTheRow(t *testing.T) {
	const minute = int64(60e6)
	for tolerance, want := range map[string]bool{"5m": false, "10m": true, "1h": true} {
		task, err := ParseTask("t.yaml", strings.NewReader("task: t\ntarget: {series: a, horizon: 10m, tolerance: "+tolerance+"}\ninputs: [{series: a, topic: x/y, path: $.a}]\n"))
		if err != nil {
			t.Fatal(err)
		}
		if task.ReachesBack() != want {
			t.Errorf("tolerance %s: reaches back %v, want %v", tolerance, task.ReachesBack(), want)
		}
		e, err := engine.New(task.Engine())
		if err != nil {
			t.Fatal(err)
		}
		for i := range int64(40) { // every 25 minutes, but for the last, 4 minutes later
			at := 1_700_000_000_000_000 + 25*minute*i
			if i == 39 {
				at -= 21 * minute
			}
			for _, l := range e.Ingest(engine.NoArrival, []engine.Reading{{Series: 0, Time: at, Value: float64(i)}}).Labels {
				t.Errorf("tolerance %s: row %d is labelled with %v before a reading of its time has come", tolerance, (l.Row-1_700_000_000_000_000)/minute, l.Truth)
			}
		}
		labels := e.Ingest(engine.NoArrival, []engine.Reading{{Series: 0, Time: 1_700_000_000_000_000 + 40*25*minute, Value: 40}}).Labels
		if len(labels) != 1 && want || len(labels) > 0 && labels[0].Truth != 39 {
			t.Errorf("tolerance %s: labels %+v, want the row 4 minutes before the reading 39 labelled with it", tolerance, labels)
		}
	}
}
