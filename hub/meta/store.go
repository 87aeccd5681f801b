package meta

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite" // driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNotFound is returned when a row that was looked up by its key does not exist.
var ErrNotFound = errors.New("not found")

// maxConnect bounds the making of a connection, where the URL does not.
const maxConnect = 10 * time.Second

// Options defines where the database is.
type Options struct {
	// URL is postgres://…, or a path or sqlite:// URL of a SQLite file. Empty: hub.db below Dir.
	URL string
	// Dir is the hub's data directory.
	Dir string
	// Patience is how long a transaction may take, and may wait for its turn before; a statement
	// may take half of it. What does not answer is given up and its connection closed: a proxy or
	// a firewall may swallow what a connection carries and keep it open. Default a minute.
	Patience time.Duration
	// Log tells of a database that is waited for at the start. nil: nobody is told.
	Log *slog.Logger
}

// Store is an open database. Safe for concurrent use.
type Store struct {
	w, r     *sql.DB // the one writer, the readers
	path     string  // of the file of SQLite
	postgres bool
	patience time.Duration

	waiting  atomic.Int64 // transactions begun and not ended, those that wait for their turn among them
	finished atomic.Int64 // when the last one ended, or the first of those waiting began; Unix nanoseconds

	mu       sync.Mutex    // guards appended
	appended chan struct{} // closed by the next commit that appends to the feed
}

// Open connects and migrates the schema to the version of this program. It waits for a PostgreSQL
// that is not there yet, as long as Patience.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := &Store{appended: make(chan struct{}), patience: cmp.Or(opts.Patience, time.Minute)}
	s.postgres = strings.HasPrefix(opts.URL, "postgres://") || strings.HasPrefix(opts.URL, "postgresql://")
	var err error
	if s.postgres {
		err = s.openPostgres(opts.URL)
	} else {
		err = s.openSQLite(opts)
	}
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if s.postgres {
		if err := s.await(ctx, opts); err != nil {
			return nil, errors.Join(fmt.Errorf("open database: %w", err), s.Close())
		}
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate database: %w", s.explain(err)), s.Close())
	}
	return s, nil
}

func (s *Store) openSQLite(opts Options) (err error) {
	path := strings.TrimPrefix(opts.URL, "sqlite://")
	if path == "" {
		path = filepath.Join(opts.Dir, "hub.db")
	}
	s.path = path
	if err := private(path); err != nil {
		return err
	}
	// Pragmas stand in the DSN because every pooled connection needs them. synchronous(2) is FULL.
	dsn := func(extra ...string) string {
		q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(2)", "foreign_keys(1)", "cache_size(-16384)"}}
		for i := 0; i+1 < len(extra); i += 2 {
			q.Add(extra[i], extra[i+1])
		}
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	}
	if s.w, err = sql.Open("sqlite", dsn("_txlock", "immediate")); err != nil {
		return err
	}
	s.w.SetMaxOpenConns(1)
	if s.r, err = sql.Open("sqlite", dsn("_pragma", "query_only(1)")); err != nil {
		return errors.Join(err, s.w.Close())
	}
	s.r.SetMaxOpenConns(8)
	s.r.SetMaxIdleConns(8)
	return nil
}

// private makes the file of a database, when there is none, and takes everybody else's rights to it
// and to what SQLite keeps beside it, which gets the rights of the file.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (s *Store) openPostgres(url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = maxConnect
	}
	s.w = stdlib.OpenDB(*cfg)
	s.w.SetMaxOpenConns(1)
	s.r = stdlib.OpenDB(*cfg)
	s.r.SetMaxOpenConns(16)
	s.r.SetMaxIdleConns(16)
	return nil
}

func (s *Store) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	dialect, db := goose.DialectSQLite3, s.w
	var opts []goose.ProviderOption
	if s.postgres {
		dialect, db = goose.DialectPostgres, s.r       // the lock takes a connection of its own
		locker, err := lock.NewPostgresSessionLocker() // several hubs may start at once
		if err != nil {
			return err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, db, dir, opts...)
	if err != nil {
		return err
	}
	// A database of a newer program has columns and rules that this one does not know.
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	if known := sources[len(sources)-1].Version; have > known {
		return fmt.Errorf("the database is of a newer version of skerry-hub (schema %d, this program knows %d): use that version, or a backup of the database from before", have, known)
	}
	_, err = p.Up(ctx)
	return err
}

// explain adds to an error about a damaged file of SQLite which it is and what to do.
func (s *Store) explain(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch e.Code() & 0xff { // without what an extended code adds
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is damaged: %w: put it back from a backup, without the files that end in -wal and -shm beside it, or save what can be read with: sqlite3 %s .recover", s.path, err, s.path)
	}
	return err
}

// Close releases the connections. It is idempotent.
func (s *Store) Close() error {
	return errors.Join(s.w.Close(), s.r.Close())
}

// Ping reports whether the database answers, to readers and to who writes.
func (s *Store) Ping(ctx context.Context) error {
	if n, since := s.waiting.Load(), time.Since(time.Unix(0, s.finished.Load())); n > 0 && since > s.patience/3 {
		return fmt.Errorf("%d transactions wait, and none has ended for %v", n, since.Round(time.Second))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.patience/2, errSilent)
	defer cancel()
	return s.r.PingContext(ctx)
}

// Probe writes a row and reads it back. name distinguishes hubs that share the database.
func (s *Store) Probe(ctx context.Context, name string) error {
	want := Now()
	err := s.Tx(ctx, func(q *Queries) error {
		_, err := q.exec(ctx, "INSERT INTO probe (name, at) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET at = excluded.at", name, want)
		return err
	})
	if err != nil {
		return err
	}
	got, err := s.Read().int64(ctx, "SELECT at FROM probe WHERE name = $1", name)
	if err == nil && got != want {
		err = errors.New("the database does not return what was written")
	}
	return err
}

// Verify looks for damage in the file of a SQLite database, which takes about a second for 100 MB.
// PostgreSQL looks after its own.
func (s *Store) Verify(ctx context.Context) error {
	if s.postgres {
		return nil
	}
	rows, err := s.r.QueryContext(ctx, "PRAGMA quick_check(1)")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if text != "ok" {
			return fmt.Errorf("the database is damaged: %s: stop the hub and put a backup back, or save what can be read with: sqlite3 hub.db .recover", text)
		}
	}
	return rows.Err()
}

// Dialect is "sqlite" or "postgres".
func (s *Store) Dialect() string {
	if s.postgres {
		return "postgres"
	}
	return "sqlite"
}

// Read returns queries outside a transaction. Methods that write must not be called on it.
func (s *Store) Read() *Queries { return s.queries(s.r) }

func (s *Store) queries(db dbtx) *Queries {
	return &Queries{db: db, postgres: s.postgres, patience: s.patience / 2}
}

// Backup writes a consistent copy of a SQLite database to path, which must not exist. On
// PostgreSQL it fails: use pg_dump.
func (s *Store) Backup(ctx context.Context, path string) error {
	if s.postgres {
		return errors.New("back up database: PostgreSQL is backed up by pg_dump")
	}
	_, err := s.w.ExecContext(ctx, "VACUUM INTO $1", path)
	return err
}

// dbtx is what *sql.DB and *sql.Tx share.
type dbtx interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

// Queries are the typed statements over one connection pool or transaction.
type Queries struct {
	db       dbtx
	postgres bool
	patience time.Duration // with a statement
	appended bool          // the transaction appends to the feed
}

// row is a struct that names its columns: dest lists pointers to its fields in the order of the
// column list.
type row[T any] interface {
	*T
	dest() []any
}

func many[T any, P row[T]](ctx context.Context, q *Queries, query string, args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, q.patience, errSilent)
	defer cancel()
	rows, err := q.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		var v T
		if err := rows.Scan(P(&v).dest()...); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func one[T any, P row[T]](ctx context.Context, q *Queries, query string, args ...any) (T, error) {
	all, err := many[T, P](ctx, q, query, args...)
	var zero T
	if err != nil {
		return zero, err
	}
	if len(all) == 0 {
		return zero, ErrNotFound
	}
	return all[0], nil
}

func (q *Queries) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, q.patience, errSilent)
	defer cancel()
	res, err := q.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// must turns "no row changed" into ErrNotFound.
func must(n int64, err error) error {
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// insert writes v's columns into a table; suffix is appended, for example an ON CONFLICT clause.
func insert[T any, P row[T]](ctx context.Context, q *Queries, table, cols, suffix string, v P) (int64, error) {
	args := v.dest()
	var b strings.Builder
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES (", table, cols)
	for i := range args {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", i+1)
	}
	b.WriteString(") ")
	b.WriteString(suffix)
	return q.exec(ctx, b.String(), args...)
}

func (q *Queries) int64(ctx context.Context, query string, args ...any) (v int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, q.patience, errSilent)
	defer cancel()
	rows, err := q.db.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if !rows.Next() {
		return 0, errors.Join(ErrNotFound, rows.Err())
	}
	return v, rows.Scan(&v)
}

// Now is the time as it is stored: microseconds since the Unix epoch.
func Now() int64 { return time.Now().UnixMicro() }

// Float is a float64 whose NaN is NULL in SQL and null in JSON.
type Float float64

// Scan reads NULL as NaN.
func (f *Float) Scan(src any) error {
	var n sql.NullFloat64
	if err := n.Scan(src); err != nil {
		return err
	}
	*f = Float(n.Float64)
	if !n.Valid {
		*f = Float(math.NaN())
	}
	return nil
}

// Value writes NaN as NULL.
func (f Float) Value() (driver.Value, error) {
	if math.IsNaN(float64(f)) {
		return nil, nil
	}
	return float64(f), nil
}

// MarshalJSON writes NaN and infinities as null: JSON has no other word for them.
func (f Float) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads null as NaN.
func (f *Float) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*f = Float(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(f))
}
