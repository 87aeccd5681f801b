package meta_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"skerry.dev/hub/meta"
)

// write runs statements in one transaction of a store.
func write(t *testing.T, s *meta.Store, fn func(q *meta.Queries) error) {
	t.Helper()
	if err := s.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// refused holds that statements fail with an error.
func refused(t *testing.T, s *meta.Store, want error, fn func(q *meta.Queries) error) {
	t.Helper()
	if err := s.Tx(t.Context(), fn); !errors.Is(err, want) {
		t.Errorf("the statement gives %v, want %v", err, want)
	}
}

// same compares what a query returned with what it should.
func same[T any](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %+v, %v, want %+v", what, got, err, want)
	}
}

// absent holds that a query finds nothing.
func absent[T any](t *testing.T, what string, got T, err error) {
	t.Helper()
	if !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("%s = %+v, %v, want ErrNotFound", what, got, err)
	}
}

func TestAccounts(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		zoe := meta.Account{Name: "zoe", Role: "viewer", PasswordHash: "h1", CreatedAt: 5, PasswordAt: 5}
		ann := meta.Account{Name: "ann", Role: "admin", PasswordHash: "h2", CreatedAt: 6, PasswordAt: 6}
		write(t, s, func(q *meta.Queries) error { return errors.Join(q.InsertAccount(ctx, zoe), q.InsertAccount(ctx, ann)) })
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error {
			return q.InsertAccount(ctx, meta.Account{Name: "zoe", Role: "admin"}) // taken
		})
		got, err := q.Account(ctx, "zoe")
		same(t, "Account", got, err, zoe)

		zoe.Role, zoe.PasswordHash, zoe.PasswordAt = "operator", "h3", 9
		write(t, s, func(q *meta.Queries) error {
			return q.UpdateAccount(ctx, meta.Account{Name: "zoe", Role: "operator", PasswordHash: "h3", PasswordAt: 9, CreatedAt: 99})
		})
		all, err := q.Accounts(ctx)
		same(t, "Accounts, the creation as it was", all, err, []meta.Account{ann, zoe})
		write(t, s, func(q *meta.Queries) error { return q.DeleteAccount(ctx, "ann") })
		got, err = q.Account(ctx, "ann")
		absent(t, "a deleted account", got, err)
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.DeleteAccount(ctx, "ann") })
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.UpdateAccount(ctx, ann) })
	})
}

func TestAPITokens(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx, q := t.Context(), s.Read()
		old := meta.APIToken{ID: "1", Name: "ci", Hash: "a", Role: "viewer", CreatedBy: "zoe", CreatedAt: 5, ExpiresAt: 50}
		young := meta.APIToken{ID: "2", Name: "ci", Hash: "b", Role: "admin", CreatedBy: "ann", CreatedAt: 6}
		write(t, s, func(q *meta.Queries) error {
			return errors.Join(q.InsertAPIToken(ctx, old), q.InsertAPIToken(ctx, young))
		})
		got, err := q.APITokenByHash(ctx, "a")
		same(t, "APITokenByHash", got, err, old)
		got, err = q.APITokenByHash(ctx, "c")
		absent(t, "an unknown hash", got, err)
		if err := s.Tx(ctx, func(q *meta.Queries) error { return q.InsertAPIToken(ctx, meta.APIToken{ID: "3", Hash: "a"}) }); err == nil {
			t.Error("two tokens have one secret")
		}
		write(t, s, func(q *meta.Queries) error { return q.RevokeAPIToken(ctx, "1", 7) })
		refused(t, s, meta.ErrNotFound, func(q *meta.Queries) error { return q.RevokeAPIToken(ctx, "1", 8) })
		old.RevokedAt = 7
		all, err := q.APITokens(ctx)
		same(t, "APITokens", all, err, []meta.APIToken{young, old})
	})
}

// TestAuditShowsChanges damages the chain of an audit in every way that a statement can.
func TestAuditShowsChanges(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx := t.Context()
		for _, action := range []string{"create", "pause", "delete"} {
			write(t, s, func(q *meta.Queries) error { return q.Audit(ctx, "zoe", action, "rollout", "r1") })
		}
		entries, err := s.Read().AuditEntries(ctx, 1, 1)
		if err != nil || len(entries) != 1 || entries[0].Seq != 2 || entries[0].Action != "pause" || entries[0].Actor != "zoe" || entries[0].Object != "rollout" || entries[0].Detail != "r1" {
			t.Errorf("AuditEntries after the first = %+v, %v", entries, err)
		}
		if entries, err = s.Read().AuditEntries(ctx, 0, 0); err != nil || len(entries) != 3 || entries[2].PrevHash != entries[1].Hash {
			t.Errorf("AuditEntries = %+v, %v, want three in a chain", entries, err)
		}
		if err := s.Read().VerifyAudit(ctx); err != nil {
			t.Fatal(err)
		}
		for _, damage := range []string{
			"UPDATE audit SET actor = 'ann' WHERE seq = 2",
			"UPDATE audit SET detail = '' WHERE seq = 2",
			"UPDATE audit SET at = at + 1 WHERE seq = 2",
			"DELETE FROM audit WHERE seq = 2",
			"DELETE FROM audit WHERE seq = 1",
		} {
			undo := errors.New("undo")
			err := s.Tx(ctx, func(q *meta.Queries) error {
				if _, err := meta.Exec(q, ctx, damage); err != nil {
					return err
				}
				if err := q.VerifyAudit(ctx); err == nil || !strings.Contains(err.Error(), "does not follow entry") {
					t.Errorf("after %s VerifyAudit = %v", damage, err)
				}
				return undo
			})
			if err != undo {
				t.Fatal(err)
			}
		}
		if err := s.Read().VerifyAudit(ctx); err != nil {
			t.Errorf("after the damage was undone: %v", err)
		}
	})
}
