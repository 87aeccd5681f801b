package field

import (
	"fmt"
	"strings"
	"testing"
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
		eventually(t, name+" has its first reading", func() bool {
			return a.rows(name) == 1 && strings.Contains(s.heard("/"+name+"/prediction"), fmt.Sprintf(`"value":%d,`, 10*i))
		})
	}
	eventually(t, "the device beyond the bound is named", func() bool { return strings.Contains(a.reasons(), "cellar: beyond max_devices (3)") })
	a.stop()
	a.start()
	if a.rows("room-attic") < 0 || a.rows("room-living-room-2") < 0 || a.rows("room") >= 0 || a.rows("room-cellar") >= 0 {
		d, _ := a.detail()
		t.Errorf("after a restart there are other tasks: %v", d.State.Tasks)
	}
	s.publish("house/attic/climate", `{"t":5}`, false)
	eventually(t, "the attic goes on", func() bool { return a.rows("room-attic") == 2 })
	a.write("tasks/room.yaml", strings.Replace(roomTask, "max_devices: 3", "max_devices: 4", 1))
	eventually(t, "a wider bound takes the fourth", func() bool { return a.rows("room-cellar") == 0 && a.rows("room-attic") == 2 && a.reasons() == "" })
}

// TestMergedDevices: a plain wildcard that a second device matches is named, with the form that
// keeps them apart.
func TestMergedDevices(t *testing.T) {
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{"all": "task: all\ntarget: {series: temp, horizon: 1h}\ninputs: [{series: temp, topic: house/+/climate, path: $.t}]\n"}), newSensor(t, port)
	a.start()
	s.publish("house/freezer/climate", `{"t":-18}`, false)
	eventually(t, "a row", func() bool { return a.rows("all") == 1 })
	if r := a.reasons(); r != "" {
		t.Errorf("one device behind a wildcard degrades health: %s", r)
	}
	s.publish("house/oven/climate", `{"t":180}`, false)
	const want = "house/freezer/climate and house/oven/climate mix in one model"
	eventually(t, "the second device is named", func() bool { return strings.Contains(a.reasons(), want) })
	if !strings.Contains(a.reasons(), "topic: house/{name}/climate") || !strings.Contains(a.log(), want) {
		t.Errorf("health = %s\nwant the form that captures the level, and a line in the log", a.reasons())
	}
}
