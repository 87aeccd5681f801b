package detect

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// dialect writes the same table as one of the files that people have.
type dialect struct {
	name    string
	quote   bool
	crlf    bool
	bom     bool
	missing string
}

var dialects = []dialect{
	{name: "comma", missing: ""},
	{name: "missing as NA", missing: "NA"},
	{name: "CRLF and a byte order mark", crlf: true, bom: true, missing: "null"},
	{name: "quoted", quote: true, missing: "NaN"},
}

// table writes rows of an empty head line, a time, a number, and a name.
func (d dialect) table(rows int, value func(i int) float64) string {
	var b strings.Builder
	end := "\n"
	if d.crlf {
		end = "\r\n"
	}
	if d.bom {
		b.WriteString("\ufeff")
	}
	cell := func(s string) string {
		if d.quote {
			return `"` + s + `"`
		}
		return s
	}
	b.WriteString(strings.Join([]string{cell("time"), cell("Level"), cell("pump")}, ",") + end)
	for i := range rows {
		v := fmt.Sprintf("%.4f", value(i))
		if i%50 == 25 {
			v = d.missing
		} else {
			v = cell(v)
		}
		b.WriteString(strings.Join([]string{cell(fmt.Sprintf("2024-01-01T%02d:%02d:00Z", i/60, i%60)), v, cell([]string{"a", "b"}[i%2])}, ",") + end)
	}
	return b.String()
}

// TestDialects finds the same drift, the same moved inputs and the same unusual row in every
// dialect of the same table.
func TestDialects(t *testing.T) {
	stepped := func(i int) float64 { return float64(i*7919%101)/101 + map[bool]float64{true: 3}[i >= 600] }
	spiked := func(i int) float64 { return float64(i*7919%101)/101 + map[bool]float64{true: 50}[i == 700] }
	var drifts, moved, alarms []int
	for k, d := range dialects {
		drift, err := Drift(t.Context(), strings.NewReader(d.table(1000, stepped)), DriftOptions{Name: d.name, Column: "level", Detector: "page-hinkley"})
		if err != nil {
			t.Errorf("%s: Drift = %v", d.name, err)
			continue
		}
		if drift.Rows != 1000 || drift.Missing != 20 || len(drift.Drifts) == 0 || drift.Alarms[0].Time == "" {
			t.Errorf("%s: Drift = %+v, want 1000 rows with 20 missing and a drift", d.name, drift)
		}
		inputs, err := Inputs(t.Context(), strings.NewReader(d.table(1000, stepped)), InputsOptions{DriftOptions: DriftOptions{Name: d.name}, ReferenceRows: 400})
		if err != nil {
			t.Errorf("%s: Inputs = %v", d.name, err)
			continue
		}
		if !slices.Equal(inputs.Columns, []string{"Level"}) || !slices.Equal(inputs.Skipped, []string{"time", "pump"}) {
			t.Errorf("%s: Inputs watches %q and skips %q, want Level, and time and pump", d.name, inputs.Columns, inputs.Skipped)
		}
		anomalies, err := Anomalies(t.Context(), strings.NewReader(d.table(1000, spiked)), AnomalyOptions{Name: d.name, Detector: "auto"})
		if err != nil {
			t.Errorf("%s: Anomalies = %v", d.name, err)
			continue
		}
		rep := &anomalies.Report
		if rep.Time != "time" || !slices.Equal(rep.Columns, []string{"Level"}) || !slices.Contains(rep.Alarms, 700) {
			t.Errorf("%s: Anomalies scores %q by %q with alarms %v, want Level by time and one at 700", d.name, rep.Columns, rep.Time, rep.Alarms)
		}
		if i := anomalies.Find(700); anomalies.Stamp(i) != "2024-01-01T11:40:00Z" {
			t.Errorf("%s: row 700 stands at %s", d.name, anomalies.Stamp(i))
		}
		if k == 0 {
			drifts, moved, alarms = drift.Drifts, inputs.Drifts, rep.Alarms
		} else if !slices.Equal(drift.Drifts, drifts) || !slices.Equal(inputs.Drifts, moved) || !slices.Equal(rep.Alarms, alarms) {
			t.Errorf("%s: drifts %v, inputs %v, alarms %v, want those of the first: %v, %v, %v", d.name, drift.Drifts, inputs.Drifts, rep.Alarms, drifts, moved, alarms)
		}
	}
}

// TestWhere keeps rows by a category or a number of any column, and says why it cannot.
func TestWhere(t *testing.T) {
	var b strings.Builder
	b.WriteString("time,v,pump,speed\n")
	for i := range 600 {
		fmt.Fprintf(&b, "2024-01-01T%02d:%02d:00Z,%v,%s,%d\n", i/60, i%60, i%5, []string{"a", "b"}[i%2], i%3)
	}
	for where, rows := range map[string]int{"pump=a": 300, "speed=2": 200, "speed=2.0": 200} {
		a, err := Anomalies(t.Context(), strings.NewReader(b.String()), AnomalyOptions{Name: "f", Detector: "auto", Where: where, Columns: []string{"v"}})
		if err != nil || a.Report.Rows != rows {
			t.Errorf("--where %s scores %+v, %v, want %d rows", where, a, err, rows)
		}
	}
	for where, want := range map[string]string{
		"pump=c":                    `column "pump" never is "c": it is a, b`,
		"speed=fast":                `column "speed" holds numbers, and "fast" is none`,
		"time=2024-01-01T00:00:00Z": `column "time" holds times`,
		"speed=9":                   "no rows to score",
		"valve=1":                   `there is no column "valve"`,
	} {
		_, err := Anomalies(t.Context(), strings.NewReader(b.String()), AnomalyOptions{Name: "f", Detector: "auto", Where: where})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--where %s = %v, want %q", where, err, want)
		}
	}
}

// TestAnomalyOptionsAreRefused names the option that is wrong and what there is.
func TestAnomalyOptionsAreRefused(t *testing.T) {
	text := dialects[0].table(300, func(i int) float64 { return float64(i % 7) })
	for want, o := range map[string]AnomalyOptions{
		`time: there is no column "when"`:              {Time: "when"},
		`--labels: there is no column "bad"`:           {Labels: "bad"},
		`--labels: column "time" holds times`:          {Labels: "time"},
		`--columns: column "Level" holds the labels`:   {Labels: "Level", Columns: []string{"Level"}},
		`--columns: column "time" holds a time`:        {Columns: []string{"time"}},
		`--series Level and --columns`:                 {Series: "Level", Columns: []string{"Level"}},
		`--train 301: there are 300 rows`:              {Train: "301"},
		`--train "0": must be a number of rows from 1`: {Train: "0"},
		`--train and --set train= say the same`:        {Train: "100", Detector: "isolation-forest", Settings: map[string]string{"train": "100"}},
		`--train all: seasonal learns as it goes`:      {Train: "all", Detector: "seasonal"},
		`oracle`: {Detector: "oracle"},
	} {
		if o.Name = "table"; o.Detector == "" {
			o.Detector = "auto"
		}
		if _, err := Anomalies(t.Context(), strings.NewReader(text), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Anomalies(%+v) = %v, want %q", o, err, want)
		}
	}
	for text, want := range map[string]string{
		"":             "read table",
		"a,b\n":        "no rows to score",
		"pump\nx\ny\n": "no column of numbers to watch",
	} {
		_, err := Anomalies(t.Context(), strings.NewReader(text), AnomalyOptions{Name: "table", Detector: "auto"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Anomalies of %q = %v, want %q", text, err, want)
		}
	}
}

// TestJudge compares alarms with labels that can be counted by hand: text and numbers, missing
// ones, and rows of the training, which count for nothing.
func TestJudge(t *testing.T) {
	for _, tt := range []struct{ yes, no, missing string }{{"1", "0", ""}, {"anomaly", "normal", "NA"}, {"True", "False", ""}} {
		var b strings.Builder
		b.WriteString("time,v,bad\n")
		for i := range 600 {
			v, label := float64(i%5), tt.no
			switch {
			case i == 500:
				v, label = 90, tt.yes
			case i == 550: // labelled, and nothing to see
				label = tt.yes
			case i < 50: // within the training
				label = tt.yes
			case i%100 == 7:
				label = tt.missing
			}
			fmt.Fprintf(&b, "2024-01-01T%02d:%02d:00Z,%v,%s\n", i/60, i%60, v, label)
		}
		a, err := Anomalies(t.Context(), strings.NewReader(b.String()), AnomalyOptions{Name: "f", Detector: "seasonal", Train: "100", Labels: "bad"})
		if err != nil {
			t.Errorf("labels %q and %q: %v", tt.yes, tt.no, err)
			continue
		}
		rep := &a.Report
		if rep.Train != 100 || rep.Missed == nil || *rep.Missed != 0.5 || rep.False == nil || !(*rep.False < 0.05) || rep.F1 == nil || rep.AUROC == nil || !(*rep.AUROC > 0.4) {
			t.Errorf("labels %q and %q: %+v, want one of two found", tt.yes, tt.no, rep)
		}
	}
}
