package source

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"skerry.dev/compute/tabular"
	"skerry.dev/sync/spec"
)

// planOf compiles one task with the given inputs and what follows them.
func planOf(t testing.TB, inputs, rest string) *Plan {
	t.Helper()
	p, err := Compile([]*spec.Task{task(t, "field", "task: field\nkind: anomaly\ninputs:\n"+inputs+"rows: {every: 1m}\n"+rest)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestOneFlawCostsOneValue sends documents as firmware writes them: whatever is wrong with one
// value, the ones beside it are read.
func TestOneFlawCostsOneValue(t *testing.T) {
	p := planOf(t, "  - {series: a, topic: x, path: $.a}\n  - {series: b, topic: x, path: $.b}\n  - {series: c, topic: x, path: $.in.c}\n", "")
	d := NewDecoder(p, 4096)
	for _, tt := range []struct{ payload, want, forgiven, problem string }{
		{`{"a":1,"b":2,"in":{"c":3}}`, "a=1 b=2 c=3", "", ""},
		{`{"a":nan,"b":2}`, "b=2", "not_finite", "finite"},
		{`{"a":1,"z":-Infinity,"b":2}`, "a=1 b=2", "not_finite", ""},
		{`{"a":1.#QNAN,"b":2}`, "b=2", "not_finite", "finite"},
		{"{\"a\":1,\"b\":2}\x00", "a=1 b=2", "trailing_nul", ""},
		{"{\"a\":1,\"b\":2}\x00\x00\n", "a=1 b=2", "", ""},
		{"\xef\xbb\xbf{\"a\":1}", "a=1", "encoding", ""},
		{"\xff\xfe{\x00\"\x00a\x00\"\x00:\x007\x00}\x00", "a=7", "encoding", ""},
		{"{\"name\":\"B\xfcro\",\"a\":1}", "a=1", "encoding", ""},
		{"{\"name\":\"a\tb\",\"a\":1}", "a=1", "escape", ""},
		{`{"name":"C:\dir\x41","a":1}`, "a=1", "escape", ""},
		{`{"name":"\ud83d","a":1}`, "a=1", "escape", ""},
		{`{"a":1,"b":2,}`, "a=1 b=2", "syntax", ""},
		{`{"a":1 "b":2}`, "a=1 b=2", "syntax", ""},
		{`{"a":1,,"b":2}`, "a=1 b=2", "syntax", ""},
		{`{'a': 1, 'b': True, 'z': None}`, "a=1 b=1", "syntax", ""},
		{`{a: 1, b: 2}`, "a=1 b=2", "syntax", ""},
		{`{"a":,"b":2}`, "b=2", "syntax", ""},
		{`{"a":007,"b":+2.5,"in":{"c":.5}}`, "a=7 b=2.5 c=0.5", "number_form", ""},
		{`{"a":12,5,"b":2}`, "a=12.5 b=2", "decimal_comma", ""},
		{`{"a":21.5 °C,"b":2}`, "a=21.5 b=2", "unit", ""},
		{`{"a":0x10,"b":2}`, "b=2", "syntax", "must be a number"},
		{`{"a":1,"a":1,"b":2}`, "a=1 b=2", "duplicate_key", ""},
		{`{"a":1,"a":5,"b":2}`, "b=2", "", "another value"},
		{`{"z":1,"z":2,"b":2}`, "b=2", "", ""},
		{`{"in":{"c":1},"in":{"c":2},"b":2}`, "b=2", "", "another value"},
		{`{"z":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `,"b":2}`, "b=2", "depth", ""},
		{`{"z":{"y":[1,{]},"b":2}`, "b=2", "syntax", ""},
		{`{"a":{"x":1},"b":[2],"in":{"c":3}}`, "c=3", "", "not an object"},
		{`{"a":1,"in":"{\"c\":3}"}`, "a=1 c=3", "json_in_string", ""},
		{`"{\"a\":1,\"b\":2}"`, "a=1 b=2", "json_in_string", ""},
		{`{"a":1}5}`, "a=1", "trailing_text", ""},
		{`{"a":1}{"a":2}`, "a=1", "", "something follows"},
		{`{"a":1,"b":2,"name":"lost`, "a=1 b=2", "", "no end"},
		{`{"a":1,"b":2`, "a=1", "", "ends early"},
		{`{"a":1e999,"b":2}`, "b=2", "", "64-bit"},
		{`{"a":null,"b":"unavailable","in":{"c":"--"}}`, "", "", ""},
		{``, "", "", ""},
		{"\x00", "", "", ""},
	} {
		out, err := d.Decode("x", []byte(tt.payload))
		if err != nil {
			t.Errorf("Decode(%.60q) = %v", tt.payload, err)
			continue
		}
		if got := show(p, out.Readings); got != tt.want {
			t.Errorf("Decode(%.60q) = %q, want %q", tt.payload, got, tt.want)
		}
		if got := fmt.Sprint(out.Problems); (len(out.Problems) > 0) != (tt.problem != "") || !strings.Contains(got, tt.problem) {
			t.Errorf("Decode(%.60q) problems = %v, want %q", tt.payload, got, tt.problem)
		}
		var all Forgiven
		for _, r := range out.Readings {
			all |= r.Forgiven
		}
		if names := all.Names(); tt.forgiven != "" && !slices.Contains(names, tt.forgiven) || tt.forgiven == "" && tt.problem == "" && strings.HasPrefix(tt.payload, `{"a":1,"b":2,"in"`) && all != 0 {
			t.Errorf("Decode(%.60q) forgave %v, want %q", tt.payload, names, tt.forgiven)
		}
	}
}

// TestTimeInWhatIsLost: of a document without an end no reading gets the time of its arrival when
// its own may stand in the part that is lost.
func TestTimeInWhatIsLost(t *testing.T) {
	p := planOf(t, "  - {series: a, topic: x, path: $.a}\n", "time: {path: $.t}\n")
	d := NewDecoder(p, 4096)
	if out, err := d.Decode("x", []byte(`{"a":1,"z":[1,2`)); err == nil || len(out.Readings) > 0 {
		t.Errorf("a reading without its time = %+v, %v, want it refused", out.Readings, err)
	}
	out, err := d.Decode("x", []byte(`{"t":1777636800,"a":1,"z":[1,2`))
	if err != nil || show(p, out.Readings) != "a=1@1777636800000000" || len(out.Problems) != 1 {
		t.Errorf("a reading with its time = %q, %v, %v, want it and one problem", show(p, out.Readings), out.Problems, err)
	}
}

// TestNumbersOfTheField reads numbers as meters, switches and bridges write them, bare, in quotes
// and as a member.
func TestNumbersOfTheField(t *testing.T) {
	for _, tt := range []struct{ settings, text, want, forgiven string }{
		{"", "21.5", "21.5", ""},
		{"", " 21.5\r\n", "21.5", ""},
		{"", "+21.5", "21.5", "number_form"},
		{"", "0021.50", "21.5", "number_form"},
		{"", "-.5", "-0.5", "number_form"},
		{"", "5.", "5", "number_form"},
		{"", "\u22123.25", "-3.25", "number_form"},
		{"", "21.5 °C", "21.5", "unit"},
		{"", "-7°", "-7", "unit"},
		{"", "55%", "55", "unit"},
		{"", "1.2e3 W/m²", "1200", "unit"},
		{"", "230V", "230", "unit"},
		{"", "3.5 m3/h", "3.5", "unit"},
		{"", "12,5", "12.5", "decimal_comma"},
		{"", "0,125", "0.125", "decimal_comma"},
		{"", "1.234,5 kWh", "1234.5", "digit_groups"},
		{"", "1,234.5", "1234.5", "digit_groups"},
		{"", "1,234,567", "1.234567e+06", "digit_groups"},
		{"", "1'234.5", "1234.5", "digit_groups"},
		{"", "1,234", "", "two ways"},
		{`number: {decimal: ","}`, "1,234", "1.234", ""},
		{`number: {decimal: ","}`, "1.234", "1234", "digit_groups"},
		{`number: {decimal: ","}`, "1 234,5", "1234.5", "digit_groups"},
		{`number: {decimal: ","}`, "21.5", "", "which number.decimal names"},
		{`number: {decimal: "."}`, "1,234", "1234", "digit_groups"},
		{`number: {strip: "ca."}`, "ca. 7", "7", ""},
		{`number: {decimal: ",", strip: "°C"}`, "21,5°C", "21.5", ""},
		{"unit: kW", "1.5 kW", "1.5", "unit"},
		{"unit: kW", "1500 W", "", "comes in W"},
		{"", "0xFF", "", "no hexadecimal"},
		{"", "192.168.100.200", "", "is an address"},
		{"", "1.234.567.890", "1.23456789e+09", "digit_groups"},
		{"words: {idle: 0, washing: 1}", "spin", "", "one of the input's words: idle, washing"},
		{"", "ON", "1", "word"},
		{"", "off", "0", "word"},
		{"", "True", "1", "word"},
		{"", "open", "1", "word"},
		{"", "Closed", "0", "word"},
		{"words: {open: 0, closed: 1}", "open", "0", ""},
		{"words: {idle: 0, Washing: 1, done: 2}", "WASHING", "1", ""},
		{"words: {\"true\": 7}", "true", "7", ""},
		{"", "washing", "", "words"},
		{"", "unavailable", "", ""},
		{"", "N/A", "", ""},
		{"", "nan", "", "finite"},
		{"", "-1.#IND", "", "finite"},
		{"", "1e999", "", "64-bit"},
		{"", "0x1F", "", "no hexadecimal"},
		{"", "0x2", "", "no hexadecimal"},
		{"", "12:30", "", "must be a number"},
		{"", "2026-11-29", "", "must be a number"},
		{"", "192.168.1.10", "", "is an address"},
		{"", "1.2.3", "", "must be a number"},
		{"", "5 of 7", "", "must be a number"},
		{"", "21 22", "", "must be a number"},
		{"", "1.5k", "", "thousand"},
		{"", "--5", "", "must be a number"},
		{"", "1,23,456", "", "must be a number"},
		{"", strings.Repeat("1", 100) + " V", "", "must be a number"},
	} {
		set := tt.settings
		if set != "" {
			set = ", " + set
		}
		p := planOf(t, "  - {series: n, topic: bare"+set+"}\n  - {series: m, topic: doc, path: $.v"+set+"}\n", "")
		d := NewDecoder(p, 4096)
		for _, form := range []struct{ topic, payload string }{{"bare", tt.text}, {"bare", `"` + tt.text + `"`}, {"doc", `{"v":"` + strings.ReplaceAll(strings.ReplaceAll(tt.text, "\r", ""), "\n", "") + `"}`}} {
			out, err := d.Decode(form.topic, []byte(form.payload))
			if err != nil {
				t.Errorf("%s: Decode(%q) = %v", tt.settings, form.payload, err)
				continue
			}
			_, got, _ := strings.Cut(show(p, out.Readings), "=")
			why := fmt.Sprint(out.Problems)
			if len(out.Readings) > 0 {
				why = fmt.Sprint(out.Readings[0].Forgiven.Names())
			}
			if want := tt.forgiven; got != tt.want || !strings.Contains(why, want) || (want == "" && tt.want == "" && out.Missing != 1) {
				t.Errorf("%s: Decode(%q) = %q, %s, want %q with %q", tt.settings, form.payload, got, why, tt.want, want)
			}
		}
	}
}

// TestUnitsThatChange: meters that go over to kW by themselves are not read a thousand times too
// low.
func TestUnitsThatChange(t *testing.T) {
	p := planOf(t, "  - {series: n, topic: x}\n", "")
	for i, tt := range []struct{ payload, want string }{{"950 W", "n=950"}, {"980", "n=980"}, {"1.2 kW", ""}, {"990 W", "n=990"}} {
		d := NewDecoder(p, 100) // several decoders serve one plan
		out, err := d.Decode("x", []byte(tt.payload))
		if err != nil || show(p, out.Readings) != tt.want || tt.want == "" && !strings.Contains(fmt.Sprint(out.Problems), "comes in kW, with W before") {
			t.Errorf("%d: Decode(%s) = %q, %v, %v, want %q", i, tt.payload, show(p, out.Readings), out.Problems, err, tt.want)
		}
	}
}

// TestCategoriesOfTheField: a category is itself, else the only one that differs in case or spaces,
// else the only one that is the same number.
func TestCategoriesOfTheField(t *testing.T) {
	p := planOf(t, "  - {series: n, topic: x}\n  - {series: w, topic: x, path: $.w, categories: [W, w, North, 5, 7, 7.0]}\n", "")
	d := NewDecoder(p, 4096)
	for payload, want := range map[string]string{
		`{"w":"w"}`: "w=1", `{"w":"W"}`: "w=0", `{"w":" north "}`: "w=2", `{"w":5}`: "w=3", `{"w":"5"}`: "w=3", `{"w":5.0}`: "w=3", `{"w":"05"}`: "w=3", `{"w":5.1}`: "", `{"w":7}`: "w=4", `{"w":"7.00"}`: "", `{"w":"NaN"}`: "", `{"w":"unknown"}`: "", `{"w":"south"}`: "",
	} {
		out, err := d.Decode("x", []byte(payload))
		if err != nil || show(p, out.Readings) != want {
			t.Errorf("Decode(%s) = %q, %v, want %q", payload, show(p, out.Readings), err, want)
		}
	}
}

// TestLocalTimes: a time without a zone is read by the one that is named, with the two odd hours
// of its year.
func TestLocalTimes(t *testing.T) {
	for _, tt := range []struct{ time, stamp, now, want, forgiven string }{
		{"zone: Europe/Berlin", "2026-07-01T12:00:00", "", "2026-07-01T10:00:00Z", ""},
		{"zone: Europe/Berlin", "2026-12-01 12:00:00.5", "", "2026-12-01T11:00:00.5Z", "time_form"},
		{"zone: Europe/Berlin", "01.12.2026 12:00:00", "", "2026-12-01T11:00:00Z", "time_form"},
		{"zone: Europe/Berlin", "20261201T120000", "", "2026-12-01T11:00:00Z", "time_form"},
		{"zone: Europe/Berlin", "Tue Dec  1 12:00:00 2026", "", "2026-12-01T11:00:00Z", "time_form"},
		{"zone: Europe/Berlin", "2026-12-01T12:00:00Z", "", "2026-12-01T12:00:00Z", ""}, // it says its zone
		{"zone: Asia/Kolkata", "2026-12-01T12:00:00", "", "2026-12-01T06:30:00Z", ""},
		{"zone: \"-03:30\"", "2026-12-01T12:00:00", "", "2026-12-01T15:30:00Z", ""},
		// 2026-10-25 03:00 becomes 02:00 in Berlin: 02:30 comes at 00:30Z and at 01:30Z
		{"zone: Europe/Berlin", "2026-10-25T02:30:00", "", "2026-10-25T00:30:00Z", "repeated_local_time"},
		{"zone: Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:02Z", "2026-10-25T00:30:00Z", "repeated_local_time"},
		{"zone: Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T01:30:02Z", "2026-10-25T01:30:00Z", "repeated_local_time"},
		{"zone: Europe/Berlin", "2026-10-25T02:30:00", "2026-10-26T08:00:00Z", "2026-10-25T00:30:00Z", "repeated_local_time"},
		{"zone: Europe/Berlin", "2026-10-25T01:59:59", "", "2026-10-24T23:59:59Z", ""},
		{"zone: Europe/Berlin", "2026-10-25T03:00:00", "", "2026-10-25T02:00:00Z", ""},
		// 2026-03-29 02:00 becomes 03:00: a clock that shows 02:30 was not put forward
		{"zone: Europe/Berlin", "2026-03-29T02:30:00", "", "2026-03-29T01:30:00Z", "skipped_local_time"},
		{"zone: America/New_York", "2026-11-01T01:15:00", "2026-11-01T06:15:00Z", "2026-11-01T06:15:00Z", "repeated_local_time"},
		{"format: \"1/2/2006 3:04:05 PM\", zone: America/New_York", "11/29/2026 2:05:06 PM", "", "2026-11-29T19:05:06Z", ""},
	} {
		p := planOf(t, "  - {series: n, topic: x, path: $.n}\n", "time: {path: $.t, "+tt.time+"}\n")
		d := NewDecoder(p, 4096)
		if tt.now != "" {
			now, err := time.Parse(time.RFC3339, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			d.Now = now.UnixMicro()
		}
		out, err := d.Decode("x", fmt.Appendf(nil, `{"t":%q,"n":1}`, tt.stamp))
		if err != nil || len(out.Readings) != 1 {
			t.Errorf("%s: %s = %v, %v", tt.time, tt.stamp, err, out.Problems)
			continue
		}
		r := out.Readings[0]
		if got := time.UnixMicro(r.Time).UTC().Format(time.RFC3339Nano); got != tt.want || strings.Join(r.Forgiven.Names(), " ") != tt.forgiven {
			t.Errorf("%s: %s at %q = %s, %v, want %s, %s", tt.time, tt.stamp, tt.now, got, r.Forgiven.Names(), tt.want, tt.forgiven)
		}
	}
}

// TestCalendarIsTheZone: without time.zone local times are those of the task's calendar.
func TestCalendarIsTheZone(t *testing.T) {
	p := planOf(t, "  - {series: n, topic: x, path: $.n}\n", "time: {path: $.t}\ncalendar: {utc_offset: \"+08:00\"}\n")
	out, err := NewDecoder(p, 4096).Decode("x", []byte(`{"t":"2026-05-01T20:00:00","n":1}`))
	if err != nil || show(p, out.Readings) != "n=1@1777636800000000" {
		t.Errorf("a local time = %q, %v, %v", show(p, out.Readings), out.Problems, err)
	}
}

// TestTimesThatCannotBe: a time that only a wrong unit or a clock that is not set can give is
// refused and named, never stored.
func TestTimesThatCannotBe(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).UnixMicro()
	for _, tt := range []struct{ settings, time, want string }{
		{"format: unix_ms", "1777636800", "as unix it would be 2026-05-01T12:00:00Z"},
		{"format: unix_us", "1777636800000", "as unix_ms it would be"},
		{"format: unix_ns", "1777636800000", "as unix_ms it would be"},
		{"format: unix", "1777636800000", "as unix_ms it would be"},
		{"format: unix_ms", "1777636800000000000", "as unix_ns it would be"},
		{"format: unix", "12", "clock that is not set"},
		{"format: auto", "12", "clock that is not set"},
		{"format: auto", `"1970-01-01T00:00:12Z"`, "clock that is not set"},
		{"format: auto", `"1980-01-06T00:00:01Z"`, "clock that is not set"},
		{"format: auto", `"2000-01-01T00:03:00Z"`, "clock that is not set"},
		{"max_past: 1h", `"2026-11-29T10:59:59Z"`, "more than time.max_past"},
		{"max_past: 1h", `"2026-11-29T11:00:01Z"`, ""},
		{"max_past: 36500d", `"1990-01-01T00:00:00Z"`, ""},
	} {
		p := planOf(t, "  - {series: n, topic: x, path: $.n}\n", "time: {path: $.t, "+tt.settings+"}\n")
		d := NewDecoder(p, 4096)
		d.Now = now
		out, err := d.Decode("x", fmt.Appendf(nil, `{"t":%s,"n":1}`, tt.time))
		if err != nil || (len(out.Readings) == 1) != (tt.want == "") || !strings.Contains(fmt.Sprint(out.Problems), tt.want) {
			t.Errorf("%s: %s = %q, %v, %v, want %q", tt.settings, tt.time, show(p, out.Readings), out.Problems, err, tt.want)
		}
	}
}

// TestTimePerInput: an input's own time takes the place of the task's, part by part.
func TestTimePerInput(t *testing.T) {
	p := planOf(t, `  - {series: a, topic: x, path: $.a}
  - {series: b, topic: x, path: $.b, time: {path: $.at, format: unix_ms}}
  - {series: c, topic: x, path: $.c, time: {path: $.local, zone: Asia/Tokyo}}
`, "time: {path: $.t, zone: Europe/Berlin}\n")
	out, err := NewDecoder(p, 4096).Decode("x", []byte(`{"t":"2026-05-01T14:00:00","at":1777636801000,"local":"2026-05-01T21:00:02","a":1,"b":2,"c":3}`))
	if want := "a=1@1777636800000000 b=2@1777636801000000 c=3@1777636802000000"; err != nil || show(p, out.Readings) != want {
		t.Errorf("three times of one document = %q, %v, %v, want %q", show(p, out.Readings), out.Problems, err, want)
	}
}

// TestForgivenIsCounted: what was forgiven and what was refused stands beside the input, and in
// the metrics.
func TestForgivenIsCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	inputs := NewInputs(reg)
	p := planOf(t, "  - {series: a, topic: x, path: $.a}\n  - {series: b, topic: x, path: $.b}\n", "")
	in := intake{m: newMetrics(reg), log: &complaints{log: discard(), every: time.Minute}, inputs: inputs}
	d := NewDecoder(p, 100)
	for _, payload := range []string{`{"a":"5"}`, `{"a":"6"}`, `{"a":7,"b":"x"}`, `{"b":"unknown"}`, `{"a":`, strings.Repeat("x", 101)} {
		in.account(d, "x", []byte(payload), arrived{1000, true, false})
	}
	st := inputs.Status()
	if len(st) != 2 || st[0].Series != "a" || st[0].Readings != 3 || st[0].LastValue != 7 || st[0].LastSeen != 1000 || st[0].Forgiven["quoted_number"] != 2 || st[0].Refused != 2 {
		t.Errorf("status of a = %+v", st)
	}
	if st[1].Refused != 3 || st[1].Forgiven["missing_word"] != 1 || !strings.Contains(st[1].LastRefused, "max_payload") {
		t.Errorf("status of b = %+v", st[1])
	}
	const want = `
# HELP skerry_source_forgiven_total Readings by what they were read in spite of, by series and kind.
# TYPE skerry_source_forgiven_total counter
skerry_source_forgiven_total{kind="missing_word",series="b"} 1
skerry_source_forgiven_total{kind="quoted_number",series="a"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "skerry_source_forgiven_total"); err != nil {
		t.Error(err)
	}
	inputs.Use(planOf(t, "  - {series: b, topic: x, path: $.b}\n", ""))
	if st := inputs.Status(); len(st) != 1 || st[0].Refused != 3 {
		t.Errorf("status of a plan without a = %+v", st)
	}
}

// TestCellsAreReadAsMessages: what a message may say, a cell of a file may say as well.
func TestCellsAreReadAsMessages(t *testing.T) {
	p := planOf(t, "  - {series: v, topic: x, words: {idle: 0}}\n", "")
	s := &sink{}
	n, err := ReadTable(t.Context(), "f", strings.NewReader("ts,v\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,unavailable\n2026-01-01T02:00:00Z,2 °C\n2026-01-01T03:00:00Z,idle\n"), p, FileOptions{}, s)
	if err != nil || n != 3 || s.msgs[1].Readings[0].Value != 2 {
		t.Errorf("ReadTable = %d, %v, want 3 rows", n, err)
	}
	var notes []string
	opts := FileOptions{Table: tabular.Options{Note: func(n string) { notes = append(notes, n) }}}
	if n, err := ReadTable(t.Context(), "f", strings.NewReader("ts,v\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,busy\n"), p, opts, s); err != nil || n != 1 || len(notes) != 1 || !strings.Contains(notes[0], `line 3, "busy"`) {
		t.Errorf("ReadTable of another word = %d, %v, notes %q, want one row and a note of line and word", n, err, notes)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestCaptureForm: what is advised reads the two topics apart.
func TestCaptureForm(t *testing.T) {
	for _, tt := range []struct{ filter, a, b, want string }{
		{"z/+", "z/a", "z/b", "z/{name}"},
		{"z/+/+/v", "z/a/x/v", "z/a/y/v", "z/+/{name}/v"},
		{"z/#", "z/a/v", "z/b/v", "z/{name}/v"},
		{"z/#", "z/a", "z/a/v", "z/# with {name} for the level in which they differ"},
	} {
		if got := captureForm(tt.filter, tt.a, tt.b); got != tt.want {
			t.Errorf("captureForm(%s, %s, %s) = %s, want %s", tt.filter, tt.a, tt.b, got, tt.want)
		}
	}
}

// TestTemplatesListen: a template has no series; a topic that it has no task for is a sighting, and
// the task that is made of it reads the topic.
// TestTemplatesShare: what all tasks of a template read is listened to before there is one.
func TestTemplatesShare(t *testing.T) {
	tmpl := task(t, "room", "task: room\ntarget: {series: v, horizon: 1h}\ninputs: [{series: v, topic: \"h/{room}/v\"}, {series: out, topic: yard, path: $.t}]\n")
	one, err := tmpl.Instance("room-attic", []string{"attic"})
	if err != nil {
		t.Fatal(err)
	}
	for want, tasks := range map[string][]*spec.Task{"[room]": {tmpl}, "[room room-attic]": {tmpl, one}} {
		p, err := Compile(tasks)
		if err != nil {
			t.Fatal(err)
		}
		i, ok := p.Index("out")
		if !ok || fmt.Sprint(p.Series()[i].Tasks) != want {
			t.Errorf("the shared series is %+v, want that of %s", p.Series(), want)
		}
		if out, err := NewDecoder(p, 100).Decode("yard", []byte(`{"t":5}`)); err != nil || show(p, out.Readings) != "out=5" {
			t.Errorf("Decode = %q, %v", show(p, out.Readings), err)
		}
	}
}

func TestTemplatesListen(t *testing.T) {
	tmpl := task(t, "room", "task: room\ntarget: {series: v, horizon: 1h}\ninputs: [{series: v, topic: \"h/{room}/v\"}]\n")
	p, err := Compile([]*spec.Task{tmpl})
	if err != nil || len(p.Series()) != 0 || fmt.Sprint(p.Filters()) != "[h/+/v]" {
		t.Fatalf("plan of a template = %+v, %v", p, err)
	}
	d := NewDecoder(p, 100)
	if tp := d.of("h/attic/v"); len(tp.fresh) != 1 || tp.fresh[0].Values[0] != "attic" {
		t.Errorf("sightings = %+v", tp.fresh)
	}
	if tp := d.of("h/attic/w"); tp != nil {
		t.Errorf("a topic beside it is read: %+v", tp)
	}
	one, err := tmpl.Instance("room-attic", []string{"attic"})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Compile([]*spec.Task{tmpl, one}); err != nil {
		t.Fatal(err)
	}
	d = NewDecoder(p, 100)
	out, err := d.Decode("h/attic/v", []byte("5"))
	if err != nil || show(p, out.Readings) != "v_attic=5" || len(d.of("h/attic/v").fresh) != 0 || len(d.of("h/cellar/v").fresh) != 1 {
		t.Errorf("Decode = %q, %v", show(p, out.Readings), err)
	}
}

// TestNamesOfZones: a layout's zone is one that time.zone knows, or UTC; any other is refused, since
// many places have its name.
func TestNamesOfZones(t *testing.T) {
	for _, tt := range []struct{ zone, text, want string }{
		{"America/New_York", "2026-11-30 02:03:47 EST", "2026-11-30T07:03:47Z"},
		{"America/New_York", "2026-07-01 02:00:00 EDT", "2026-07-01T06:00:00Z"},
		{"America/New_York", "2026-11-30 02:03:47 UTC", "2026-11-30T02:03:47Z"},
		{"America/New_York", "2026-11-30 02:03:47 CET", "names a zone, CET, that many places have"},
		{"", "2026-11-30 02:03:47 CEST", "names a zone, CEST, that many places have"},
		{"", "2026-11-30 02:03:47 GMT", "2026-11-30T02:03:47Z"},
	} {
		loc, err := spec.Zone(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		f := timeForm{format: "2006-01-02 15:04:05 MST", loc: loc}
		us, _, derr := f.parse(valueString, []byte(tt.text), 0)
		got := time.UnixMicro(us).UTC().Format(time.RFC3339)
		if derr != nil {
			got = derr.Error()
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s in the zone %q is %s, want %s", tt.text, tt.zone, got, tt.want)
		}
	}
}

// TestRisingClock: no two calls get one time, and a clock that is set back is followed.
func TestRisingClock(t *testing.T) {
	now := int64(5e6)
	clock := rising(func() (int64, bool) { return now, true })
	for i := range int64(1000) {
		if at, ok := clock(); !ok || at != 5e6+i {
			t.Fatalf("call %d gets %d", i, at)
		}
	}
	for _, want := range []int64{6e6, 5_000_000} {
		now = want
		if at, _ := clock(); at != want && want > 5e6 {
			t.Errorf("the clock shows %d, the caller gets %d", now, at)
		}
	}
	now = 1e6
	if at, _ := clock(); at != 1e6 {
		t.Errorf("a clock that is set back to 1 s gives %d", at)
	}
}

// TestOutOfRange: readings out of the range are counted and named, with the range.
func TestOutOfRange(t *testing.T) {
	a := newAccount(t, "\ntask: few\ntarget: {series: a, horizon: 1s}\ninputs: [{series: a, topic: hall, path: $.h, range: [0, 1]}]\n")
	for i := range 10 {
		a.message("hall", fmt.Sprintf(`{"h":%d}`, 20+i))
	}
	want := "10 readings in a row of the series a of task few out of its range [0, 1], the newest is 29: out of range counts as missing"
	if st := a.Status()[0]; st.Outside != 10 || len(st.Wrong) != 1 || !strings.HasPrefix(st.Wrong[0], want) || len(a.told) != 1 || !strings.HasPrefix(a.told[0], "input_out_of_range few: "+want) {
		t.Errorf("status %+v, told %q, want %s", st, a.told, want)
	}
	a.message("hall", `{"h":0.5}`)
	if r := a.Reasons(); len(r) > 0 || len(a.told) != 2 {
		t.Errorf("reasons %q, told %q after one within the range", r, a.told)
	}
}

// TestUnitsOfInputs: a value comes in the input's unit from the first one on, by whatever name
// senders write it; what another unit says is refused, and without one declared the first counts.
func TestUnitsOfInputs(t *testing.T) {
	for _, tt := range []struct {
		declared, sent string
		want           float64 // NaN: refused
	}{
		{"°C", "68 °F", math.NaN()}, {"°C", "20 °C", 20}, {"°C", "20 ºC", 20}, {"°C", "20 degC", 20}, {"°C", "20 C", 20}, {"C", "20 °C", 20}, {"celsius", "20 °C", 20},
		{"mm", "5 in", math.NaN()}, {"mm", "5 cm", math.NaN()}, {"s", "5 min", math.NaN()}, {"hPa", "29.9 inHg", math.NaN()}, {"hPa", "1013 mbar", 1013},
		{"kWh", "18 MJ", math.NaN()}, {"kWh", "18 Wh", math.NaN()}, {"l/min", "5 m³/h", math.NaN()}, {"l/min", "5 L/min", 5}, {"km/h", "60 mph", math.NaN()}, {"bar", "14.5 psi", math.NaN()},
		{"µg/m³", "7 \u03bcg/m³", 7}, {"µg/m³", "7 ug/m3", 7}, {"µg/m³", "7 µg/m^3", 7}, {"µg/m³", "7 mg/m³", math.NaN()}, {"MW", "7 mW", math.NaN()},
		{"%", "7 percent", 7}, {"", "7 kg", 7}, {"°C", "20", 20},
	} {
		unit := ""
		if tt.declared != "" {
			unit = fmt.Sprintf(", unit: %q", tt.declared)
		}
		p := planOf(t, "  - {series: a, topic: x, path: $.a"+unit+"}\n", "")
		readAs(t, p, fmt.Sprintf(`{"a":%q}`, tt.sent), tt.declared, tt.want, "as the input's unit")
	}
}

// readAs holds that the one value of a payload is read as want, or refused, for NaN, by a text with
// these words; settings are those of its input.
func readAs(t *testing.T, p *Plan, payload, settings string, want float64, refusal string) {
	t.Helper()
	out, err := NewDecoder(p, 4096).Decode("x", []byte(payload))
	switch {
	case err != nil:
		t.Errorf("%s for %q: %v", payload, settings, err)
	case math.IsNaN(want) && (len(out.Readings) > 0 || len(out.Problems) != 1 || !strings.Contains(out.Problems[0].Error(), refusal)):
		t.Errorf("%s for %q is read as %v, %v, want a refusal", payload, settings, out.Readings, out.Problems)
	case !math.IsNaN(want) && (len(out.Readings) != 1 || out.Readings[0].Value != want):
		t.Errorf("%s for %q is read as %v, %v, want %v", payload, settings, out.Readings, out.Problems, want)
	}
}

// TestWordsBesideUnits: what is measured in a unit is not 0 because its sender writes false or
// offline where it has no value; with a word of its own, or without a unit, it is.
func TestWordsBesideUnits(t *testing.T) {
	for _, tt := range []struct {
		settings, payload string
		want              float64 // NaN: refused
	}{
		{", unit: °C", `{"a":false}`, math.NaN()}, {", unit: °C", `{"a":"offline"}`, math.NaN()}, {", unit: °C", `{"a":"No"}`, math.NaN()}, {`, unit: "%"`, `{"a":"open"}`, math.NaN()},
		{`, unit: "%", words: {open: 100, closed: 0}`, `{"a":"open"}`, 100}, {`, unit: "%", words: {open: 100}`, `{"a":"closed"}`, math.NaN()}, {`, unit: W, words: {"false": 0}`, `{"a":false}`, 0},
		{"", `{"a":false}`, 0}, {"", `{"a":"offline"}`, 0}, {", unit: bool", `{"a":"ON"}`, 1}, {", unit: °C", `{"a":"21.5"}`, 21.5},
	} {
		p := planOf(t, "  - {series: a, topic: x, path: $.a"+tt.settings+"}\n", "")
		readAs(t, p, tt.payload, tt.settings, tt.want, "is a word, and no number of")
	}
}

// TestNumbersAsWords: numbers that an input declares as words are words however they are written.
func TestNumbersAsWords(t *testing.T) {
	p := planOf(t, "  - {series: a, topic: x, path: $.a, words: {1: 10, 2: 20, off: 2}}\n", "")
	d := NewDecoder(p, 4096)
	for sent, want := range map[string]float64{`2`: 20, `"2"`: 20, `2.0`: 20, `"2.0"`: 20, `"+2"`: 20, `1`: 10, `3`: 3, `"off"`: 2} {
		out, err := d.Decode("x", []byte(`{"a":`+sent+`}`))
		if err != nil || len(out.Readings) != 1 || out.Readings[0].Value != want {
			t.Errorf("%s is read as %v, %v, want %v", sent, out.Readings, err, want)
		}
	}
}
