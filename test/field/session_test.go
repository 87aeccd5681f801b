package field

import (
	"fmt"
	"strings"
	"testing"

	"skerry.dev/test/wait"
)

// TestNarrowedTopics: what task files of an earlier process needed and those of this one do not is
// unsubscribed from, so that it no longer arrives.
func TestNarrowedTopics(t *testing.T) {
	port, _ := mosquitto(t)
	wide := strings.Replace(levelTask, "tank/level", "tank/#", 1)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{"level": wide}), newSensor(t, port)
	a.start()
	a.stop()
	a.write("tasks/level.yaml", levelTask)
	a.start()
	wait.For(t, "the old filter is given up", func() bool { return strings.Contains(a.log(), "subscriptions given up") })
	s.publish("tank/other", "1", false)
	s.publish("tank/level", "2", false)
	wait.For(t, "the level is read", func() bool { return a.rows("level") == 1 })
	if n := a.metric("skerry_source_unknown_topic_total"); n != "0" {
		t.Errorf("%s messages came on a filter that no task has", n)
	}
}

// TestOneClientIDTwice: of two boxes with one client id each names the cause and what to do, in
// health, log and doctor, and neither fills its log.
func TestOneClientIDTwice(t *testing.T) {
	port, _ := mosquitto(t)
	broker := fmt.Sprintf("tcp://127.0.0.1:%d", port)
	a, b := newAgent(t, broker, map[string]string{"level": levelTask}), newAgent(t, broker, map[string]string{"level": levelTask})
	a.start()
	b.start()
	const want = `another client has the same client id "field"`
	for _, x := range []*agent{a, b} {
		wait.For(t, "the second client is named", func() bool {
			return strings.Contains(x.reasons(), want) && strings.Contains(x.log(), "client_id_twice")
		})
		if n := strings.Count(x.log(), "broker "); n > 15 {
			t.Errorf("%d lines about the broker", n)
		}
	}
	if out, _ := a.command("doctor"); !strings.Contains(out, want) {
		t.Errorf("doctor = %s", out)
	}
}
