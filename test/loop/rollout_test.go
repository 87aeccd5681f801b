package loop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"skerry.dev/hub/rollout"
	"skerry.dev/sync/spec"
	"skerry.dev/test/rig"
)

// variant is a good model of its own.
func variant(t *testing.T, k int) []byte {
	t.Helper()
	return pack(t, "linear", weighted(t, 15+0.001*float64(k), -0.3, 0))
}

func (w *world) order(id string, cmd rollout.Command) {
	w.t.Helper()
	_, err := w.api.CommandRollout(w.ctx, id, cmd, "a test")
	w.must(err)
}

// steady publishes for every tank until the function it returns is called.
func (p *plant) steady(perSecond int) func() {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, s := range p.sensors {
		wg.Go(func() { s.steadily(perSecond, stop) })
	}
	return func() { close(stop); wg.Wait() }
}

// agree waits until every device runs what the hub tells it to run.
func (p *plant) agree(limit time.Duration) {
	p.t.Helper()
	p.until(limit, "every device runs what the hub says", func() (bool, string) {
		for _, a := range p.agents {
			st, err := a.State(p.ctx)
			if err != nil {
				return false, err.Error()
			}
			want := p.device(a.Device).Desired.Assignments[task]
			got := st.Tasks[task]
			if want.Phase != spec.PhaseActive || got.Champion != want.Digest || got.Assignment == nil || got.Assignment.Phase != spec.PhaseActive {
				phase := ""
				if got.Assignment != nil {
					phase = fmt.Sprintf("%s %s %s", got.Assignment.Phase, got.Assignment.Cause, got.Assignment.Reason)
				}
				return false, fmt.Sprintf("%s runs %.12s, is told %.12s %s, says %s", a.Device, got.Champion, want.Digest, want.Phase, phase)
			}
		}
		return true, ""
	})
}

// TestKillsDuringRollouts kills hub and agents at random while one good model after another is rolled
// out. In peace every device comes to what the hub says within five minutes, and nothing is
// forbidden. LOOP_KILLS sets how many.
func TestKillsDuringRollouts(t *testing.T) {
	t.Parallel()
	kills, limit := count(12, 4), 6*time.Minute
	if text := os.Getenv("LOOP_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("LOOP_KILLS=%s: want a number above 0", text)
		}
		kills, limit = n, time.Hour
	}
	p := newPlant(t, limit)
	end := p.steady(20)
	rng := rand.New(rand.NewPCG(13, 13))
	rollouts, id := 0, ""
	next := func() {
		t.Helper()
		if id != "" && !p.rollout(id).State.Final() {
			return
		}
		rollouts++
		id = p.rollOut(rollout.Spec{Digest: p.upload(variant(t, rollouts)), MinShadow: 20, Probation: 20, MaxLatencyUS: 20_000, Silent: 20})
	}
	killed := map[string]int{}
	for range kills {
		next()
		time.Sleep(time.Duration(rng.IntN(2500)) * time.Millisecond)
		a := p.agents[rng.IntN(len(p.agents))]
		switch rng.IntN(4) {
		case 0:
			p.killHub()
			killed["hub"]++
		case 1:
			a.Kill()
			p.killHub()
			p.must(a.Start())
			killed["both"]++
		default:
			a.Kill()
			p.must(a.Start())
			killed["agent"]++
		}
	}
	next()
	began := time.Now()
	p.until(5*time.Minute, "the rollout completes", func() (bool, string) {
		r := p.rollout(id)
		return r.State == rollout.Completed, fmt.Sprintf("%s %s %s: %s", r.State, r.Status.StageName, r.Status.Step, r.Status.Reason)
	})
	p.agree(5*time.Minute - time.Since(began))
	t.Logf("kills %v during %d rollouts; %s after the last of them every device runs what the hub says", killed, rollouts, time.Since(began).Round(time.Second))
	end()
	var models rig.Items[struct {
		Name         string
		TombstonedAt int64 `json:"tombstoned_at"`
		Tombstone    string
	}]
	p.must(p.api.Call(p.ctx, "GET", "/v1/models?limit=1000", nil, &models))
	for _, m := range models.Items {
		if m.TombstonedAt > 0 {
			t.Errorf("%s is forbidden: %s", m.Name, m.Tombstone)
		}
	}
	rs, err := p.api.Rollouts(p.ctx, "", "")
	p.must(err)
	for _, r := range rs {
		if r.State != rollout.Completed {
			t.Errorf("rollout %s of %s is %s: %s", r.ID, r.Model, r.State, r.Status.Reason)
		}
	}
	p.exact()
}

// killHub ends the hub at once and starts it again.
func (w *world) killHub() {
	w.t.Helper()
	w.hub.Kill()
	w.must(w.hub.Start())
	w.must(w.api.WaitReady(w.ctx, 60*time.Second))
}

// TestOrdersReachDevices gives orders while devices are in the middle, and one is away: a pause keeps
// them where they are, an abort takes the model back from who was away too, and forbids nothing; a
// device that was deleted and enrolled again comes to what the others run.
func TestOrdersReachDevices(t *testing.T) {
	t.Parallel()
	p := newPlant(t, 4*time.Minute)
	end := p.steady(20)
	digest := p.upload(variant(t, 1))
	s := rollout.Spec{Digest: digest, MinShadow: 40, Probation: 1_000_000, MaxLatencyUS: 20_000}
	id := p.rollOut(s)
	p.until(40*time.Second, "a canary is on probation", func() (bool, string) {
		r := p.rollout(id)
		return r.Status.Counts.Trial == 1, fmt.Sprintf("%+v %s", r.Status.Counts, r.Status.Reason)
	})
	p.order(id, rollout.Pause)
	for _, a := range p.agents {
		p.until(20*time.Second, a.Device+" is told to hold", func() (bool, string) {
			d := p.device(a.Device).Desired.Assignments[task]
			return d.Hold, fmt.Sprintf("%+v", d)
		})
	}
	away := p.agents[2]
	away.SetCut(true)
	p.order(id, rollout.Abort)
	for _, a := range p.agents[:2] {
		p.runsAgain(a)
	}
	away.SetCut(false)
	p.runsAgain(away)

	// the same model again, as if nothing had been: nothing is forbidden
	s.Probation = 20
	id = p.rollOut(s)
	p.until(60*time.Second, "the same model completes", func() (bool, string) {
		r := p.rollout(id)
		return r.State == rollout.Completed, fmt.Sprintf("%s %s: %s", r.State, r.Status.StageName, r.Status.Reason)
	})
	p.agree(20 * time.Second)

	// a comment in a task file: the model stays in use
	p.must(os.WriteFile(p.agents[0].TaskDir()+"/level.yaml", append([]byte("# a comment\n"), p.taskOf(p.agents[0])...), 0o600))
	time.Sleep(2 * time.Second)
	p.agree(20 * time.Second)

	gone := p.agents[1]
	p.must(p.api.Call(p.ctx, "DELETE", "/v1/devices/"+gone.Device, nil, nil))
	gone.Stop(5 * time.Second)
	p.must(os.RemoveAll(gone.StateDir()))
	p.enrol(gone, "")
	p.must(gone.Start())
	p.must(gone.WaitUp(p.ctx, true))
	p.agree(40 * time.Second)
	end()
}

func (p *plant) taskOf(a *rig.Agent) []byte {
	p.t.Helper()
	text, err := os.ReadFile(a.TaskDir() + "/level.yaml")
	p.must(err)
	return text
}

// runsAgain waits until a device runs the incumbent alone.
func (p *plant) runsAgain(a *rig.Agent) {
	p.t.Helper()
	p.until(30*time.Second, a.Device+" runs what it ran before", func() (bool, string) {
		st, err := a.State(p.ctx)
		if err != nil {
			return false, err.Error()
		}
		got := st.Tasks[task]
		return got.Champion == p.incumbent && got.Assignment != nil && (got.Assignment.Phase == spec.PhaseActive && got.Assignment.Digest == p.incumbent || got.Assignment.Phase == spec.PhaseWithdrawn),
			fmt.Sprintf("it runs %.12s, %+v", got.Champion, got.Assignment)
	})
}

// TestManyRollouts rolls out models that must not win, of every kind that an artifact can be bad in,
// and good ones between them. LOOP_ROLLOUTS sets how many of both; a few by default. Every bad one is
// taken back before it is on more than one device, every good one completes without a hand.
func TestManyRollouts(t *testing.T) {
	t.Parallel()
	n, limit := count(3, 1), 4*time.Minute
	if text := os.Getenv("LOOP_ROLLOUTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("LOOP_ROLLOUTS=%s: want a number above 0", text)
		}
		limit = time.Duration(n) * time.Minute
	}
	p := newPlant(t, limit)
	end := p.steady(20)
	kinds := []struct {
		name   string
		model  func(k float64) []byte
		budget float64 // µs
	}{
		{"twice the error", func(k float64) []byte { return pack(t, "linear", weighted(t, 15+9+k, -0.3, 0)) }, 20_000},
		{"constant", func(k float64) []byte { return pack(t, "linear", weighted(t, 80+k, -1, 0)) }, 20_000},
		{"not finite", func(k float64) []byte { return pack(t, "linear", weighted(t, 15+k, 1e308, -1e308)) }, 20_000},
		{"ten times too slow", func(k float64) []byte { return slowModel(t, 4_000+int(1000*k)) }, 50},
		{"inverted", func(k float64) []byte { return pack(t, "linear", weighted(t, -85-k, 1.7, 0)) }, 20_000},
	}
	halted, completed := map[string]int{}, 0
	var seconds []float64
	for i := range n {
		kind, k := kinds[i%len(kinds)], 0.001*float64(i+1)
		began := time.Now()
		digest := p.upload(kind.model(k))
		id := p.rollOut(rollout.Spec{Digest: digest, MinShadow: 20, Probation: 20, MaxLatencyUS: kind.budget})
		most := 0
		p.until(time.Minute, kind.name+" is taken back", func() (bool, string) {
			r := p.rollout(id)
			running := 0
			for _, a := range p.agents {
				if st, err := a.State(p.ctx); err == nil && st.Tasks[task].Champion == digest {
					running++
				}
			}
			most = max(most, running)
			return r.State == rollout.RolledBack, fmt.Sprintf("%s %s %s: %s", r.State, r.Status.StageName, r.Status.Step, r.Status.Reason)
		})
		seconds = append(seconds, time.Since(began).Seconds())
		if most > 1 {
			t.Errorf("%s ran on %d devices", kind.name, most)
		}
		p.agree(30 * time.Second)
		for _, a := range p.agents {
			p.runsIncumbent(a)
		}
		halted[kind.name]++

		good := p.upload(variant(t, 1+i))
		id = p.rollOut(rollout.Spec{Digest: good, MinShadow: 20, Probation: 20, MaxLatencyUS: 20_000})
		p.until(time.Minute, "a good model completes", func() (bool, string) {
			r := p.rollout(id)
			return r.State == rollout.Completed, fmt.Sprintf("%s %s %s: %s", r.State, r.Status.StageName, r.Status.Step, r.Status.Reason)
		})
		p.incumbent = good
		p.agree(30 * time.Second)
		completed++
	}
	end()
	t.Logf("%d bad rollouts halted %v, the slowest after %.0f s; %d good ones complete", n, halted, slices.Max(seconds), completed)
}

func (p *plant) runsIncumbent(a *rig.Agent) {
	p.t.Helper()
	if st, err := a.State(p.ctx); err != nil || st.Tasks[task].Champion != p.incumbent {
		p.t.Errorf("%s runs %.12s, %v, want the incumbent %.12s", a.Device, st.Tasks[task].Champion, err, p.incumbent)
	}
}
