package loop

import (
	"encoding/json"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/hub/training"
	"skerry.dev/test/rig"
)

const ovenFile = `task: oven
kind: classification
target: {series: phase, topic: oven/phase, path: $.is, categories: [idle, heat, hold, "cool, slowly"]}
inputs:
  - {series: power, topic: oven/meter, path: $.kw, unit: kW}
  - {series: temp, topic: oven/meter, path: $.temp, unit: °C}
time: {path: $.ts, format: rfc3339}
rows: {on: power, max_age: 5m}
`

var ovenPhases = []string{"idle", "heat", "hold", "cool, slowly"}

// classified is a published prediction of a classification.
type classified struct {
	Time          time.Time          `json:"ts"`
	Value         float64            `json:"value"`
	Model         string             `json:"model"`
	Baseline      bool               `json:"baseline"`
	Class         string             `json:"class"`
	Probabilities map[string]float64 `json:"probabilities"`
	Set           []string           `json:"set"`
}

// oven tells power and temperature of an oven, and later what it did. The phases are rings around
// the middle: no line divides them, so that a model of the hub knows what the device's linear
// learner cannot.
type oven struct {
	*world
	cli    mqtt.Client
	rng    *mrand.Rand
	agent  *rig.Agent
	minute int
	truth  map[time.Time]string
	mu     sync.Mutex // guards what follows
	said   []classified
	bad    []string
}

func newOven(w *world) *oven {
	cli, err := rig.Connect(w.broker, "oven")
	w.must(err)
	w.t.Cleanup(func() { cli.Disconnect(50) })
	o := &oven{world: w, cli: cli, rng: mrand.New(mrand.NewPCG(4, 4)), truth: map[time.Time]string{}}
	tok := cli.Subscribe("skerry/oven-1/oven/prediction", 1, func(_ mqtt.Client, m mqtt.Message) {
		var c classified
		err := json.Unmarshal(m.Payload(), &c)
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.said = append(o.said, c); err != nil {
			o.bad = append(o.bad, err.Error()+": "+string(m.Payload()))
		}
	})
	if !tok.WaitTimeout(10*time.Second) || tok.Error() != nil {
		w.t.Fatalf("subscribe: %v", tok.Error())
	}
	return o
}

// run goes through n minutes, in batches whose phases become known once the rows are predicted: a
// broker may hand messages of two topics over in any order.
func (o *oven) run(n int) {
	o.t.Helper()
	for ; n > 0; n -= batchOfOven {
		rows, labels := o.batch(min(n, batchOfOven))
		o.publish("oven/meter", rows)
		o.until(2*time.Minute, "the oven's rows are predicted", func() (bool, string) {
			st, err := o.agent.State(o.ctx)
			return err == nil && st.Tasks["oven"].Rows == int64(o.minute), fmt.Sprint(err, " ", st.Tasks["oven"].Rows, " of ", o.minute)
		})
		o.publish("oven/phase", labels)
		o.until(2*time.Minute, "the oven's labels are learned", func() (bool, string) {
			st, err := o.agent.State(o.ctx)
			return err == nil && st.Tasks["oven"].Labels == int64(o.minute), fmt.Sprint(err, " ", st.Tasks["oven"].Labels, " of ", o.minute)
		})
	}
}

const batchOfOven = 50

func (o *oven) publish(topic string, messages []string) {
	o.t.Helper()
	var sent []mqtt.Token
	for _, m := range messages {
		sent = append(sent, o.cli.Publish(topic, 1, false, m))
	}
	for _, tok := range sent {
		if !tok.WaitTimeout(60*time.Second) || tok.Error() != nil {
			o.t.Fatalf("publish: %v", tok.Error())
		}
	}
}

// batch makes the messages of n minutes.
func (o *oven) batch(n int) (rows, labels []string) {
	for range n {
		ts := time.Date(2024, 1, 1, 0, o.minute, 0, 0, time.UTC)
		o.minute++
		power, temp := 2*o.rng.Float64()-1, 2*o.rng.Float64()-1
		k := 0
		for _, r := range []float64{0.5, 0.8, 1} {
			if power*power+temp*temp > r*r {
				k++
			}
		}
		if o.rng.Float64() < 0.15 {
			k = o.rng.IntN(4)
		}
		o.truth[ts] = ovenPhases[k]
		stamp := ts.Format(time.RFC3339)
		rows = append(rows, fmt.Sprintf(`{"ts":%q,"kw":%.3f,"temp":%.3f}`, stamp, power, temp))
		labels = append(labels, fmt.Sprintf(`{"ts":%q,"is":%q}`, stamp, ovenPhases[k]))
	}
	return rows, labels
}

// score is how the predictions from a row on did.
func (o *oven) score(from int) (n int, wrong, covered, size float64) {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.bad) > 0 {
		o.t.Fatalf("predictions that cannot be read: %v", o.bad)
	}
	after := time.Date(2024, 1, 1, 0, from, 0, 0, time.UTC)
	for _, c := range o.said {
		sum, best := 0.0, 0.0
		for _, p := range c.Probabilities {
			sum += p
			best = max(best, p)
		}
		holds := map[string]bool{}
		for _, name := range c.Set {
			holds[name] = true
		}
		if len(c.Probabilities) != 4 || sum < 0.999 || sum > 1.001 || c.Probabilities[c.Class] < best || !holds[c.Class] || ovenPhases[int(c.Value)] != c.Class {
			o.t.Fatalf("published: %+v", c)
		}
		if c.Time.Before(after) {
			continue
		}
		n++
		if c.Class != o.truth[c.Time] {
			wrong++
		}
		if holds[o.truth[c.Time]] {
			covered++
		}
		size += float64(len(c.Set))
	}
	return n, wrong / float64(n), covered / float64(n), size / float64(n)
}

// TestClasses takes a task of four classes from its file to published predictions, to a model that
// the hub trains on what it has received, to its rollout, and to better predictions.
func TestClasses(t *testing.T) {
	t.Parallel()
	ml := filepath.Join(t.TempDir(), "ml.yml")
	if err := os.WriteFile(ml, []byte("model_selection: {families: [gbdt], max_trials: 2}\nrollout: {min_shadow: 60, probation: 60, max_latency: 100ms}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, "", 4*time.Minute, "--ml-config", ml, "--compact-every", "1s", "--compact-age", "1s")
	o := newOven(w)
	o.agent = w.agent("oven-1", "site", func(a *rig.AgentOptions) { a.Tasks = map[string]string{"oven.yaml": ovenFile} })
	o.run(1500)
	n, wrong, covered, size := o.score(500)
	if n < 990 || wrong > 0.75 || covered < 0.86 || covered > 0.94 {
		t.Errorf("%d predictions: %.3f wrong, sets of %.2f cover %.3f", n, wrong, size, covered)
	}
	st, err := o.agent.State(w.ctx)
	w.must(err)
	c := st.Tasks["oven"].Classes
	if c == nil || !(c.ErrorRate > 0.1 && c.ErrorRate < 0.8) || !(c.LogLoss > 0.3 && c.LogLoss < 1.5) || !(c.SetSize > 1) || st.Tasks["oven"].MAE != c.ErrorRate {
		t.Errorf("the agent reports %+v of its classes, error %v", c, st.Tasks["oven"].MAE)
	}

	w.until(2*time.Minute, "the hub has the labels", func() (bool, string) {
		d, err := w.api.Task(w.ctx, "oven")
		return err == nil && d.Recent.Labels == 1000 && d.Recent.Classes != nil, fmt.Sprintf("%+v %v", d.Recent, err)
	})
	detail, err := w.api.Task(w.ctx, "oven")
	w.must(err)
	if r := detail.Recent; float64(r.MAE) != r.Classes.ErrorRate || r.Classes.ErrorRate-wrong > 0.05 || wrong-r.Classes.ErrorRate > 0.05 || float64(r.Coverage) < 0.86 || float64(r.Coverage) > 0.94 || !(r.Classes.LogLoss < r.Classes.LogLossBaseline+0.1) {
		t.Errorf("the hub tells %+v %+v, the predictions were wrong in %.3f", r, r.Classes, wrong)
	}

	job, err := w.api.Train(w.ctx, "oven", "a test", false)
	w.must(err)
	w.until(2*time.Minute, "the training ends", func() (bool, string) {
		var err error
		job, err = w.api.Job(w.ctx, job.ID)
		return err == nil && (job.State == training.Done || job.State == training.Failed), fmt.Sprintf("%+v %v", job.Result, err)
	})
	if job.State != training.Done || job.Result.Rollout == "" || job.Result.Holdout == nil || !(job.Result.Holdout.LogLoss < 0.8*job.Result.Holdout.LogLossPrior) {
		t.Fatalf("the training ended as %+v: %s, %+v", job, job.Result.Outcome, job.Result.Verdict)
	}
	w.until(90*time.Second, "the rollout completes", func() (bool, string) {
		o.run(30)
		r := w.rollout(job.Result.Rollout)
		return r.State == "completed", fmt.Sprintf("%s, %s %s: %s", r.State, r.Status.StageName, r.Status.Step, r.Status.Reason)
	})
	from := o.minute
	o.run(600)
	m, after, covered, size := o.score(from)
	if m != 600 || !(after < 0.6*wrong) || covered < 0.86 {
		t.Errorf("%d predictions with a model: %.3f wrong (%.3f before), sets of %.2f cover %.3f", m, after, wrong, size, covered)
	}
	t.Logf("%.3f wrong before the model, %.3f after, sets of %.2f classes cover %.3f", wrong, after, size, covered)
	o.mu.Lock()
	last := o.said[len(o.said)-1]
	o.mu.Unlock()
	if last.Baseline || !strings.HasPrefix(last.Model, "oven@") {
		t.Errorf("the last prediction is by %q, baseline %v", last.Model, last.Baseline)
	}
}
