package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/golang-jwt/jwt/v5"

	"skerry.dev/configs"
	"skerry.dev/hub/api"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/jobs"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/hub/registry"
	"skerry.dev/hub/replay"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/training"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/trust/signing"
)

const secret = "a secret of more than thirty-two characters"

// fixture is the whole interface over a database, a bus and stores of its own. Nothing runs: what a
// test wants done, it does by the interface or to the parts.
type fixture struct {
	t     *testing.T
	dir   string
	api   *api.Server
	db    *meta.Store
	bus   bustest.Bus
	fleet *fleet.Fleet
	reg   *registry.Registry
	lake  *lake.Lake
	log   *bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureOn(t, metatest.SQLite(t))
}

func newFixtureOn(t *testing.T, d metatest.DB) *fixture {
	t.Helper()
	dir := d.Options.Dir
	if d.Shared {
		dir = t.TempDir()
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db := d.Open(t)
	b := bustest.Open(t, dir)
	blobs, err := blob.Open(t.Context(), "", dir, "blobs")
	check(err)
	sign, err := signing.Open(signing.Options{Keys: dir + "/keys", Dir: dir + "/tuf"})
	check(err)
	f := &fixture{
		t:     t,
		dir:   dir,
		db:    db,
		bus:   b,
		fleet: fleet.New(db, b.Bus, b.Ring, fleet.Options{}),
		reg:   registry.New(db, blobs, sign),
		lake:  lake.New(db, blobs, lake.Options{}),
		log:   &bytes.Buffer{},
	}
	f.api, err = api.New(api.Parts{
		DB:       db,
		Keys:     b.Ring,
		Checks:   map[string]func() error{"nats": b.Err},
		Fleet:    f.fleet,
		Registry: f.reg,
		Lake:     f.lake,
		Replay:   replay.New(db, f.lake, f.reg.Load),
		Trust:    sign,
	}, api.Options{
		Auth:    configs.HubAuth{JWTSecret: secret},
		Version: "1",
		Log:     slog.New(slog.NewTextHandler(f.log, nil)),
	})
	check(err)
	rollouts := rollout.New(db, f.fleet, f.reg, nil)
	f.api.AddRollouts(rollouts)
	f.api.AddTraining(training.New(db, f.lake, f.reg, rollouts, jobs.NewWorker(db, "test", jobs.Options{}), training.Policy{Disabled: true}, rollout.Spec{}, nil))
	for _, role := range []string{"viewer", "operator", "engineer", "admin"} {
		check(api.CreateAccount(t.Context(), db, "test", role, role, role+" takes the stairs"))
	}
	return f
}

func (f *fixture) do(method, path, token, body string) (int, string) {
	f.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	f.api.Handler().ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(b)
}

func (f *fixture) login(user string) string {
	f.t.Helper()
	code, b := f.do("POST", "/v1/login", "", `{"user":"`+user+`","password":"`+user+` takes the stairs"}`)
	var out struct{ Token string }
	if code != 200 || json.Unmarshal([]byte(b), &out) != nil {
		f.t.Fatalf("login %s = %d %s", user, code, b)
	}
	return out.Token
}

// get reads JSON that must be there.
func (f *fixture) get(path, token string, v any) {
	f.t.Helper()
	code, b := f.do("GET", path, token, "")
	if code != http.StatusOK {
		f.t.Fatalf("GET %s = %d %s", path, code, b)
	}
	if err := json.Unmarshal([]byte(b), v); err != nil {
		f.t.Fatalf("GET %s: %v in %s", path, err, b)
	}
}

// device enrols a device of site north by the interface and returns its credential.
func (f *fixture) device(name string) string {
	f.t.Helper()
	secret, _, err := f.fleet.CreateToken(f.t.Context(), "test", name, "north", "", time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	_, key := bustest.Key(f.t)
	request, err := json.Marshal(identity.EnrollRequest{
		Token:       secret,
		PublicKey:   key,
		Fingerprint: "f",
		Class:       "linux/amd64",
		Version:     "1",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	code, b := f.do("POST", identity.PathEnroll, "", string(request))
	var reply identity.EnrollReply
	if err := json.Unmarshal([]byte(b), &reply); err != nil || code != http.StatusOK {
		f.t.Fatalf("enrol %s = %d %s: %v", name, code, b, err)
	}
	return reply.JWT
}

// TestAuthorisation asks every route of the table as every role.
func TestAuthorisation(t *testing.T) {
	f := newFixture(t)
	rank := map[string]api.Role{"": api.Anyone, "viewer": api.Viewer, "operator": api.Operator, "engineer": api.Engineer, "admin": api.Admin}
	tokens := map[string]string{"": ""}
	for name := range rank {
		if name != "" {
			tokens[name] = f.login(name)
		}
	}
	table := f.api.Table()
	for path, item := range f.api.Huma().OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete} {
			if op == nil {
				continue
			}
			found := false
			for _, r := range table {
				found = found || r.Method == method && r.Path == path
			}
			if !found {
				t.Errorf("%s %s has no row in the authorisation table", method, path)
			}
		}
	}
	for _, r := range table {
		path := strings.NewReplacer("{name}", "nobody", "{task}", "nothing", "{id}", "nothing", "{command}", "pause", "{digest}", strings.Repeat("0", 64), "{file}", "9.root.json").Replace(r.Path)
		for name, have := range rank {
			code, _ := f.do(r.Method, path, tokens[name], "")
			refused := code == http.StatusUnauthorized || code == http.StatusForbidden
			want := have < r.Role
			if r.Role == api.Device {
				want = have == api.Anyone
			}
			if r.Role == api.Anyone {
				continue // its own handler decides: a login or an enrolment may fail
			}
			if refused != want && !(r.Path == "/v1/users/{name}/password") {
				t.Errorf("%s %s as %q = %d, refused = %v, want %v", r.Method, r.Path, name, code, refused, want)
			}
		}
	}
}

func TestHostileTokens(t *testing.T) {
	f := newFixture(t)
	good := f.login("admin")
	if code, _ := f.do("GET", "/v1/users", good, ""); code != 200 {
		t.Fatalf("a good token = %d", code)
	}
	base := func() jwt.MapClaims {
		c := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(good, c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	signed := func(m jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
		c := base()
		change(c)
		s, err := jwt.NewWithClaims(m, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	same := func(jwt.MapClaims) {}
	critical := func(names []string) string {
		tok := jwt.NewWithClaims(jwt.SigningMethodHS256, base())
		tok.Header["crit"] = names
		s, err := tok.SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"none":          signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"other key":     signed(jwt.SigningMethodHS256, []byte("another secret that is long enough too"), same),
		"HS512":         signed(jwt.SigningMethodHS512, []byte(secret), same),
		"no expiry":     signed(jwt.SigningMethodHS256, []byte(secret), func(c jwt.MapClaims) { delete(c, "exp") }),
		"expired":       signed(jwt.SigningMethodHS256, []byte(secret), func(c jwt.MapClaims) { c["exp"] = 1 }),
		"future iat":    signed(jwt.SigningMethodHS256, []byte(secret), func(c jwt.MapClaims) { c["iat"] = 1 << 40 }),
		"other issuer":  signed(jwt.SigningMethodHS256, []byte(secret), func(c jwt.MapClaims) { c["iss"] = "x" }),
		"no audience":   signed(jwt.SigningMethodHS256, []byte(secret), func(c jwt.MapClaims) { delete(c, "aud") }),
		"exp as a text": signed(jwt.SigningMethodHS256, []byte(secret), func(c jwt.MapClaims) { c["exp"] = fmt.Sprintf("%.0f", c["exp"]) }),
		"iat as a text": signed(jwt.SigningMethodHS256, []byte(secret), func(c jwt.MapClaims) { c["iat"] = fmt.Sprintf("%.0f", c["iat"]) }),
		"crit":          critical([]string{"exp"}),
		"crit unknown":  critical([]string{"https://example.com/ext"}),
		"empty crit":    critical([]string{}),
		"unknown user":  signed(jwt.SigningMethodHS256, []byte(secret), func(c jwt.MapClaims) { c["sub"] = "x" }),
		"old password":  signed(jwt.SigningMethodHS256, []byte(secret), func(c jwt.MapClaims) { c["pwd"] = 1 }),
		"no signature":  parts[0] + "." + parts[1] + ".",
		"two parts":     parts[0] + "." + parts[1],
		"five parts":    good + ".x.y",
		"trailing":      good + "A",
		"huge":          strings.Repeat("a", 20_000),
		"unknown token": "skt_AAAA",
		"empty":         " ",
	} {
		if code, b := f.do("GET", "/v1/users", token, ""); code != http.StatusUnauthorized {
			t.Errorf("%s = %d %s, want 401", name, code, b)
		}
	}
	if err := api.SetPassword(context.Background(), f.db, "test", "admin", "a new password"); err != nil {
		t.Fatal(err)
	}
	if code, _ := f.do("GET", "/v1/users", good, ""); code != http.StatusUnauthorized {
		t.Errorf("after a new password the old login = %d, want 401", code)
	}
}

func TestStrictBodies(t *testing.T) {
	f := newFixture(t)
	token := f.login("admin")
	for name, body := range map[string]string{
		"unknown key":  `{"device":"a","site":"b","role":"admin"}`,
		"other case":   `{"Device":"a","site":"b"}`,
		"repeated key": `{"device":"a","device":"c","site":"b"}`,
		"wrong type":   `{"device":1,"site":"b"}`,
		"null":         `{"device":null,"site":"b"}`,
		"no JSON":      `{"device":`,
		"trailing":     `{"device":"a","site":"b"}{}`,
		"bad UTF-8":    "{\"device\":\"a\xff\",\"site\":\"b\"}",
		"deep":         strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"bad name":     `{"device":"../etc","site":"b"}`,
		"empty":        `{}`,
		"an array":     `[]`,
		"too long":     `{"device":"` + strings.Repeat("a", 2<<20) + `","site":"b"}`,
	} {
		code, b := f.do("POST", "/v1/enroll-tokens", token, body)
		var e api.Error
		if code < 400 || code >= 500 || json.Unmarshal([]byte(b), &e) != nil || e.Detail.Code == "" {
			t.Errorf("%s = %d %.200s, want a 4xx with a code", name, code, b)
		}
	}
	if code, b := f.do("POST", "/v1/login", "", `{"user":"x","password":"sesame","extra":1}`); code != 422 || strings.Contains(b, "sesame") {
		t.Errorf("refused login = %d %s: must not echo the password", code, b)
	}
	if code, _ := f.do("GET", "/v1/devices?bogus=1", token, ""); code != 422 {
		t.Errorf("unknown query parameter = %d, want 422", code)
	}
}

// endedTokens holds that an API token ends with its maker's password and account, and has no more
// rights than the maker has left.
func (f *fixture) endedTokens(admin string) {
	f.t.Helper()
	works := func(token, path string, status int, when string) {
		f.t.Helper()
		if code, b := f.do("GET", path, token, ""); code != status {
			f.t.Errorf("a token %s = %d %s, want %d", when, code, b, status)
		}
	}
	maker := func() (login string) {
		f.t.Helper()
		_, b := f.do("POST", "/v1/login", "", `{"user":"maker","password":"maker takes the stairs"}`)
		var out struct{ Token string }
		if json.Unmarshal([]byte(b), &out) != nil || out.Token == "" {
			f.t.Fatalf("login of maker = %s", b)
		}
		return out.Token
	}
	token := func() string {
		f.t.Helper()
		code, b := f.do("POST", "/v1/tokens", maker(), `{"name":"made","role":"admin"}`)
		var out struct{ Token string }
		if code != 201 || json.Unmarshal([]byte(b), &out) != nil {
			f.t.Fatalf("create token = %d %s", code, b)
		}
		return out.Token
	}
	if code, b := f.do("POST", "/v1/users", admin, `{"name":"maker","role":"admin","password":"maker takes the stairs"}`); code != 201 {
		f.t.Fatalf("create user = %d %s", code, b)
	}
	first := token()
	works(first, "/v1/users", 200, "of an admin")
	if code, b := f.do("PUT", "/v1/users/maker/password", admin, `{"password":"maker takes the stairs"}`); code != 204 {
		f.t.Fatalf("set password = %d %s", code, b)
	}
	works(first, "/v1/users", 401, "after its maker's password changed")
	second := token()
	if err := api.ResetAccount(f.t.Context(), f.db, "test", "maker", "viewer", "maker takes the stairs"); err != nil {
		f.t.Fatal(err)
	}
	works(second, "/v1/users", 401, "after its maker's role and password changed")
	f.tx(func(q *meta.Queries) error {
		a, err := q.Account(f.t.Context(), "maker")
		if err != nil {
			return err
		}
		a.Role = "admin"
		return q.UpdateAccount(f.t.Context(), a)
	})
	third := token()
	f.tx(func(q *meta.Queries) error {
		a, err := q.Account(f.t.Context(), "maker")
		if err != nil {
			return err
		}
		a.Role = "viewer"
		return q.UpdateAccount(f.t.Context(), a)
	})
	works(third, "/v1/users", 403, "whose maker became a viewer")
	works(third, "/v1/devices", 200, "whose maker became a viewer")
	if code, b := f.do("DELETE", "/v1/users/maker", admin, ""); code != 204 {
		f.t.Fatalf("delete user = %d %s", code, b)
	}
	works(third, "/v1/devices", 401, "after its maker was removed")
	if code, _ := f.do("GET", "/v1/me", admin, ""); code != 200 {
		f.t.Errorf("GET /v1/me = %d", code)
	}
	r := httptest.NewRequest("GET", "/v1/me", nil)
	r.Header.Set("Authorization", "bearer "+admin)
	w := httptest.NewRecorder()
	if f.api.Handler().ServeHTTP(w, r); w.Code != 200 {
		f.t.Errorf("GET /v1/me with a scheme in lower case = %d", w.Code)
	}
}

func TestTokensAndUsers(t *testing.T) {
	f := newFixture(t)
	admin := f.login("admin")
	code, b := f.do("POST", "/v1/tokens", admin, `{"name":"ci","role":"viewer"}`)
	var tok struct{ ID, Token string }
	if code != 201 || json.Unmarshal([]byte(b), &tok) != nil {
		t.Fatalf("create token = %d %s", code, b)
	}
	if code, _ := f.do("GET", "/v1/devices", tok.Token, ""); code != 200 {
		t.Errorf("API token = %d", code)
	}
	if code, b := f.do("GET", "/v1/tokens", admin, ""); code != 200 || strings.Contains(b, tok.Token) || strings.Contains(b, "hash") {
		t.Errorf("list tokens = %d %s: must not hold secrets", code, b)
	}
	if code, _ := f.do("DELETE", "/v1/tokens/"+tok.ID, admin, ""); code != 204 {
		t.Errorf("revoke = %d", code)
	}
	if code, _ := f.do("GET", "/v1/devices", tok.Token, ""); code != 401 {
		t.Errorf("revoked token = %d, want 401", code)
	}
	f.endedTokens(admin)
	viewer := f.login("viewer")
	if code, _ := f.do("PUT", "/v1/users/admin/password", viewer, `{"password":"taken over now"}`); code != 403 {
		t.Errorf("a viewer sets the admin's password: %d", code)
	}
	if code, b := f.do("PUT", "/v1/users/viewer/password", viewer, `{"password":"a new password","current":"viewer takes the stairs"}`); code != 204 {
		t.Errorf("own password = %d %s", code, b)
	}
	for range 12 {
		code, _ = f.do("POST", "/v1/login", "", `{"user":"admin","password":"wrong"}`)
	}
	if code != 429 {
		t.Errorf("the twelfth login = %d, want 429", code)
	}
}

func TestDocsAreSelfContained(t *testing.T) {
	f := newFixture(t)
	code, b := f.do("GET", "/docs", "", "")
	if code != 200 || strings.Contains(b, "http://") || strings.Contains(b, "https://") {
		t.Errorf("/docs = %d, must not load from elsewhere", code)
	}
	code, b = f.do("GET", "/openapi.json", "", "")
	var doc struct{ OpenAPI string }
	if code != 200 || json.Unmarshal([]byte(b), &doc) != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("/openapi.json = %d %.100s", code, b)
	}
}
