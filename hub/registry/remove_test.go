package registry_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"skerry.dev/hub/blob"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/hub/registry"
)

// TestRemove: artifacts that nothing has needed for the age are deleted, their records stay and say
// so. What is young, among the newest ten of its task, a champion, known to a device or part of a
// rollout stays, whatever its age. The same bytes registered again bring an artifact back.
func TestRemove(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		h, ctx := newHubOn(t, d), t.Context()
		tx := func(fn func(q *meta.Queries) error) {
			t.Helper()
			if err := h.db.Tx(ctx, fn); err != nil {
				t.Fatal(err)
			}
		}
		models := map[string]meta.Model{}
		for _, name := range []string{"champion", "desired", "reported", "under way", "recent", "went back to", "long over", "tombstoned", "unused"} {
			models[name] = h.register("flow", name)
		}
		for i := range 10 {
			models[fmt.Sprint("newest ", i)] = h.register("flow", fmt.Sprint("newest ", i))
		}
		models["of a small task"] = h.register("level", "one of few")
		h.promote(models["champion"], "")
		h.promote(models["long over"], "north")
		h.promote(models["champion"], "north")
		if err := h.reg.Tombstone(ctx, "ada", models["tombstoned"].Digest, "it lies"); err != nil {
			t.Fatal(err)
		}
		now := time.Now().AddDate(1, 0, 0)
		ago := func(days int) int64 { return now.AddDate(0, 0, -days).UnixMicro() }
		tx(func(q *meta.Queries) error {
			digest := func(name string) string { return models[name].Digest }
			rollout := func(id, state, name string, days int) error {
				return q.PutRollout(ctx, meta.Rollout{ID: id, Task: "flow", Digest: digest(name), State: state, UpdatedAt: ago(days), Spec: "{}", Status: "{}"})
			}
			return errors.Join(
				q.InsertDevice(ctx, meta.Device{Name: "a", Site: "s", PublicKey: "k"}),
				q.PutDesired(ctx, meta.Document{Device: "a", Document: `{"assignments":{"flow":{"digest":"` + digest("desired") + `"}}}`}),
				q.PutReported(ctx, meta.Document{Device: "a", Document: `{"tasks":{"flow":{"active":"` + digest("reported") + `"}}}`}),
				rollout("r1", "paused", "under way", 300),
				rollout("r2", "completed", "recent", 20),
				rollout("r3", "completed", "long over", 200),
				q.PutRolloutDevice(ctx, meta.RolloutDevice{Rollout: "r2", Device: "a", Stats: `{"previous":"` + digest("went back to") + `"}`}),
				q.PutRolloutDevice(ctx, meta.RolloutDevice{Rollout: "r3", Device: "a", Stats: `{"previous":"` + digest("unused") + `"}`}))
		})
		gone := func() (names []string) {
			t.Helper()
			for name, m := range models {
				row, err := h.db.Read().Model(ctx, m.Digest)
				if err != nil {
					t.Fatal(err)
				}
				_, err = h.reg.Load(ctx, m.Digest)
				if (row.RemovedAt > 0) != errors.Is(err, blob.ErrNotFound) {
					t.Errorf("%s: removed at %d, and its artifact: %v", name, row.RemovedAt, err)
				}
				if row.RemovedAt > 0 {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			return names
		}
		remove := func(age time.Duration, again bool) {
			t.Helper()
			if err := h.reg.Remove(ctx, nil, age, now, again, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
		}
		const day = 24 * time.Hour
		remove(0, true)
		remove(366*day, false)
		if names := gone(); len(names) > 0 {
			t.Errorf("with no age, and one above theirs, %v are gone", names)
		}
		remove(100*day, false)
		if names, want := gone(), []string{"long over", "tombstoned", "unused"}; !slices.Equal(names, want) {
			t.Errorf("the artifacts of %v are gone, want %v", names, want)
		}
		if _, ok := h.target(models["unused"]); ok {
			t.Error("a device still finds a removed model signed")
		}
		if err := h.reg.Promote(ctx, "ada", models["unused"].Digest, ""); !errors.Is(err, registry.ErrRemoved) {
			t.Errorf("Promote of a removed model = %v", err)
		}
		back := h.register("flow", "unused")
		if back.Version != models["unused"].Version || back.RemovedAt != 0 {
			t.Errorf("registered again it is %+v, want the model as it was", back)
		}
		if _, ok := h.target(back); !ok {
			t.Error("it is not signed")
		}
		// what a crash left between note and deletion goes with the first look after it
		tx(func(q *meta.Queries) error { return q.SetModelRemoved(ctx, back.Digest, now.UnixMicro()) })
		remove(0, true)
		if names, want := gone(), []string{"long over", "tombstoned", "unused"}; !slices.Equal(names, want) {
			t.Errorf("after a crash the artifacts of %v are gone, want %v", names, want)
		}
	})
}
