package source

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/sync/spec"
)

// TestSilent: an input is silent after five of its usual gaps, and no sooner than a minute; one that
// may rest for long when it wants to is not; one that never came is named with what does come.
func TestSilent(t *testing.T) {
	p, err := Compile([]*spec.Task{task(t, "quiet", `
task: quiet
target: {series: a, horizon: 1s}
inputs: [{series: a, topic: hall/a}, {series: door, topic: hall/door}, {series: b, topic: Hall/temperatur}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	in := NewInputs(nil)
	in.Broker = true
	in.Use(p)
	var told []string
	in.Event = func(kind, _ string, d map[string]any) { told = append(told, kind+" "+d["what"].(string)) }
	at := int64(1_790_000_000_000_000)
	note := func(series string, at int64) {
		in.note(p, p.series[p.index[series]].Topic, nil, &Decoded{Readings: []Reading{{Series: p.index[series], Time: at}}}, arrived{at: at})
	}
	for i := range int64(100) {
		note("a", at+i*30*1e6)
		if i%20 == 0 {
			note("door", at+i*30*1e6)
		}
	}
	at += 99 * 30 * 1e6
	silent := func(after int64) []string {
		return in.Silent(at+after*1e6, at-40*1e6, func(string) bool { return false })
	}
	if got := silent(0); got != nil {
		t.Errorf("silent at once: %v", got)
	}
	if got := silent(149); !slices.Equal(got, []string{"b"}) {
		t.Errorf("after less than five gaps: %v", got)
	}
	if got := silent(151); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after more than five gaps: %v, want a alone", got)
	}
	in.Near([]string{"a", "b"}, []string{"hall/temperature", "attic/a", "skerry/x/status", "garage"})
	if len(told) != 2 || !strings.Contains(told[0], "input_silent no reading of the series a of task quiet has come on hall/a since") || !strings.Contains(told[0], "every 30s") ||
		!strings.Contains(told[1], "nothing has come on Hall/temperatur for the series b") || !strings.Contains(told[1], "messages do come on hall/temperature, ") {
		t.Errorf("told %q", told)
	}
	if r := in.Reasons(); len(r) != 2 {
		t.Errorf("reasons %q", r)
	}
	note("a", at+200*1e6)
	if r := in.Reasons(); len(r) != 1 {
		t.Errorf("reasons %q after it has come again", r)
	}
	if got := silent(4 * 3600); !slices.Equal(got, []string{"a", "door"}) {
		t.Errorf("after hours: %v", got)
	}
}

// TestSilentWhileDeaf: while readings may come that nobody hears, as on a full disk, no input is
// said to be silent, and none at once when it is over; one that stays silent then is.
func TestSilentWhileDeaf(t *testing.T) {
	p, err := Compile([]*spec.Task{task(t, "one", "\ntask: one\ntarget: {series: a, horizon: 1s}\ninputs: [{series: a, topic: hall/a}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	in := NewInputs(nil)
	in.Use(p)
	at := int64(1_790_000_000_000_000)
	for range 10 {
		at += 1e6
		in.note(p, "hall/a", nil, &Decoded{Readings: []Reading{{Time: at}}}, arrived{at: at})
	}
	silent := func(after int64) []string {
		return in.Silent(at+after*1e6, at-1e8, func(string) bool { return false })
	}
	for after := int64(2); after <= 600; after += 2 {
		in.Deaf(at + after*1e6)
		if got := silent(after); len(got) > 0 || len(in.Reasons()) > 0 {
			t.Fatalf("silent after %d s without hearing: %v, reasons %q", after, got, in.Reasons())
		}
	}
	if got := silent(640); len(got) > 0 {
		t.Errorf("silent 40 s after the end: %v, want the time that every input has", got)
	}
	if got := silent(650); !slices.Equal(got, []string{"a"}) {
		t.Errorf("silent 50 s after the end: %v, want a", got)
	}
}

// TestSilentSince: an input is not silent for the time before its task file was read, and of one
// reading nobody knows when the next is due.
func TestSilentSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const file = "\ntask: %s\ntarget: {series: %s, horizon: 1s}\ninputs: [{series: %s, topic: hall/%s}]\n"
		first, second := task(t, "one", fmt.Sprintf(file, "one", "a", "a", "a")), task(t, "two", fmt.Sprintf(file, "two", "b", "b", "b"))
		in := NewInputs(nil)
		in.Broker = true
		var told []string
		in.Event = func(kind, _ string, d map[string]any) { told = append(told, fmt.Sprint(kind, " ", d["what"])) }
		began := time.Now().UnixMicro()
		use := func(tasks ...*spec.Task) *Plan {
			p, err := Compile(tasks)
			if err != nil {
				t.Fatal(err)
			}
			in.Use(p)
			return p
		}
		look := func() []string {
			got := in.Silent(time.Now().UnixMicro(), began, func(string) bool { return false })
			in.Near(got, nil)
			return got
		}
		p := use(first)
		in.note(p, "hall/a", nil, &Decoded{Readings: []Reading{{Series: 0, Time: began}}}, arrived{at: time.Now().UnixMicro()})
		time.Sleep(10 * time.Minute)
		if got := look(); got != nil {
			t.Errorf("ten minutes after one reading %v are silent", got)
		}
		use(first, second)
		time.Sleep(40 * time.Second)
		if got := look(); got != nil {
			t.Errorf("40 s after its task file was read %v are silent", got)
		}
		time.Sleep(10 * time.Second)
		if got := look(); !slices.Equal(got, []string{"b"}) || len(told) != 1 || !strings.Contains(told[0], "for the series b of task two since its task file was read at 2000-01-01 00:10:00 UTC") {
			t.Errorf("50 s after it %v are silent, told %q", got, told)
		}
		time.Sleep(50 * time.Minute)
		if got := look(); !slices.Equal(got, []string{"a"}) || !strings.Contains(told[1], "no second reading of the series a of task one") {
			t.Errorf("after an hour %v are silent, told %q", got, told)
		}
	})
}

// TestKeysThatComeSeldom: one message that has readings of other series, and none of an input, is no
// reason to think that its path is wrong; one that has none at all is.
func TestKeysThatComeSeldom(t *testing.T) {
	for payload, wrong := range map[string]int{`{"a":1}`: 0, `{"A":1}`: 2} {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t, "\ntask: few\ntarget: {series: a, horizon: 1s}\ninputs: [{series: a, topic: hall, path: $.a}, {series: b, topic: hall, path: $.b}]\n")
			a.message("hall", payload)
			time.Sleep(50 * time.Second)
			a.Silent(time.Now().UnixMicro(), time.Now().UnixMicro(), func(string) bool { return false })
			if r := a.Reasons(); len(r) != wrong {
				t.Errorf("after %s: %q, want %d reasons", payload, r, wrong)
			}
		})
	}
}

// TestSilenceOfBatches: an input whose readings come many in a message is as often heard as its
// messages are; labels come when they come; and what came seldom before the agent began may come as
// seldom.
func TestSilenceOfBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(27 * 365 * 24 * time.Hour) // to times that senders may have
		a := newAccount(t, "\ntask: batch\ntarget: {series: a, horizon: 1h}\ninputs: [{series: a, topic: hall, path: \"$[*].v\"}]\ntime: {path: \"$[*].t\", format: unix}\n")
		look := func(label bool) []string {
			return a.Silent(time.Now().UnixMicro(), 0, func(string) bool { return label })
		}
		a.Expect("a", time.Hour)
		time.Sleep(4 * time.Hour)
		if got := a.Silent(time.Now().UnixMicro(), time.Now().Add(-4*time.Hour).UnixMicro(), func(string) bool { return false }); len(got) > 0 {
			t.Errorf("an hourly input is silent after four hours: %q", got)
		}
		batch := func() {
			var b strings.Builder
			for i := range 290 {
				fmt.Fprintf(&b, `,{"v":%d,"t":%d}`, i, time.Now().Unix()-int64(290-i))
			}
			a.message("hall", "["+b.String()[1:]+"]")
		}
		for range 8 {
			batch()
			time.Sleep(time.Minute)
			if got := look(false); len(got) > 0 {
				t.Fatalf("silent a minute after a batch: %q", got)
			}
		}
		time.Sleep(time.Hour)
		if got := look(true); len(got) > 0 {
			t.Errorf("labels are silent after an hour: %q", got)
		}
		if got := look(false); len(got) != 1 {
			t.Errorf("after an hour %q is silent, want the input", got)
		}
	})
}
