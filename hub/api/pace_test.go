package api

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

// TestPace lets a caller begin with a burst of four seconds' requests, go on at the rate, and pay for
// nobody else.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{opts: Options{RateLimit: 5}, pace: map[string]*rate.Limiter{}}
		ada := Caller{Name: "user/ada", Source: "127.0.0.1"}
		for i := range 20 {
			if !s.inPace(ada) {
				t.Fatalf("request %d of the burst is refused", i+1)
			}
		}
		if s.inPace(ada) {
			t.Error("request 21 is let through")
		}
		for _, c := range []Caller{
			{Name: "user/bob", Source: "127.0.0.1"},
			{Source: "127.0.0.1"},
			{Source: "127.0.0.2"},
		} {
			if !s.inPace(c) {
				t.Errorf("%+v pays for another caller", c)
			}
		}
		time.Sleep(200 * time.Millisecond)
		if !s.inPace(ada) || s.inPace(ada) {
			t.Error("after a fifth of a second, want one more request and not two")
		}
		s.opts.RateLimit = 0
		if !s.inPace(ada) {
			t.Error("without a limit a request is refused")
		}
	})
}

// TestTries lets ten logins in from one source, then one in six seconds, and bounds what it keeps.
func TestTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{tries: map[string]*rate.Limiter{}}
		for i := range 10 {
			if !s.limit("127.0.0.1") {
				t.Fatalf("login %d is refused", i+1)
			}
		}
		if s.limit("127.0.0.1") || !s.limit("127.0.0.2") {
			t.Error("want the eleventh refused, and another source let in")
		}
		time.Sleep(6 * time.Second)
		if !s.limit("127.0.0.1") || s.limit("127.0.0.1") {
			t.Error("after six seconds, want one more and not two")
		}
		for i := range maxCallers {
			s.limit(string(rune(i)))
		}
		if len(s.tries) > maxCallers {
			t.Errorf("%d sources are kept, want %d at most", len(s.tries), maxCallers)
		}
	})
}
