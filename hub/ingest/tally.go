package ingest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"skerry.dev/hub/alarm"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/wire"
)

const (
	// minCharge is what a chunk counts at least: its rows in the ledger and in staging cost more
	// than a few bytes.
	minCharge = 1 << 10
	// labelCharge and eventCharge are what a label and an event count besides, which become rows of the
	// database; of a few bytes sent there may be thousands.
	labelCharge, eventCharge = 256, 512
	// maxKept is how many messages of a device a day are kept for inspection; the others are only
	// counted.
	maxKept = 32
	// manyRuns a day raise an alarm, maxRuns are refused: a device that starts every few seconds.
	manyRuns, maxRuns = 1000, 20_000
	// overQuota is when a device that has used its share of a day may ask again.
	overQuota = 5 * time.Minute
)

// firstPlausible is the earliest time of a reading, in microseconds, that no wrong clock explains
// better: 2000-01-01.
const firstPlausible = 946_684_800_000_000

// tally counts what devices send within one transaction, and bounds what is kept of it.
type tally struct {
	now    int64
	before map[string]meta.Usage // what the day had before
	rows   map[string]*meta.Usage
}

func newTally(now int64) *tally {
	return &tally{now: now, before: map[string]meta.Usage{}, rows: map[string]*meta.Usage{}}
}

// of returns the counts of a device on the day of the transaction, to be changed.
func (t *tally) of(ctx context.Context, q *meta.Queries, device string) (*meta.Usage, error) {
	if u := t.rows[device]; u != nil {
		return u, nil
	}
	u, err := q.Usage(ctx, device, alarm.Day(t.now))
	if err != nil {
		return nil, err
	}
	t.before[device], t.rows[device] = u, &u
	return &u, nil
}

// keep puts a message into quarantine and raises an alarm of its device, while the device's day
// has room for it; otherwise it is counted. It reports whether the message is new.
func (t *tally) keep(ctx context.Context, q *meta.Queries, device string, m meta.Quarantined) (fresh bool, err error) {
	u, err := t.of(ctx, q, device)
	if err != nil {
		return false, err
	}
	u.Refused++
	if u.Kept >= maxKept {
		return false, nil
	}
	if fresh, err = q.InsertQuarantined(ctx, m); err != nil || !fresh {
		return fresh, err
	}
	u.Kept++
	return true, alarm.Raise(ctx, q, t.now, alarm.Alarm{
		Device: device,
		Kind:   "quarantine",
		Key:    m.SHA256,
		Detail: map[string]any{"subject": m.Subject, "reason": m.Reason, "bytes": len(m.Bytes)},
	})
}

// count adds what became of a chunk.
func (t *tally) count(ctx context.Context, q *meta.Queries, c *chunk) error {
	if c.result != stored && c.result != quarantined {
		return nil
	}
	u, err := t.of(ctx, q, c.device)
	if err != nil {
		return err
	}
	u.Bytes += int64(max(len(c.bytes), minCharge))
	if c.result == quarantined {
		return nil
	}
	u.Bytes += int64(labelCharge*len(c.records.Labels) + eventCharge*len(c.records.Events))
	u.Chunks++
	latest := t.now + (24 * time.Hour).Microseconds()
	for i := range c.records.Readings {
		r := &c.records.Readings[i]
		if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
			u.NonFinite++
		}
		if r.Time < firstPlausible || r.Time > latest {
			u.OddTimes++
		}
	}
	return nil
}

// store writes the counts, and raises what a device's owner should look at the first time on a
// day that it is so.
func (t *tally) store(ctx context.Context, q *meta.Queries, quota int64) error {
	for device, u := range t.rows {
		before := t.before[device]
		passed := func(was, is, limit int64) bool { return was < limit && is >= limit }
		raise := func(kind, key string, detail map[string]any) error {
			return alarm.Raise(ctx, q, t.now, alarm.Alarm{Device: device, Kind: kind, Key: key, Detail: detail})
		}
		var err error
		for _, percent := range []int64{80, 100} {
			if passed(before.Bytes, u.Bytes, quota/100*percent) {
				err = cmp.Or(err, raise("quota", fmt.Sprint(percent), map[string]any{
					"reason":     fmt.Sprintf("the device has sent %d MiB today, %d %% of what one may send a day (%d MiB)", u.Bytes>>20, percent, quota>>20),
					"what_to_do": "what is beyond waits on the device until tomorrow; send less, or raise ingest.device_quota of the hub",
				}))
			}
		}
		if passed(before.Kept, u.Kept, maxKept) {
			err = cmp.Or(err, raise("refused", "", map[string]any{
				"reason":     fmt.Sprintf("%d messages of the device could not be read or contradict stored ones today; further ones are only counted", u.Kept),
				"what_to_do": "compare the versions of agent and hub; a device that nobody uses any more is stopped with: skerry-hub device revoke " + device,
			}))
		}
		if passed(before.OddTimes, u.OddTimes, 1) {
			err = cmp.Or(err, raise("clock", "", map[string]any{
				"reason":     "the device sends readings with times before the year 2000 or more than a day in the future",
				"what_to_do": "check the clock of the device and the time format of its task files: skerry-agent doctor",
			}))
		}
		if passed(before.NonFinite, u.NonFinite, 1) {
			err = cmp.Or(err, raise("non_finite", "", map[string]any{
				"reason":     "the device sends readings that are no number, or infinite",
				"what_to_do": "look at the sensor and the paths of the device's task files; such readings are stored and trained on nowhere",
			}))
		}
		if passed(before.Runs, u.Runs, manyRuns) {
			err = cmp.Or(err, raise("restarts", "", map[string]any{
				"reason":     fmt.Sprintf("the agent has started %d times today", u.Runs),
				"what_to_do": "read the agent's log for why it ends",
			}))
		}
		if err == nil {
			err = q.PutUsage(ctx, *u)
		}
		if err != nil {
			return fmt.Errorf("count what device %q sent: %w", device, err)
		}
	}
	return nil
}

// spent is how much a device has sent on a day.
type spent struct {
	day   string
	bytes int64
}

// settle takes over the counts of a transaction that was committed.
func (i *Ingester) settle(t *tally) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.spent) >= maxSpent {
		clear(i.spent)
	}
	for device, u := range t.rows {
		i.spent[device] = spent{u.Day, u.Bytes}
	}
}

// maxSpent bounds the devices whose shares are in memory; those of others are read again.
const maxSpent = 65536

// overdrawn answers a message of a device that has used its share of the day, and reports whether
// it did.
func (i *Ingester) overdrawn(m *Message) bool {
	quota := int64(i.opts.DeviceQuota)
	i.mu.Lock()
	s := i.spent[m.Device]
	i.mu.Unlock()
	if s.bytes < quota || s.day != alarm.Day(meta.Now()) {
		return false
	}
	m.reply(wire.Receipt{
		RetryMS: overQuota.Milliseconds(),
		Error:   fmt.Sprintf("the device has sent %d MiB today, all that one may send a day (ingest.device_quota of the hub): the rest waits until 00:00 UTC", s.bytes>>20),
	})
	return true
}

// notes remembers what was raised today, so that what a device does a thousand times a second
// costs one transaction.
type notes struct {
	day  string
	seen map[string]bool
}

const maxNotes = 65536

// Note raises an alarm about something that a device did outside of its telemetry, once a day for
// each kind.
func (i *Ingester) Note(ctx context.Context, device, kind string, detail map[string]any) error {
	day := alarm.Day(meta.Now())
	i.mu.Lock()
	if i.notes.day != day || len(i.notes.seen) >= maxNotes {
		i.notes = notes{day, map[string]bool{}}
	}
	key := kind + "/" + device
	known := i.notes.seen[key]
	i.notes.seen[key] = true
	i.mu.Unlock()
	if known {
		return nil
	}
	i.opts.Log.Warn("a device does what it may not", "device", device, "kind", kind, "detail", detail)
	return i.db.Tx(ctx, func(q *meta.Queries) error {
		now, err := q.Clock(ctx)
		if err != nil {
			return err
		}
		return alarm.Raise(ctx, q, now, alarm.Alarm{Device: device, Kind: kind, Detail: detail})
	})
}
