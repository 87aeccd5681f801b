// Command fleet rolls a model out to a simulated fleet of thousands of devices at one hub: it reports,
// as devices do, what they would measure. A share of them comes and goes, another never returns. It
// prints how the rollout goes, what of the fleet is unknown beside what is away in truth, and the
// processor time and memory that the hub has taken.
//
//	go run ./test/bench/fleet -devices 10000
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"skerry.dev/configs"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/server"
	"skerry.dev/hub/training"
	"skerry.dev/sync/spec"
)

// box is a simulated device.
type box struct {
	name      string
	restless  bool // comes and goes
	lost      bool // goes during the rollout and never returns
	connected bool
	rows      int64
	phase     spec.Phase
	told      spec.Assignment
}

func main() {
	n := flag.Int("devices", 10_000, "size of the fleet")
	restless := flag.Float64("restless", 0.3, "share that comes and goes")
	lost := flag.Float64("lost", 0.05, "share that leaves and never returns")
	limit := flag.Duration("limit", 30*time.Minute, "give up after so long")
	flag.Parse()
	if err := run(*n, *restless, *lost, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func run(n int, restless, lost float64, limit time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "skerry-fleet")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	h, err := server.Open(ctx, server.Options{Config: configs.HubConfig{DataDir: dir, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"}, AdminPassword: "correct horse battery"})
	if err != nil {
		return err
	}
	l := h.Learn(training.Policy{Disabled: true}, rollout.Spec{})
	running, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-done, h.Close())
	}()
	f := &fleet{hub: h, rng: rand.New(rand.NewPCG(1, 1))}
	if err := f.enrol(ctx, n, restless, lost); err != nil {
		return err
	}
	m, err := h.Registry.Register(ctx, []byte("model"), registry.Info{Task: "t", Kind: "test", CreatedBy: "fleet"})
	if err != nil {
		return err
	}
	r, err := l.Rollouts.Create(ctx, "fleet", rollout.Spec{Digest: m.Digest, Evidence: &spec.Evidence{Rows: 5000, Incumbent: 1, Diff: -0.1, Passed: true}})
	if err != nil {
		return err
	}
	return f.watch(ctx, l.Rollouts, r.ID)
}

// fleet is the simulated devices and their hub.
type fleet struct {
	hub   *server.Hub
	rng   *rand.Rand
	boxes []*box
}

func (f *fleet) enrol(ctx context.Context, n int, restless, lost float64) error {
	for i := range n {
		b := &box{name: fmt.Sprintf("box-%05d", i), connected: true}
		u := f.rng.Float64()
		b.lost, b.restless = u < lost, u >= lost && u < lost+restless
		f.boxes = append(f.boxes, b)
	}
	for part := range slices.Chunk(f.boxes, 500) {
		if err := f.hub.DB.Tx(ctx, func(q *meta.Queries) error {
			for _, b := range part {
				if err := errors.Join(
					q.InsertDevice(ctx, meta.Device{Name: b.name, Site: "s", PublicKey: "key-" + b.name, CreatedAt: meta.Now()}),
					q.PutTask(ctx, meta.Task{Name: "t", Kind: "forecast", Spec: "task: t", Hash: "h", FirstSeen: meta.Now(), LastSeen: meta.Now()}, b.name),
					q.SetConnected(ctx, b.name, "", true, meta.Now())); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// round lets a tenth of the devices live on: links change, orders are carried out, reports sent.
func (f *fleet) round(ctx context.Context, k int) error {
	var part []*box
	for i := k % 10; i < len(f.boxes); i += 10 {
		part = append(part, f.boxes[i])
	}
	for some := range slices.Chunk(part, 200) {
		if err := f.hub.DB.Tx(ctx, func(q *meta.Queries) error {
			for _, b := range some {
				if err := f.live(ctx, q, b, k); err != nil {
					return fmt.Errorf("%s: %w", b.name, err)
				}
			}
			return feed.Add(ctx, q, feed.KindState, "", some[0].name, feed.State{Tasks: map[string]string{"t": "h"}})
		}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) live(ctx context.Context, q *meta.Queries, b *box, k int) error {
	was := b.connected
	switch {
	case b.lost:
		b.connected = b.connected && (k < 10 || f.rng.Float64() > 0.3)
	case b.restless:
		b.connected = f.rng.Float64() < 0.5
	}
	if was != b.connected {
		if err := q.SetConnected(ctx, b.name, "", b.connected, meta.Now()); err != nil {
			return err
		}
	}
	if !b.connected {
		return nil
	}
	var want spec.Desired
	doc, err := q.Desired(ctx, b.name)
	if errors.Is(err, meta.ErrNotFound) {
		err = nil
	} else if err == nil {
		err = json.Unmarshal([]byte(doc.Document), &want)
	}
	if err != nil {
		return err
	}
	report := spec.ReportedTask{Kind: "forecast", Spec: "task: t", SpecHash: "h"}
	if a, ok := want.Assignments["t"]; ok {
		if a.Generation > b.told.Generation {
			if a.Digest != b.told.Digest || b.phase.Final() {
				b.phase, b.rows = spec.PhaseAssigned, 0
			}
			b.told = a
		}
		b.carryOut()
		report.Assignment = &spec.ReportedAssignment{Generation: b.told.Generation, Rollout: a.Rollout, Digest: a.Digest, Phase: b.phase, Stats: b.measured()}
		if b.phase == spec.PhaseProbation || b.phase == spec.PhaseActive {
			report.Champion = a.Digest
		}
	}
	text, err := json.Marshal(spec.Reported{Device: b.name, Generation: want.Generation, Time: meta.Now(), Tasks: map[string]spec.ReportedTask{"t": report}})
	if err != nil {
		return err
	}
	return q.PutReported(ctx, meta.Document{Device: b.name, Generation: int64(want.Generation), Document: string(text), At: meta.Now()})
}

func (b *box) carryOut() {
	b.rows += 24
	switch {
	case b.phase == spec.PhaseAssigned:
		b.phase, b.rows = spec.PhaseShadow, 24
	case b.phase == spec.PhaseShadow && b.told.Phase == spec.PhaseActive && b.rows >= 48:
		b.phase, b.rows = spec.PhaseProbation, 24
	case b.phase == spec.PhaseProbation && b.rows >= 48:
		b.phase = spec.PhaseActive
	}
}

func (b *box) measured() (p spec.Paired) {
	const hour = int64(3600e6)
	begin := int64(450_000) * hour
	p.Rows, p.Labelled, p.From, p.To, p.LatencyP99US = b.rows, b.rows, begin, begin+b.rows*hour, 50
	for i := range b.rows {
		d := -0.1 + 0.3*math.Sin(float64(13*i*i)+float64(len(b.name)))
		p.Blocks.Add(begin+i*hour, 1, 1+d)
		p.SumIncumbent++
		p.SumCandidate += 1 + d
		p.SumDiff += d
	}
	return p
}

// watch lives on with the fleet until the rollout is over.
func (f *fleet) watch(ctx context.Context, c *rollout.Controller, id string) error {
	began, last := time.Now(), ""
	worst := 0.0
	for k := 0; ; k++ {
		if err := f.round(ctx, k); err != nil {
			return err
		}
		r, _, err := c.Get(ctx, id)
		if err != nil {
			return err
		}
		away := 0
		for _, b := range f.boxes {
			if !b.connected && b.phase != spec.PhaseActive {
				away++
			}
		}
		if shown := r.Status.Counts; shown.Targets > 0 {
			worst = max(worst, math.Abs(float64(shown.Unknown-away))/float64(shown.Targets))
		}
		if now := string(r.State) + " " + r.Status.StageName; now != last || k%20 == 0 {
			last = now
			fmt.Printf("%6.1f s  %-20s %+v  away in truth %d  %s\n", time.Since(began).Seconds(), now, r.Status.Counts, away, r.Status.Reason)
		}
		if r.State != rollout.Running {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stuck: %s %s: %s", r.State, r.Status.StageName, r.Status.Reason)
		}
		time.Sleep(500 * time.Millisecond)
	}
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return err
	}
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	fmt.Printf("after %.0f s; processor time of hub and devices %.0f s; heap of both %d MB, most resident %d MB; unknown shown against truth: at most %.2f %% of the fleet apart\n",
		time.Since(began).Seconds(), float64(use.Utime.Sec+use.Stime.Sec), mem.HeapAlloc>>20, use.Maxrss>>10, 100*worst)
	return nil
}
