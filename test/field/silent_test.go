package field

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"skerry.dev/test/wait"
)

// TestSilentInputs: a topic that nothing comes on and a sensor that dies are named within a minute,
// with what to do and the topics that there are, in log, health, status and doctor; when readings
// come, all is well again.
func TestSilentInputs(t *testing.T) {
	t.Parallel()
	port, _ := mosquitto(t)
	a, s := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), map[string]string{
		"level": levelTask,
		"typo":  "task: typo\ntarget: {series: typo, horizon: 1h}\ninputs: [{series: typo, topic: boiler/Temprature}]\n",
	}), newSensor(t, port)
	a.start()
	began := time.Now()
	for i := range 5 {
		s.publish("tank/level", fmt.Sprint(i), false)
	}
	s.publish("boiler/temperature", "60", true)
	s.publish("cellar/humidity", "70", true)
	want := []string{
		"nothing has come on boiler/Temprature for the series typo of task typo", "messages do come on boiler/temperature",
		"no reading of the series level of task level has come on tank/level since", "look after the sensor",
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		missing := ""
		for _, w := range want {
			if !strings.Contains(a.reasons(), w) || !strings.Contains(a.log(), w) {
				missing = w
			}
		}
		if missing == "" {
			break
		}
		if time.Since(began) > 90*time.Second {
			t.Fatalf("not said: %s", missing)
		}
	}
	t.Logf("named after %v", time.Since(began).Round(time.Second))
	for _, command := range []string{"status", "doctor"} {
		if out, _ := a.command(command); !strings.Contains(out, want[1]) || !strings.Contains(out, want[2]) {
			t.Errorf("%s = %s", command, out)
		}
	}
	s.publish("boiler/Temprature", "61", false)
	s.publish("tank/level", "7", false)
	wait.For(t, "all is well again", func() bool { return a.reasons() == "" })
}

// TestSilentByHTTP: where readings come by HTTP alone a sensor that dies is named within a minute as
// well.
func TestSilentByHTTP(t *testing.T) {
	t.Parallel()
	a := newAgent(t, "", map[string]string{"level": levelTask, "never": "task: never\ntarget: {series: never, horizon: 1h}\ninputs: [{series: never, topic: tank/never}]\n"})
	a.start()
	began := time.Now()
	for i := range 3 {
		res, err := http.Post("http://"+a.web+"/v1/ingest/tank/level", "", strings.NewReader(fmt.Sprint(i)))
		if err != nil || res.StatusCode != http.StatusNoContent {
			t.Fatalf("POST = %v, %v", res, err)
		}
		res.Body.Close()
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for _, want := range []string{"nothing has come by HTTP on tank/never for the series never of task never", "no reading of the series level of task level has come on tank/level since"} {
		for !strings.Contains(a.reasons(), want) || !strings.Contains(a.log(), want) {
			if <-tick.C; time.Since(began) > namedWithin {
				t.Fatalf("not said: %s", want)
			}
		}
		if out, _ := a.command("doctor"); !strings.Contains(out, want) {
			t.Errorf("doctor = %s", out)
		}
	}
}
