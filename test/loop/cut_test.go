package loop

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"skerry.dev/test/rig"
)

// inLake counts a device's readings of y in the lake from one hour to before another.
func (w *world) inLake(name string, from, to int) int {
	w.t.Helper()
	var out rig.Items[struct{ Time int64 }]
	q := url.Values{"device": {name}, "series": {"y"}, "limit": {"100000"}, "from": {fmt.Sprint(at(from).UnixMicro())}, "to": {fmt.Sprint(at(to).UnixMicro())}}
	w.must(w.api.Call(w.ctx, "GET", "/v1/lake/readings?"+q.Encode(), nil, &out))
	return len(out.Items)
}

// TestCutOff takes a device's link away for 60 days of hourly readings. It goes on predicting,
// and when the link is back what is new overtakes what has waited.
func TestCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, anyBroker(t), 3*time.Minute)
	a := w.agent("remote", "remote", func(o *rig.AgentOptions) { o.Back = "16KiB" })
	heard := w.listen("remote")
	s := newSeries(51)
	p := w.sensor("remote", s)
	p.publish(48)
	p.settle()
	w.drained(20*time.Second, a, p.next-1, len(s.took))

	a.SetCut(true)
	w.until(20*time.Second, "the agent notices", func() (bool, string) {
		d, err := a.Detail(w.ctx)
		return err == nil && !d.Links["hub"], fmt.Sprint(d.Links, err)
	})
	from := p.next
	days := count(60, 20)
	p.publish(days * 24)
	to := p.next
	p.settle()
	last := fmt.Sprintf(`{"ts":%q`, at(to-1).Format(time.RFC3339))
	w.until(30*time.Second, "predictions without a link", func() (bool, string) {
		rows, _, _ := heard.copy()
		return rows[last] != "" && len(rows) == to, fmt.Sprintf("%d of %d", len(rows), to)
	})
	time.Sleep(1200 * time.Millisecond) // the last commit
	st, err := a.State(w.ctx)
	w.must(err)
	held := st.Outbox
	if n := w.inLake("remote", from, to); n != 0 {
		t.Fatalf("%d readings have reached the hub although the link is cut", n)
	}

	a.SetCut(false)
	w.must(a.WaitUp(w.ctx, true))
	began := time.Now()
	backlog := to - from
	firstLive, behind, slowest := time.Duration(0), 0, time.Duration(0)
	live := 0
	for done := 0; done < backlog; done = w.inLake("remote", from, to) {
		if time.Since(began) > 90*time.Second {
			t.Fatalf("after 90 s only %d of %d readings of the backlog are in the lake", done, backlog)
		}
		i := p.next
		p.publish(1)
		live++
		sent := time.Now()
		w.until(30*time.Second, "a live reading at the hub", func() (bool, string) { return w.inLake("remote", i, i+1) == 1, "not there" })
		slowest = max(slowest, time.Since(sent))
		if firstLive == 0 {
			firstLive = time.Since(began)
			behind = backlog - w.inLake("remote", from, to)
		}
	}
	took := time.Since(began)
	if behind < backlog/2 {
		t.Errorf("when the first live reading was at the hub only %d of %d of the backlog were still to come: live does not come first", behind, backlog)
	}
	p.settle()
	w.drained(30*time.Second, a, p.next-1, len(s.took))
	w.exactlyOnce(a, s.took)
	if !strings.Contains(a.Tail(), "hub link up") {
		t.Error("the agent does not say that the link is back")
	}
	t.Logf("%d days without a link: %d records, %d bytes held; the first live reading was at the hub after %s with %d of %d hours still to come, the slowest of %d live ones took %s, everything was there after %s (%.0f B/s)",
		days, held.PendingRecords, held.PendingBytes, firstLive.Round(time.Millisecond), behind, backlog, live, slowest.Round(time.Millisecond), took.Round(100*time.Millisecond), float64(held.PendingBytes)/took.Seconds())
}
