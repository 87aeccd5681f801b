package meta_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

func TestTries(t *testing.T) {
	each(t, func(t *testing.T, s *meta.Store) {
		ctx := t.Context()
		const interval, burst = 10, 3
		try := func(source string, now int64, want bool) {
			t.Helper()
			var got bool
			err := s.Tx(ctx, func(q *meta.Queries) (err error) {
				got, err = q.Try(ctx, "login", source, interval, burst, now)
				return err
			})
			if err != nil || got != want {
				t.Errorf("Try(%s) at %d = %v, %v, want %v", source, now, got, err, want)
			}
		}
		for range burst {
			try("a", 100, true)
		}
		try("a", 100, false)
		try("a", 109, false) // what was refused does not count
		try("b", 109, true)
		try("a", 110, true)
		try("a", 110, false)
		if err := s.Tx(ctx, func(q *meta.Queries) error { return q.ResetTries(ctx, "login", "a") }); err != nil {
			t.Fatal(err)
		}
		for range burst {
			try("a", 110, true)
		}
		try("a", 110, false)
		for range burst {
			try("a", 1000, true) // everything is free again, no more than that
		}
		try("a", 1000, false)
	})
}

func TestNonces(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		s, ctx := d.Open(t), t.Context()
		insert := func(value string, expires, now int64) error {
			return s.Tx(ctx, func(q *meta.Queries) error { return q.InsertNonce(ctx, value, expires, now) })
		}
		use := func(value string, now int64) (ok bool) {
			t.Helper()
			if err := s.Tx(ctx, func(q *meta.Queries) (err error) { ok, err = q.UseNonce(ctx, value, now); return err }); err != nil {
				t.Fatal(err)
			}
			return ok
		}
		for _, value := range []string{"a", "b"} {
			if err := insert(value, 100, 50); err != nil {
				t.Fatal(err)
			}
		}
		if !use("a", 100) || use("a", 100) || use("b", 101) || use("unknown", 100) {
			t.Error("a challenge is good once, until its end")
		}
		driver, dsn := "pgx", d.Options.URL
		if dsn == "" {
			driver, dsn = "sqlite", filepath.Join(d.Options.Dir, "hub.db")
		}
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
			INSERT INTO nonce (value, expires_at) SELECT CAST(i AS TEXT), 100 FROM n`); err != nil {
			t.Fatal(err)
		}
		if err := insert("one more", 100, 50); !errors.Is(err, meta.ErrFull) {
			t.Errorf("a challenge beyond the bound = %v, want ErrFull", err)
		}
		if err := insert("later", 300, 200); err != nil {
			t.Errorf("after the others have ended: %v", err)
		}
	})
}
