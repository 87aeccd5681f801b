package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"skerry.dev/sync/identity"
)

// enrolled enrols a device at a hub that answers the enrolment with a body.
func enrolled(t *testing.T, body string) (*identity.Identity, string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == identity.PathEnroll {
			fmt.Fprint(w, body)
		}
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	if _, err := identity.Enroll(t.Context(), dir, srv.URL, "token", identity.Options{}); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Open(dir, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return id, dir
}

// TestHubFindings asks hubs that answer in every way: nothing that a hub does keeps the agent from
// its work, except an address that is none.
func TestHubFindings(t *testing.T) {
	date := func(off time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
		}
	}
	for name, tt := range map[string]struct {
		url     string // "" that of the handler
		handler http.HandlerFunc
		status  Status
		detail  string
		action  string
	}{
		"well":                 {"", date(0), OK, "answers in", ""},
		"a clock that is off":  {"", date(-time.Minute), Warn, "this clock is 1m", "synchronise both clocks"},
		"a clock that is slow": {"", date(time.Minute), Warn, "off the hub's", "synchronise both clocks"},
		"a clock a bit off":    {"", date(2 * time.Second), OK, "answers in", ""},
		"no date":              {"", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }, OK, "answers in", ""},
		"overloaded":           {"", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, Warn, "/health answers HTTP 503", "look at the hub"},
		"another service":      {"", http.NotFound, Warn, "/health answers HTTP 404", "look at the hub"},
		"cut off":              {"", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Warn, "EOF", "closes the connection at once"},
		"no address":           {"http://a b", nil, Fail, "invalid character", "correct hub.url"},
		"another scheme":       {"ftp://127.0.0.1", nil, Warn, "unsupported protocol scheme", "check hub.url"},
	} {
		t.Run(name, func(t *testing.T) {
			url := tt.url
			if url == "" {
				srv := httptest.NewServer(tt.handler)
				defer srv.Close()
				url = srv.URL + "/" // a slash at the end is no other address
			}
			rs := hub(t.Context(), Options{HubURL: url, HTTP: &http.Client{Timeout: 5 * time.Second}}, nil)
			if len(rs) != 1 {
				t.Fatalf("%d results of a device that is not enrolled, want the hub's alone", len(rs))
			}
			if r := rs[0]; r.Status != tt.status || !strings.Contains(r.Detail, tt.detail) || !strings.Contains(r.Action, tt.action) || (tt.action == "") != (r.Action == "") {
				t.Errorf("hub = %+v, want %s, %q and %q", r, tt.status, tt.detail, tt.action)
			}
		})
	}
}

// TestLinkFindings connects with credentials to servers that refuse them, that are none, and to
// none at all.
func TestLinkFindings(t *testing.T) {
	const jwt = `"jwt":"e30.eyJleHAiOjk5OTk5OTk5OTksImlhdCI6MX0.x"`
	start := func(o *server.Options) string {
		o.Host, o.Port, o.NoSigs, o.NoLog = "127.0.0.1", -1, true, true
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("nats-server did not start")
		}
		return s.ClientURL()
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, tt := range map[string]struct {
		nats   string
		status Status
		detail string
		action string
	}{
		"no server":    {"", Warn, "the enrolment names no server", "enrol again"},
		"refused":      {`"` + start(&server.Options{Username: "u", Password: "p"}) + `"`, Fail, "Authorization", "revoked at the hub, or expired"},
		"nobody there": {`"nats://127.0.0.1:1"`, Warn, "127.0.0.1:1", "outgoing only"},
		"silent":       {`"nats://` + silent.Addr().String() + `"`, Warn, "timeout", "outgoing only"},
		"well":         {`"` + start(&server.Options{}) + `"`, OK, "round trip", ""},
	} {
		t.Run(name, func(t *testing.T) {
			id, _ := enrolled(t, `{"device":"d","site":"s",`+jwt+`,"nats":[`+tt.nats+`]}`)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			r := hubLink(ctx, Options{Timeout: time.Minute}, id)
			if r.Status != tt.status || !strings.Contains(r.Detail, tt.detail) || !strings.Contains(r.Action, tt.action) {
				t.Errorf("hubLink = %+v, want %s, %q and %q", r, tt.status, tt.detail, tt.action)
			}
		})
	}
}

// TestKeyFindings: from not enrolled to a credential that has ended.
func TestKeyFindings(t *testing.T) {
	until, _ := enrolled(t, `{"device":"d","site":"s","jwt":"e30.eyJleHAiOjk5OTk5OTk5OTksImlhdCI6MX0.x","nats":[]}`)
	at := func(unix int64) time.Time { return time.Unix(unix, 0) }
	for name, tt := range map[string]struct {
		id     *identity.Identity
		err    error
		now    time.Time
		status Status
		detail string
	}{
		"not enrolled": {nil, fmt.Errorf("open: %w", identity.ErrNotEnrolled), at(0), Warn, "the agent works alone"},
		"damaged":      {nil, errors.New("read key: permission denied"), at(0), Warn, "permission denied"},
		"in force":     {until, nil, at(9999999999 - 3600), OK, "d at s, credential for another 1h0m0s"},
		"ended":        {until, nil, at(9999999999 + 7200), Warn, "ended 2h0m0s ago"},
	} {
		r := keys(tt.id, tt.err, tt.now)[0]
		if r.Status != tt.status || !strings.Contains(r.Detail, tt.detail) || (r.Status == OK) != (r.Action == "") {
			t.Errorf("%s: keys = %+v, want %s, %q and what to do about it", name, r, tt.status, tt.detail)
		}
	}
}

// TestDamagedIdentity runs every check of a box whose key cannot be read: the finding names it, the
// other checks are made all the same, within the time that they have.
func TestDamagedIdentity(t *testing.T) {
	_, dir := enrolled(t, `{"device":"d","site":"s","jwt":"e30.eyJleHAiOjk5OTk5OTk5OTksImlhdCI6MX0.x","nats":[]}`)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			if err := os.WriteFile(filepath.Join(dir, e.Name()), []byte("\x00"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	state := t.TempDir()
	rs := Run(t.Context(), Options{TaskDir: state, StateDir: state, IdentityDir: dir, Broker: "tcp://127.0.0.1:1", Timeout: 5 * time.Second})
	if r := find(t, rs, "keys"); r.Status != Warn || r.Action == "" {
		t.Errorf("keys = %+v, want a warning and what to do: predictions go on", r)
	}
	if r := find(t, rs, "disk write"); r.Status == Fail {
		t.Errorf("disk write = %+v, want it checked", r)
	}
	if r := find(t, rs, "hub"); r.Status != OK || !strings.Contains(r.Detail, "none configured") {
		t.Errorf("hub = %+v", r)
	}
}
