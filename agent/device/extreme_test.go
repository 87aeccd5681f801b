package device

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/test/extreme"
	"skerry.dev/test/rig"
	"skerry.dev/test/wait"
)

var extremeTasks = map[string]string{
	// rows at each reading, and labels by message
	"on": `
task: on
kind: regression
target: {series: truth, topic: x/truth, path: "$[*].v", time: {path: "$[*].t", format: unix}}
inputs: [{series: a, topic: x/on, path: "$[*].v"}, {series: b, topic: x/one/+, path: $.v.w, time: {path: $.t}}]
time: {path: "$[*].t", format: unix, max_past: 36500d}
rows: {on: a}
`,
	// a cadence of milliseconds, with values that hold for long
	"fine": `
task: fine
target: {series: c, horizon: 1h}
inputs: [{series: c, topic: x/fine, path: "$[*].v"}]
time: {path: "$[*].t", format: unix, max_past: 36500d}
rows: {every: 1ms, max_age: 366d}
`,
	// rows that wait for a hundred years
	"late": `
task: late
target: {series: d, horizon: 366d}
inputs: [{series: d, topic: x/late, path: "$[*].v"}]
time: {path: "$[*].t", format: unix, max_past: 36500d}
rows: {on: d, lateness: 36500d}
`,
	"words": `
task: words
target: {series: e, horizon: 1h}
inputs: [{series: e, topic: "y/#"}, {series: f, topic: x/kind, categories: [dry, wet]}]
`,
	"each": `
task: each
target: {series: g, horizon: 1h}
inputs: [{series: g, topic: "z/{device}/g"}]
max_devices: 8
`,
	"ok": `
task: ok
target: {series: ok, horizon: 1h}
inputs: [{series: ok, topic: x/ok}]
`,
}

// TestExtremeValues sends values of times, sizes, counts, names and nesting that no sender should
// send, by MQTT, by HTTP and as task files. Until each is dealt with it takes at most a second and
// 32 MiB, and the answer, the log or health names what was wrong with it, if it was. At last
// everything goes on as before.
func TestExtremeValues(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	tasks := filepath.Join(dir, "tasks")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(tasks, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(tasks, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range extremeTasks {
		write(name+".yaml", text)
	}
	url1 := broker(t)
	var log extreme.Log
	reload := make(chan os.Signal)
	d, err := Open(Options{Config: config(t, dir, url1, addr), Version: "test", Log: slog.New(slog.NewTextHandler(&log, nil)), Reload: reload})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run = %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}()
	cli, err := rig.Connect(url1, "extreme")
	if err != nil {
		t.Fatal(err)
	}
	defer cli.Disconnect(0)
	predicted := make(chan string, 100)
	if tok := cli.Subscribe("skerry/+/ok/prediction", 1, func(_ mqtt.Client, m mqtt.Message) { predicted <- string(m.Payload()) }); !tok.WaitTimeout(5*time.Second) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	wait.For(t, "connected", func() bool { return d.Links()["mqtt"] })
	send := func(topic string, payload []byte) {
		if tok := cli.Publish(topic, 1, false, payload); !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
			t.Errorf("publish on %s: %v", topic, tok.Error())
		}
	}
	sent := 0
	// settled waits until what was sent before is dealt with: messages are taken in their order.
	settled := func() {
		sent++
		send("x/ok", fmt.Append(nil, sent))
		want := fmt.Sprintf(`"value":%d,`, sent)
		for limit := time.After(time.Minute); ; {
			select {
			case p := <-predicted:
				if strings.Contains(p, want) {
					return
				}
			case <-limit:
				t.Fatal("nothing is predicted any more")
			}
		}
	}
	settled()

	message := func(topic, payload string) func() string {
		return func() string {
			send(topic, []byte(payload))
			settled()
			return ""
		}
	}
	odds := 0
	// odd sends a payload on a topic of its own: what is refused of one topic is logged once a minute.
	odd := func(payload string) func() string {
		odds++
		return message(fmt.Sprintf("x/one/%d", odds), payload)
	}
	post := func(topic string, body io.Reader) func() string {
		return func() string {
			res, err := http.Post("http://"+addr+"/v1/ingest/"+topic, "", body)
			if err != nil {
				return err.Error()
			}
			defer res.Body.Close()
			b, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
			return fmt.Sprint(res.StatusCode, " ", string(b), err)
		}
	}
	now := time.Now().Unix()
	// array makes n readings, the i-th of the time at(i).
	array := func(n int, at func(i int64) int64) string {
		var b strings.Builder
		for i := range int64(n) {
			fmt.Fprintf(&b, `,{"t":%d,"v":%d}`, at(i), i%9)
		}
		return "[" + b.String()[1:] + "]"
	}
	one := func(t, v string) string { return `{"t":` + t + `,"v":{"w":` + v + `}}` }
	const many = 9000 // readings of a payload of 256 KiB
	long := strings.Repeat("9", 200_000)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	inside := `"1"`
	for len(inside) < 100_000 {
		inside = fmt.Sprintf("%q", inside)
	}
	keys := func(key func(i int) string) string {
		var b strings.Builder
		for i := range 15_000 {
			fmt.Fprintf(&b, `,%q:%d`, key(i), i)
		}
		return "{" + b.String()[1:] + "}"
	}
	type value struct {
		name string
		do   func() string
		want string // part of the answer, the log or a reason of health; "" for a value that is taken
	}
	values := []value{
		{"1970, and now", message("x/fine", array(2, func(i int64) int64 { return i * now })), ""},
		{"a year of milliseconds", message("x/fine", array(2, func(i int64) int64 { return now - (1-i)*366*86400 })), ""},
		{"9,000 readings an hour apart by a cadence of milliseconds", message("x/fine", array(many, func(i int64) int64 { return now - (many-i)*3600 })), ""},
		{"9,000 rows", message("x/on", array(many, func(i int64) int64 { return now - many + i })), ""},
		{"9,000 rows backwards", message("x/on", array(many, func(i int64) int64 { return now - 20_000 - i })), ""},
		{"9,000 readings of one time", message("x/on", array(many, func(i int64) int64 { return now - 50_000 })), ""},
		{"9,000 labels of no row", message("x/truth", array(many, func(i int64) int64 { return now - 900_000 - i })), "labels match no row"},
		{"9,000 readings that wait for a hundred years", message("x/late", array(many, func(i int64) int64 { return now - i })), ""},
		{"9,000 readings of the future", message("x/on", array(many, func(i int64) int64 { return now + 86400 + i })), "beyond time.max_future"},
		{"a time of the year 9999", odd(one("253402300799", "1")), "beyond time.max_future"},
		{"a time before 1970", odd(one("-1", "1")), "1970 to 9999"},
		{"a time of 200,000 digits", odd(one(long, "1")), "1970 to 9999"},
		{"a time of 1e999999999", odd(one("1e999999999", "1")), "1970 to 9999"},
		{"a value of 200,000 digits", odd(one(fmt.Sprint(now), long)), "must fit a 64-bit float"},
		{"a value of 1e999999999", odd(one(fmt.Sprint(now), "1e999999999")), "must fit a 64-bit float"},
		{"a value with 200,000 zeros before it", odd(one(fmt.Sprint(now), strings.Repeat("0", 200_000)+"7")), ""},
		{"NaN", odd(one(fmt.Sprint(now+1), "NaN")), ""},
		{"a word of 200,000 letters", odd(one(fmt.Sprint(now), `"`+strings.Repeat("x", 200_000)+`"`)), "reading refused"},
		{"a category of 200,000 letters", message("x/kind", strings.Repeat("x", 200_000)), "must be one of the categories"},
		{"nested arrays", odd(deep(100_000)), "depth"},
		{"nested arrays at the path", odd(one(fmt.Sprint(now), deep(100_000))), "must be a number"},
		{"nested objects", odd(strings.Repeat(`{"v":`, 40_000) + "1" + strings.Repeat("}", 40_000)), "depth"},
		{"an open end", odd(strings.Repeat(`{"v":`, 40_000)), "ends early"},
		{"JSON in texts in texts", odd(inside), ""},
		{"15,000 keys", odd(keys(func(i int) string { return fmt.Sprint("k", i) })), ""},
		{"one key 15,000 times", odd(keys(func(int) string { return "v" })), ""},
		{"a value that comes 15,000 times", odd(fmt.Sprintf(`{"t":%d,"v":{%s"w":1}}`, now, strings.Repeat(`"w":2,`, 15_000))), "may appear once"},
		{"a quarter of a million blanks", odd(strings.Repeat(" ", 256<<10)), ""},
		{"a quarter of a million NULs", odd(strings.Repeat("\x00", 256<<10)), ""},
		{"bytes of no text", odd(strings.Repeat("\xff\xfe", 128<<10)), "payload refused"},
		{"an unclosed text", odd(`{"v":"` + strings.Repeat(`\u0000`, 40_000)), "payload refused"},
		{"a byte too many", odd(strings.Repeat(" ", 256<<10+1)), "mqtt.max_payload"},
		{"900 KB", odd(strings.Repeat("[", 900_000)), "mqtt.max_payload"},
		{"a topic of 400 levels", message("y"+strings.Repeat("/l", 400), "1"), ""},
		{"a topic of 3,000 letters", message("y/"+strings.Repeat("l", 3000), "1"), ""},
		{"a device with a name of 3,000 letters", message("z/"+strings.Repeat("d", 3000)+"/g", "1"), ""},
		{"1,000 topics", func() string {
			for i := range 1000 {
				cli.Publish(fmt.Sprintf("y/%d/%s", i, strings.Repeat("l", 200)), 0, false, "1")
			}
			settled()
			return ""
		}, ""},
		{"200 devices where eight are allowed", func() string {
			for i := range 200 {
				cli.Publish(fmt.Sprintf("z/%d/g", i), 0, false, "1")
			}
			settled()
			return ""
		}, "beyond max_devices (8)"},

		{"a body of 64 MiB", post("x/one/http", io.LimitReader(zeros{}, 64<<20)), "413"},
		{"a topic of 60,000 letters", post("y/"+strings.Repeat("l", 60_000), strings.NewReader("1")), "20"},
		{"a topic that is a path", post("..%2f..%2fetc%2fpasswd", strings.NewReader("1")), "no task reads topic"},
		{"a topic with a NUL", post("y/"+url.PathEscape("a\x00b"), strings.NewReader("1")), "4"},
		{"nested arrays by HTTP", post("x/one/http", strings.NewReader(deep(100_000))), "400"},
		{"9,000 rows by HTTP", post("x/on", strings.NewReader(array(many, func(i int64) int64 { return now - 100_000 + i }))), "20"},
		{"a body of no text", post("x/one/http", strings.NewReader(strings.Repeat("\xff", 200_000))), "400"},
	}
	file := func(name, text, want string) func() string {
		return func() string {
			write(name, text)
			defer os.Remove(filepath.Join(tasks, name))
			before := d.badFile.Load()
			reload <- os.Interrupt
			said := "taken"
			for range 500 * extreme.Slower {
				// what was read before this file was there may be reported after it
				if p := d.badFile.Load(); p != nil && p != before {
					if said = *p; strings.Contains(said, want) {
						break
					}
				}
				time.Sleep(5 * time.Millisecond)
			}
			return said
		}
	}
	var inputs, unknown strings.Builder
	for i := range 100 {
		fmt.Fprintf(&inputs, "  - {series: s%d, topic: big/%d, categories: [%s]}\n", i, i, strings.Repeat("c, ", 300)+"d")
	}
	for i := range 20_000 {
		fmt.Fprintf(&unknown, "k%d: 1\n", i)
	}
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		laughs += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	const anomaly = "task: odd\nkind: anomaly\ninputs: [{series: odd, topic: odd}]\nanomaly: {detector: %s, set: {%s}}\n"
	for name, v := range map[string]struct{ text, want string }{
		"20,000 unknown keys":       {unknown.String(), "problems more"},
		"a key of 200,000 letters":  {long + ": 1\n", "no YAML (line 1)"},
		"a billion laughs":          {laughs, "unknown key"},
		"a file that names itself":  {"task: &a [*a]\n", "must be"},
		"brackets":                  {"task: " + strings.Repeat("[", 60_000), "nested.yaml"},
		"a mapping in a mapping":    {strings.Repeat("{task: ", 20_000), "nested.yaml"},
		"100 inputs of 301 classes": {"task: big\ntarget: {series: s0, horizon: 1h}\ninputs:\n" + inputs.String(), "at most 256"},
		"a task that is a path":     {"task: ../../x\ntarget: {series: p, horizon: 1h}\ninputs: [{series: p, topic: p}]\n", "task"},
		"an expression":             {"task: deep\ntarget: {series: p, horizon: 1h}\ninputs: [{series: p, topic: p}]\nfeatures: [{name: f, expr: \"" + strings.Repeat("(", 50_000) + "p" + strings.Repeat(")", 50_000) + "\"}]\n", "features[0].expr"},
		"an expression of signs":    {"task: deep\ntarget: {series: p, horizon: 1h}\ninputs: [{series: p, topic: p}]\nfeatures: [{name: f, expr: \"" + strings.Repeat("-", 100_000) + "p\"}]\n", "features[0].expr"},
		"a window of a billion":     {fmt.Sprintf(anomaly, "novelty", "window: 1000000000"), "anomaly.detector"},
		"trees by the million":      {fmt.Sprintf(anomaly, "isolation", "trees: 1000000"), "anomaly.detector"},
		"a horizon of 300 years":    {"task: far\ntarget: {series: p, horizon: 2562047h}\ninputs: [{series: p, topic: p}]\n", "366 days"},
		"a cadence of a nanosecond": {"task: fast\ntarget: {series: p, horizon: 1h}\ninputs: [{series: p, topic: p}]\nrows: {every: 1ns}\n", "rows.every"},
		"a learner of a terabyte":   {"task: huge\ntarget: {series: p, horizon: 1h}\ninputs: [{series: p, topic: p}]\nadapt: {max_bytes: 1000GB}\n", "adapt.max_bytes"},
		"a topic of 200,000 levels": {"task: levels\ntarget: {series: p, horizon: 1h}\ninputs: [{series: p, topic: \"p" + strings.Repeat("/p", 100_000) + "\"}]\n", "1 to 1024"},
		"a path of 20,000 steps":    {"task: steps\ntarget: {series: p, horizon: 1h}\ninputs: [{series: p, topic: p, path: \"$" + strings.Repeat(".p", 20_000) + "\"}]\n", "path"},
	} {
		values = append(values, value{name, file("nested.yaml", v.text, v.want), v.want})
	}
	odder := func(want string, make func(path string) error) func() string {
		return func() string {
			path := filepath.Join(tasks, "odd.yaml")
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(path)
			return file("nested.yaml", "task: nested\n", want)()
		}
	}
	values = append(values,
		value{"a directory in place of a file", odder("is no regular file", func(path string) error { return os.Mkdir(path, 0o755) }), "is no regular file"},
		value{"a device in place of a file", odder("is no regular file", func(path string) error { return os.Symlink(os.DevNull, path) }), "is no regular file"},
		value{"a file of 64 MiB", odder("larger than", func(path string) error {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				return err
			}
			return os.Truncate(path, 64<<20)
		}), "larger than"})

	for _, tt := range values {
		said, from := "", log.Len()
		extreme.Within(t, tt.name, func() { said = tt.do() })
		if strings.HasPrefix(said, "5") {
			t.Errorf("%s: the agent answers %.200s", tt.name, said)
		}
		named := func() bool {
			return strings.Contains(said, tt.want) || strings.Contains(log.Since(from), tt.want) || strings.Contains(strings.Join(d.Reported().Reasons, "\n"), tt.want)
		}
		for wait := 0; wait < 500 && !named(); wait++ {
			time.Sleep(20 * time.Millisecond)
		}
		if !named() {
			t.Errorf("%s is not named by %q; the answer is %.300q and the log %.1000s", tt.name, tt.want, said, log.Since(from))
		}
		if n := len(log.Since(from)); n > 64<<10 {
			t.Errorf("%s: %d bytes of log: %.300s", tt.name, n, log.Since(from))
		}
	}
	reload <- os.Interrupt
	wait.For(t, "the task files are right again", func() bool { return d.badFile.Load() == nil })
	settled()
}

// zeros is a body of any length.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
