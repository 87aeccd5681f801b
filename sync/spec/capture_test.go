package spec

import (
	"slices"
	"strings"
	"testing"
)

const roomTask = `# of every room
task: room
target: {series: temp, horizon: 1h}
inputs:
  - {series: temp, topic: "house/{room}/climate", path: $.t}
  - {series: hum-idity, topic: "house/{room}/climate", path: $.h}
  - {series: outside, topic: weather/now, path: $.t}
features:
  - {name: gap, expr: "temp - outside + 1e3 * ` + "`hum-idity`" + `"}
  - {name: wet, wasm: air, function: wet, of: [temp, outside]}
rows: {on: temp}
max_devices: 3
`

// TestInstance makes the task of one room out of the file of all.
func TestInstance(t *testing.T) {
	tmpl, err := ParseTask("room.yaml", strings.NewReader(roomTask))
	if err != nil {
		t.Fatal(err)
	}
	if got := tmpl.Captures(); !slices.Equal(got, []string{"room"}) || !slices.Equal(tmpl.CapturedFilters(), []string{"house/+/climate", "house/+/climate"}) {
		t.Fatalf("Captures() = %v, filters %v", got, tmpl.CapturedFilters())
	}
	for topic, want := range map[string]string{"house/Living Room/climate": "Living Room", "house/a/b/climate": "", "weather/now": "", "house/x": ""} {
		values, ok := tmpl.Capture(topic)
		if ok != (want != "") || ok && values[0] != want {
			t.Errorf("Capture(%q) = %v, %v, want %q", topic, values, ok, want)
		}
	}
	name := tmpl.InstanceName([]string{"Living Room"})
	one, err := tmpl.Instance(name, []string{"Living Room"})
	if err != nil {
		t.Fatal(err)
	}
	if one.Name != "room-living-room" || one.Target.Series != "temp_living_room" || one.Rows.On != "temp_living_room" || one.Template != "room" || one.Captures() != nil {
		t.Errorf("Instance = %+v", one)
	}
	if in := one.Inputs; in[0].Topic != "house/Living Room/climate" || in[1].Series != "hum-idity_living_room" || in[2].Series != "outside" {
		t.Errorf("inputs = %+v", in)
	}
	if f := one.Features; f[0].Expr != "temp_living_room - outside + 1e3 * `hum-idity_living_room`" || !slices.Equal(f[1].Of, []string{"temp_living_room", "outside"}) {
		t.Errorf("features = %+v", f)
	}
	again, err := ParseTask("reported", strings.NewReader(one.Source)) // as the hub does
	if err != nil || again.Hash != one.Hash || again.Name != one.Name {
		t.Errorf("the made file read again = %+v, %v", again, err)
	}
	other, err := ParseTask("room.yaml", strings.NewReader(strings.Replace(roomTask, "max_devices: 3", "max_devices: 9", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if two, err := other.Instance(name, []string{"Living Room"}); err != nil || two.Hash != one.Hash {
		t.Errorf("another bound makes another task: %v", err)
	}
	for _, v := range []string{"", "a+b", "{x}", "#"} {
		if _, err := tmpl.Instance("room-x", []string{v}); err == nil {
			t.Errorf("Instance of %q: made, want it refused", v)
		}
	}
	mixed := strings.Replace(roomTask, `"house/{room}/climate", path: $.h`, `"house/{room}/{what}", path: $.h`, 1)
	if _, err := ParseTask("room.yaml", strings.NewReader(mixed)); err == nil || !strings.Contains(err.Error(), "must capture the same levels") {
		t.Errorf("two sets of captures = %v", err)
	}
}

// TestNamesOfOtherScripts: devices whose names are of another script have tasks that differ by
// their text alone, whatever came first, so that one name is one room on every device.
func TestNamesOfOtherScripts(t *testing.T) {
	task, err := ParseTask("climate.yaml", strings.NewReader("task: climate\ntarget: {series: t, horizon: 1h}\ninputs: [{series: t, topic: \"z/{name}\", path: $.t}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, name := range []string{"Кухня", "Спальня", "厨房", "卧室", "Кухня-1", "Спальня-1", "-", " ", "🌡️", "Küche 1", "living_room"} {
		got := task.InstanceName([]string{name})
		if other := seen[got]; other != "" || !ValidName(got) {
			t.Errorf("%q is named %q, as %q", name, got, other)
		}
		seen[got] = name
	}
	for name, want := range map[string]string{"Küche 1": "climate-k--che-1", "living_room": "climate-living_room"} {
		if got := task.InstanceName([]string{name}); got != want {
			t.Errorf("%q is named %q, want %q as before", name, got, want)
		}
	}
}
