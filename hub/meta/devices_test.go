package meta_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"skerry.dev/hub/meta"
)

func TestEnrollTokens(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		a := meta.EnrollToken{ID: "1", Hash: "a", Device: "pump", Site: "north", Cohort: "canary", CreatedBy: "zoe", CreatedAt: 1, ExpiresAt: 100}
		b := meta.EnrollToken{ID: "2", Hash: "b", Site: "south", CreatedBy: "zoe", CreatedAt: 2, ExpiresAt: 100}
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.InsertEnrollToken(ctx, a), q.InsertEnrollToken(ctx, b))
		})
		got, err := q.EnrollTokenByHash(ctx, "a")
		same(t, "EnrollTokenByHash", got, err, a)
		got, err = q.EnrollTokenByHash(ctx, "z")
		absent(t, "an unknown hash", got, err)

		write(t, s, func(q *meta.Queries) error { return q.UseEnrollToken(ctx, "1", "UA", 7) })
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.UseEnrollToken(ctx, "1", "UB", 8) })
		write(t, s, func(q *meta.Queries) error { return q.RevokeEnrollToken(ctx, "2", 9) })
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.RevokeEnrollToken(ctx, "2", 10) })
		a.UsedAt, a.UsedBy, b.RevokedAt = 7, "UA", 9
		all, err := q.EnrollTokens(ctx)
		same(t, "EnrollTokens", all, err, []meta.EnrollToken{b, a})
	})
}

// TestDevices reads devices page by page, and holds that nothing of a deleted one is left.
func TestDevices(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		write(t, s, func(q *meta.Queries) error {
			var errs []error
			for i := range 5 {
				errs = append(errs, q.InsertDevice(ctx, meta.Device{Name: fmt.Sprintf("d%d", i), Site: []string{"north", "south"}[i%2], PublicKey: fmt.Sprintf("U%d", i)}))
			}
			return errors.Join(errs...)
		})
		var names []string
		for after := ""; ; {
			page, err := q.Devices(ctx, after, "", 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, d := range page {
				names = append(names, d.Name)
			}
			after = names[len(names)-1]
		}
		same(t, "the pages of Devices", names, nil, []string{"d0", "d1", "d2", "d3", "d4"})
		if d, err := q.Devices(ctx, "d1", "south", 0); err != nil || len(d) != 1 || d[0].Name != "d3" {
			t.Errorf("Devices of a site behind d1 = %+v, %v", d, err)
		}
		d, err := q.Device(ctx, "d1")
		if err != nil {
			t.Fatal(err)
		}
		d.Cohort, d.Site = "canary", "west"
		write(t, s, func(q *meta.Queries) error { return q.UpdateDevice(ctx, d) })
		got, err := q.DeviceByKey(ctx, "U1")
		same(t, "an updated device", got, err, d)
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.UpdateDevice(ctx, meta.Device{Name: "d9"}) })

		for _, name := range []string{"d1", "d2"} {
			write(t, s, func(q *meta.Queries) error {
				return errors.Join(
					q.PutDesired(ctx, meta.Document{Device: name, Generation: 1, Document: "{}"}),
					q.PutReported(ctx, meta.Document{Device: name, Generation: 1, Document: "{}"}),
					q.PutHostValue(ctx, meta.HostValue{Device: name, Metric: "cpu", Time: 1, Value: 2}))
			})
		}
		write(t, s, func(q *meta.Queries) error { return q.DeleteDevice(ctx, "d1") })
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.DeleteDevice(ctx, "d1") })
		for name, want := range map[string]int{"d1": 0, "d2": 1} {
			h, err := q.HostValues(ctx, name)
			if err != nil || len(h) != want {
				t.Errorf("HostValues(%s) = %+v, %v, want %d", name, h, err, want)
			}
		}
		desired, err := q.AllDesired(ctx)
		same(t, "AllDesired", desired, err, []meta.Document{{Device: "d2", Generation: 1, Document: "{}"}})
		reported, err := q.AllReported(ctx)
		same(t, "AllReported", reported, err, []meta.Document{{Device: "d2", Generation: 1, Document: "{}"}})
	})
}

// TestStateDocuments holds that desired state only grows, and that reported state is what came
// last.
func TestStateDocuments(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		none, err := q.Reported(ctx, "a")
		absent(t, "the state of a device that never reported", none, err)
		for _, d := range []meta.Document{{Device: "a", Generation: 5, Document: "five", At: 1}, {Device: "a", Generation: 4, Document: "four", At: 2}} {
			write(t, s, func(q *meta.Queries) error { return q.PutReported(ctx, d) })
			got, err := q.Reported(ctx, "a")
			same(t, "Reported", got, err, d)
		}
		five := meta.Document{Device: "a", Generation: 5, Document: "five", At: 1}
		write(t, s, func(q *meta.Queries) error { return q.PutDesired(ctx, five) })
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error {
			return q.PutDesired(ctx, meta.Document{Device: "a", Generation: 4, Document: "four"})
		})
		got, err := q.Desired(ctx, "a")
		same(t, "Desired after an older one", got, err, five)
		six := meta.Document{Device: "a", Generation: 6, Document: "six", At: 3}
		write(t, s, func(q *meta.Queries) error { return q.PutDesired(ctx, six) })
		got, err = q.Desired(ctx, "a")
		same(t, "Desired", got, err, six)
	})
}

func TestLinkEvents(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx := t.Context()
		events := []meta.LinkEvent{{ID: "1", Device: "a", At: 10, Connected: true}, {ID: "2", Device: "b", At: 11, Connected: true}, {ID: "3", Device: "a", At: 20}}
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.InsertLinkEvent(ctx, events[2]), q.InsertLinkEvent(ctx, events[1]), q.InsertLinkEvent(ctx, events[0]))
		})
		got, err := s.Read().LinkEvents(ctx, "a", 10)
		same(t, "LinkEvents", got, err, []meta.LinkEvent{events[0], events[2]})
		got, err = s.Read().LinkEvents(ctx, "a", 11)
		same(t, "LinkEvents from 11 on", got, err, events[2:])
	})
}

// TestFloat holds that a value that is not a number crosses SQL and JSON.
func TestFloat(t *testing.T) {
	for v, want := range map[float64]string{1.5: "1.5", math.Inf(1): "null", math.Inf(-1): "null"} {
		if b, err := meta.Float(v).MarshalJSON(); err != nil || string(b) != want {
			t.Errorf("MarshalJSON(%v) = %s, %v, want %s", v, b, err, want)
		}
	}
	var f meta.Float
	if b, err := meta.Float(math.NaN()).MarshalJSON(); err != nil || string(b) != "null" || f.UnmarshalJSON(b) != nil || !math.IsNaN(float64(f)) {
		t.Errorf("NaN in JSON is %s, %v, and back %v", b, err, f)
	}
	if err := f.UnmarshalJSON([]byte("-2.5")); err != nil || f != -2.5 {
		t.Errorf("UnmarshalJSON = %v, %v", f, err)
	}
	if err := f.UnmarshalJSON([]byte(`"x"`)); err == nil {
		t.Error("text is a number")
	}
	each(t, func(t *testing.T, s *meta.Store) {
		ctx := t.Context()
		for metric, v := range map[string]float64{"a": math.NaN(), "b": -0.125, "c": 1e300} {
			write(t, s, func(q *meta.Queries) error {
				return q.PutHostValue(ctx, meta.HostValue{Device: "d", Metric: metric, Time: 1, Value: meta.Float(v)})
			})
		}
		h, err := s.Read().HostValues(ctx, "d")
		if err != nil || len(h) != 3 || !math.IsNaN(float64(h[0].Value)) || h[1].Value != -0.125 || h[2].Value != 1e300 {
			t.Errorf("HostValues = %+v, %v", h, err)
		}
	})
}
