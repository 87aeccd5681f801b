package source

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skerry.dev/sync/spec"
)

// account is what a plan's inputs have to say of messages that are given to it.
type account struct {
	*Inputs
	in   intake
	dec  *Decoder
	told []string
}

func newAccount(t *testing.T, text string) *account {
	t.Helper()
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(text), "task: "), "\n")
	p, err := Compile([]*spec.Task{task(t, name, text)})
	if err != nil {
		t.Fatal(err)
	}
	a := &account{Inputs: NewInputs(nil), dec: NewDecoder(p, 1<<16)}
	a.Use(p)
	a.Event = func(kind, task string, d map[string]any) {
		a.told = append(a.told, fmt.Sprintf("%s %s: %s", kind, task, d["what"]))
	}
	a.in = intake{m: newMetrics(nil), log: &complaints{log: slog.New(slog.DiscardHandler), every: time.Minute}, inputs: a.Inputs}
	return a
}

func (a *account) message(topic, payload string) {
	a.in.account(a.dec, topic, []byte(payload), arrived{at: time.Now().UnixMicro(), clockOK: true})
}

// TestInputsWellAgain: an input whose values are refused, or whose messages hold nothing for it, is
// told of, and told of again when it is well; one that flaps is told of once an hour, and shown each
// time.
func TestInputsWellAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t, "\ntask: flap\ntarget: {series: a, horizon: 1s}\ninputs: [{series: a, topic: hall, path: $.a}]\n")
		bad := func() {
			for range sureBarren {
				a.message("hall", `{"a":"broken"}`)
			}
		}
		bad()
		if st := a.Status()[0]; len(st.Wrong) != 1 || !strings.Contains(st.Wrong[0], "the newest 10 values of the series a of task flap were refused") || st.Refused != 10 {
			t.Errorf("status = %+v", st)
		}
		a.message("hall", `{"a":1}`)
		time.Sleep(4 * time.Second)
		a.message("hall", `{"a":2}`)
		if st := a.Status()[0]; len(st.Wrong) != 0 || st.EveryS != 4 || st.LastValue != 2 {
			t.Errorf("status = %+v, want it well, and a reading every 4 s", st)
		}
		want := []string{"input_refused flap: the newest 10 values", "input_well flap: readings of the series a of task flap come on hall and are read"}
		check := func() {
			t.Helper()
			if len(a.told) != len(want) {
				t.Fatalf("told %q, want %q", a.told, want)
			}
			for i := range want {
				if !strings.HasPrefix(a.told[i], want[i]) {
					t.Errorf("told %q, want %q", a.told[i], want[i])
				}
			}
		}
		check()
		bad()
		if len(a.Reasons()) != 1 {
			t.Errorf("reasons = %q", a.Reasons())
		}
		a.message("hall", `{"a":3}`)
		check()
		time.Sleep(tellAgain)
		bad()
		want = append(want, want[0])
		check()
	})
}

// TestWithoutValues names what messages hold instead, but for passwords, and never at great length.
func TestWithoutValues(t *testing.T) {
	a := newAccount(t, "\ntask: none\ntarget: {series: a, horizon: 1s}\ninputs: [{series: a, topic: hall, path: $.temp}]\n")
	for range sureBarren {
		a.message("hall", `{"Temp":21,"wifi":{"ssid":"shed","Password":"hunter2"},"apiKey":"k-1","`+strings.Repeat("x", 5000)+`":1}`)
	}
	r := strings.Join(a.Reasons(), "\n")
	if !strings.Contains(r, "$.Temp (number 21)") || !strings.Contains(r, "$.wifi.Password (text not shown)") || strings.Contains(r, "hunter2") || strings.Contains(r, "k-1") || len(r) > 1000 {
		t.Errorf("reasons = %s", r)
	}
	a.message("hall", `{"temp":1}`)
	if len(a.told) != 2 || !strings.HasPrefix(a.told[1], InputWell) {
		t.Errorf("told %q", a.told)
	}
}

// TestManyReasons: of very many inputs with something wrong health names some and counts the others.
func TestManyReasons(t *testing.T) {
	var text strings.Builder
	text.WriteString("\ntask: many\ntarget: {series: s0, horizon: 1s}\ninputs:\n")
	for i := range 60 {
		fmt.Fprintf(&text, "  - {series: s%d, topic: hall/%d}\n", i, i)
	}
	a := newAccount(t, text.String())
	if got := a.Silent(int64(3600e6), 1, func(string) bool { return false }); len(got) != 60 {
		t.Fatalf("%d inputs are silent", len(got))
	}
	r := a.Reasons()
	if len(r) != maxReasons+1 || r[maxReasons] != "and 10 more series have something wrong: skerry-agent status lists each" {
		t.Errorf("%d reasons, the last %q", len(r), r[len(r)-1])
	}
	if !strings.Contains(r[0], "nothing has come by HTTP on hall/0") {
		t.Errorf("without a broker: %s", r[0])
	}
	a.Broker = true
	if r := a.Reasons()[0]; !strings.Contains(r, "since the broker was connected") {
		t.Errorf("with a broker: %s", r)
	}
}

// TestEveryRefusalCounts: of an array of bad values each is counted, however many there are, and
// some good ones among them keep the input from being told of.
func TestEveryRefusalCounts(t *testing.T) {
	a := newAccount(t, "\ntask: list\ntarget: {series: a, horizon: 1s}\ninputs: [{series: a, topic: hall, path: '$[*].v'}]\ntime: {path: '$[*].t', format: unix}\n")
	now := time.Now().Unix()
	array := func(n int, v string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,{"t":%d,"v":%s}`, now+int64(i), v)
		}
		return b.String()[1:]
	}
	a.message("hall", "["+array(100, `"bad"`)+","+array(3, "1")+"]")
	st := a.Status()[0]
	if st.Refused != 100 || st.Readings != 3 || len(st.Wrong) > 0 || len(a.told) > 0 {
		t.Errorf("status = %+v, told %q", st, a.told)
	}
	a.message("hall", "["+array(100, `"bad"`)+"]")
	if st = a.Status()[0]; st.Refused != 200 || len(st.Wrong) != 1 || len(a.told) != 1 {
		t.Errorf("status = %+v, told %q", st, a.told)
	}
}

// TestFewMessages: what is wrong with an input whose sender is slow is told within a minute, too, by
// what few messages there were, or weren't.
func TestFewMessages(t *testing.T) {
	for name, tt := range map[string]struct {
		payloads []string
		every    time.Duration
		kind     string
		what     string
	}{
		"one message with another path": {[]string{`{"Temp":1}`}, time.Second, "input_without_values", "one message on hall has held nothing for the series a of task few at the path $.temp; it holds $.Temp (number 1)"},
		"one value that is refused":     {[]string{`{"temp":"1;2"}`}, time.Second, "input_refused", "the newest value of the series a of task few was refused"},
		"empty messages":                {[]string{"", ""}, time.Second, "input_without_values", "2 messages on hall for the series a of task few: empty, or null: look after the sender"},
		"three refused after good ones": {[]string{`{"temp":1}`, `{"temp":1}`, `{"temp":"x;"}`, `{"temp":"x;"}`, `{"temp":"x;"}`}, 10 * time.Second, "input_refused", "the newest 3 values"},
		"two refused, and nothing more": {[]string{`{"temp":1}`, `{"temp":1}`, `{"temp":"x;"}`, `{"temp":"x;"}`}, time.Second, "input_silent", "UTC, but 2 values that could not be read: "},
		"unavailable from the start":    {[]string{`{"temp":"unavailable"}`, `{"temp":"unavailable"}`}, 10 * time.Second, "input_silent", "but 2 messages to say that there is no value"},
		"unavailable after good ones":   {[]string{`{"temp":1}`, `{"temp":1}`, `{"temp":"unavailable"}`}, time.Second, "input_silent", "but one message to say that there is no value"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAccount(t, "\ntask: few\ntarget: {series: a, horizon: 1s}\ninputs: [{series: a, topic: hall, path: $.temp}]\n")
			began := time.Now()
			look := func() {
				a.Near(a.Silent(time.Now().UnixMicro(), began.UnixMicro(), func(string) bool { return false }), nil)
			}
			for _, p := range tt.payloads {
				a.message("hall", p)
				time.Sleep(tt.every)
				look()
			}
			for len(a.told) == 0 && time.Since(began) < 2*time.Minute {
				time.Sleep(2 * time.Second)
				look()
			}
			if took := time.Since(began); took > time.Minute || len(a.told) != 1 || !strings.HasPrefix(a.told[0], tt.kind+" few") || !strings.Contains(a.told[0], tt.what) {
				t.Errorf("%s: told %q after %v, want %s with %q", name, a.told, took, tt.kind, tt.what)
			}
			if r := a.Reasons(); len(r) != 1 || !strings.Contains(r[0], tt.what) {
				t.Errorf("%s: reasons %q", name, r)
			}
			a.message("hall", `{"temp":1}`)
			if r := a.Reasons(); len(r) > 0 || len(a.told) != 2 || !strings.HasPrefix(a.told[1], InputWell) {
				t.Errorf("%s: when all is well again: %q, told %q", name, r, a.told)
			}
		})
	}
}

// TestBacklogWithoutTimes: what a broker kept while the link was down comes at once; without times
// of its own it gets that of its arrival, which is told. With times it is not, nor is a single late
// one.
func TestBacklogWithoutTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(27 * 365 * 24 * time.Hour) // to times that senders may have
		a := newAccount(t, "\ntask: tank\ntarget: {series: level, horizon: 1h}\ninputs: [{series: level, topic: tank, path: $.level}]\ntime: {path: $.t, format: unix}\n")
		for i := range 20 {
			time.Sleep(time.Minute)
			a.message("tank", fmt.Sprintf(`{"level":%d}`, i))
		}
		time.Sleep(2 * time.Hour)
		for i := range 20 {
			a.message("tank", fmt.Sprintf(`{"level":%d,"t":%d}`, i, time.Now().Unix()-int64(60*(20-i))))
		}
		for range 3 {
			time.Sleep(time.Minute)
			for i := range sureBunch {
				a.message("tank", fmt.Sprintf(`{"level":%d}`, i))
			}
		}
		if len(a.told) > 0 {
			t.Errorf("told %q of readings with times, and of a few", a.told)
		}
		for i := range 50 {
			time.Sleep(time.Minute)
			a.message("tank", fmt.Sprintf(`{"level":%d}`, i))
		}
		time.Sleep(2 * time.Hour)
		for i := range 120 {
			time.Sleep(time.Millisecond)
			a.message("tank", fmt.Sprintf(`{"level":%d}`, i))
		}
		want := "readings_bunched tank: 10 readings of the series level of task tank came within 9ms, where one comes every "
		if len(a.told) != 1 || !strings.HasPrefix(a.told[0], want) || !strings.HasSuffix(a.told[0], "name it by time.path") {
			t.Errorf("told %q, want one with %q", a.told, want)
		}
	})
}

// TestReadingsOfOneTime: many readings whose time another has are told once, corrections of a few
// are not, and it is over when none has come for a while.
func TestReadingsOfOneTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(27 * 365 * 24 * time.Hour) // to times that senders may have
		a := newAccount(t, "\ntask: pump\ntarget: {series: flow, horizon: 1h}\ninputs: [{series: flow, topic: pump, path: $.flow}]\ntime: {path: $.t, format: unix}\n")
		clash := func() { a.Clash("flow", time.Now().UnixMicro()) }
		for range 30 {
			a.message("pump", fmt.Sprintf(`{"flow":1,"t":%d}`, time.Now().Unix()))
			clash()
			time.Sleep(11 * time.Minute)
		}
		if len(a.told) > 0 || len(a.Reasons()) > 0 {
			t.Errorf("told %q, reasons %q of corrections", a.told, a.Reasons())
		}
		for range 30 {
			a.message("pump", fmt.Sprintf(`{"flow":1,"t":%d}`, time.Now().Unix()))
			clash()
		}
		want := "readings_of_one_time pump: 10 readings of the series flow of task pump came for a time that had another value"
		if len(a.told) != 1 || !strings.HasPrefix(a.told[0], want) {
			t.Errorf("told %q, want one with %q", a.told, want)
		}
		if r := a.Reasons(); len(r) != 1 || !strings.Contains(r[0], "30 readings of the series flow") || !strings.Contains(r[0], "finer times") {
			t.Errorf("reasons %q", r)
		}
		time.Sleep(11 * time.Minute)
		a.message("pump", fmt.Sprintf(`{"flow":1,"t":%d}`, time.Now().Unix()))
		if r := a.Reasons(); len(r) > 0 {
			t.Errorf("reasons %q when it is over", r)
		}
	})
}

// TestTimesWithoutZone: topics are shown with which of their times say no zone, since their
// readings would be refused.
func TestTimesWithoutZone(t *testing.T) {
	for text, want := range map[string]FoundPath{
		"2026-11-30T12:00:00":       {Kind: "time", Local: true},
		"29.11.2026 12:00:00":       {Kind: "time", Local: true},
		"2026-11-30T12:00:00Z":      {Kind: "time"},
		"2026-11-30 12:00:00+01:00": {Kind: "time"},
		"1790000000":                {Kind: "time"},
		"21.5":                      {Kind: "number"},
	} {
		if got := leaf("$.x", text); got.Kind != want.Kind || got.Local != want.Local {
			t.Errorf("%q is found as %+v, want %+v", text, got, want)
		}
	}
}
