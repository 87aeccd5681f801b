package link

import (
	"testing"
	"time"
)

// TestBudgetFindsTheLink sends as much as the budget allows over links of several speeds and one
// queue: no receipt may take longer than a sender waits, a fast link must be filled, and a slow one
// must not be left idle.
func TestBudgetFindsTheLink(t *testing.T) {
	type message struct {
		bytes int
		sent  time.Duration
	}
	for name, c := range map[string]struct {
		rate  float64 // bytes a second
		delay time.Duration
		share float64 // of the rate that must be used
	}{
		"64 kbit/s":           {8_000, 100 * time.Millisecond, 0.9},
		"64 kbit/s satellite": {8_000, 700 * time.Millisecond, 0.9},
		"2 Mbit/s":            {250_000, 50 * time.Millisecond, 0.9},
		"100 Mbit/s":          {12_500_000, 20 * time.Millisecond, 0.9},
	} {
		b := newBudget(16, 16*128<<10)
		var queue []message
		var now, free time.Duration // free: when the link has sent what is queued
		done, worst := 0, time.Duration(0)
		const minutes = 10
		for now < minutes*time.Minute {
			for room := b.room(); room > 0; room = b.room() {
				m := message{bytes: min(room, 128<<10), sent: now}
				b.sent(m.bytes)
				queue = append(queue, m)
			}
			m := queue[0]
			queue = queue[1:]
			free = max(free, m.sent) + time.Duration(float64(m.bytes)/c.rate*float64(time.Second))
			now = max(now, free+c.delay)
			took := now - m.sent
			b.answered(m.bytes, took)
			done += m.bytes
			if now > time.Minute { // it may learn for a minute
				worst = max(worst, took)
			}
		}
		if worst > 6*time.Second {
			t.Errorf("%s: a receipt took %v, the sender waits 10 s", name, worst)
		}
		if used := float64(done) / now.Seconds() / c.rate; used < c.share {
			t.Errorf("%s: %.0f %% of the link were used, want %.0f %%", name, 100*used, 100*c.share)
		}
	}
}

// TestBudgetAfterLoss holds that losses shrink the budget to one small message and no further, and
// that nothing stays counted as under way.
func TestBudgetAfterLoss(t *testing.T) {
	b := newBudget(4, 1<<20)
	for range 20 {
		n := b.room()
		b.sent(n)
		b.lost(n)
	}
	if b.room() != minBudget/4 || b.underway != 0 || b.messages != 0 {
		t.Errorf("after losses the budget is %+v, want room for %d bytes", b, minBudget/4)
	}
	for range 4 {
		b.sent(1)
	}
	if b.room() != 0 {
		t.Errorf("room for %d bytes with every slot taken", b.room())
	}
}
