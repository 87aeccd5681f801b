package field

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"skerry.dev/test/wait"
)

// TestRetainedAtEveryStart: a sensor that died after one retained value has measured once, however
// often the agent starts.
func TestRetainedAtEveryStart(t *testing.T) {
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{"level": levelTask}), newSensor(t, port)
	s.publish("tank/level", "2.75", true)
	s.publish("tank/end", "1", true)
	a.write("tasks/end.yaml", "task: end\ntarget: {series: end, horizon: 1h}\ninputs: [{series: end, topic: tank/end}]\n")
	for range 3 {
		a.start()
		wait.For(t, "both retained values came", func() bool {
			d, err := a.detail()
			return err == nil && len(d.Inputs) == 2 && d.Inputs[0].Retained > 0 && d.Inputs[1].Retained > 0
		})
		a.stop()
	}
	a.start()
	if a.rows("level") != 1 {
		t.Errorf("one measurement became %d rows", a.rows("level"))
	}
	s.publish("tank/level", "2.75", false)
	wait.For(t, "the sensor lives again", func() bool { return a.rows("level") == 2 })
}

// TestClockThatIsSlow: readings that are not used since they lie in the future are named with what
// to do.
func TestClockThatIsSlow(t *testing.T) {
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{"level": "task: level\ntarget: {series: level, horizon: 1h}\ninputs: [{series: level, topic: tank/level, path: $.v}]\ntime: {path: $.t}\n"}), newSensor(t, port)
	a.start()
	ahead := time.Now().Add(10 * time.Minute)
	for i := range 3 {
		s.publish("tank/level", fmt.Sprintf(`{"t":%d,"v":1}`, ahead.Unix()+int64(i)), false)
	}
	const want = "ahead of this device's clock, beyond time.max_future"
	wait.For(t, "the readings from the future are named", func() bool { return strings.Contains(a.reasons(), want) && strings.Contains(a.log(), want) })
}
