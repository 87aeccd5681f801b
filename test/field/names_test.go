package field

import (
	"fmt"
	"strings"
	"testing"

	"skerry.dev/test/wait"
)

// TestOneNameForTwoThings: a task file that comes later and reads something else under a name that
// is taken runs beside the one that has it, although its file comes first. Nothing is learned anew,
// the other name is reported, and it stays over a restart.
func TestOneNameForTwoThings(t *testing.T) {
	port, _ := mosquitto(t)
	file := func(task, topic string) string {
		return fmt.Sprintf("task: %s\ntarget: {series: temp, horizon: 1h}\ninputs: [{series: temp, topic: %s, path: $.temp}]\ntime: {path: $.ts}\nrows: {on: temp}\n", task, topic)
	}
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{"middle": file("middle", "hall")}), newSensor(t, port)
	a.start()
	send := func(hour int, task, topic, temp string) {
		t.Helper()
		wait.For(t, task+" predicts from its own sensor", func() bool {
			s.publish(topic, fmt.Sprintf(`{"ts":"2026-11-29T%02d:00:00Z","temp":%s}`, hour, temp), false) // the same again is known
			return strings.Contains(s.heard("/"+task+"/prediction"), `"persistence":`+temp)
		})
	}
	send(1, "middle", "hall", "21")
	send(2, "middle", "hall", "22")
	a.write("tasks/attic.yaml", file("attic", "roof"))
	wait.For(t, "the new task is there", func() bool { return a.rows("attic") == 0 })
	send(3, "middle", "hall", "23")
	send(3, "attic", "roof", "3")
	wait.For(t, "the task that was there has all its rows", func() bool { return a.rows("middle") == 3 })
	if !strings.Contains(a.log(), "temp_attic") {
		t.Error("the log does not say the other name")
	}
	if out, err := a.command("task", "check"); err != nil || !strings.Contains(out, "temp_attic") || strings.Contains(out, "anew") {
		t.Errorf("task check = %v\n%s", err, out)
	}
	a.stop()
	a.start()
	send(4, "middle", "hall", "24")
	send(4, "attic", "roof", "4")
	wait.For(t, "the task that was there goes on after a restart", func() bool { return a.rows("middle") == 4 })
}
