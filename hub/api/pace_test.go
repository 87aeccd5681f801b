package api

import (
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"strings"
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

// TestTries lets ten logins at one account in and then one in six seconds, from however many
// addresses they come; other users of one of the addresses are let in.
func TestTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Parts: Parts{DB: metatest.SQLite(t).Open(t)}}
		may := func(account, source string) bool {
			t.Helper()
			ok, err := s.mayLogin(t.Context(), account, source)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		let := 0
		for i := range 1000 { // within a minute
			if may("ada", fmt.Sprintf("10.0.0.%d", i%50)) {
				let++
			}
			time.Sleep(60 * time.Millisecond)
		}
		if let > 10+10 {
			t.Errorf("%d of 1,000 tries at one account were let in within a minute, want the first ten and ten more", let)
		}
		for _, user := range []string{"bob", "eva", "tom"} {
			if !may(user, "10.0.0.1") {
				t.Errorf("%s is locked out by the tries at another account from the same address", user)
			}
		}
		for range 2 {
			may("ada", "10.0.0.98")
		}
		if may("ada", "10.0.0.99") {
			t.Error("want the account closed for every address")
		}
		if err := s.loggedIn(t.Context(), "ada", "10.0.0.7"); err != nil {
			t.Fatal(err)
		}
		if !may("ada", "10.0.0.99") {
			t.Error("after a login that succeeded the account is closed")
		}
		for i := range 100 {
			may("ada", fmt.Sprintf("10.0.1.%d", i))
		}
		if !may("ada", "10.0.0.7") || may("ada", "10.0.0.8") {
			t.Error("where its owner has logged in from the account is closed by others, or open everywhere")
		}
		let = 0
		for range 100 {
			if may("ada", "10.0.0.7") {
				let++
			}
		}
		if let > 10 {
			t.Errorf("%d tries in a row from where the owner has logged in, want ten at most", let)
		}
		for range 100 {
			may("nobody", "10.0.0.2")
			may(fmt.Sprint(time.Now().UnixNano()), "10.0.0.2")
		}
		if may("somebody", "10.0.0.2") {
			t.Error("an address may try any number of accounts")
		}
	})
}

// TestStrength refuses the passwords that are tried first, and no good one.
func TestStrength(t *testing.T) {
	for _, weak := range []string{"aaaaaaaaaa", "abababababab", "1234567890", "abcdefghijkl", "0987654321", "password123", "Password!2026", "qwertyuiop1", "administrator1", "123123123123", "short", "secretsecret"} {
		if err := checkStrength(weak); err == nil {
			t.Errorf("%q is taken", weak)
		}
	}
	for _, good := range []string{"correct horse battery", "viewer takes the stairs", "pump7 station rain", strings.ToLower(rand.Text()), "Zq8#vLw2!p", "der Hund frisst Gras"} {
		if err := checkStrength(good); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
}

// TestLoginTakesEqualTime holds that a name that exists and one that does not take equally long:
// one hash each. Both are tried in turn and the ratio of each pair counts, of which the median is
// taken: other work on the machine slows both of a pair. A hash too many or too few would make it
// 2, a half or far less.
func TestLoginTakesEqualTime(t *testing.T) {
	db := metatest.SQLite(t).Open(t)
	if err := CreateAccount(t.Context(), db, "test", "ada", "viewer", "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	a := auth{db: db, secret: []byte("s"), ttl: time.Hour, hashing: make(chan struct{}, 2), dummy: dummyHash()}
	const rounds = 31
	took := map[string]time.Duration{}
	measure := func() float64 {
		ratios := make([]float64, 0, rounds)
		for range rounds {
			names := []string{"ada", "nobody"}
			if mrand.IntN(2) == 0 { // the collector, which cleans up after every few, must not prefer one
				slices.Reverse(names)
			}
			for _, name := range names {
				start := time.Now()
				if _, _, _, err := a.login(t.Context(), name, "wrong"); err == nil {
					t.Fatal("a wrong password is right")
				}
				took[name] = time.Since(start)
			}
			ratios = append(ratios, float64(took["ada"])/float64(took["nobody"]))
		}
		slices.Sort(ratios)
		return ratios[rounds/2]
	}
	ratio := 0.0
	for try := 0; try < 3 && (ratio < 0.8 || ratio > 1.25); try++ {
		ratio = measure()
	}
	if ratio < 0.8 || ratio > 1.25 {
		t.Errorf("a wrong password of a known name takes %.2f times as long as of an unknown one", ratio)
	}
}
