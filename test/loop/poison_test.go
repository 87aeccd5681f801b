package loop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry.dev/hub/api"
	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
)

// plant is a fleet of three devices with one model in force, at the broker of this process.
type plant struct {
	*world
	incumbent string
	sensors   []*sensor
}

func newPlant(t *testing.T, limit time.Duration) *plant {
	t.Helper()
	p := &plant{world: newWorld(t, "", limit)}
	for k := range 3 {
		name := fmt.Sprintf("tank-%d", k+1)
		p.agent(name, name, nil)
		p.sensors = append(p.sensors, p.sensor(name, newSeries(uint64(20+k))))
	}
	p.feed(30)
	p.incumbent = p.upload(goodModel(t))
	id := p.rollOut(rollout.Spec{Digest: p.incumbent, MinShadow: 20, Probation: 20, MaxLatencyUS: 20_000})
	p.untilState(id, "completed")
	for _, a := range p.agents {
		st, err := a.State(p.ctx)
		p.must(err)
		if st.Tasks[task].Champion != p.incumbent {
			t.Fatalf("%s runs %.12s after the rollout, want %.12s", a.Device, st.Tasks[task].Champion, p.incumbent)
		}
	}
	return p
}

// feed publishes n hours to every tank and waits until the agents have read them.
func (p *plant) feed(n int) {
	p.t.Helper()
	for _, s := range p.sensors {
		s.publish(n)
	}
	for k, a := range p.agents {
		want := at(p.sensors[k].next - 1).UnixMicro()
		p.until(20*time.Second, a.Device+" reads", func() (bool, string) {
			st, err := a.State(p.ctx)
			return err == nil && st.Tasks[task].Watermark >= want, fmt.Sprint(err)
		})
	}
}

// untilState goes on publishing until a rollout has come to a state.
func (p *plant) untilState(id string, want rollout.State) api.RolloutDetail {
	p.t.Helper()
	var r api.RolloutDetail
	p.until(40*time.Second, "rollout "+string(want), func() (bool, string) {
		p.feed(6)
		r = p.rollout(id)
		return r.State == want, fmt.Sprintf("%s, %s %s: %s", r.State, r.Status.StageName, r.Status.Step, r.Status.Reason)
	})
	return r
}

// TestPoisonedCandidate rolls out models that must not win. Each is stopped in shadow or canary,
// is never active on another device than the canary, and is forbidden for good; a device that was
// away meanwhile does not take it either.
func TestPoisonedCandidate(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 3*time.Minute)
	tests := []struct {
		name   string
		model  []byte
		budget float64 // µs
		reason string
	}{
		{"constant", constantModel(t), 20_000, "loss"},
		{"not finite", nanModel(t), 20_000, "not finite"},
		{"ten times too slow", slowModel(t, 4_000), 50, "p99"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			outer := p.t
			p.t = t
			defer func() { p.t = outer }()
			p.refused(tt.model, tt.budget, tt.reason)
		})
	}
	p.exact()
}

// exact checks the promise about data for the whole fleet.
func (p *plant) exact() {
	p.t.Helper()
	for k, a := range p.agents {
		p.sensors[k].settle()
		p.drained(20*time.Second, a, p.sensors[k].next-1, len(p.sensors[k].s.took))
		p.exactlyOnce(a, p.sensors[k].s.took)
	}
}

// refused rolls a model out while the third tank loses its link in the middle, and expects it to
// be stopped.
func (p *plant) refused(model []byte, budgetUS float64, reason string) {
	p.t.Helper()
	digest := p.upload(model)
	away := p.agents[2]
	away.Web.SetCut(true) // it hears of the candidate, cannot download it, and is then gone
	var active sync.Map
	watching, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-watching:
				return
			case <-time.After(20 * time.Millisecond):
			}
			for _, a := range p.agents {
				if st, err := a.State(p.ctx); err == nil && st.Tasks[task].Champion == digest {
					active.Store(a.Device, true)
				}
			}
		}
	}()
	id := p.rollOut(rollout.Spec{Digest: digest, MinShadow: 40, Probation: 20, MaxLatencyUS: budgetUS})
	p.phase(20*time.Second, away, digest, spec.PhaseDownloading)
	away.SetCut(true)
	r := p.untilState(id, "rolled_back")
	stage := r.Status.StageName
	if stage != "shadow" && stage != "canary" {
		p.t.Errorf("stopped in stage %q, want shadow or canary", stage)
	}
	if !strings.Contains(r.Status.Reason, reason) {
		p.t.Errorf("stopped because of %q, want the reason to name %q", r.Status.Reason, reason)
	}
	away.SetCut(false)
	generation := p.device(away.Device).Desired.Generation
	p.until(20*time.Second, away.Device+" is back", func() (bool, string) {
		st, err := away.State(p.ctx)
		return err == nil && st.Generation >= generation, fmt.Sprintf("generation %d, the hub is at %d", st.Generation, generation)
	})
	p.feed(30)
	time.Sleep(500 * time.Millisecond)
	close(watching)
	<-watched
	canaries := 0
	active.Range(func(any, any) bool { canaries++; return true })
	if canaries > 1 {
		p.t.Errorf("the candidate was active on %d devices, want the canary at most", canaries)
	}
	for _, a := range p.agents {
		st, err := a.State(p.ctx)
		p.must(err)
		if st.Tasks[task].Champion != p.incumbent {
			p.t.Errorf("%s runs %.12s, want the incumbent %.12s", a.Device, st.Tasks[task].Champion, p.incumbent)
		}
		d := p.device(a.Device)
		if found := strings.Contains(strings.Join(d.Desired.Tombstones, " "), digest); !found {
			p.t.Errorf("%s is not told that %.12s is forbidden", a.Device, digest)
		}
		if _, err := os.Stat(filepath.Join(a.StateDir(), "slots", digest+".skerry")); err == nil {
			p.t.Errorf("%s still has the artifact", a.Device)
		}
	}
	var m struct {
		TombstonedAt int64  `json:"tombstoned_at"`
		Tombstone    string `json:"tombstone"`
	}
	p.must(p.api.Call(p.ctx, "GET", "/v1/models/"+digest, nil, &m))
	if m.TombstonedAt == 0 {
		p.t.Error("the version is not tombstoned")
	}
	if err := p.api.Call(p.ctx, "POST", "/v1/rollouts", rollout.Spec{Digest: digest}, nil); err == nil || !strings.Contains(err.Error(), "tombstone") {
		p.t.Errorf("a second rollout of the version gives %v, want a refusal because it is tombstoned", err)
	}
	if _, after, ok := strings.Cut(r.Status.Reason, "p99 latency "); ok {
		var us float64
		if _, err := fmt.Sscanf(after, "%f", &us); err != nil || us < 10*budgetUS {
			p.t.Errorf("%q: the slow model was to take ten times the %g µs allowed", r.Status.Reason, budgetUS)
		}
	}
	p.t.Logf("%d bytes, stopped in %s: %s", len(model), stage, r.Status.Reason)
}
