package meta_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// relay accepts connections until l is closed and passes each on to behind, by pass for either
// direction.
func relay(l net.Listener, behind string, pass func(to, from net.Conn)) {
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", behind)
			if err != nil {
				in.Close()
				continue
			}
			go pass(out, in)
			go pass(in, out)
		}
	}()
}

// onTCP is a PostgreSQL that listens on TCP, and its URL; the test is skipped without.
func onTCP(t *testing.T) (metatest.DB, *url.URL) {
	t.Helper()
	d := metatest.Postgres(t)
	u, err := url.Parse(d.Options.URL)
	if err != nil || u.Port() == "" {
		t.Skipf("the server of %s does not listen on TCP: set SKERRY_TEST_POSTGRES to one that does", d.Options.URL)
	}
	return d, u
}

// swallowing is a proxy before a database that can take everything and pass on nothing, with every
// connection open.
func swallowing(t *testing.T, d metatest.DB) (meta.Options, *atomic.Bool) {
	u, err := url.Parse(d.Options.URL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	behind := u.Host
	silent := new(atomic.Bool)
	relay(l, behind, func(to, from net.Conn) {
		b := make([]byte, 1<<16)
		for {
			n, err := from.Read(b)
			if !silent.Load() && n > 0 {
				_, werr := to.Write(b[:n])
				err = errors.Join(err, werr)
			}
			if err != nil {
				to.Close()
				return
			}
		}
	})
	u.Host = l.Addr().String()
	q := u.Query()
	q.Set("connect_timeout", "1")
	u.RawQuery = q.Encode()
	o := d.Options
	o.URL = u.String()
	return o, silent
}

// TestSilentDatabase: a connection that swallows everything holds nobody up for longer than the
// store's patience, is reported meanwhile, and is left behind once the database answers.
func TestSilentDatabase(t *testing.T) {
	d, _ := onTCP(t)
	o, silent := swallowing(t, d)
	o.Patience = 3 * time.Second
	s, err := meta.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	write := func() error {
		return s.Tx(t.Context(), func(q *meta.Queries) error { return q.Audit(t.Context(), "a", "b", "c", "") })
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	began, done := time.Now(), make(chan error, 1)
	go func() { done <- write() }()
	reported := false
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if err := s.Ping(t.Context()); err != nil && strings.Contains(err.Error(), "transactions wait") {
			reported = true
		}
		select {
		case err = <-done:
		default:
			continue
		}
		break
	}
	if err == nil || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("Tx = %v, want that the database did not answer", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("Tx took %v with a patience of %v", took, o.Patience)
	}
	if !reported {
		t.Error("Ping never reports the transaction that waits")
	}
	if _, err := s.Read().Accounts(t.Context()); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a query = %v, want that the database did not answer", err)
	}
	silent.Store(false)
	deadline := time.Now().Add(30 * time.Second)
	for err = write(); err != nil; err = write() {
		if time.Now().After(deadline) {
			t.Fatalf("Tx after the database answers again = %v", err)
		}
	}
	if n, err := s.Read().AuditEntries(t.Context(), 0, 0); err != nil || len(n) < 2 {
		t.Errorf("audit has %d entries, %v, want both that succeeded", len(n), err)
	}
}

// TestNewerSchema: a database of a newer program is refused by name.
func TestNewerSchema(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		s, err := meta.Open(t.Context(), d.Options)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		metatest.Exec(t, d, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)")
		if s, err := meta.Open(t.Context(), d.Options); err == nil || !strings.Contains(err.Error(), "newer version of skerry-hub (schema 9999") {
			t.Errorf("Open = %v, %v, want that the database is newer", s, err)
		}
	})
}
