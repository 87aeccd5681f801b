package ingest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

// result is what became of a message.
type result string

const (
	stored      result = "stored"
	duplicate   result = "duplicate"
	conflict    result = "conflict"
	quarantined result = "quarantined"
)

// chunk is a message prepared for the database.
type chunk struct {
	subject, site, device string
	bytes                 []byte
	sha                   string
	header                wire.Header
	records               *wire.Records
	bad                   string // why it cannot be used, "" when it can
}

// parse decodes a message completely, so that nothing unreadable ever enters the ledger.
func parse(subject string, data []byte) chunk {
	sum := wire.Digest(data)
	c := chunk{subject: subject, bytes: data, sha: hex.EncodeToString(sum[:])}
	tokens := strings.Split(subject, ".")
	if len(tokens) < 4 {
		c.bad = "subject has too few parts"
		return c
	}
	c.site, c.device = tokens[1], tokens[2]
	var err error
	if c.header, c.records, err = wire.Decode(data); err != nil {
		c.bad = err.Error()
		return c
	}
	evt := tokens[3] == "evt"
	switch {
	case c.header.Device != c.device:
		c.bad = fmt.Sprintf("chunk of device %q sent by %q", c.header.Device, c.device)
	case evt != (c.header.Class == wire.ClassAlarm || c.header.Class == wire.ClassEvent):
		c.bad = fmt.Sprintf("class %s does not belong on this subject", c.header.Class)
	}
	return c
}

// declared is a gap that a chunk declares.
type declared struct {
	key setKey
	r   wire.Range
}

// outcome is what one chunk changed.
type outcome struct {
	result result
	gaps   []declared
}

// store applies one chunk inside a transaction.
func (c *chunk) store(ctx context.Context, q *meta.Queries, now int64) (outcome, error) {
	if c.bad != "" {
		fresh, err := q.InsertQuarantined(ctx, meta.Quarantined{
			SHA256:  c.sha,
			Subject: c.subject,
			Reason:  c.bad,
			Bytes:   c.bytes,
			SeenAt:  now,
		})
		if err == nil && fresh {
			err = alarm(ctx, q, "hub/quarantine/"+c.sha, c.device, "quarantine", map[string]any{"subject": c.subject, "reason": c.bad, "bytes": len(c.bytes)}, now)
		}
		return outcome{result: quarantined}, err
	}
	h := c.header
	run, class := h.Run.String(), int64(h.Class)
	over, err := q.Overlap(ctx, h.Device, run, class, int64(h.First), int64(h.Last()))
	switch {
	case err == nil:
		return c.repeat(ctx, q, over, now)
	case !errors.Is(err, meta.ErrNotFound):
		return outcome{}, err
	}
	ordinal, err := runOrdinal(ctx, q, h, now)
	if err != nil {
		return outcome{}, err
	}
	if err := q.InsertInterval(ctx, meta.Interval{Device: h.Device, Run: run, Class: class, Kind: meta.Stored,
		From: int64(h.First), To: int64(h.Last()), SHA256: c.sha, AppliedAt: now}); err != nil {
		return outcome{}, err
	}
	if err := q.InsertStaged(ctx, meta.Staged{
		Device:     h.Device,
		Run:        run,
		Class:      class,
		From:       int64(h.First),
		Count:      int64(h.Count),
		RunOrdinal: ordinal,
		Site:       c.site,
		Bytes:      c.bytes,
		StagedAt:   now,
	}); err != nil {
		return outcome{}, err
	}
	out := outcome{result: stored}
	out.gaps, err = c.index(ctx, q, now)
	return out, err
}

// repeat decides about a chunk whose sequence numbers are already stored.
func (c *chunk) repeat(ctx context.Context, q *meta.Queries, over meta.Interval, now int64) (outcome, error) {
	h := c.header
	from, to := int64(h.First), int64(h.Last())
	same := over.From == from && over.To == to && over.SHA256 == c.sha
	merged := over.SHA256 == "" && over.From <= from && to <= over.To
	if same || merged {
		return outcome{result: duplicate}, nil
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
		SeenAt:       now,
	})
	if err == nil && fresh {
		err = alarm(ctx, q, fmt.Sprintf("hub/conflict/%s/%s/%d/%d/%s", h.Device, h.Run, h.Class, h.First, c.sha), h.Device, "conflict",
			map[string]any{"run": h.Run, "class": h.Class, "from": from, "to": to, "stored_from": over.From, "stored_to": over.To}, now)
	}
	return outcome{result: conflict}, err
}

func runOrdinal(ctx context.Context, q *meta.Queries, h wire.Header, now int64) (int64, error) {
	r, err := q.Run(ctx, h.Device, h.Run.String())
	if errors.Is(err, meta.ErrNotFound) { // a chunk that overtook its hello
		r, err = q.PutRun(ctx, meta.Run{
			Device:    h.Device,
			Run:       h.Run.String(),
			Prev:      wire.Run{}.String(),
			FirstSeen: now,
		})
	}
	return r.Ordinal, err
}

// index stores what other parts of the hub query directly: events, gaps, labels, the newest host
// telemetry.
func (c *chunk) index(ctx context.Context, q *meta.Queries, now int64) (gaps []declared, err error) {
	h := c.header
	for i, e := range c.records.Events {
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
			return nil, err
		}
		if e.Kind == wire.GapKind {
			g, err := c.gap(ctx, q, e, now)
			if err != nil {
				return nil, err
			}
			gaps = append(gaps, g...)
		}
	}
	for _, l := range c.records.Labels {
		if err := q.InsertLabelPoint(ctx, meta.LabelPoint{
			Task:        l.Task,
			Device:      h.Device,
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
		}); err != nil {
			return nil, err
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
			return nil, err
		}
	}
	return gaps, nil
}

func (c *chunk) gap(ctx context.Context, q *meta.Queries, e wire.Event, now int64) ([]declared, error) {
	var g wire.Gap
	if err := json.Unmarshal([]byte(e.Detail), &g); err != nil || !g.Class.Valid() || g.From == 0 || g.To < g.From || g.To > math.MaxInt64-1 {
		return nil, alarm(ctx, q, "hub/badgap/"+c.sha+"/"+e.Detail, c.device, "bad_gap", map[string]any{"detail": e.Detail}, now)
	}
	series, err := json.Marshal(g.Series)
	if err != nil {
		return nil, err
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
		return nil, err
	}
	if err := q.InsertInterval(ctx, meta.Interval{
		Device:    c.device,
		Run:       g.Run.String(),
		Class:     int64(g.Class),
		Kind:      meta.Declared,
		From:      int64(g.From),
		To:        int64(g.To),
		AppliedAt: now,
	}); err != nil {
		return nil, err
	}
	return []declared{{setKey{runKey{c.device, g.Run}, g.Class}, wire.Range{From: g.From, To: g.To}}}, nil
}

// alarm stores an event of the hub's own about a device.
func alarm(ctx context.Context, q *meta.Queries, id, device, kind string, detail map[string]any, now int64) error {
	b, err := json.Marshal(detail)
	if err != nil {
		return err
	}
	return q.InsertEvent(ctx, meta.Event{
		ID:         id,
		Device:     device,
		Class:      int64(wire.ClassAlarm),
		Time:       now,
		Kind:       kind,
		Detail:     string(b),
		ReceivedAt: now,
	})
}
