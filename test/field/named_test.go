package field

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"skerry.dev/test/rig"
)

// namedWithin is within what time a fault is named everywhere: a minute, and what a busy machine
// takes.
const namedWithin = 75 * time.Second

// fault is something wrong around a device.
type fault struct {
	name   string
	tasks  map[string]string
	second int                                    // 0, or how many other agents have the same client id
	later  time.Duration                          // by how much the hub's clock is later than the device's
	send   func(s *sensor, second int, dev int64) // what is published each second, from 0 on
	want   []string                               // said of it, with what to do
	alarm  string                                 // kind of the alarm at the hub
}

var faults = []fault{
	{
		name:  "wrong-topic",
		tasks: map[string]string{"boiler": "task: boiler\ntarget: {series: heat, horizon: 1h}\ninputs: [{series: heat, topic: plant/boiler/Temprature}]\n"},
		send:  func(s *sensor, n int, _ int64) { s.publish("plant/boiler/temperature", fmt.Sprint(60+n%3), false) },
		want:  []string{"nothing has come on plant/boiler/Temprature for the series heat of task boiler", "correct the input's topic, or start its sender; messages do come on plant/boiler/temperature"},
		alarm: "input_silent",
	},
	{
		name:  "wrong-path",
		tasks: map[string]string{"air": "task: air\ntarget: {series: hum, horizon: 1h}\ninputs: [{series: hum, topic: cellar/air, path: $.data.Humid}]\n"},
		send: func(s *sensor, n int, _ int64) {
			s.publish("cellar/air", fmt.Sprintf(`{"data":{"humid":%d}}`, 60+n%3), false)
		},
		want:  []string{"have held nothing for the series hum of task air at the path $.data.Humid; they hold $.data.humid (number", "correct the input's path"},
		alarm: "input_without_values",
	},
	{
		name:  "wrong-time-format",
		tasks: map[string]string{"meter": "task: meter\ntarget: {series: power, horizon: 1h}\ninputs: [{series: power, topic: meter/1, path: $.p}]\ntime: {path: $.t, format: unix_ms}\n"},
		send: func(s *sensor, n int, now int64) {
			s.publish("meter/1", fmt.Sprintf(`{"t":%d,"p":%d}`, now/1e6, n), false)
		},
		want:  []string{"values of the series power of task meter were refused", "$.t", "as unix it would be 20"},
		alarm: "input_refused",
	},
	{
		name:  "slow-clock",
		tasks: map[string]string{"tank": "task: tank\ntarget: {series: fill, horizon: 1h}\ninputs: [{series: fill, topic: tank/fill, path: $.v}]\ntime: {path: $.t}\n"},
		later: 10 * time.Minute,
		send: func(s *sensor, n int, now int64) { // by a clock that is right
			s.publish("tank/fill", fmt.Sprintf(`{"t":%d,"v":%d}`, now/1e6+600, n), false)
		},
		want:  []string{"this device's clock is 10m0s behind the hub's: set it, or let NTP do so"},
		alarm: "clock_wrong",
	},
	{
		name:  "dead-sensor",
		tasks: map[string]string{"level": "task: level\ntarget: {series: level, horizon: 1h}\ninputs: [{series: level, topic: well/level}]\n"},
		send: func(s *sensor, n int, _ int64) {
			if n < 5 {
				s.publish("well/level", fmt.Sprint(n), false)
			}
		},
		want:  []string{"no reading of the series level of task level has come on well/level since", "look after the sensor, its power and its connection"},
		alarm: "input_silent",
	},
	{
		name:  "merged-devices",
		tasks: map[string]string{"climate": "task: climate\ntarget: {series: temp, horizon: 1h}\ninputs: [{series: temp, topic: house/+/climate, path: $.t}]\n"},
		send: func(s *sensor, n int, _ int64) {
			s.publish("house/freezer/climate", fmt.Sprintf(`{"t":%d}`, -18-n%2), false)
			s.publish("house/oven/climate", fmt.Sprintf(`{"t":%d}`, 180+n%2), false)
		},
		want:  []string{"several topics feed the series temp of task climate: house/freezer/climate and house/oven/climate mix in one model", "topic: house/{name}/climate"},
		alarm: "topics_merged",
	},
	{
		name:   "client-id-twice",
		tasks:  map[string]string{"yard": "task: yard\ntarget: {series: wind, horizon: 1h}\ninputs: [{series: wind, topic: yard/wind}]\n"},
		second: 1,
		send:   func(s *sensor, n int, _ int64) { s.publish("yard/wind", fmt.Sprint(n%7), false) },
		want:   []string{`another client has the same client id "client-id-twice"`, "give every box a client id of its own"},
		alarm:  "client_id_twice",
	},
}

// TestFaultsAreNamed makes each thing that goes wrong around a device, at a real broker and with a
// real hub, and holds that within a minute it is named, with what to do, in the log, in health, by
// doctor and at the hub: on the device's page, by its command and as an alarm.
func TestFaultsAreNamed(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			port, _ := mosquitto(t)
			s := newSensor(t, port)
			var agents []*agent
			for i := range 1 + f.second {
				a := newAgent(t, fmt.Sprintf("tcp://127.0.0.1:%d", port), f.tasks)
				a.client = f.name
				if f.later > 0 {
					a.more = fmt.Sprintf("hub: {nats_urls: [\"nats://%s\"]}\n", laterHub(t, h.nats, f.later))
				}
				a.stateIn(a.dir + "/state")
				h.enrol(a, fmt.Sprintf("%s-%d", f.name, i))
				a.start()
				agents = append(agents, a)
			}
			began := time.Now()
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for n := 0; ; n++ {
				f.send(s, n, time.Now().UnixMicro())
				<-tick.C
				missing := ""
				for i, a := range agents {
					if m := f.missing(h, a, fmt.Sprintf("%s-%d", f.name, i)); m != "" {
						missing = m
					}
				}
				if missing == "" {
					break
				}
				if time.Since(began) > namedWithin {
					t.Fatalf("not named: %s", missing)
				}
			}
			t.Logf("named everywhere after %v", time.Since(began).Round(time.Second))
			for i, a := range agents {
				show := h.command("device", "show", fmt.Sprintf("%s-%d", f.name, i))
				doctor, _ := a.command("doctor")
				for _, w := range f.want {
					if !strings.Contains(doctor, w) {
						t.Errorf("doctor does not say %q:\n%s", w, doctor)
					}
					if !strings.Contains(show, w) {
						t.Errorf("the hub's command does not say %q:\n%s", w, show)
					}
				}
			}
			if f.later > 0 && agents[0].rows("tank") < 1 {
				t.Error("readings by a clock that is right are not used by a device whose clock is known to be slow")
			}
		})
	}
}

// missing tells where a fault is not named yet, "" when it is everywhere.
func (f *fault) missing(h *hub, a *agent, device string) string {
	d, err := h.api.Device(h.t.Context(), device)
	if err != nil {
		h.t.Error(err)
	}
	var alarms rig.Items[struct {
		Kind   string
		Detail json.RawMessage
	}]
	if err := h.api.Call(h.t.Context(), "GET", "/v1/events?class=alarm&device="+device, nil, &alarms); err != nil {
		h.t.Error(err)
	}
	kinds := ""
	for _, e := range alarms.Items {
		kinds += fmt.Sprintf("%s %s\n", e.Kind, e.Detail)
	}
	for where, text := range map[string]string{"log": unquoted(a.log()), "health": a.reasons(), "hub": strings.Join(d.Reasons, "\n")} {
		for _, w := range f.want {
			if !strings.Contains(text, w) {
				return fmt.Sprintf("%s: %q\nin %s", where, w, text)
			}
		}
	}
	if !strings.Contains(kinds, f.alarm) {
		return "alarm " + f.alarm + "\nin " + kinds
	}
	return ""
}

// unquoted is a log without the marks of its quoting.
func unquoted(s string) string { return strings.ReplaceAll(s, `\"`, `"`) }

// laterHub returns the address of a hub whose clock is later: what it answers to a hello says so.
// Of the device's side it is the device's clock that is slow.
func laterHub(t *testing.T, target string, by time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	said := regexp.MustCompile(`"hub_time":(\d{16})`)
	serve := func(down net.Conn) {
		defer down.Close()
		up, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer up.Close()
		go func() {
			_, _ = io.Copy(up, down)
			up.Close()
		}()
		for r := bufio.NewReader(up); ; {
			line, err := r.ReadBytes('\n') // a message ends with its line
			line = said.ReplaceAllFunc(line, func(b []byte) []byte {
				us, _ := strconv.ParseInt(string(b[len(`"hub_time":`):]), 10, 64)
				return fmt.Appendf(nil, `"hub_time":%d`, us+by.Microseconds())
			})
			if _, werr := down.Write(line); err != nil || werr != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}
