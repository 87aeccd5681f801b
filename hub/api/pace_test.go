package api

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"skerry.dev/configs"
	"skerry.dev/hub/meta/metatest"
)

// TestPace lets a caller begin with a burst of four seconds' requests, go on at the rate, and pay
// for nobody else.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{opts: Options{Auth: configs.HubAuth{RateLimit: true, RequestsPerSecond: 5}}, pace: map[string]*rate.Limiter{}}
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
		s.opts.Auth.RateLimit = false
		if !s.inPace(ada) {
			t.Error("without a limit a request is refused")
		}
	})
}

// TestTries lets ten logins in from one source, then one in six seconds.
func TestTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Parts: Parts{DB: metatest.SQLite(t).Open(t)}}
		may := func(source string) bool {
			t.Helper()
			ok, err := s.mayLogin(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		for i := range 10 {
			if !may("127.0.0.1") {
				t.Fatalf("login %d is refused", i+1)
			}
		}
		if may("127.0.0.1") || !may("127.0.0.2") {
			t.Error("want the eleventh refused, and another source let in")
		}
		time.Sleep(6 * time.Second)
		if !may("127.0.0.1") || may("127.0.0.1") {
			t.Error("after six seconds, want one more and not two")
		}
	})
}
