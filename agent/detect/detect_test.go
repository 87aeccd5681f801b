package detect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// stepped is a column that rises by 3 at row at, with a hole every 50 rows, in two streams.
func stepped(rows, at int) string {
	var b strings.Builder
	b.WriteString("time,x,y,stream\n")
	for i := range rows {
		v := float64(i%7) / 7
		if i >= at {
			v += 3
		}
		cell := fmt.Sprint(v)
		if i%50 == 25 {
			cell = "NA"
		}
		fmt.Fprintf(&b, "2024-01-01 %02d:%02d:00,%s,%v,a\n2024-01-01 00:00:00,7,7,b\n", i/60, i%60, cell, v/2)
	}
	return b.String()
}

// TestDrift finds the step of one stream, and says where it stands in the file.
func TestDrift(t *testing.T) {
	var told int
	rep, err := Drift(t.Context(), strings.NewReader(stepped(1000, 600)), DriftOptions{
		Name:     "steps",
		Column:   "X",
		Where:    "stream=a",
		Detector: "adwin",
		Progress: func(values, _ int) { told = values },
	})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Rows != 1000 || rep.Missing != 20 || rep.Values != 980 || told != 980 || len(rep.Drifts) != 1 || len(rep.Alarms) != 1 {
		t.Fatalf("report %+v, progress up to %d", rep, told)
	}
	a := rep.Alarms[0]
	if a.Row < 600 || a.Row > 700 || a.Line != 2+2*a.Row || a.Time != fmt.Sprintf("2024-01-01 %02d:%02d:00", a.Row/60, a.Row%60) || a.Value < 3 {
		t.Errorf("alarm %+v, want one soon after row 600", a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Drift(ctx, strings.NewReader(stepped(10, 5)), DriftOptions{Column: "x", Detector: "adwin"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was cancelled = %v", err)
	}
	for want, o := range map[string]DriftOptions{
		"no column \"z\"":                {Column: "z", Detector: "adwin"},
		"no column \"when\"":             {Column: "x", Time: "when", Detector: "adwin"},
		"must hold a number in each row": {Column: "stream", Detector: "adwin"},
		"--where \"stream\": must be":    {Column: "x", Where: "stream", Detector: "adwin"},
		"no detector":                    {Column: "x", Detector: "none"},
		"column \"x\" holds no number":   {Column: "x", Where: "stream=c", Detector: "adwin"},
		"adwin has no setting \"size\"":  {Column: "x", Detector: "adwin", Settings: map[string]string{"size": "1"}},
	} {
		if _, err := Drift(t.Context(), strings.NewReader(stepped(100, 50)), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Drift(%+v) = %v, want %q", o, err, want)
		}
	}
}

// TestInputs names the columns that moved, against the first rows and against a table of its own.
func TestInputs(t *testing.T) {
	for _, own := range []bool{true, false} {
		o := InputsOptions{DriftOptions: DriftOptions{Name: "steps", Where: "stream=a"}, ReferenceName: "400", ReferenceRows: 400}
		if own {
			o.Reference, o.ReferenceName = strings.NewReader(stepped(400, 400)), "reference"
		}
		rep, err := Inputs(t.Context(), strings.NewReader(stepped(1000, 600)), o)
		if err != nil {
			t.Fatal(err)
		}
		if rep.ReferenceRows != 400 || len(rep.Columns) != 2 || len(rep.Skipped) != 2 || len(rep.Drifts) == 0 || rep.Drifts[0] < 600 || rep.Drifts[0] > 800 {
			t.Errorf("own table %v: %d reference rows, columns %q, skipped %q, drifts %v", own, rep.ReferenceRows, rep.Columns, rep.Skipped, rep.Drifts)
		}
	}
	o := InputsOptions{DriftOptions: DriftOptions{Name: "steps"}, ReferenceRows: 3}
	if _, err := Inputs(t.Context(), strings.NewReader(stepped(100, 50)), o); err == nil || !strings.Contains(err.Error(), "--reference 3: must be from") {
		t.Errorf("a short reference = %v", err)
	}
	o.Columns = []string{"stream"}
	if _, err := Inputs(t.Context(), strings.NewReader(stepped(100, 50)), o); err == nil || !strings.Contains(err.Error(), "must hold a number in each row") {
		t.Errorf("a named column of text = %v", err)
	}
}

// TestAnomalies scores streams apart and judges by labels.
func TestAnomalies(t *testing.T) {
	var b strings.Builder
	b.WriteString("who,v,bad\n")
	for i := range 800 {
		v, bad := float64(i%5), "no"
		if i == 700 {
			v, bad = 90, "YES"
		}
		fmt.Fprintf(&b, "p,%v,%s\nq,%v,no\n", v, bad, 1000+v/10)
	}
	a, err := Anomalies(t.Context(), strings.NewReader(b.String()), AnomalyOptions{
		Name:     "pumps",
		Series:   "who",
		Columns:  []string{"v"},
		Labels:   "bad",
		Detector: "seasonal",
		Train:    "100",
	})
	if err != nil {
		t.Fatal(err)
	}
	rep := &a.Report
	if rep.Rows != 1600 || rep.Streams != 2 || rep.Train != 100 || rep.AUROC == nil || *rep.AUROC < 0.99 || rep.Missed == nil || *rep.Missed != 0 {
		t.Fatalf("report %+v", rep)
	}
	i := a.Find(1400)
	if a.Row(i) != 1400 || !a.Alarmed[i] || a.Scores[i] < rep.Threshold || a.Value(0, 1400) != 90 || a.Stamp(i) != "" {
		t.Errorf("row %d scores %v, alarmed %v, value %v", a.Row(i), a.Scores[i], a.Alarmed[i], a.Value(0, 1400))
	}
	for want, o := range map[string]AnomalyOptions{
		"--train \"many\"":              {Detector: "auto", Train: "many"},
		"--where \"p\": must be":        {Detector: "auto", Where: "p"},
		"never is \"r\"":                {Detector: "auto", Where: "who=r"},
		"holds a category, not numbers": {Detector: "auto", Columns: []string{"who"}},
		"twice":                         {Detector: "auto", Columns: []string{"v", "V"}},
		"there is no column \"w\"":      {Detector: "auto", Columns: []string{"w"}},
	} {
		if _, err := Anomalies(t.Context(), strings.NewReader(b.String()), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Anomalies(%+v) = %v, want %q", o, err, want)
		}
	}
}
