// Package metatest runs tests of the store, and of what is built on it, on both databases: SQLite
// in a temporary directory and a real PostgreSQL.
//
// PostgreSQL is started once in a test process, without durability, in a directory of its own, and
// ends with the process however that ends; every test gets a database of its own in it.
// SKERRY_TEST_POSTGRES names a running server to use instead: a URL whose user may create
// databases. Where there is neither, the tests on PostgreSQL are skipped and report what to
// install.
package metatest

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"

	"skerry.dev/hub/meta"
)

// DB is an empty database that belongs to one test.
type DB struct {
	// Options open it.
	Options meta.Options
	// Shared means that several stores may have it open at one time, as several hubs have.
	Shared bool
}

// Open opens a store that is closed when t ends. A second one on a shared database is what another
// hub sees; on one that is not shared close the first before.
func (d DB) Open(t testing.TB) *meta.Store {
	t.Helper()
	s, err := meta.Open(t.Context(), d.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Each runs a test on SQLite and on PostgreSQL.
func Each(t *testing.T, fn func(t *testing.T, d DB)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t)) })
}

// SQLite returns a database in a temporary directory.
func SQLite(t testing.TB) DB { return DB{Options: meta.Options{Dir: t.TempDir()}} }

// Postgres returns a new database of the PostgreSQL server, which it starts when needed. It skips
// the test where there is none.
func Postgres(t testing.TB) DB {
	t.Helper()
	base, err := server()
	if errors.Is(err, errMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("skerry_test_%d_%d", pid, count.Add(1))
	admin, err := sql.Open("pgx", base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create a database for the test: %v", err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return DB{Options: meta.Options{URL: u.String()}, Shared: true}
}

// Exec runs a statement on a database past the store, as a person at its console does.
func Exec(t testing.TB, d DB, statement string) {
	t.Helper()
	driver, source := "pgx", d.Options.URL
	if !d.Shared {
		driver, source = "sqlite", "file:"+filepath.Join(d.Options.Dir, "hub.db")
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
