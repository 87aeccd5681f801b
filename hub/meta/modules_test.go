package meta_test

import (
	"errors"
	"testing"

	"skerry.dev/hub/meta"
)

func TestModules(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		put := func(m meta.Module) {
			t.Helper()
			if err := s.Tx(t.Context(), func(q *meta.Queries) error { return q.PutModule(t.Context(), m) }); err != nil {
				t.Fatal(err)
			}
		}
		put(meta.Module{Name: "b", Digest: "1", Size: 5, Functions: "[]", CreatedBy: "ada", CreatedAt: 7})
		put(meta.Module{Name: "a", Digest: "2", Functions: "[]"})
		want := meta.Module{Name: "b", Digest: "3", Size: 6, Functions: `[{"name":"f"}]`, CreatedBy: "bob", CreatedAt: 8}
		put(want) // in its place
		if got, err := s.Read().Module(t.Context(), "b"); err != nil || got != want {
			t.Errorf("Module(b) = %+v, %v, want %+v", got, err, want)
		}
		if all, err := s.Read().Modules(t.Context()); err != nil || len(all) != 2 || all[0].Name != "a" || all[1] != want {
			t.Errorf("Modules = %+v, %v", all, err)
		}
		remove := func() error {
			return s.Tx(t.Context(), func(q *meta.Queries) error { return q.DeleteModule(t.Context(), "b") })
		}
		if err := remove(); err != nil {
			t.Error(err)
		}
		if err := remove(); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("DeleteModule of none = %v", err)
		}
		if _, err := s.Read().Module(t.Context(), "b"); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("Module after DeleteModule = %v", err)
		}
	})
}
