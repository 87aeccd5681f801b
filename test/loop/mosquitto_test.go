package loop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/test/rig"
)

// TestMosquitto is what README shows: mosquitto, mosquitto_pub with a JSON reading, mosquitto_sub
// with the prediction, and the task file of configs.
func TestMosquitto(t *testing.T) {
	t.Parallel()
	pub := tool(t, "mosquitto_pub", "mosquitto-clients")
	sub := tool(t, "mosquitto_sub", "mosquitto-clients")
	w := newWorld(t, mosquitto(t), time.Minute)
	sample, err := os.ReadFile(filepath.Join("..", "..", "configs", "tasks", "pm25-next-hour.yaml"))
	w.must(err)
	w.agent("station-1", "", func(o *rig.AgentOptions) { o.Tasks = map[string]string{"pm25-next-hour.yaml": string(sample)} })
	host, port, _ := strings.Cut(strings.TrimPrefix(w.broker, "tcp://"), ":")
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	defer cancel()
	listen := exec.CommandContext(ctx, sub, "-h", host, "-p", port, "-v", "-t", "skerry/station-1/pm25-next-hour/prediction", "-C", "1")
	out, err := listen.StdoutPipe()
	w.must(err)
	w.must(listen.Start())
	// an error here is the end of a listener that was cut short
	t.Cleanup(func() { cancel(); _ = listen.Wait() })
	said := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(out)
		said <- string(b)
	}()
	time.Sleep(200 * time.Millisecond) // a retained prediction would be there all the same
	const reading = `{"ts":"2024-11-23T10:00:00Z","pm25":41,"temp":3.5,"wd":"NW"}`
	if text, err := exec.CommandContext(ctx, pub, "-h", host, "-p", port, "-q", "1", "-t", "air/roof/reading", "-m", reading).CombinedOutput(); err != nil {
		t.Fatalf("mosquitto_pub: %v\n%s", err, text)
	}
	got := <-said
	topic, payload, _ := strings.Cut(strings.TrimSpace(got), " ")
	const want = `{"ts":"2024-11-23T10:00:00Z","for":"2024-11-23T11:00:00Z","task":"pm25-next-hour","model":"baseline","horizon_s":3600,"value":41,"persistence":41,"baseline":true}`
	if topic != "skerry/station-1/pm25-next-hour/prediction" || payload != want {
		t.Errorf("mosquitto_sub shows %q, want the prediction\n%s", got, want)
	}
	t.Logf("mosquitto_pub -q 1 -t air/roof/reading -m '%s'\nmosquitto_sub: %s", reading, strings.TrimSpace(got))
}

// metric reads one value of /metrics; labels are part of the name.
func (w *world) metric(base, name string) float64 {
	w.t.Helper()
	resp, err := http.Get("http://" + base + "/metrics")
	w.must(err)
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if rest, ok := strings.CutPrefix(in.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(rest, 64)
			w.must(err)
			return v
		}
	}
	return 0
}

// TestBurst publishes 20,000 messages at once through mosquitto with its default limits: 20
// messages in flight and 1000 queued per client. It acknowledges all of them to the sensor and
// drops silently what does not fit. Everything that it delivers must be in the lake once; the
// second burst, with max_queued_messages raised, arrives whole.
func TestBurst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		lines []string
		whole bool
	}{
		{"default limits", []string{"sys_interval 1"}, false},
		{"max_queued_messages 100000", []string{"sys_interval 1", "max_queued_messages 100000"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, mosquitto(t, tt.lines...), 2*time.Minute)
			a := w.agent("burst", "burst", nil)
			s := newSeries(61)
			p := w.sensor("burst", s)
			n := count(20_000, 3_000)
			began := time.Now()
			p.publish(n)
			p.settle()
			published := time.Since(began)
			if len(s.took) != 2*n {
				t.Errorf("mosquitto has acknowledged %d of %d messages", len(s.took)/2, n)
			}
			// What mosquitto delivers ends when nothing new arrives.
			var delivered float64
			read := time.Duration(0)
			w.until(60*time.Second, "the burst is over", func() (bool, string) {
				if now := w.metric(a.HTTP, "skerry_source_messages_total"); now != delivered {
					delivered, read = now, time.Since(began)
				}
				return delivered > 0 && time.Since(began)-read > 2*time.Second, fmt.Sprintf("%.0f messages", delivered)
			})
			w.until(30*time.Second, "everything is handed over", func() (bool, string) {
				st, err := a.State(w.ctx)
				return err == nil && st.Outbox.PendingRecords == 0, fmt.Sprint(st.Outbox.PendingRecords, err)
			})
			dropped := w.sysDropped()
			lake, err := w.api.LakeReadings(w.ctx, a.Device)
			w.must(err)
			for k, c := range lake {
				if c != 1 || !s.took[k] {
					t.Errorf("%s at %d is in the lake %d times", k.Series, k.At, c)
				}
			}
			st, err := a.State(w.ctx)
			w.must(err)
			applied := w.device(a.Device).Applied["reading"]
			if float64(len(lake)) != 2*delivered || st.Outbox.Stored["reading"] != uint64(len(lake)) || applied != uint64(len(lake)) {
				t.Errorf("the agent received %.0f messages (%d readings stored), the hub applied %d, the lake holds %d readings, want %.0f", delivered, st.Outbox.Stored["reading"], applied, len(lake), 2*delivered)
			}
			if tt.whole && int(delivered) != n {
				t.Errorf("%.0f of %d messages were delivered, want all", delivered, n)
			}
			if int(delivered)+dropped != n {
				t.Errorf("mosquitto says it dropped %d, the agent received %.0f: together %d of %d", dropped, delivered, int(delivered)+dropped, n)
			}
			t.Logf("%d messages published and acknowledged in %s (%.0f/s); delivered %.0f, dropped by mosquitto %d; in the lake once: %d readings; read within %s (%.0f/s)",
				n, published.Round(time.Millisecond), float64(n)/published.Seconds(), delivered, dropped, len(lake), read.Round(10*time.Millisecond), delivered/read.Seconds())
		})
	}
}

// sysDropped asks mosquitto how many messages it has dropped.
func (w *world) sysDropped() int {
	w.t.Helper()
	cli, err := rig.Connect(w.broker, "sys")
	w.must(err)
	defer cli.Disconnect(50)
	time.Sleep(1200 * time.Millisecond) // sys_interval
	got := make(chan string, 16)
	cli.Subscribe("$SYS/broker/publish/messages/dropped", 0, func(_ mqtt.Client, m mqtt.Message) {
		select {
		case got <- string(m.Payload()):
		default:
		}
	})
	select {
	case text := <-got:
		n, err := strconv.Atoi(text)
		w.must(err)
		return n
	case <-time.After(3 * time.Second):
		return 0 // it is published on change only
	}
}
