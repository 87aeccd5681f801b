package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

const (
	ahead     = 48 // event hours the driver may be ahead of the slowest station
	killed    = 1  // station whose agent is killed
	cutOff    = 2  // station that loses its link
	inRollout = 24 // event hours between looks at a rollout under way
)

func randomPassword() string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// message renders one station-hour as its sensor would send it.
func (h hour) message() []byte {
	b := append([]byte(`{"ts":"`), h.at.Format(time.RFC3339)...)
	b = append(b, '"')
	for _, v := range h.values {
		b = append(b, ',', '"')
		b = append(b, v.series...)
		b = append(b, '"', ':')
		if v.text != "" {
			b = strconv.AppendQuote(b, v.text)
		} else {
			b = strconv.AppendFloat(b, v.number, 'g', -1, 64)
		}
	}
	return append(b, '}')
}

// replay publishes hour after hour of every station.
func (d *demo) replay(ctx context.Context) error {
	n := len(d.stations[0].hours)
	kill, cut := int(d.killAt*float64(n)), int(d.cutFrom*float64(n))
	for i := range n {
		switch i {
		case kill:
			d.agents[killed].Kill()
			d.show.event("%s: agent killed with SIGKILL at %s", d.agents[killed].Device, d.stations[0].hours[i].at.Format(time.DateOnly))
			if err := d.agents[killed].Start(); err != nil {
				return err
			}
			if err := d.caughtUp(ctx, killed, i); err != nil {
				return err
			}
		case cut:
			d.agents[cutOff].SetCut(true)
			d.show.event("%s: link to the hub cut for %d days of data from %s", d.agents[cutOff].Device, d.cutFor/24, d.stations[0].hours[i].at.Format(time.DateOnly))
		case cut + d.cutFor:
			d.agents[cutOff].SetCut(false)
			d.show.event("%s: link restored", d.agents[cutOff].Device)
		}
		if err := d.pace(ctx, i); err != nil {
			return err
		}
		for k, s := range d.stations {
			h := s.hours[i]
			if len(h.values) == 0 {
				continue
			}
			d.pub.Publish(d.topic+"/"+s.name+"/reading", 1, false, h.message())
			d.published[k]++
		}
	}
	return nil
}

// caughtUp waits until the restarted agent has read everything published so far. Only then does
// event time go on: this broker sends unacknowledged messages again after a pause, and newer ones
// must not overtake them.
func (d *demo) caughtUp(ctx context.Context, k, i int) error {
	want := int64(0)
	for j := i - 1; j >= 0 && want == 0; j-- {
		if len(d.stations[k].hours[j].values) > 0 {
			want = d.stations[k].hours[j].at.UnixMicro()
		}
	}
	limit := time.Now().Add(5 * time.Minute)
	for time.Now().Before(limit) && ctx.Err() == nil {
		st, err := d.agents[k].State(ctx)
		if err == nil && st.Tasks[d.task].Watermark >= want {
			d.show.event("%s: back, nothing missing", d.agents[k].Device)
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s has not caught up 30 s after its restart", d.agents[k].Device)
}

// pace waits until the slowest station is near enough, and while the hub trains or a stage is on
// its way.
func (d *demo) pace(ctx context.Context, i int) error {
	waited := time.Now()
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err, gone := d.hub.Exited(); gone {
			return fmt.Errorf("the hub ended: %v", err)
		}
		behind := d.behind(ctx, i, time.Since(waited))
		if behind < 0 && !d.holds(i) && !d.backlog() {
			return nil
		}
		if time.Since(waited) > 3*time.Minute {
			return fmt.Errorf("event time stands still at hour %d (slowest station: %d)", i, behind)
		}
		time.Sleep(time.Millisecond)
	}
}

// behind returns the station that is more than the allowed hours behind, -1 when there is none.
// Predictions show how far a station is; where the target is missing for long, the agent is polled
// for its watermark.
func (d *demo) behind(ctx context.Context, i int, waited time.Duration) int {
	if i < ahead {
		return -1
	}
	limit := d.stations[0].hours[i-ahead].at.Unix()
	for k, sc := range d.scores {
		if sc.progress() >= limit {
			continue
		}
		if waited > 150*time.Millisecond {
			if st, err := d.agents[k].State(ctx); err == nil && st.Tasks[d.task].Watermark/1e6 >= limit {
				sc.mu.Lock()
				sc.newest = max(sc.newest, st.Tasks[d.task].Watermark/1e6)
				sc.mu.Unlock()
				continue
			}
			time.Sleep(50 * time.Millisecond)
		}
		return k
	}
	return -1
}

// maxBacklog bounds what agents with a link may still hold, so that the hub's view of the world
// is not older than a few weeks of data.
const maxBacklog = 6000

// backlog reports whether the hub is too far behind.
func (d *demo) backlog() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, n := range d.pending {
		if k != cutOff && n > maxBacklog {
			return true
		}
	}
	return false
}

// holds reports whether event time must stand still: a training, or a stage whose devices are
// still on their way.
func (d *demo) holds(i int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, j := range d.jobs {
		if j.State == "running" || j.State == "queued" {
			return true
		}
	}
	for _, r := range d.rollouts {
		if r.State != "running" {
			continue
		}
		if r.Status.Step == "rolling" && r.Status.Counts.Waiting > 0 {
			return true
		}
		if i%inRollout == 0 && d.show.lastLook() < int64(i) {
			d.show.look(int64(i)) // let the watcher see what these hours have changed
			d.mu.Unlock()
			time.Sleep(150 * time.Millisecond)
			d.mu.Lock()
		}
	}
	return false
}

// settle waits until everything published is at the hub and no job or stage is under way.
func (d *demo) settle(ctx context.Context) error {
	d.show.event("all readings are published, waiting for the rest to arrive")
	limit := time.Now().Add(5 * time.Minute)
	waiting := ""
	for time.Now().Before(limit) && ctx.Err() == nil {
		waiting = ""
		for k, a := range d.agents {
			st, err := a.State(ctx)
			switch {
			case err != nil:
				waiting = err.Error()
			case st.Outbox.PendingRecords > 0:
				waiting = fmt.Sprintf("%s holds %d records", a.Device, st.Outbox.PendingRecords)
			case st.Outbox.Stored["reading"] < uint64(d.stations[k].readings()):
				waiting = a.Device + " has not stored everything"
			}
		}
		if waiting == "" && !d.holds(1) {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if waiting == "" {
		waiting = "a training or a rollout is under way"
	}
	d.show.event("five minutes are over: %s", waiting)
	return nil // the summary shows what is missing
}
