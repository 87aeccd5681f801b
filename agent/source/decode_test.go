package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"skerry.dev/sync/spec"
)

func task(t testing.TB, name, text string) *spec.Task {
	t.Helper()
	tk, err := spec.ParseTask(name+".yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

const airTask = `
task: air
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: air/+/reading, path: $.pm25, unit: ug, range: [0, 1500]}
  - {series: temp, topic: air/+/reading, path: $.env.temp}
  - {series: wd, topic: air/+/reading, path: $.wd, categories: [N, E, S, W]}
  - {series: fan, topic: air/+/reading, path: "$['fan on']"}
  - {series: door, topic: home/door/state}
  - {series: mode, topic: home/mode/state, categories: [away, home]}
time: {path: $.ts}
`

const burstTask = `
task: burst
target: {series: vib, horizon: 1s}
inputs:
  - {series: vib, topic: m/1, path: "$.d[*].v"}
  - {series: cur, topic: m/1, path: "$.d[*].c"}
  - {series: first, topic: m/2, path: "$.x[1]"}
time: {path: "$.d[*].ts", format: unix_ms, max_past: 36500d}
`

func airPlan(t testing.TB) *Plan {
	t.Helper()
	p, err := Compile([]*spec.Task{task(t, "air", airTask)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// show writes readings as name=value@time.
func show(p *Plan, rs []Reading) string {
	var parts []string
	for _, r := range rs {
		s := fmt.Sprintf("%s=%v", p.Series()[r.Series].Name, r.Value)
		if r.HasTime {
			s += "@" + strconv.FormatInt(r.Time, 10)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

func TestDecode(t *testing.T) {
	const ts = `"ts":"2026-05-01T12:00:00.5+02:00"`
	const us = "@1777629600500000"
	tests := []struct{ name, topic, payload, want, problem string }{
		{"all", "air/s1/reading", `{` + ts + `,"pm25":35.5,"env":{"temp":-3,"hum":[1,{"a":[]}]},"wd":"S","fan on":true}`,
			"pm25=35.5" + us + " temp=-3" + us + " wd=2" + us + " fan=1" + us, ""},
		{"missing and null", "air/s1/reading", `{` + ts + `,"pm25":null}`, "", ""},
		{"no time is arrival", "air/s1/reading", `{"pm25":1}`, "pm25=1", ""},
		{"null time is arrival", "air/s1/reading", `{"ts":null,"pm25":1}`, "pm25=1", ""},
		{"time after the value", "air/s1/reading", `{"pm25":1,` + ts + `}`, "pm25=1" + us, ""},
		{"escaped key and value", "air/s1/reading", `{"pm\u00325":7,"wd":"\u0045"}`, "pm25=7 wd=1", ""},
		{"number in quotes", "air/s1/reading", `{"pm25":"12","env":{"temp":3}}`, "pm25=12 temp=3", ""},
		{"object for a number", "air/s1/reading", `{"pm25":{},"env":{"temp":3}}`, "temp=3", "not an object"},
		{"unknown category", "air/s1/reading", `{"wd":"NE"}`, "", "N, E, S, W"},
		{"float64 range", "air/s1/reading", `{"pm25":1e999}`, "", "64-bit float"},
		{"bad time costs its readings", "air/s1/reading", `{"ts":"yesterday","pm25":1}`, "", "RFC 3339"},
		{"epoch without a format", "air/s1/reading", `{"ts":1777629600,"pm25":1}`, "pm25=1@1777629600000000", ""},
		{"bare number", "home/door/state", " 21.5\n", "door=21.5", ""},
		{"bare true", "home/door/state", "true", "door=1", ""},
		{"bare category", "home/mode/state", "home", "mode=1", ""},
		{"bare quoted category", "home/mode/state", `"away"`, "mode=0", ""},
		{"bare empty", "home/door/state", "", "", ""},
		{"bare word", "home/door/state", "open", "door=1", ""},
		{"bare other word", "home/door/state", "ajar", "", "categories"},
		{"bare object", "home/door/state", `{"v":1}`, "", "$.value"},
		{"bare nan", "home/door/state", `nan`, "", "finite"},
		{"bare hexadecimal", "home/door/state", `0x10`, "", "must be a number"},
	}
	p := airPlan(t)
	d := NewDecoder(p, 1000)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, err := d.Decode(tt.topic, []byte(tt.payload))
			if err != nil {
				t.Fatalf("Decode(%s) = %v", tt.payload, err)
			}
			if got := show(p, out.Readings); got != tt.want {
				t.Errorf("Decode(%s) = %q, want %q", tt.payload, got, tt.want)
			}
			if got := fmt.Sprint(out.Problems); !strings.Contains(got, tt.problem) || (tt.problem == "") != (len(out.Problems) == 0) {
				t.Errorf("Decode(%s) problems = %v, want %q", tt.payload, got, tt.problem)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	d := NewDecoder(airPlan(t), 1000)
	tests := []struct {
		payload string
		kind    ErrorKind
	}{
		{`{`, ErrSyntax}, {`[1,2`, ErrSyntax}, {`{"a":tru}`, ErrSyntax}, {`}`, ErrSyntax}, {`{} {}`, ErrSyntax}, {`pm25=1`, ErrSyntax},
		{`{"pm25":1`, ErrSyntax},        // or 12, or 1.5
		{`{"pm25":1,"x":"`, ErrSyntax},  // its time may have been in what is lost
		{`{"other":NaN}`, ErrNotFinite}, // the only thing worth a word
		{"{\"a\":\"\xff\"}", ErrUTF8},   // the same
		{`{"a":"\ud800"}`, ErrSyntax},   // the same
		{"{\"a\":\"\x01\"}", ErrSyntax}, // the same
		{strings.Repeat("[", 65) + strings.Repeat("]", 65), ErrDepth},
		{`"` + strings.Repeat("a", 1000) + `"`, ErrSize},
	}
	for _, tt := range tests {
		out, err := d.Decode("air/s1/reading", []byte(tt.payload))
		de, ok := errors.AsType[*DecodeError](err)
		if !ok || de.Kind != tt.kind || len(out.Readings) > 0 {
			t.Errorf("Decode(%.40s) = %v, want kind %s", tt.payload, err, tt.kind)
			continue
		}
		if len(de.Value) > 70 || de.Topic != "air/s1/reading" || de.Allowed == "" {
			t.Errorf("Decode(%.40s) = %#v: wants a topic, a short value and what is allowed", tt.payload, de)
		}
	}
	if out, err := d.Decode("other/topic", []byte("{")); err != nil || out.Known {
		t.Errorf("Decode of an unknown topic = %+v, %v, want unknown", out, err)
	}
}

func TestDecodeArray(t *testing.T) {
	p, err := Compile([]*spec.Task{task(t, "burst", strings.Replace(burstTask, `  - {series: first, topic: m/2, path: "$.x[1]"}`+"\n", "", 1))})
	if err != nil {
		t.Fatal(err)
	}
	out, err := NewDecoder(p, 1000).Decode("m/1", []byte(`{"d":[{"ts":3,"v":30},{"ts":1,"v":10,"c":1},{"v":5},{"ts":2,"c":2}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := show(p, out.Readings), "vib=10@1000 cur=1@1000 cur=2@2000 vib=30@3000 vib=5"; got != want {
		t.Errorf("array of readings = %q, want %q", got, want)
	}
}

func TestCompile(t *testing.T) {
	other := `
task: other
target: {series: pm25, horizon: 1h}
inputs:
  - {series: pm25, topic: air/+/reading, path: $.pm2_5, unit: ug, range: [0, 1500]}
time: {path: $.ts}
`
	_, err := Compile([]*spec.Task{task(t, "air", airTask), task(t, "other", other)})
	if err == nil || !strings.Contains(err.Error(), "air.yaml") || !strings.Contains(err.Error(), "other.yaml") || !strings.Contains(err.Error(), "path") {
		t.Errorf("Compile with two paths of one series = %v, want both files named", err)
	}
	if _, err := Compile([]*spec.Task{task(t, "burst", burstTask)}); err == nil || !strings.Contains(err.Error(), "time.path") {
		t.Errorf("Compile with a value outside the array of its time = %v", err)
	}
	p, err := Compile([]*spec.Task{task(t, "air", airTask), task(t, "b", `
task: b
kind: classification
target: {series: fault, topic: "air/#", path: $.fault, categories: [ok, broken]}
inputs: [{series: temp, topic: air/+/reading, path: $.env.temp}]
time: {path: $.ts}
rows: {every: 10s}
`)})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Filters()); got != "[home/door/state home/mode/state air/#]" {
		t.Errorf("Filters() = %v, want those that no other covers", got)
	}
	if i, ok := p.Index("fault"); !ok || p.Series()[i].Categories[1] != "broken" {
		t.Error("the target of a classification task is a series of the device")
	}
}

func TestMatch(t *testing.T) {
	tests := []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true}, {"a/+", "a/b", true}, {"a/+", "a", false}, {"a/+", "a/b/c", false}, {"a/#", "a", true}, {"a/#", "a/b/c", true},
		{"#", "a/b", true}, {"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"+/+", "/x", true}, {"+", "/x", false}, {"a/b", "a/c", false},
	}
	for _, tt := range tests {
		if got := Match(tt.filter, tt.topic); got != tt.want {
			t.Errorf("Match(%q, %q) = %v, want %v", tt.filter, tt.topic, got, tt.want)
		}
	}
}

func TestParseNumber(t *testing.T) {
	for _, s := range []string{"0", "-0", "1", "-1.5", "0.1", "123456789012345678", "1e22", "1e23", "1e-22", "9007199254740993", "1.7976931348623157e308",
		"5e-324", "0.000000000000000000000000001", "3.14159265358979323846", "1777629600.123456", "0.30000000000000004", "123456789.123456789e-5", "1E5", "1e+5"} {
		want, _ := strconv.ParseFloat(s, 64)
		if got, ok := parseNumber([]byte(s)); !ok || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("parseNumber(%s) = %v, want %v", s, got, want)
		}
	}
}

// FuzzDecode holds the scanner against encoding/json: whatever is damaged around them, values are
// finite and of a known series, and of a document that is right every value is what encoding/json
// reads.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"ts":"2026-05-01T12:00:00Z","pm25":1.5,"env":{"temp":[1,2]},"wd":"N"}`, `[]`, `"\ud83d\ude00"`, `{"a":{"a":1},"b":[{"a":2}]}`, `1e400`,
		`{"d":[{"ts":3,"v":30},{"ts":1,"v":10,"c":1}]}`, "true", `{"a":1,"a":2}`, `{"pm25":12,5,"wd":'N'}`, `{pm25:nan "env":{"temp":"+03,5 °C"},}`, "\xff\xfe{\x00}\x00",
		`"{\"pm25\":5}"`, `{"pm25":[[[{"a":}]],"env":{"temp":3}}`} {
		f.Add([]byte(s))
	}
	p := airPlan(f)
	d := NewDecoder(p, 1<<20)
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := d.Decode("air/s1/reading", b)
		if err != nil && len(out.Readings) > 0 {
			t.Fatalf("%d readings beside %v of %q", len(out.Readings), err, b)
		}
		temp := math.NaN()
		for _, r := range out.Readings {
			if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || r.Series >= len(p.Series()) {
				t.Fatalf("reading %+v from %q", r, b)
			}
			if p.Series()[r.Series].Name == "temp" {
				temp = r.Value
			}
		}
		var doc struct {
			TS  any `json:"ts"`
			Env struct {
				Temp *float64 `json:"temp"`
			} `json:"env"`
		}
		if !utf8.Valid(b) || strings.Count(string(b), "temp") != 1 || strings.Count(string(b), "env") != 1 || strings.ContainsAny(string(b), "\\EVTMP") || json.Unmarshal(b, &doc) != nil || doc.Env.Temp == nil || doc.TS != nil || strings.Count(string(b), "[") > 60 || strings.Count(string(b), "{") > 60 {
			return // what case and escapes make of keys is encoding/json's own
		}
		if temp != *doc.Env.Temp {
			t.Fatalf("temp %v from %q, want %v (%v, %v)", temp, b, *doc.Env.Temp, err, out.Problems)
		}
	})
}

// go test ./agent/source -run '^$' -bench Decode -count 6
func BenchmarkDecode(b *testing.B) {
	d := NewDecoder(airPlan(b), 1<<20)
	payload := []byte(`{"ts":"2026-05-01T12:00:00Z","dev":"press-07","site":"plant-3","seq":123456,"pm25":35.5,"env":{"temp":-3.25,"hum":40.1},"wd":"S","fan on":true,"volt":398.1}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		if out, err := d.Decode("air/s1/reading", payload); err != nil || len(out.Readings) != 4 {
			b.Fatal(out, err)
		}
	}
}
