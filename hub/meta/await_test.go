package meta_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// TestDatabaseComesLater: a hub whose database starts after it waits, and begins when it is there;
// a wrong password is no reason to wait.
func TestDatabaseComesLater(t *testing.T) {
	db := metatest.Postgres(t)
	at := strings.Index(db.Options.URL, "@") + 1
	end := at + strings.IndexAny(db.Options.URL[at:], "/?")
	real := db.Options.URL[at:end]
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := free.Addr().String()
	if err := free.Close(); err != nil { // nobody listens there yet
		t.Fatal(err)
	}
	options := meta.Options{URL: db.Options.URL[:at] + front + db.Options.URL[end:], Patience: 30 * time.Second}
	var log strings.Builder
	options.Log = slog.New(slog.NewTextHandler(&log, nil))
	opened := make(chan error, 1)
	go func() {
		s, err := meta.Open(t.Context(), options)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	time.Sleep(time.Second)
	select {
	case err := <-opened:
		t.Fatalf("Open returned %v before there was a database", err)
	default:
	}
	l, err := net.Listen("tcp", front)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", real)
			if err != nil {
				in.Close()
				return
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"does not answer: it is tried again", "the database answers"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("log %q, want %q once", log.String(), want)
		}
	}
	l.Close()
	options.Patience = 100 * time.Millisecond
	if _, err := meta.Open(t.Context(), options); err == nil || !strings.Contains(err.Error(), "nothing answers for 100ms") {
		t.Errorf("Open without a database = %v", err)
	}
	began := time.Now()
	options.URL, options.Patience = fmt.Sprintf("postgres://nobody-here:x@%s/none", real), time.Minute
	if _, err := meta.Open(t.Context(), options); err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("Open as a user that is not there = %v after %v, want an error at once", err, time.Since(began))
	}
}
