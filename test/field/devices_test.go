package field

import (
	"fmt"
	"strings"
	"testing"

	"skerry.dev/test/wait"
)

const roomTask = `task: room
target: {series: temp, horizon: 1h}
inputs: [{series: temp, topic: "house/{room}/climate", path: $.t}]
max_devices: 3
`

// TestCapturedDevices: a captured level makes a task of each device at its first message, which is
// its first reading; they are there again after a restart; those beyond the bound are named.
func TestCapturedDevices(t *testing.T) {
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{"room": roomTask}), newSensor(t, port)
	a.start()
	for i, room := range []string{"attic", "Living Room", "living-room", "cellar"} {
		s.publish("house/"+room+"/climate", fmt.Sprintf(`{"t":%d}`, 10*i), false)
	}
	for i, name := range []string{"room-attic", "room-living-room", "room-living-room-2"} {
		wait.For(t, name+" has its first reading", func() bool {
			return a.rows(name) == 1 && strings.Contains(s.heard("/"+name+"/prediction"), fmt.Sprintf(`"value":%d,`, 10*i))
		})
	}
	wait.For(t, "the device beyond the bound is named", func() bool { return strings.Contains(a.reasons(), "cellar: beyond max_devices (3)") })
	a.stop()
	a.start()
	if a.rows("room-attic") < 0 || a.rows("room-living-room-2") < 0 || a.rows("room") >= 0 || a.rows("room-cellar") >= 0 {
		d, _ := a.detail()
		t.Errorf("after a restart there are other tasks: %v", d.State.Tasks)
	}
	s.publish("house/attic/climate", `{"t":5}`, false)
	wait.For(t, "the attic goes on", func() bool { return a.rows("room-attic") == 2 })
	a.write("tasks/room.yaml", strings.Replace(roomTask, "max_devices: 3", "max_devices: 4", 1))
	wait.For(t, "a wider bound takes the fourth", func() bool { return a.rows("room-cellar") == 0 && a.rows("room-attic") == 2 && a.reasons() == "" })

	// the list of devices is damaged: each goes on with what it had learned when it sends again
	a.stop()
	a.write("state/devices.json", "{\"room\": [[\"at")
	a.start()
	s.publish("house/cellar/climate", `{"t":7}`, false)
	wait.For(t, "the cellar is found again", func() bool { return a.rows("room-cellar") == 1 })
	s.publish("house/attic/climate", `{"t":6}`, false)
	wait.For(t, "the attic goes on where it was", func() bool { return a.rows("room-attic") == 3 })
}

// TestWrongPathAndFormat: an input that gets nothing out of its messages is named with what they
// hold, and one whose every value is refused with why.
func TestWrongPathAndFormat(t *testing.T) {
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{
		"hum":  "task: hum\ntarget: {series: hum, horizon: 1h}\ninputs: [{series: hum, topic: cellar/air, path: $.Humid}]\n",
		"temp": "task: temp\ntarget: {series: temp, horizon: 1h}\ninputs: [{series: temp, topic: cellar/air, path: $.temp}]\ntime: {path: $.at, format: unix_ms}\n",
	}), newSensor(t, port)
	a.start()
	for i := range 10 {
		s.publish("cellar/air", fmt.Sprintf(`{"humid":%d,"temp":12,"at":%d}`, 60+i, 1772344800+i), false)
	}
	for _, want := range []string{"have held nothing for the series hum of task hum at the path $.Humid; they hold $.at (", "$.humid (number 69)", "values of the series temp of task temp were refused", "as unix it would be 2026-03-01"} {
		wait.For(t, want, func() bool { return strings.Contains(a.reasons(), want) && strings.Contains(a.log(), want) })
	}
	if out, _ := a.command("doctor"); !strings.Contains(out, "$.humid (number 69)") {
		t.Errorf("doctor = %s", out)
	}
}

// TestMergedDevices: a plain wildcard that a second device matches is named, with the form that
// keeps them apart.
func TestMergedDevices(t *testing.T) {
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{"all": "task: all\ntarget: {series: temp, horizon: 1h}\ninputs: [{series: temp, topic: house/+/climate, path: $.t}]\n"}), newSensor(t, port)
	a.start()
	s.publish("house/freezer/climate", `{"t":-18}`, false)
	wait.For(t, "a row", func() bool { return a.rows("all") == 1 })
	if r := a.reasons(); r != "" {
		t.Errorf("one device behind a wildcard degrades health: %s", r)
	}
	s.publish("house/oven/climate", `{"t":180}`, false)
	const want = "house/freezer/climate and house/oven/climate mix in one model"
	wait.For(t, "the second device is named", func() bool { return strings.Contains(a.reasons(), want) })
	if !strings.Contains(a.reasons(), "topic: house/{name}/climate") || !strings.Contains(a.log(), want) {
		t.Errorf("health = %s\nwant the form that captures the level, and a line in the log", a.reasons())
	}
}
