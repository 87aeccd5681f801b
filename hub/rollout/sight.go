package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"sync"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

// sight keeps what devices report and are told between two looks, and reads again what has changed:
// of a fleet of thousands a few do between two looks. It is safe for concurrent use.
type sight struct {
	mu       sync.Mutex
	reported map[string]seen
	desired  map[string]told
	places   map[string]place // by rollout and device
	// devices of which something has changed since converge has looked at them
	changed map[string]bool
}

// seen is what a device has last reported of its tasks.
type seen struct {
	at, generation int64
	tasks          map[string]taskSeen
}

type taskSeen struct {
	champion   string
	assignment *spec.ReportedAssignment
}

type told struct {
	generation int64
	document   spec.Desired
}

// place is a device's place in a rollout, decoded.
type place struct {
	stats string
	memo  memo
}

// world is what the hub holds of all devices at one look.
type world struct {
	devices  map[string]*meta.Device
	reported map[string]seen
	desired  map[string]told
	frozen   freezes
}

// same reports whether two reports say the same of rollouts, whatever they have measured.
func (s *seen) same(o *seen) bool {
	return maps.EqualFunc(s.tasks, o.tasks, func(a, b taskSeen) bool {
		x, y := a.assignment, b.assignment
		if a.champion != b.champion || (x == nil) != (y == nil) {
			return false
		}
		return x == nil || x.Generation == y.Generation && x.Rollout == y.Rollout && x.Digest == y.Digest && x.Phase == y.Phase && x.Cause == y.Cause && x.Reason == y.Reason
	})
}

// look reads what has changed since the look before.
func (c *Controller) look(ctx context.Context) (*world, error) {
	q := c.db.Read()
	w := &world{devices: map[string]*meta.Device{}, reported: map[string]seen{}, desired: map[string]told{}}
	var err error
	if w.frozen, err = c.freezes(ctx); err != nil {
		return nil, err
	}
	devices, err := q.Devices(ctx, "", "", 0)
	if err != nil {
		return nil, err
	}
	for i := range devices {
		w.devices[devices[i].Name] = &devices[i]
	}
	reports, err := q.ReportedVersions(ctx)
	if err != nil {
		return nil, err
	}
	orders, err := q.DesiredVersions(ctx)
	if err != nil {
		return nil, err
	}
	s := &c.sight
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = map[string]bool{}
	}
	for _, v := range reports {
		old, ok := s.reported[v.Device]
		if !ok || old.at != v.At || old.generation != v.Generation {
			now, err := c.readReported(ctx, v)
			if errors.Is(err, meta.ErrNotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if !ok || !old.same(&now) {
				s.changed[v.Device] = true
			}
			old = now
		}
		w.reported[v.Device] = old
	}
	for _, v := range orders {
		old, ok := s.desired[v.Device]
		if !ok || old.generation != v.Generation {
			d, err := c.fleet.Desired(ctx, v.Device)
			if err != nil {
				return nil, err
			}
			old = told{int64(d.Generation), d}
			s.changed[v.Device] = true
		}
		w.desired[v.Device] = old
	}
	for name := range s.desired {
		if _, ok := w.desired[name]; !ok {
			s.changed[name] = true
		}
	}
	s.reported, s.desired = w.reported, w.desired // what is gone is forgotten
	return w, nil
}

// take returns the devices of which something has changed, and forgets that.
func (s *sight) take() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.changed
	s.changed = map[string]bool{}
	return out
}

// again keeps devices for the next look.
func (s *sight) again(names map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range names {
		s.changed[name] = true
	}
}

// readReported decodes what rollouts need of a report. One that cannot be read says nothing.
func (c *Controller) readReported(ctx context.Context, v meta.Document) (seen, error) {
	doc, err := c.db.Read().Reported(ctx, v.Device)
	if err != nil {
		return seen{}, err
	}
	var r struct {
		Tasks map[string]struct {
			Champion   string                   `json:"champion"`
			Assignment *spec.ReportedAssignment `json:"assignment"`
		} `json:"tasks"`
	}
	out := seen{at: doc.At, generation: doc.Generation}
	if json.Unmarshal([]byte(doc.Document), &r) != nil {
		return out, nil
	}
	out.tasks = make(map[string]taskSeen, len(r.Tasks))
	for name, t := range r.Tasks {
		out.tasks[name] = taskSeen{t.Champion, t.Assignment}
	}
	return out, nil
}

// memoOf decodes what is kept with a device's row.
func (c *Controller) memoOf(row *meta.RolloutDevice) (memo, error) {
	s := &c.sight
	s.mu.Lock()
	defer s.mu.Unlock()
	key := row.Rollout + "/" + row.Device
	if p, ok := s.places[key]; ok && p.stats == row.Stats {
		return p.memo, nil
	}
	var m memo
	if err := json.Unmarshal([]byte(row.Stats), &m); err != nil {
		return m, err
	}
	if s.places == nil || len(s.places) > maxPlaces {
		s.places = map[string]place{}
	}
	s.places[key] = place{row.Stats, m}
	return m, nil
}

// maxPlaces bounds what is kept decoded.
const maxPlaces = 100_000
