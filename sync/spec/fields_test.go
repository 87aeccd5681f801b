package spec

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// whole is a task file in which every key stands on a line of its own, so that a test can change
// one. fields checks that it holds every key of Task.
const whole = `task: whole
kind: forecast
target:
  series: y
  horizon: 1h
  tolerance: 10m
  topic: plant/y
  path: $.y
  range: [1, 9]
  categories: []
  time: {path: $.due, format: auto, zone: UTC}
  number: {decimal: ".", strip: ""}
  words: {none: 0}
inputs:
  - series: y
    topic: plant/+/y
    path: $.y
    unit: kPa
    range: [0, 10]
    categories: []
    sync: rows
    time:
      path: $.at
      format: unix
      zone: Europe/Berlin
    number:
      decimal: ","
      strip: kPa
    words: {idle: 0}
  - series: kind
    topic: plant/kind
    categories: [a, b]
    sync: none
time:
  path: $.ts
  format: unix_ms
  zone: UTC
  max_future: 1m
  max_past: 30d
rows:
  on: y
  max_age: 2h
  lateness: 5m
  idle: 10s
features:
  - name: twice
    expr: 2 * y
  - name: slope
    wasm: trend
    function: slope
    of: [y]
    rows: 24
max_devices: 5
calendar:
  utc_offset: +01:00
  holidays: [2026-12-25]
publish:
  topic: out/{device}/{task}
  retain: false
  min_interval: 5s
  explain: 3
adapt:
  enabled: true
  learners: [linear, knn]
  max_bytes: 1MB
  detectors: [adwin]
  share: 0.01
anomaly:
  detector: ""
  rate: 0
interval: 0.8
sync:
  readings: none
  predictions: 25%
budget:
  latency: 2ms
  size: 512KiB
`

// replaced returns the whole file with the line that begins with key, at the nth place where one
// does, changed.
func replaced(t *testing.T, key string, nth int, line string) (text string, at int) {
	t.Helper()
	lines := strings.Split(whole, "\n")
	for i, l := range lines {
		body := strings.TrimLeft(l, " -")
		if strings.HasPrefix(body, key+":") {
			if nth--; nth == 0 {
				lines[i] = l[:len(l)-len(body)] + line
				return strings.Join(lines, "\n"), i + 1
			}
		}
	}
	t.Fatalf("the whole file has no key %q", key)
	return "", 0
}

// TestWholeTask reads a file that sets every key to something that is not its default.
func TestWholeTask(t *testing.T) {
	task, err := parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what      string
		got, want any
	}{
		{"horizon", task.Horizon(), time.Hour},
		{"tolerance", task.Target.Tolerance.Std(), 10 * time.Minute},
		{"range", *task.Inputs[0].Range, [2]float64{0, 10}},
		{"target range", *task.Target.Range, [2]float64{1, 9}},
		{"bounds", [2]float64{task.Engine().Low, task.Engine().High}, [2]float64{1, 9}},
		{"unit", task.Inputs[0].Unit, "kPa"},
		{"input sync", task.Inputs[1].Sync, "none"},
		{"categories", task.Inputs[1].Categories, []string{"a", "b"}},
		{"max_future", task.Time.MaxFuture.Micros(), int64(60e6)},
		{"max_past", task.Time.MaxPast.Micros(), int64(30 * 86400e6)},
		{"max_age", task.Rows.MaxAge.Std(), 2 * time.Hour},
		{"lateness", task.Rows.Lateness.Std(), 5 * time.Minute},
		{"idle", task.Rows.Idle.Std(), 10 * time.Second},
		{"topic", task.PublishTopic("d1"), "out/d1/whole"},
		{"retain", task.Retains(), false},
		{"min_interval", task.Publish.MinInterval.Std(), 5 * time.Second},
		{"explain", task.Publish.Explain, 3},
		{"adapts", task.Adapts(), true},
		{"learners", task.Adapt.Learners, []string{"linear", "knn"}},
		{"max_bytes", task.Adapt.MaxBytes, Bytes(1e6)},
		{"share", task.Adapt.Share, 0.01},
		{"interval", task.Interval, 0.8},
		{"predictions", task.PredictionShare(), 0.25},
		{"latency", task.Budget.Latency.Std(), 2 * time.Millisecond},
		{"size", task.Budget.Size, Bytes(512 << 10)},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s = %v, want %v", tt.what, tt.got, tt.want)
		}
	}
	c := task.Engine()
	if c.Horizon != 3600e6 || c.Tolerance != 600e6 || c.On != 0 || c.Every != 0 || c.MaxAge != 7200e6 || c.Lateness != 300e6 || c.Idle != 10e6 ||
		c.Level != 0.8 || !c.Adapt || c.Share != 0.01 || c.LearnerBytes != 1e6 || c.Target != 0 || len(c.Series) != 2 {
		t.Errorf("Engine() = %+v, want what the file has", c)
	}
	if s := c.Series[0]; s.Min != 0 || s.Max != 10 || s.Unit != "kPa" {
		t.Errorf("Engine() has the first series %+v, want its range and unit", s)
	}
	if s := c.Series[1]; !math.IsNaN(s.Min) || !math.IsNaN(s.Max) {
		t.Errorf("Engine() has the second series %+v, want no range", s)
	}
	for name, want := range map[string]int{"y": 0, "kind": 1} {
		if k, ok := task.EngineSeries(name); !ok || k != want {
			t.Errorf("EngineSeries(%s) = %d, %v, want %d", name, k, ok, want)
		}
	}
	if _, ok := task.EngineSeries("z"); ok {
		t.Error("EngineSeries(z): there is such a series")
	}
}

// TestWholeHasEveryKey keeps the whole file whole: a key that is added to Task is added there,
// and to the table of mistakes below.
func TestWholeHasEveryKey(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(whole), &root); err != nil {
		t.Fatal(err)
	}
	var missing []string
	var visit func(path string, typ reflect.Type, nodes []*yaml.Node)
	visit = func(path string, typ reflect.Type, nodes []*yaml.Node) {
		for i := range typ.NumField() {
			key, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
			switch path + key {
			case "-", "rows.every", "anomaly.set", "target.id", "rows.id": // all but the first exclude others of the file
				continue
			}
			var found []*yaml.Node
			for _, n := range nodes {
				for k := 0; k+1 < len(n.Content); k += 2 {
					if n.Content[k].Value == key {
						found = append(found, n.Content[k+1])
					}
				}
			}
			if len(found) == 0 {
				missing = append(missing, path+key)
				continue
			}
			switch ft := typ.Field(i).Type; {
			case ft.Kind() == reflect.Struct:
				visit(path+key+".", ft, found)
			case ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct:
				visit(path+key+".", ft.Elem(), found[0].Content)
			}
		}
	}
	visit("", reflect.TypeFor[Task](), root.Content)
	if len(missing) > 0 {
		t.Errorf("the whole file lacks %s", strings.Join(missing, ", "))
	}
}

// TestEveryMistakeIsNamed changes one line of a good file and demands an error of that path, that
// line and that value, which says what is allowed.
func TestEveryMistakeIsNamed(t *testing.T) {
	const name = "must be 1 to 127 letters, digits or _.:- and start with a letter or digit"
	for _, tt := range []struct {
		key   string // of the line
		nth   int    // which of those with the key
		line  string // what it becomes
		path  string
		value string
		msg   string // a part
	}{
		{"task", 1, "task: Whole", "task", "Whole", "must be 1 to 63 of a-z, 0-9, - and _"},
		{"task", 1, "task: ", "task", "", "must be 1 to 63 of a-z, 0-9, - and _"},
		{"task", 1, "task: " + strings.Repeat("a", 64), "task", strings.Repeat("a", 64), "must be 1 to 63 of a-z, 0-9, - and _"},
		{"kind", 1, "kind: guess", "kind", "guess", "must be forecast, regression, classification or anomaly"},
		{"series", 1, "series: z", "target.series", "z", "must be one of the inputs"},
		{"series", 1, "series: -y", "target.series", "-y", name},
		{"horizon", 1, "horizon: 0s", "target.horizon", "0s", "a forecast needs a horizon above 0 and at most 366 days"},
		{"horizon", 1, "horizon: 367d", "target.horizon", "8808h0m0s", "at most 366 days"},
		{"horizon", 1, "horizon: -1h", "target.horizon", "", `"-1h" is negative`},
		{"horizon", 1, "horizon: soon", "target.horizon", "", `"soon" is not a duration: write for example 90s, 5m, 1h or 3d`},
		{"tolerance", 1, "tolerance: 1", "target.tolerance", "", `"1" is not a duration`},
		{"topic", 1, "topic: a/#/b", "target.topic", "a/#/b", "# stands alone and last"},
		{"path", 1, "path: y", "target.path", "y", "must be a path such as $.pm25"},
		{"categories", 1, "categories: a", "target.categories", "a", "must be a list"},
		{"series", 2, "series: \"\"", "inputs[0].series", "", name},
		{"series", 3, "series: y", "inputs[1].series", "y", "already defined by inputs[0]"},
		{"series", 3, "series: " + strings.Repeat("k", 128), "inputs[1].series", strings.Repeat("k", 128), name},
		{"topic", 2, "topic: \"\"", "inputs[0].topic", "", "name the MQTT topic"},
		{"topic", 2, "topic: a+/b", "inputs[0].topic", "a+/b", "+ stands alone between slashes"},
		{"topic", 2, "topic: $share/agents/a/b", "inputs[0].topic", "$share/agents/a/b", "without $share"},
		{"topic", 2, "topic: $queue/a/b", "inputs[0].topic", "$queue/a/b", "without $queue"},
		{"topic", 2, "topic: a/b#", "inputs[0].topic", "a/b#", "# stands alone and last"},
		{"topic", 2, "topic: " + strings.Repeat("t", 1025), "inputs[0].topic", strings.Repeat("t", 1025), "1 to 1024 characters"},
		{"topic", 2, `topic: "a\0b"`, "inputs[0].topic", "a\x00b", "no NUL"},
		{"path", 2, "path: $..y", "inputs[0].path", "$..y", "must be a path"},
		{"range", 1, "range: [9, 1]", "target.range", "[9 1]", "must be [low, high] with low < high"},
		{"range", 2, "range: [1]", "inputs[0].range", "", "must have 2 elements, has 1"},
		{"range", 2, "range: [5, 5]", "inputs[0].range", "[5 5]", "must be [low, high] with low < high"},
		{"range", 2, "range: [.nan, 5]", "inputs[0].range", "[NaN 5]", "must be [low, high]"},
		{"range", 2, "range: [low, 5]", "inputs[0].range[0]", "low", "must be a number"},
		{"sync", 1, "sync: all", "inputs[0].sync", "all", "must be rows or none"},
		{"categories", 3, "categories: [" + strings.Repeat("c, ", 257) + "]", "inputs[1].categories", "257", "at most 256"},
		{"time", 1, "time: {zone: Nowhere}", "target.time.zone", "Nowhere", "must be a zone such as Europe/Berlin"},
		{"path", 3, "path: at", "inputs[0].time.path", "at", "must be a path"},
		{"format", 1, "format: \"15:04\"", "inputs[0].time.format", "15:04", "or a layout"},
		{"zone", 1, "zone: Local", "inputs[0].time.zone", "Local", "must be a zone"},
		{"decimal", 1, "decimal: ;", "inputs[0].number.decimal", ";", "must be \".\" or \",\""},
		{"strip", 1, "strip: H2O", "inputs[0].number.strip", "H2O", "without digits"},
		{"words", 2, "words: {idle: .inf}", "inputs[0].words.idle", "+Inf", "must be a finite number"},
		{"words", 2, "words: [idle]", "inputs[0].words", "", "must be a mapping"},
		{"path", 4, "path: ts", "time.path", "ts", "must be a path"},
		{"zone", 2, "zone: \"+2\"", "time.zone", "+2", "must be a zone"},
		{"max_devices", 1, "max_devices: 1025", "max_devices", "1025", "must be 1 to 1024"},
		{"topic", 2, "topic: plant/{a}/{a}", "inputs[0].topic", "plant/{a}/{a}", "twice under one name"},
		{"max_past", 1, "max_past: -1h", "time.max_past", "", "is negative"},
		{"format", 2, "format: iso", "time.format", "iso", "must be auto, rfc3339, unix, unix_ms, unix_us, unix_ns or a layout"},
		{"max_future", 1, "max_future: never", "time.max_future", "", "is not a duration"},
		{"on", 1, "on: z", "rows.on", "z", "must be one of the inputs"},
		{"max_age", 1, "max_age: old", "rows.max_age", "", "is not a duration"},
		{"lateness", 1, "lateness: -1s", "rows.lateness", "", "is negative"},
		{"idle", 1, "idle: [1s]", "rows.idle", "", "is not a duration"},
		{"name", 1, "name: y", "features[0].name", "y", "is the name of an input"},
		{"name", 2, "name: twice", "features[1].name", "twice", "is defined twice"},
		{"expr", 1, "expr: 2 *", "features[0].expr", "", "found nothing"},
		{"wasm", 1, "wasm: a b", "features[1].wasm", "", "module name"},
		{"function", 1, "function: " + strings.Repeat("f", 257), "features[1].wasm", "", "1 to 256 bytes"},
		{"of", 1, "of: [" + strings.Repeat("y, ", 17) + "]", "features[1].wasm", "", "is of 17 series, must be 1 to 16"},
		{"rows", 2, "rows: -1", "features[1].wasm", "", "takes -1 rows, must be 1 to 256"},
		{"rows", 2, "rows: many", "features[1].rows", "many", "must be a whole number"},
		{"rows", 2, "rows: 1.5", "features[1].rows", "1.5", "must be a whole number"},
		{"utc_offset", 1, "utc_offset: CET", "calendar", "", `utc_offset "CET": must be like +08:00 or -03:30`},
		{"holidays", 1, "holidays: [2026-02-30]", "calendar", "", "2026-02-30"},
		{"topic", 4, "topic: out/+/x", "publish.topic", "out/+/x", "must be a topic without the wildcards + and #"},
		{"retain", 1, "retain: perhaps", "publish.retain", "perhaps", "must be true or false"},
		{"min_interval", 1, "min_interval: x", "publish.min_interval", "", "is not a duration"},
		{"explain", 1, "explain: 17", "publish.explain", "17", "must be 0 to 16 shares"},
		{"explain", 1, "explain: -1", "publish.explain", "-1", "must be 0 to 16"},
		{"explain", 1, "explain: true", "publish.explain", "true", "must be a whole number"},
		{"enabled", 1, "enabled: 7", "adapt.enabled", "7", "must be true or false"},
		{"learners", 1, "learners: [linear, oracle]", "adapt.learners[1]", "oracle", "must be one of adaptive-forest"},
		{"learners", 1, "learners: [knn, knn]", "adapt.learners[1]", "knn", "is listed twice"},
		{"max_bytes", 1, "max_bytes: 63KiB", "adapt.max_bytes", "64512", "must be 64KB to 256MB"},
		{"max_bytes", 1, "max_bytes: 300MB", "adapt.max_bytes", "300000000", "must be 64KB to 256MB"},
		{"max_bytes", 1, "max_bytes: big", "adapt.max_bytes", "", `"big" is not a size: write for example 512KiB or 4MB`},
		{"detectors", 1, "detectors: [tea-leaves]", "adapt.detectors[0]", "tea-leaves", "adwin"},
		{"detectors", 1, "detectors: [adwin, adwin]", "adapt.detectors[1]", "adwin", "is listed twice"},
		{"share", 1, "share: 0.21", "adapt.share", "0.21", "must be 0 to 0.2"},
		{"share", 1, "share: -1", "adapt.share", "-1", "must be 0 to 0.2"},
		{"detector", 1, "detector: pca", "anomaly", "pca", "is for tasks of kind anomaly"},
		{"detector", 1, "set: [a]", "anomaly.set", "", "must be a mapping"},
		{"rate", 1, "rate: 0.05", "anomaly", "", "is for tasks of kind anomaly"},
		{"rate", 1, "rate: much", "anomaly.rate", "much", "must be a number"},
		{"interval", 1, "interval: 0.4", "interval", "0.4", "must be 0.5 to 0.999"},
		{"interval", 1, "interval: 1", "interval", "1", "must be 0.5 to 0.999"},
		{"readings", 1, "readings: some", "sync.readings", "some", "must be all or none"},
		{"predictions", 1, "predictions: 101%", "sync.predictions", "101%", "must be a percentage from 0% to 100%"},
		{"predictions", 1, "predictions: 0.5", "sync.predictions", "0.5", "must be a percentage"},
		{"latency", 1, "latency: fast", "budget.latency", "", "is not a duration"},
		{"size", 1, "size: 1 TB", "budget.size", "", "is not a size"},
	} {
		text, line := replaced(t, tt.key, tt.nth, tt.line)
		_, err := parse(text)
		if err == nil {
			t.Errorf("%.60s: accepted, want an error of %s", tt.line, tt.path)
			continue
		}
		found := false
		for _, e := range problems(err) {
			found = found || e.Path == tt.path && e.Value == tt.value && strings.Contains(e.Msg, tt.msg)
			// some errors are of a whole block and stand where it begins
			if own := strings.Contains(tt.path+"[", tt.key+"["); own && e.Path == tt.path && e.Line != line {
				t.Errorf("%.60s: the error stands on line %d, want %d", tt.line, e.Line, line)
			}
		}
		if !found {
			t.Errorf("%.60s:\n%v\nwant %s: %q: %s", tt.line, err, tt.path, tt.value, tt.msg)
		}
	}
}

// problems are the *Error values that an error joins.
func problems(err error) (out []*Error) {
	if e, ok := err.(*Error); ok {
		return []*Error{e}
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			out = append(out, problems(e)...)
		}
		return out
	}
	if e := errors.Unwrap(err); e != nil {
		return problems(e)
	}
	return nil
}
