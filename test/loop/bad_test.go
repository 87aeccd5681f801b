package loop

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skerry.dev/test/rig"
)

// TestBadInput sends what sensors and people get wrong, with good readings in between. Every
// mistake is counted or said, and nothing else stops.
func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, anyBroker(t), 2*time.Minute)
	a := w.agent("plain", "bad", nil)
	heard := w.listen("plain")
	s := newSeries(91)
	p := w.sensor("bad", s)
	st, err := a.State(w.ctx)
	w.must(err)
	run := st.Run

	// times that no good message has
	ts := func(i int) string { return at(-100 - i).Format(time.RFC3339) }
	payloads := []struct{ kind, payload string }{
		{"syntax", `{"ts":"` + ts(0) + `","y":`},
		{"syntax", `y=12`},
		{"syntax", `{]`},
		{"type", `{"ts":"` + ts(1) + `","y":"twelve"}`},
		{"type", `{"ts":"` + ts(2) + `","y":{"value":1}}`},
		{"not_finite", `{"ts":"` + ts(3) + `","y":NaN}`},
		{"not_finite", `{"ts":"` + ts(4) + `","y":-Infinity}`},
		{"number_range", `{"ts":"` + ts(5) + `","y":1e999}`},
		{"duplicate_key", `{"ts":"` + ts(6) + `","y":1,"y":2}`},
		{"time", `{"ts":"yesterday","y":1}`},
		{"time", `{"ts":12,"y":1}`},
		{"depth", `{"ts":"` + ts(8) + `","z":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`},
		{"size", `{"ts":"` + ts(9) + `","y":1,"pad":"` + strings.Repeat("x", 1<<20) + `"}`},
	}
	good := func(n int) { t.Helper(); p.publish(n) }
	good(20)
	want := map[string]float64{}
	for _, b := range payloads {
		if tok := p.cli.Publish(p.topic, 1, false, b.payload); !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
			t.Fatalf("publish %.40q: %v", b.payload, tok.Error())
		}
		want[b.kind]++
		good(3)
	}
	p.settle()
	w.until(20*time.Second, "the errors are counted", func() (bool, string) {
		missing := []string{}
		for kind, n := range want {
			if got := w.metric(a.HTTP, `skerry_source_errors_total{kind="`+kind+`"}`); got != n {
				missing = append(missing, fmt.Sprintf("%s %g, want %g", kind, got, n))
			}
		}
		return len(missing) == 0, strings.Join(missing, "; ")
	})
	resp, err := http.Post("http://"+a.HTTP+"/v1/ingest/nobody/reads/this", "application/json", strings.NewReader(`{"y":1}`))
	w.must(err)
	resp.Body.Close()
	if n := w.metric(a.HTTP, "skerry_source_unknown_topic_total"); n != 1 || resp.StatusCode < 400 {
		t.Errorf("a message on a topic that no task reads: %s, counted %g times, want once", resp.Status, n)
	}

	// A task file that cannot be read, while the agent runs.
	file := filepath.Join(a.TaskDir(), "level.yaml")
	fine, err := os.ReadFile(file)
	w.must(err)
	for _, broken := range []string{"task: level\nkind: forecast\nhorizont: 1h\n", "task: [", strings.ReplaceAll(string(fine), "task: level", "task: lev+l"), strings.ReplaceAll(string(fine), "$.y", "$.y[")} {
		w.must(os.WriteFile(file, []byte(broken), 0o644))
		w.until(10*time.Second, "the broken task file is reported", func() (bool, string) {
			d, err := a.Detail(w.ctx)
			return err == nil && d.Status == "degraded" && strings.Contains(strings.Join(d.Reasons, " "), "task files not in force"), fmt.Sprint(d.Reasons, err)
		})
		good(5)
		w.must(os.WriteFile(file, fine, 0o644))
		w.until(10*time.Second, "the report is gone", func() (bool, string) {
			d, err := a.Detail(w.ctx)
			return err == nil && d.Status == "ok", fmt.Sprint(d.Reasons, err)
		})
	}
	p.settle()
	last := fmt.Sprintf(`{"ts":%q`, at(p.next-1).Format(time.RFC3339))
	w.until(20*time.Second, "every good reading is predicted", func() (bool, string) {
		rows, _, _ := heard.copy()
		return rows[last] != "" && len(rows) == p.next, fmt.Sprintf("%d of %d", len(rows), p.next)
	})
	w.drained(20*time.Second, a, p.next-1, len(s.took))
	w.exactlyOnce(a, s.took)
	if st, err = a.State(w.ctx); err != nil || st.Run != run {
		t.Errorf("the agent has started anew (%v)", err)
	}

	t.Run("commands", func(t *testing.T) { w.refusals(t, a) })
	t.Run("hub", func(t *testing.T) {
		for _, name := range []string{"a/b", "a+", "#", "", "Über", strings.Repeat("a", 64), "*", ">"} {
			if err := w.api.Call(w.ctx, "POST", "/v1/enroll-tokens", map[string]string{"device": name, "site": "s"}, nil); err == nil || !strings.Contains(err.Error(), "4") {
				t.Errorf("a token for a device named %q: %v, want a refusal", name, err)
			}
		}
		b := goodModel(t)
		for what, bad := range map[string][]byte{"empty": nil, "truncated": b[:len(b)/2], "changed": append(append([]byte{}, b[:300]...), append([]byte{b[300] ^ 1}, b[301:]...)...), "text": []byte("not an artifact")} {
			req, err := http.NewRequestWithContext(w.ctx, "POST", w.api.URL+"/v1/models", strings.NewReader(string(bad)))
			w.must(err)
			req.Header.Set("Authorization", "Bearer "+w.api.Token)
			req.Header.Set("Content-Type", "application/octet-stream")
			resp, err := w.api.HTTP.Do(req)
			w.must(err)
			resp.Body.Close()
			if resp.StatusCode < 400 || resp.StatusCode >= 500 {
				t.Errorf("uploading an artifact that is %s: %s, want 4xx", what, resp.Status)
			}
		}
	})
	t.Logf("%d bad payloads of %d kinds, 4 broken task files, %d good messages all predicted and in the lake once", len(payloads), len(want), p.next)
}

// refusals runs commands on wrong files: each ends with a text that names the place.
func (w *world) refusals(t *testing.T, a *rig.Agent) {
	dir := t.TempDir()
	conf, err := os.ReadFile(a.Config())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fine := strings.ReplaceAll(taskFile, "SITE", "a")
	unknown := write("unknown.yaml", strings.ReplaceAll(string(conf), "  broker:", "  brokr:"))
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"unknown key":          {[]string{"run", "--config", unknown}, []string{"brokr", "broker"}},
		"unknown key, checked": {[]string{"config", "check", "--config", unknown}, []string{"brokr", "broker"}},
		"wrong value":          {[]string{"run", "--config", write("wrong.yaml", strings.ReplaceAll(string(conf), "level: info", "level: loud"))}, []string{"log.level", "debug"}},
		"no such file":         {[]string{"run", "--config", filepath.Join(dir, "none.yaml")}, []string{"none.yaml"}},
		"unknown task key":     {[]string{"task", "check", write("a.yaml", fine+"horizont: 1h\n")}, []string{"horizont"}},
		"wildcard in a name":   {[]string{"task", "check", write("b.yaml", strings.ReplaceAll(fine, "task: level", "task: le#el"))}, []string{"le#el"}},
		"target is no input":   {[]string{"task", "check", write("c.yaml", strings.ReplaceAll(fine, "target: {series: y", "target: {series: z"))}, []string{"z"}},
		"no horizon":           {[]string{"task", "check", write("d.yaml", strings.ReplaceAll(fine, ", horizon: 1h", ""))}, []string{"horizon"}},
		"bad filter":           {[]string{"task", "check", write("e.yaml", strings.ReplaceAll(fine, "plant/a/reading", "plant/#/reading"))}, []string{"plant/#/reading"}},
	} {
		out, err := exec.CommandContext(w.ctx, a.Path, tt.args...).CombinedOutput()
		if err == nil {
			t.Errorf("%s: skerry-agent %v ends well, want a refusal:\n%s", name, tt.args, out)
		}
		for _, part := range tt.want {
			if !strings.Contains(string(out), part) {
				t.Errorf("%s: skerry-agent %v does not name %q:\n%s", name, tt.args[:2], part, out)
			}
		}
		if strings.Contains(string(out), "goroutine ") {
			t.Errorf("%s: skerry-agent %v crashes:\n%s", name, tt.args[:2], out)
		}
	}
}
