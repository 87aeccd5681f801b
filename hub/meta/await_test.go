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
)

// TestDatabaseComesLater: a hub whose database starts after it waits, and begins when it is there;
// a wrong password is no reason to wait.
func TestDatabaseComesLater(t *testing.T) {
	_, u := onTCP(t)
	behind := u.Host
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front := free.Addr().String()
	if err := free.Close(); err != nil { // nobody listens there yet
		t.Fatal(err)
	}
	u.Host = front
	options := meta.Options{URL: u.String(), Patience: 30 * time.Second}
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
	relay(l, behind, func(to, from net.Conn) { _, _ = io.Copy(to, from); to.Close() })
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
	options.URL, options.Patience = fmt.Sprintf("postgres://nobody-here:x@%s/none", behind), time.Minute
	if _, err := meta.Open(t.Context(), options); err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("Open as a user that is not there = %v after %v, want an error at once", err, time.Since(began))
	}
}
