package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/server"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
	"skerry.dev/test/extreme"
	"skerry.dev/test/wait"
)

// bomb is a chunk whose columns are zeros, very many of them, with all checksums right.
func bomb(a *agent, count uint32, size int) []byte {
	b := append([]byte("SKCH"), 1, byte(wire.ClassReading))
	b = append(b, a.run[:]...)
	b = binary.LittleEndian.AppendUint64(b, 1<<40)
	b = binary.LittleEndian.AppendUint32(b, count)
	b = append(append(b, byte(len(a.reply.Device))), a.reply.Device...)
	w, _ := zstd.NewWriter(nil)
	b = w.EncodeAll(make([]byte, size), b)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// TestExtremeValues sends values of times, sizes, counts, names and nesting that no sender should
// send, through the bus and the routes. Each takes at most a second and 32 MiB, and the answer, an
// alarm of the device or the log names what was wrong with it, if it was.
func TestExtremeValues(t *testing.T) {
	var log extreme.Log
	h := start(t, server.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	a := h.agent("pump-1")
	a.hello()
	now := time.Now().UnixMicro()

	// Each returns what the hub answered; what goes by alarms and the log adds to it later.
	seq := uint64(1)
	message := func(subject string, b []byte) func() string {
		return func() string {
			m, err := a.nc.Request(subject, b, 5*time.Second)
			if err != nil {
				return err.Error()
			}
			return string(m.Data)
		}
	}
	records := func(c wire.Class, r wire.Records) func() string {
		b := a.encode(c, seq, &r)
		seq += 1000
		if c == wire.ClassEvent {
			return message(wire.SubjectEvents("north", "pump-1"), b)
		}
		return message(wire.SubjectLive("north", "pump-1"), b)
	}
	reading := func(series string, at int64, v float64) func() string {
		return records(wire.ClassReading, wire.Records{Readings: []wire.Reading{{Series: series, Time: at, Value: v, Mono: math.MaxInt64}}})
	}
	raw := func(b []byte) func() string { return message(wire.SubjectLive("north", "pump-1"), b) }
	state := func(doc string) func() string {
		return func() string {
			a.state([]byte(doc))
			if err := a.nc.Flush(); err != nil {
				return err.Error()
			}
			return ""
		}
	}
	report := func(r spec.Reported) func() string {
		r.Device = "pump-1"
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return state(string(b))
	}
	request := func(method, path string, body []byte) func() string {
		return func() string {
			req, err := http.NewRequest(method, h.URL()+path, bytes.NewReader(body))
			if err != nil {
				return err.Error()
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+h.token)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return err.Error()
			}
			defer res.Body.Close()
			b, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
			return fmt.Sprint(res.StatusCode, " ", string(b), err)
		}
	}
	get := func(path string) func() string { return request("GET", path, nil) }
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	days := make([][]byte, 20)
	for c := range days {
		r := &wire.Records{}
		for k := range 500 {
			r.Readings = append(r.Readings, wire.Reading{Series: "days", Time: int64(c*500+k) * 86400e6, Value: 1})
		}
		days[c] = a.encode(wire.ClassReading, uint64(1_000_000+500*c), r)
	}
	tasks := map[string]spec.ReportedTask{}
	for n := range 5_000 { // as many as fit into a message
		tasks[fmt.Sprintf("t%d", n)] = spec.ReportedTask{}
	}
	inputs := make([]spec.ReportedInput, 3000)
	for n := range inputs {
		inputs[n] = spec.ReportedInput{Series: fmt.Sprint("s", n), Topic: strings.Repeat("t/", 60), LastSeen: math.MaxInt64, LastValue: -math.MaxFloat64, LastRefused: strings.Repeat("x", 40)}
	}
	var hellos [][]byte
	for range 10 {
		hello := wire.Hello{Device: "pump-1", Version: "1"}
		for n := range 4000 {
			var run wire.Run
			binary.LittleEndian.PutUint64(run[:], uint64(len(hellos)*4000+n+1))
			hello.Runs = append(hello.Runs, wire.RunInfo{Run: run})
		}
		b, err := json.Marshal(hello)
		if err != nil {
			t.Fatal(err)
		}
		hellos = append(hellos, b)
	}
	long := strings.Repeat("x", 64<<10)
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		laughs += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	object := func(pairs ...any) []byte {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		b, _ := json.Marshal(m) // texts and numbers always encode
		return b
	}

	type value struct {
		name string
		do   func() string
		want string // part of the answer, of an alarm or of the log; "" for a value that is taken
	}
	values := []value{
		{"time 1970", reading("s", 0, 1), "clock"},
		{"time 2262", reading("s", math.MaxInt64/1000, 1), "clock"},
		{"smallest time", reading("s", math.MinInt64, 1), "clock"},
		{"largest time", reading("s", math.MaxInt64, 1), "clock"},
		{"NaN", reading("s", now, math.NaN()), "non_finite"},
		{"Inf", reading("s", now+1, math.Inf(1)), "non_finite"},
		{"-Inf", reading("s", now+2, math.Inf(-1)), "non_finite"},
		{"series with NUL", reading("a\x00b", now, 1), "NUL"},
		{"series that is a path", reading("../../../etc/passwd", now, 1), ""},
		{"series of 64 KiB", reading(long, now, 1), "bytes"},
		{"series of any script", reading("温度\u202e🌡️", now, 1), ""},
		{"labels of NaN", records(wire.ClassLabel, wire.Records{Labels: []wire.Label{{Task: "t", Row: math.MinInt64, At: math.MaxInt64, Truth: math.NaN(), Predicted: math.Inf(1), Lower: math.NaN(), Upper: math.NaN()}}}), ""},
		{"label of a task that is a path", records(wire.ClassLabel, wire.Records{Labels: []wire.Label{{Task: "../../x", Row: now}}}), ""},
		{"predictions of Inf", records(wire.ClassPrediction, wire.Records{Predictions: []wire.Prediction{{Task: "t", Row: math.MaxInt64, For: math.MinInt64, Value: math.Inf(-1)}}}), ""},
		{"host values of NaN", records(wire.ClassHost, wire.Records{Hosts: []wire.Host{{Time: math.MinInt64, Metric: "cpu", Value: math.NaN()}}}), ""},
		{"an event with deep JSON", records(wire.ClassEvent, wire.Records{Events: []wire.Event{{Time: now, Kind: "x", Detail: deep(20_000)}}}), ""},
		{"10,000 days in a batch", func() string {
			for _, b := range days {
				if _, err := a.nc.Request(wire.SubjectLive("north", "pump-1"), b, 5*time.Second); err != nil {
					return err.Error()
				}
			}
			return ""
		}, "clock"},
		{"600 KB of nothing", raw(bytes.Repeat([]byte{0xff}, 600_000)), "quarantine"},
		{"a chunk of 512 MiB of zeros", raw(bomb(a, 500, 512<<20)), "decompressed size"},
		{"a chunk of four billion records", raw(bomb(a, math.MaxUint32, 1<<20)), "records"},
		{"the last sequence number", raw(a.encode(wire.ClassReading, math.MaxUint64-2, &wire.Records{Readings: []wire.Reading{{Series: "s", Time: now}}})), "sequence"},
		{"5,000 tasks", report(spec.Reported{Generation: 1, Tasks: tasks}), "task_limit"},
		{"a report of deep JSON", state(`{"device":"pump-1","tasks":` + deep(400_000) + `}`), "read the document"},
		{"a task that is a path", report(spec.Reported{Generation: 2, Tasks: map[string]spec.ReportedTask{"../../x": {}}}), "not a valid name"},
		{"a report with NUL", state(`{"device":"pump-1","health":"a\u0000b"}`), "NUL"},
		{"a version of 64 KiB", report(spec.Reported{Generation: 3, Version: long}), "has 65536 bytes"},
		{"3,000 inputs with all that an agent may say of them", report(spec.Reported{Generation: 4, Inputs: inputs}), ""},
		{"a device with 3,000 inputs", get("/v1/devices/pump-1"), "200"},
		{"the largest generation", report(spec.Reported{Generation: math.MaxUint64}), ""},

		{"a limit beyond int64", get("/v1/events?limit=9223372036854775808"), "422"},
		{"a limit of -1", get("/v1/audit?limit=-1"), "422"},
		{"a limit of 2^31", get("/v1/devices?limit=2147483648"), "422"},
		{"a million of readings of all times", get("/v1/lake/readings?device=pump-1&limit=1000000&from=-9223372036854775808&to=9223372036854775807"), "200"},
		{"a time beyond int64", get("/v1/lake/readings?device=pump-1&from=99999999999999999999"), "422"},
		{"a cursor of junk", get("/v1/events?after=" + url.QueryEscape(strings.Repeat("%,", 250))), "422"},
		{"a cursor of 64 KiB", get("/v1/events?before=" + long[:60_000]), "422"},
		{"a page after the last number", get("/v1/lake/readings?device=pump-1&after=" + base64.RawURLEncoding.EncodeToString([]byte("9223372036854775807.9223372036854775807"))), ""},
		{"a NUL in a query", get("/v1/devices?site=%00"), "NUL"},
		{"a device that is a path", get("/v1/devices/..%2f..%2fetc%2fpasswd"), "404"},
		{"a task of 60 KB", get("/v1/tasks/" + long[:60_000]), "4"},
		{"10,000 series", get("/v1/lake/readings?device=pump-1&series=" + strings.Repeat("s,", 10_000)), "422"},
		{"a token of deep JSON", request("POST", "/v1/enroll-tokens", []byte(`{"device":`+deep(400_000)+`}`)), "nested deeper than 64"},
		{"a login of 64 KiB", request("POST", "/v1/login", object("user", long, "password", long)), "422"},
		{"a body of 32 MiB", request("POST", "/v1/enroll-tokens", bytes.Repeat([]byte(" "), 32<<20)), "413"},
		{"a task file of a billion laughs", request("PUT", "/v1/tasks/flow", object("spec", laughs)), "4"},
	}
	for n, b := range hellos { // 40,000 runs, half of them more than a day has
		v := value{fmt.Sprintf("%d runs", 4000*(n+1)), message(wire.SubjectHello("pump-1"), b), ""}
		if 4000*(n+1) > 20_000 {
			v.want = "started more than"
		}
		values = append(values, v)
	}
	for _, tt := range values {
		var said string
		extreme.Within(t, tt.name, func() { said = tt.do() })
		if strings.HasPrefix(said, "5") {
			t.Errorf("%s: the hub answers %.200s", tt.name, said)
		}
		named := func() bool {
			if strings.Contains(said, tt.want) || strings.Contains(log.Since(0), tt.want) {
				return true
			}
			events, err := h.DB.Read().Events(t.Context(), meta.EventFilter{Device: "pump-1", Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if strings.Contains(e.Kind+e.Detail, tt.want) {
					return true
				}
			}
			return false
		}
		wait.For(t, fmt.Sprintf("%s is named by %q, the hub answers %.300q", tt.name, tt.want, said), named)
		if tt.want == "" && strings.Contains(said, `"refused"`) {
			t.Errorf("%s: refused: %.300s", tt.name, said)
		}
	}
	took, grown := extreme.Cost(func() {
		if _, err := h.Lake.Compact(t.Context(), true); err != nil {
			t.Error(err)
		}
		if _, err := h.Lake.Merge(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
	})
	t.Logf("to the lake: %v, %d MiB", took.Round(time.Millisecond), grown>>20)
	if code, body := h.ready(); code != http.StatusOK {
		t.Errorf("/ready = %d %s after all of it", code, body)
	}
	if b := a.chunk(2_000_000, 10, 1); !a.live(b).Applied {
		t.Error("a good chunk after all of it is not taken")
	}
}
