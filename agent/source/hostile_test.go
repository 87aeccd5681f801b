package source

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"skerry.dev/configs"
	"skerry.dev/sync/spec"
)

// timedPlan reads n of a topic, with its event time in a format.
func timedPlan(t *testing.T, format string) *Plan {
	t.Helper()
	p, err := Compile([]*spec.Task{task(t, "timed", `
task: timed
target: {series: n, horizon: 1s}
inputs: [{series: n, topic: a/b, path: $.n}]
time: {path: $.t, format: `+format+`, max_past: 36500d}
`)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEveryTimeForm reads times of each format at the ends of what is allowed, and refuses what
// lies outside or has another form by what would be right.
func TestEveryTimeForm(t *testing.T) {
	const (
		years  = "1970 to 9999"
		form   = "RFC 3339"
		noTime = "so it must be a number, not "
	)
	for _, tt := range []struct{ format, time, want, problem string }{
		{"rfc3339", `"1970-01-01T00:00:00Z"`, "0", ""},
		{"rfc3339", `"9999-12-31T23:59:59.999999Z"`, "253402300799999999", ""},
		{"rfc3339", `"2026-05-01T12:00:00.123456789Z"`, "1777636800123456", ""},
		{"rfc3339", `"2026-05-01T12:00:00-12:00"`, "1777680000000000", ""},
		{"rfc3339", `"2024-02-29T00:00:00Z"`, "1709164800000000", ""},
		{"rfc3339", `"1970-01-01T00:00:00+00:01"`, "", years},
		{"rfc3339", `"1969-12-31T23:59:59Z"`, "", years},
		{"rfc3339", `"9999-12-31T23:59:59-00:01"`, "", years},
		{"rfc3339", `"0000-01-01T00:00:00Z"`, "", years},
		{"rfc3339", `"2025-02-29T00:00:00Z"`, "", form},
		{"rfc3339", `"2026-05-31T24:00:00Z"`, "1780272000000000", ""}, // the end of the day
		{"rfc3339", `"2026-05-01T24:00:01Z"`, "", form},
		{"rfc3339", `"2026-05-01T25:00:00Z"`, "", form},
		{"rfc3339", `"2016-12-31T23:59:60Z"`, "1483228800000000", ""}, // a leap second
		{"rfc3339", `"2026-05-01T12:00:60Z"`, "", form},
		{"rfc3339", `"2026-05-01T12:00:00"`, "", "says no zone"},
		{"rfc3339", `"2026-05-01 12:00:00Z"`, "1777636800000000", ""},
		{"rfc3339", `"2026-05-01t12:00:00z"`, "1777636800000000", ""},
		{"rfc3339", `"2026-05-01 12:00:00,25 +0000"`, "1777636800250000", ""},
		{"rfc3339", `1777636800`, "", "as unix it would be 2026-05-01T12:00:00Z"},
		{"rfc3339", `"1777636800000"`, "", "as unix_ms it would be"},
		{"rfc3339", `"2026-05-01T12:00:00+2500"`, "", form},
		{"rfc3339", `"2026-05-01"`, "", form},
		{"rfc3339", `""`, "", form},
		{"rfc3339", `true`, "", "not a boolean"},
		{"rfc3339", `{}`, "", "not an object"},
		{"rfc3339", `[]`, "", "not an array"},
		{"unix", `0`, "0", ""},
		{"unix", `-0`, "0", ""},
		{"unix", `1777636800`, "1777636800000000", ""},
		{"unix", `1777636800.5`, "1777636800500000", ""},
		{"unix", `1.7776368e9`, "1777636800000000", ""},
		{"unix", `253402300799`, "253402300799000000", ""},
		{"unix", `253402300800`, "", years},
		{"unix", `1777636800000`, "", "check time.format"}, // milliseconds
		{"unix", `-1`, "", years},
		{"unix", `1e999`, "", years},
		{"unix", `"1777636800"`, "1777636800000000", ""},
		{"unix", `"1777636800.25"`, "1777636800250000", ""},
		{"unix", `"2026-05-01T12:00:00Z"`, "", noTime + "a string"},
		{"unix_ms", `1777636800500`, "1777636800500000", ""},
		{"unix_ms", `1777636800500.25`, "1777636800500250", ""},
		{"unix_ms", `1777636800500000`, "", "check time.format"}, // microseconds
		{"unix_ms", `true`, "", "not a boolean"},
		{"unix_us", `1777636800500001`, "1777636800500001", ""},
		{"unix_us", `253402300799999999`, "253402300799999999", ""},
		{"unix_us", `253402300800000000`, "", years},
		{"unix_ns", `1777636800123456789`, "1777636800123456", ""},
		{"unix_ns", `"1777636800123456789"`, "1777636800123456", ""},
		{"unix_ns", `1.7776368e18`, "1777636800000000", ""},
		{"unix_us", `-1`, "", years},
		{"unix_us", `"2026-05-01T12:00:00Z"`, "", noTime + "a string"},
		{"unix_us", `[1]`, "", "not an array"},
		{"auto", `1777636800`, "1777636800000000", ""},
		{"auto", `"1777636800500"`, "1777636800500000", ""},
		{"auto", `1777636800500001`, "1777636800500001", ""},
		{"auto", `1777636800500001999`, "1777636800500001", ""},
		{"auto", `1.7776368005E12`, "1777636800500000", ""},
		{"auto", `"2026-05-01T14:00+02"`, "1777636800000000", ""},
		{"auto", `"Fri, 01 May 2026 12:00:00 GMT"`, "1777636800000000", ""},
		{"auto", `"Fri, 01 May 2026 12:00:00 CST"`, "", "many places"},
		{"auto", `20260501120000`, "", "says no zone"},
		{"auto", `"01.05.2026 12:00:00"`, "", "says no zone"},
		{"auto", `"yesterday"`, "", form},
		{"auto", `-5`, "", "is no time"},
		{"\"02/01/2006 15:04:05 -0700\"", `"01/05/2026 14:00:00 +0200"`, "1777636800000000", ""},
		{"\"02/01/2006 15:04:05\"", `"01/05/2026 14:00:00"`, "", "says no zone"},
		{"\"02/01/2006 15:04:05\"", `"2026-05-01"`, "", "29/11/2026 14:05:00"},
	} {
		p := timedPlan(t, tt.format)
		for _, order := range []string{`{"t":%s,"n":1}`, `{"n":1,"t":%s}`} {
			payload := fmt.Sprintf(order, tt.time)
			out, err := NewDecoder(p, 1000).Decode("a/b", []byte(payload))
			if err != nil {
				t.Fatalf("%s: Decode(%s) = %v", tt.format, payload, err)
			}
			want := "n=1@" + tt.want
			if tt.problem != "" {
				want = "" // never the arrival time: the sender did give one
			}
			if got := show(p, out.Readings); got != want {
				t.Errorf("%s: Decode(%s) = %q, want %q", tt.format, payload, got, want)
			}
			switch {
			case tt.problem == "" && len(out.Problems) > 0:
				t.Errorf("%s: Decode(%s): %v, want no problem", tt.format, payload, out.Problems)
			case tt.problem == "":
			case len(out.Problems) != 1 || out.Problems[0].Kind != ErrTime || out.Problems[0].Path != "$.t" || !strings.Contains(out.Problems[0].Error(), tt.problem):
				t.Errorf("%s: Decode(%s): %v, want one problem of $.t with %q", tt.format, payload, out.Problems, tt.problem)
			}
		}
	}
}

// TestEveryPath reads one value by paths of each kind, out of documents in which it is there,
// elsewhere, or of another shape.
func TestEveryPath(t *testing.T) {
	for _, tt := range []struct{ path, payload, want string }{
		{"$", `5`, "n=5"},
		{"$", `{"n":5}`, ""},
		{"$.n", `{"n":5}`, "n=5"},
		{"$.n", `{"N":5,"nn":6,"":7}`, ""},
		{"$.n", `{"a":{"n":5},"n":6}`, "n=6"},
		{"$.n", `[5]`, ""},
		{"$.n", `"n"`, ""},
		{"$.a.b.c", `{"a":{"b":{"c":5,"d":6}}}`, "n=5"},
		{"$.a.b.c", `{"a":{"b":5}}`, ""},
		{"$.a.b.c", `{"a":null}`, ""},
		{"$['odd name']", `{"odd name":5}`, "n=5"},
		{"$['a.b']", `{"a":{"b":4},"a.b":5}`, "n=5"},
		{"$['ü']", `{"\u00fc":5}`, "n=5"},
		{"$['ü']", `{"ü":5}`, "n=5"},
		{"$[0]", `[5,6]`, "n=5"},
		{"$[2]", `[5,6]`, ""},
		{"$[0]", `{"0":5}`, ""},
		{"$.a[1].b", `{"a":[{"b":4},{"b":5},{"b":6}]}`, "n=5"},
		{"$.a[1][0]", `{"a":[[1],[5]]}`, "n=5"},
		{"$[*]", `[5,null,6]`, "n=5 n=6"},
		{"$[*].v", `[{"v":5},{},{"v":null},{"v":6},7]`, "n=5 n=6"},
		{"$.a[*]", `{"a":[]}`, ""},
		{"$.a[*].v", `{"a":{"v":5}}`, ""},
		{"$.n", `{"n":false}`, "n=0"},
		{"$.n", `{"n":-0.0e-0}`, "n=-0"},
		{"$.n", `{"n":1E+2}`, "n=100"},
		{"$.n", `{"n":1.7976931348623157e308}`, "n=1.7976931348623157e+308"},
		{"$.n", `{"n":4.9e-324}`, "n=5e-324"},
		{"$.n", `{"n":0.1000000000000000055511151231257827}`, "n=0.1"},
	} {
		text := `
task: path
target: {series: n, horizon: 1s}
inputs: [{series: n, topic: a/b, path: "` + tt.path + `"}]
`
		if head, _, starred := strings.Cut(tt.path, "[*]"); starred {
			text += `time: {path: "` + head + `[*].t"}` + "\n" // none of the payloads has one
		}
		p, err := Compile([]*spec.Task{task(t, "path", text)})
		if err != nil {
			t.Errorf("path %s: %v", tt.path, err)
			continue
		}
		out, err := NewDecoder(p, 1000).Decode("a/b", []byte(tt.payload))
		if err != nil {
			t.Errorf("path %s: Decode(%s) = %v", tt.path, tt.payload, err)
			continue
		}
		if got := show(p, out.Readings); got != tt.want || len(out.Problems) > 0 && tt.path != "$" {
			t.Errorf("path %s: Decode(%s) = %q, %v, want %q", tt.path, tt.payload, got, out.Problems, tt.want)
		}
		if missing := out.Missing > 0; missing != (tt.want == "" && len(out.Problems) == 0) {
			t.Errorf("path %s: Decode(%s): %d missing beside %q", tt.path, tt.payload, out.Missing, tt.want)
		}
	}
}

// TestStars: a path has one array, and the time of its values stands in the same one.
func TestStars(t *testing.T) {
	for _, tt := range []struct{ path, time, want string }{
		{"$.d[*].v", "$.d[*].ts", ""},
		{"$.d[*].v", "", `time.path must stand in it, for example "$.d[*].ts", not ""`},
		{"$.d[*].v[*]", "$.d[*].ts", "at most one [*]"},
		{"$.d[*].v", "$.d[*].ts[*]", "at most one [*]"},
		{"$.d[*].v", "$.e[*].ts", `time.path must stand in it, for example "$.d[*].ts", not "$.e[*].ts"`},
		{"$.d[*].v", "$.ts", `time.path must stand in it, for example "$.d[*].ts", not "$.ts"`},
		{"$.v", "$.d[*].ts", `time.path "$.d[*].ts" reads an array, path "$.v" does not`},
	} {
		text := `
task: stars
target: {series: n, horizon: 1s}
inputs: [{series: n, topic: a/b, path: "` + tt.path + `"}]
`
		if tt.time != "" {
			text += `time: {path: "` + tt.time + `"}` + "\n"
		}
		tk, err := spec.ParseTask("stars.yaml", strings.NewReader(text))
		if err == nil {
			_, err = Compile([]*spec.Task{tk})
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Compile(path %s, time %s) = %v, want %q", tt.path, tt.time, err, tt.want)
		}
	}
}

// TestOneSeriesOfTwoTasks names what two task files declare differently of one series, both values
// and both files.
func TestOneSeriesOfTwoTasks(t *testing.T) {
	const one = `
task: one
target: {series: n, horizon: 1s}
inputs: [{series: n, topic: a/+, path: $.n, unit: kW, range: [0, 10]}]
time: {path: $.t}
`
	for name, tt := range map[string]struct{ old, new, want string }{
		"the same":         {"task: one", "task: two", ""},
		"the topic":        {"a/+", "a/#", `topic "a/+" and two.yaml declares "a/#"`},
		"the path":         {"$.n", "$.m", `path "$.n" and two.yaml declares "$.m"`},
		"the range":        {"[0, 10]", "[0, 11]", `range "[0, 10]" and two.yaml declares "[0, 11]"`},
		"no range":         {", range: [0, 10]", "", `range "[0, 10]" and two.yaml declares "none"`},
		"the categories":   {"range: [0, 10]", "categories: [x, y]", `range "[0, 10]" and two.yaml declares "none"`},
		"the time":         {"$.t", "$.ts", `time.path "$.t" and two.yaml declares "$.ts"`},
		"the time's form":  {"path: $.t", "path: $.t, format: unix", `time.format "auto" and two.yaml declares "unix"`},
		"the unit":         {"kW", "W", `unit "kW" and two.yaml declares "W"`},
		"no unit is right": {"unit: kW, ", "", ""},
	} {
		two := strings.Replace(strings.Replace(one, "task: one", "task: two", 1), tt.old, tt.new, 1)
		p, err := Compile([]*spec.Task{task(t, "one", one), task(t, "two", two)})
		switch {
		case tt.want != "":
			if err == nil || !strings.Contains(err.Error(), `series "n": one.yaml declares `+tt.want) {
				t.Errorf("%s: Compile = %v, want %q", name, err, tt.want)
			}
		case err != nil:
			t.Errorf("%s: Compile = %v", name, err)
		case len(p.Series()) != 1 || len(p.Series()[0].Tasks) != 2 || p.Series()[0].Unit != "kW":
			t.Errorf("%s: Compile = %+v, want one series in kW of both tasks", name, p.Series())
		}
	}
}

// TestWildcards: a payload is decoded once for each series whose filter matches its topic, and
// filters that another one covers are not subscribed to.
func TestWildcards(t *testing.T) {
	p, err := Compile([]*spec.Task{task(t, "wild", `
task: wild
target: {series: all, horizon: 1s}
inputs:
  - {series: all, topic: "plant/#", path: $.v}
  - {series: line, topic: plant/+/temp, path: $.v}
  - {series: one, topic: plant/a/temp, path: $.v}
  - {series: deep, topic: "+/+/+/temp", path: $.v}
  - {series: top, topic: "+", path: $.v}
`)})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Filters()); got != "[plant/# +/+/+/temp +]" {
		t.Errorf("Filters() = %s, want those that no other covers", got)
	}
	d := NewDecoder(p, 1000)
	for topic, want := range map[string]string{
		"plant":            "all=1 top=1",
		"plant/a/temp":     "all=1 line=1 one=1",
		"plant/b/temp":     "all=1 line=1",
		"plant/a/temp/x":   "all=1",
		"plant//temp":      "all=1 line=1",
		"plant/a/b/temp":   "all=1 deep=1",
		"other/a/b/temp":   "deep=1",
		"/a/b/temp":        "deep=1",
		"other":            "top=1",
		"other/a":          "",
		"PLANT/a/temp":     "",
		"$SYS/a/b/temp":    "",
		"plant2/a/temp":    "",
		"":                 "top=1",
		"plant/\x00/temp":  "all=1 line=1",
		"plant/+/temp":     "all=1 line=1", // a topic, not a filter
		"plant/ü/temp":     "all=1 line=1",
		"other/plant/temp": "",
	} {
		out, err := d.Decode(topic, []byte(`{"v":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := show(p, out.Readings); got != want || out.Known != (want != "") {
			t.Errorf("Decode(%q) = %q (known %v), want %q", topic, got, out.Known, want)
		}
	}
}

// TestManyTopics: a sender that makes up topics without end costs no memory without end, and those
// that are read stay right.
func TestManyTopics(t *testing.T) {
	p := countPlan(t)
	d := NewDecoder(p, 1000)
	for i := range 3*maxTopics + 1 {
		topic := fmt.Sprintf("test/%d", i)
		if i%3 == 0 {
			topic = fmt.Sprintf("unknown/%d", i)
		}
		out, err := d.Decode(topic, []byte(`{"n":1}`))
		if err != nil || out.Known != (i%3 != 0) || len(d.topics) > maxTopics {
			t.Fatalf("Decode(%s) = %+v, %v with %d topics kept, want %d at most", topic, out, err, len(d.topics), maxTopics)
		}
	}
}

// TestManyProblems: a payload of nothing but faults is reported in part and read on to its end.
func TestManyProblems(t *testing.T) {
	p, err := Compile([]*spec.Task{task(t, "burst", `
task: burst
target: {series: v, horizon: 1s}
inputs: [{series: v, topic: m/1, path: "$.d[*].v"}]
time: {path: "$.d[*].t", format: unix, max_past: 36500d}
`)})
	if err != nil {
		t.Fatal(err)
	}
	payload := `{"d":[` + strings.Repeat(`{"v":"x","t":1},`, 1000) + `{"v":7,"t":2}]}`
	out, err := NewDecoder(p, 1<<20).Decode("m/1", []byte(payload))
	if err != nil || len(out.Problems) != maxProblems || show(p, out.Readings) != "v=7@2000000" {
		t.Errorf("Decode = %d problems, %q, %v, want %d and the reading behind them", len(out.Problems), show(p, out.Readings), err, maxProblems)
	}
}

// TestIngestAndBrokerRefuseTheSame sends the same hostile payloads by HTTP and by MQTT: both count
// the same kinds, neither hands anything to the sink, and HTTP returns a text that says where and
// what would be right.
func TestIngestAndBrokerRefuseTheSame(t *testing.T) {
	hostile := []struct{ topic, payload, want string }{
		{"air/x/reading", "", "no reading"},
		{"air/x/reading", "\xff\xfe\x00", "must be a JSON value"},
		{"air/x/reading", `{"pm25":1,`, "ends early"},
		{"air/x/reading", strings.Repeat(`{"a":`, 100) + strings.Repeat("}", 100), "nested at most 64 deep"},
		{"air/x/reading", `{"pm25":1,"pm25":2}`, "pm25"},
		{"air/x/reading", `{"pm25":-Infinity}`, "or null when there is no value"},
		{"air/x/reading", `{"pm25":"1,234"}`, "two ways"},
		{"air/x/reading", `{"pm25":1e400}`, "64-bit float"},
		{"air/x/reading", `{"wd":"NE"}`, "one of the categories N, E, S, W"},
		{"air/x/reading", `{"pm25":3,"ts":"12:00"}`, "RFC 3339"},
		{"home/door/state", "\xc3\x28", "must be a number"},
		{"home/door/state", `"21.5.1"`, "must be a number"},
		{"home/door/state", "NaN", "finite"},
		{"home/mode/state", "gone", "away, home"},
	}
	overHTTP, sunk := prometheus.NewRegistry(), &sink{auto: true}
	in := NewIngest(airPlan(t), sunk, IngestOptions{Metrics: overHTTP, Wait: time.Minute})
	for _, h := range hostile {
		r := httptest.NewRequest(http.MethodPost, "/v1/ingest/"+h.topic, strings.NewReader(h.payload))
		r.SetPathValue("topic", h.topic)
		w := httptest.NewRecorder()
		in.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), h.want) {
			t.Errorf("POST %s %.40q = %d %s, want 400 with %q", h.topic, h.payload, w.Code, w.Body, h.want)
		}
	}
	if n := len(sunk.msgs); n != 0 {
		t.Errorf("the sink received %d messages of hostile payloads over HTTP", n)
	}

	addr := natsBroker(t)
	overMQTT, s := prometheus.NewRegistry(), &sink{auto: true}
	start(t, addr, airPlan(t), s, Options{Metrics: overMQTT, AgentMQTT: configs.AgentMQTT{}})
	p := peer(t, addr)
	for _, h := range hostile {
		publish(t, p, h.topic, h.payload)
	}
	publish(t, p, "air/x/reading", `{"pm25":7}`)
	if got := s.wait(t, 1); got[0].Readings[0].Value != 7 {
		t.Errorf("the sink received %+v over MQTT, want the good payload only", got)
	}
	const name = "skerry_source_errors_total"
	kinds, err := testutil.GatherAndCount(overHTTP, name)
	if err != nil || kinds != 8 {
		t.Errorf("%d kinds of errors counted, %v, want 8", kinds, err)
	}
	families, err := overHTTP.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("# HELP " + name + " Payloads and single readings refused, by kind.\n# TYPE " + name + " counter\n")
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			fmt.Fprintf(&want, "%s{kind=%q} %v\n", name, m.GetLabel()[0].GetValue(), m.GetCounter().GetValue())
		}
	}
	// A broker keeps the order within a topic only: payloads on others may come after the good one.
	compare := func() error {
		return testutil.GatherAndCompare(overMQTT, strings.NewReader(want.String()), name)
	}
	for range 500 {
		if err = compare(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("over MQTT other kinds are counted than over HTTP: %v", err)
}
