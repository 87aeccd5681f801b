package source

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/compute/tabular"
)

func TestIngest(t *testing.T) {
	s := &sink{auto: true}
	in := NewIngest(airPlan(t), s, IngestOptions{MaxPayload: 1000, Wait: 50 * time.Millisecond})
	mux := http.NewServeMux()
	mux.Handle("POST /v1/ingest/{topic...}", in)
	srv := httptest.NewServer(mux)
	defer srv.Close()
	tests := []struct {
		topic, body string
		status      int
		answer      string // part of it
	}{
		{"air/s1/reading", `{"pm25":3,"ts":"2026-05-01T12:00:00Z"}`, 204, ""},
		{"air/s1/reading", `{"pm25":4,"env":{"temp":"3;4"},"ts":"2026-05-01T13:00:00Z"}`, 200, `{"taken":1,"refused":1,"problems":["decode payload of topic \"air/s1/reading\": $.env.temp: \"3;4\"`},
		{"home/door/state", `1`, 204, ""},
		{"air/s1/reading", `{"pm25":`, 400, "error"},
		{"air/s1/reading", `{"pm25":"3;4"}`, 400, "error"},
		{"air/s1/reading", `{}`, 400, "error"},
		{"air/s1/other", `{}`, 404, "no task reads"},
		{"air/s1/reading", `"` + strings.Repeat("x", 1000) + `"`, 413, "error"},
	}
	for _, tt := range tests {
		res, err := http.Post(srv.URL+"/v1/ingest/"+tt.topic, "application/json", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tt.status || !strings.Contains(string(b), tt.answer) {
			t.Errorf("POST %s %.30s = %d %s, %v, want %d %s", tt.topic, tt.body, res.StatusCode, b, err, tt.status, tt.answer)
		}
	}
	if msgs := s.wait(t, 3); len(msgs) != 3 || msgs[2].Readings[0].Time != msgs[2].Arrival {
		t.Errorf("the sink received %+v, want three messages, the last with its arrival time", msgs)
	}
	s.mu.Lock()
	s.auto = false
	s.mu.Unlock()
	res, err := http.Post(srv.URL+"/v1/ingest/home/door/state", "", strings.NewReader("1"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 503 {
		t.Errorf("readings that do not become durable answer %d, want 503", res.StatusCode)
	}
}

func TestFile(t *testing.T) {
	const text = "year,month,day,hour,PM2.5,TEMP,wd,station\n2013,3,1,0,4,-0.7,N,x\n2013,3,1,1,,NA,,x\n2013,3,1,2,8,,S,x\n"
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	zw.Write([]byte(text))
	zw.Close()
	path := filepath.Join(t.TempDir(), "air.csv.gz")
	if err := os.WriteFile(path, z.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	p, s := airPlan(t), &sink{}
	n, err := File(t.Context(), path, p, FileOptions{}, s)
	if err != nil || n != 2 {
		t.Fatalf("File = %d, %v, want 2 messages", n, err)
	}
	if got, want := show(p, s.msgs[0].Readings), "pm25=4@1362096000000000 temp=-0.7@1362096000000000 wd=0@1362096000000000"; got != want {
		t.Errorf("first line = %q, want %q", got, want)
	}
	if got, want := show(p, s.msgs[1].Readings), "pm25=8@1362103200000000 wd=2@1362103200000000"; got != want {
		t.Errorf("third line = %q, want %q", got, want)
	}

	for text, want := range map[string]string{
		"ts,pm25\n2013-03-01T00:00:00Z,x\n":          "column \"pm25\": 1 of 1 cells is no number and counts as missing: the first is line 2, \"x\"",
		"ts,pm25\nyesterday,1\n":                     "column \"ts\": 1 of 1 cells is no time and counts as missing: the first is line 2, \"yesterday\"",
		"ts,dust\n2013-03-01T00:00:00Z,1\n":          "none of the columns",
		"when,pm25\n2013-03-01T00:00:00Z,1\n":        "no column of the event time among when, pm25",
		"ts,wd\n2013-03-01T00:00:00Z,NNW\n":          "category that the model does not know and counts as missing: line 2, \"NNW\"",
		"ts,pm25\n2013-03-01T00:00:00Z,1e999\n":      "is infinite",
		"ts,pm25,PM2.5\n2013-03-01T00:00:00Z,1,2\n":  "",
		"ts,PM-25,PM2.5\n2013-03-01T00:00:00Z,1,2\n": "column \"PM-25\" or column \"PM2.5\"",
		"ts,pm25\n2013-03-01T00:00:00Z,1\n1,2,3\n":   "wrong number of fields",
	} {
		if _, err := ReadTable(t.Context(), "f", strings.NewReader(text), p, FileOptions{}, s); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("ReadTable(%q) = %v, want %q", text, err, want)
		}
	}
	s.msgs = nil
	const recorded = "ts,pm25,at\n2013-03-01T00:00:00Z,1,2013-03-01T00:00:07Z\n"
	_, err = ReadTable(t.Context(), "f", strings.NewReader(recorded), p, FileOptions{Arrival: "at"}, s)
	if err != nil || s.msgs[0].Arrival != 1362096007e6 || !s.msgs[0].ClockOK || s.msgs[0].Readings[0].Time != 1362096000e6 {
		t.Errorf("line with an arrival = %+v, %v", s.msgs, err)
	}
	bad := strings.Replace(recorded, "2013-03-01T00:00:07Z", "soon", 1)
	if _, err := ReadTable(t.Context(), "f", strings.NewReader(bad), p, FileOptions{Arrival: "at"}, s); err == nil || !strings.Contains(err.Error(), `column "at": 1 of 1 cells is no time`) {
		t.Errorf("ReadTable(arrival soon) = %v", err)
	}
	// a flaw costs its own value, and is counted
	s.msgs = nil
	var notes []string
	n, err = ReadTable(t.Context(), "f", strings.NewReader("ts;pm25;wd\n2013-03-01 00:00;1,5;NNW\n2013-03-01 01:00;off;N\nsoon;2,5;N\n2013-03-01 03:00;-;\n"), p,
		FileOptions{Table: tabular.Options{Note: func(s string) { notes = append(notes, s) }}}, s)
	if err != nil || n != 2 || show(p, s.msgs[0].Readings) != "pm25=1.5@1362096000000000" || len(notes) != 10 || !strings.Contains(strings.Join(notes, "\n"), `column "pm25": 1 of 2 cells is no number and counts as missing: the first is line 3, "off"`) {
		t.Errorf("a table with flaws = %d messages, %v, notes %q", n, err, notes)
	}
	s.msgs = nil
	_, err = ReadTable(t.Context(), "f", strings.NewReader("when,dust\n1777629600,5\n"), p,
		FileOptions{Time: "when", Format: "unix", Columns: map[string]string{"dust": "pm25"}}, s)
	if err != nil || show(p, s.msgs[0].Readings) != "pm25=5@1777629600000000" {
		t.Errorf("mapped column = %v, %v", s.msgs, err)
	}
}

// TestTableAsMessages: a table is read as the messages of a device are: words, categories in
// another case, local times; what a device would not have told apart from a table without it is
// said.
func TestTableAsMessages(t *testing.T) {
	p := planOf(t, "  - {series: y, topic: a, path: $.y}\n  - {series: fan, topic: a, path: $.fan}\n  - {series: c, topic: a, path: $.c, categories: [Red, Blue]}\n  - {series: gone, topic: a, path: $.g}\n",
		"time: {path: $.t, zone: Europe/Berlin}\n")
	read := func(text string, o FileOptions) (string, []string) {
		t.Helper()
		var notes []string
		o.Table.Note = func(s string) { notes = append(notes, s) }
		s := &sink{}
		if _, err := ReadTable(t.Context(), "f", strings.NewReader(text), p, o, s); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, m := range s.msgs {
			out = append(out, show(p, m.Readings))
		}
		return strings.Join(out, "; "), notes
	}
	const noon = "@1782900000000000" // 2026-07-01 12:00 in Berlin
	for text, want := range map[string]string{
		"ts,y,fan,c\n2026-07-01 12:00,5,ON,RED\n":            "y=5" + noon + " fan=1" + noon + " c=0" + noon,
		"ts,y,fan,c\n2026-07-01T12:00:00+02:00,5,off,blue\n": "y=5" + noon + " fan=0" + noon + " c=1" + noon,
		"ts,y,fan,c\n2026-07-01 10:00:00Z,5,,\n":             "y=5" + noon,
		"ts,y,fan,c\n1782900000,5,,\n":                       "y=5" + noon,
		"ts,y,fan,c\n20260701120000,5,,\n":                   "y=5" + noon,
		"year,month,day,hour,y,fan,c\n2026,7,1,12,5,,\n":     "y=5" + noon,
		"ts,y,fan,c\n2026-12-01 12:00,5,,\n2026-10-25,6,,\n": "y=5@1796122800000000; y=6@1792879200000000",
	} {
		if got, notes := read(text, FileOptions{}); got != want || !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "clocks of Europe/Berlin show") }) {
			t.Errorf("%q is read as %s, notes %q, want %s", text, got, notes, want)
		}
	}
	if got, _ := read("ts,y\n01.07.2026 12:00,5\n", FileOptions{Format: "%d.%m.%Y %H:%M"}); got != "y=5"+noon {
		t.Errorf("a layout is read as %s", got)
	}
	if got, _ := read("ts,y\n01.07.2026 12:00 +0200,5\n", FileOptions{Format: "%d.%m.%Y %H:%M %z"}); got != "y=5"+noon {
		t.Errorf("a layout with a zone is read as %s", got)
	}
	_, notes := read("ts,y,fan,c\n2026-07-03 12:00,5,ON,RED\n2026-07-02 12:00,5,ON,RED\n2026-07-01 12:00,5,ON,Red\n", FileOptions{})
	for _, want := range []string{
		`series "gone" has no column: it is missing in every row; --column-series COLUMN=gone names one`,
		"2 of 3 rows are older than the row before",
		`column "fan": 3 cells are no number and read as a device reads such a value: the first is line 2, "ON", read as 1`,
		`column "c": 2 of 3 cells are written in another case than the category is: the first is line 2, "RED", read as "Red"`,
	} {
		if !slices.ContainsFunc(notes, func(n string) bool { return strings.HasPrefix(n, want) }) {
			t.Errorf("notes %q, want %q", notes, want)
		}
	}
}
