package ingest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"skerry.dev/hub/alarm"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// result is what became of a message.
type result string

const (
	stored      result = "stored"
	duplicate   result = "duplicate"
	conflict    result = "conflict"
	quarantined result = "quarantined"
	postponed   result = "postponed" // not stored: the message is too large for one transaction
	crowded     result = "crowded"   // not stored: the device has begun too many runs today
)

// chunk is one chunk of a message, and what became of it.
type chunk struct {
	site, device string
	lane         Lane
	bytes        []byte
	sha          string
	header       wire.Header
	records      *wire.Records
	bad          string // why it cannot be used, "" when it can

	result  result // set by store
	kept    bool   // quarantined and kept for inspection
	ordinal int64  // of its run among the device's runs
	covered bool   // a conflict all of whose sequence numbers are stored
}

// refusal reports why the chunk is not in the ledger, "" when its sequence numbers are.
func (c *chunk) refusal() string {
	switch {
	case c.result == quarantined:
		return c.bad
	case c.result == postponed:
		return "the message is too large for one transaction: send it again with fewer others"
	case c.result == crowded:
		return fmt.Sprintf("the device has started more than %d times today: what later starts measured waits until 00:00 UTC", maxRuns)
	case c.result == conflict && !c.covered:
		return "its sequence numbers overlap stored ones with other contents"
	}
	return ""
}

// Bounds of one message, so that it holds no other device for long. What is beyond them is not
// stored and not kept aside: it may come again with fewer others.
const (
	maxMessageSize = 16 << 20 // bytes of decoded records
	maxMessageCost = 2000
)

// decode reads the chunks of a message completely, as far as they keep within the bounds.
func decode(m *Message) *request {
	parts, err := wire.Unpack(m.Data)
	if err != nil {
		parts = [][]byte{m.Data}
	}
	r := &request{Message: *m, size: len(m.Data), chunks: make([]chunk, len(parts))}
	for n, b := range parts {
		c := &r.chunks[n]
		*c = chunk{site: m.Site, device: m.Device, lane: m.Lane, bytes: b, result: postponed}
		if r.size > maxMessageSize || r.cost > maxMessageCost {
			continue
		}
		sum := wire.Digest(b)
		c.result, c.sha = "", hex.EncodeToString(sum[:])
		if err != nil {
			c.bad = err.Error()
		} else {
			c.decode()
		}
		size, cost := 0, 1
		if c.records != nil {
			size = c.records.Size()
			cost += len(c.records.Events) + len(c.records.Hosts) + len(c.records.Labels)/8
		}
		if n > 0 && (r.size+size > maxMessageSize || r.cost+cost > maxMessageCost) {
			c.result, c.records = postponed, nil
			continue
		}
		r.size += size
		r.cost += cost
	}
	return r
}

func (c *chunk) decode() {
	var err error
	if c.header, c.records, err = wire.Decode(c.bytes); err != nil {
		c.bad = err.Error()
		return
	}
	switch {
	case c.header.Device != c.device:
		c.bad = fmt.Sprintf("chunk of device %q sent by %q", c.header.Device, c.device)
	case (c.lane == Events) != (c.header.Class == wire.ClassAlarm || c.header.Class == wire.ClassEvent):
		c.bad = fmt.Sprintf("class %s does not belong on the lane %s", c.header.Class, c.lane)
	default:
		if err := checkRecords(c.records); err != nil {
			c.bad = err.Error()
		}
	}
}

// interval is the chunk's row of the ledger.
func (c *chunk) interval(now int64) meta.Interval {
	return meta.Interval{
		Device:    c.header.Device,
		Run:       c.header.Run.String(),
		Class:     int64(c.header.Class),
		Kind:      meta.Stored,
		From:      int64(c.header.First),
		To:        int64(c.header.Last()),
		SHA256:    c.sha,
		AppliedAt: now,
	}
}

// store applies chunks inside a transaction and notes the result in each. Statements are made for
// many rows at once: at the small chunks of a live device their number is what a transaction costs.
func (i *Ingester) store(ctx context.Context, q *meta.Queries, chunks []*chunk, t *tally) error {
	now := t.now
	good := make([]*chunk, 0, len(chunks))
	rows := make([]meta.Interval, 0, len(chunks))
	for _, c := range chunks {
		if c.result == postponed {
			continue
		}
		if c.bad != "" {
			if err := c.quarantine(ctx, q, t); err != nil {
				return err
			}
			continue
		}
		good = append(good, c)
		rows = append(rows, c.interval(now))
	}
	over, err := q.Overlaps(ctx, rows)
	if err != nil {
		return err
	}
	var fresh, again []*chunk
	taken := map[setKey]intervals{} // by this transaction
	for n, c := range good {
		k, r := setKey{runKey{c.device, c.header.Run}, c.header.Class}, wire.Range{
			From: c.header.First,
			To:   c.header.Last(),
		}
		switch {
		case over[n] != nil:
			if err := c.repeat(ctx, q, *over[n], t); err != nil {
				return err
			}
		case taken[k].meets(r):
			again = append(again, c)
		default:
			c.ordinal, err = i.ordinal(ctx, q, c.header, t)
			if errors.Is(err, errRuns) {
				c.result = crowded
				break
			}
			if err != nil {
				return err
			}
			taken[k] = taken[k].add(r)
			c.result = stored
			fresh = append(fresh, c)
		}
	}
	if err := i.insert(ctx, q, fresh, now); err != nil {
		return err
	}
	for _, c := range again { // sent twice within one batch
		row, err := q.Overlap(ctx, c.device, c.header.Run.String(), int64(c.header.Class), int64(c.header.First), int64(c.header.Last()))
		if err != nil {
			return err
		}
		if err := c.repeat(ctx, q, row, t); err != nil {
			return err
		}
	}
	for _, c := range chunks {
		if err := t.count(ctx, q, c); err != nil {
			return err
		}
	}
	return t.store(ctx, q, int64(i.opts.DeviceQuota))
}

// insert stores chunks whose sequence numbers are new.
func (i *Ingester) insert(ctx context.Context, q *meta.Queries, fresh []*chunk, now int64) error {
	ledger := make([]meta.Interval, len(fresh))
	staged := make([]meta.Staged, len(fresh))
	var labels []meta.LabelPoint
	for n, c := range fresh {
		ledger[n] = c.interval(now)
		staged[n] = meta.Staged{
			Device:     c.header.Device,
			Run:        ledger[n].Run,
			Class:      ledger[n].Class,
			From:       ledger[n].From,
			Count:      int64(c.header.Count),
			RunOrdinal: c.ordinal,
			Site:       c.site,
			Bytes:      c.bytes,
			StagedAt:   now,
		}
		labels = append(labels, c.labels(now)...)
	}
	if err := q.InsertIntervals(ctx, ledger); err != nil {
		return err
	}
	if err := q.InsertStagedChunks(ctx, staged); err != nil {
		return err
	}
	if err := q.InsertLabelPoints(ctx, labels); err != nil {
		return err
	}
	for _, c := range fresh {
		if err := c.index(ctx, q, now); err != nil {
			return err
		}
	}
	return report(ctx, q, fresh, now)
}

// quarantine keeps a chunk that cannot be read.
func (c *chunk) quarantine(ctx context.Context, q *meta.Queries, t *tally) (err error) {
	c.result = quarantined
	c.kept, err = t.keep(ctx, q, c.device, meta.Quarantined{
		SHA256:  c.sha,
		Subject: fmt.Sprintf("edge.%s.%s.%s", c.site, c.device, c.lane),
		Reason:  c.bad,
		Bytes:   c.bytes,
		SeenAt:  t.now,
	})
	return err
}

// repeat decides about a chunk whose sequence numbers are already stored.
func (c *chunk) repeat(ctx context.Context, q *meta.Queries, over meta.Interval, t *tally) error {
	h := c.header
	from, to := int64(h.First), int64(h.Last())
	same := over.From == from && over.To == to && over.SHA256 == c.sha
	merged := over.SHA256 == "" && over.From <= from && to <= over.To
	if same || merged {
		c.result = duplicate
		return nil
	}
	c.result, c.covered = conflict, over.From <= from && to <= over.To
	u, err := t.of(ctx, q, c.device)
	if err != nil {
		return err
	}
	if u.Conflicts++; u.Kept >= maxKept {
		return nil
	}
	fresh, err := q.InsertConflict(ctx, meta.Conflict{
		SHA256:       c.sha,
		Device:       h.Device,
		Run:          h.Run.String(),
		Class:        int64(h.Class),
		From:         from,
		To:           to,
		StoredFrom:   over.From,
		StoredTo:     over.To,
		StoredSHA256: over.SHA256,
		Bytes:        c.bytes,
		SeenAt:       t.now,
	})
	if err == nil && fresh {
		u.Kept++
		err = alarm.Raise(ctx, q, t.now, alarm.Alarm{
			Device: h.Device,
			Kind:   "conflict",
			Key:    fmt.Sprintf("%s/%d/%d/%s", h.Run, h.Class, h.First, c.sha),
			Detail: map[string]any{"run": h.Run, "class": h.Class, "from": from, "to": to, "stored_from": over.From, "stored_to": over.To},
		})
	}
	return err
}

// index stores what other parts of the hub query directly, labels apart: events, gaps, the newest
// host telemetry. Marks are read from the lake alone.
func (c *chunk) index(ctx context.Context, q *meta.Queries, now int64) error {
	h := c.header
	for i, e := range c.records.Events {
		if e.Kind == spec.MarkKind {
			continue
		}
		detail := e.Detail
		if !json.Valid([]byte(detail)) {
			b, _ := json.Marshal(map[string]string{"text": detail}) // a string always encodes
			detail = string(b)
		}
		id := fmt.Sprintf("%s/%s/%d/%d", h.Device, h.Run, h.Class, h.First+uint64(i))
		if err := q.InsertEvent(ctx, meta.Event{
			ID:         id,
			Device:     h.Device,
			Class:      int64(h.Class),
			Time:       e.Time,
			Kind:       e.Kind,
			Task:       e.Task,
			Detail:     detail,
			ReceivedAt: now,
		}); err != nil {
			return err
		}
		if e.Kind == wire.GapKind {
			if err := c.gap(ctx, q, e, now); err != nil {
				return err
			}
		}
	}
	newest := map[string]wire.Host{}
	for _, s := range c.records.Hosts {
		if old, ok := newest[s.Metric]; !ok || old.Time <= s.Time {
			newest[s.Metric] = s
		}
	}
	for _, s := range newest {
		if err := q.PutHostValue(ctx, meta.HostValue{
			Device: h.Device,
			Metric: s.Metric,
			Time:   s.Time,
			Value:  meta.Float(s.Value),
		}); err != nil {
			return err
		}
	}
	return nil
}

func (c *chunk) gap(ctx context.Context, q *meta.Queries, e wire.Event, now int64) error {
	var g wire.Gap
	if err := json.Unmarshal([]byte(e.Detail), &g); err != nil || !g.Class.Valid() || g.From == 0 || g.To < g.From || g.To > math.MaxInt64-1 {
		sum := wire.Digest([]byte(e.Detail)) // itself it may be too long for a key
		return alarm.Raise(ctx, q, now, alarm.Alarm{
			Device: c.device,
			Kind:   "bad_gap",
			Key:    c.sha + "/" + hex.EncodeToString(sum[:]),
			Detail: map[string]any{"detail": e.Detail},
		})
	}
	series, err := json.Marshal(g.Series)
	if err != nil {
		return err
	}
	if err := q.InsertGap(ctx, meta.Gap{
		Device:     c.device,
		Run:        g.Run.String(),
		Class:      int64(g.Class),
		From:       int64(g.From),
		To:         int64(g.To),
		Reason:     g.Reason,
		Series:     string(series),
		DeclaredAt: now,
	}); err != nil {
		return err
	}
	return q.InsertInterval(ctx, meta.Interval{
		Device:    c.device,
		Run:       g.Run.String(),
		Class:     int64(g.Class),
		Kind:      meta.Declared,
		From:      int64(g.From),
		To:        int64(g.To),
		AppliedAt: now,
	})
}

// labels are the chunk's labels as rows for charts and training.
func (c *chunk) labels(now int64) []meta.LabelPoint {
	var out []meta.LabelPoint
	for _, l := range c.records.Labels {
		if l.Classes == 0 {
			nan := math.NaN()
			l.Chance, l.ChanceOf = nan, wire.Chances{Champion: nan, Candidate: nan, Baseline: nan}
		}
		out = append(out, meta.LabelPoint{
			Task:        l.Task,
			Device:      c.device,
			RowTime:     l.Row,
			At:          l.At,
			Truth:       meta.Float(l.Truth),
			Predicted:   meta.Float(l.Predicted),
			Lower:       meta.Float(l.Lower),
			Upper:       meta.Float(l.Upper),
			Persistence: meta.Float(l.Persistence),
			Champion:    meta.Float(l.Champion),
			Candidate:   meta.Float(l.Candidate),
			ChampionID:  l.ChampionID,
			CandidateID: l.ShadowID,
			ReceivedAt:  now,

			Classes:         l.Classes,
			Chance:          meta.Float(l.Chance),
			ChampionChance:  meta.Float(l.ChanceOf.Champion),
			CandidateChance: meta.Float(l.ChanceOf.Candidate),
			BaselineChance:  meta.Float(l.ChanceOf.Baseline),
			SetSize:         l.SetSize,
			Covered:         l.Covered,
		})
	}
	return out
}
