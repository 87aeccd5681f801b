package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
)

// enrolled returns an identity of a hub that answers as given, without asking it.
func enrolled(t *testing.T, c credential) (dir string, id *Identity) {
	t.Helper()
	dir = t.TempDir()
	if _, err := LoadOrCreateKey(dir); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, credentialFile), text); err != nil {
		t.Fatal(err)
	}
	id, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return dir, id
}

// TestWhatTheHubGave holds that every part of an enrolment is there after a restart, and where the
// addresses made of it lead.
func TestWhatTheHubGave(t *testing.T) {
	c := credential{Hub: "https://hub.example:8000", EnrollReply: EnrollReply{
		Device:  "dev1",
		Site:    "north",
		Cohort:  "pumps",
		JWT:     testJWT(time.Unix(2e9, 0)),
		NATS:    []string{"tls://hub.example:4222"},
		TUFRoot: []byte("root"),
		Join:    7,
	}}
	dir, id := enrolled(t, c)
	if id.Device() != "dev1" || id.Site() != "north" || id.Cohort() != "pumps" || id.Join() != 7 || string(id.TUFRoot()) != "root" || id.Hub() != c.Hub {
		t.Errorf("Open = %+v, want what was stored", id.get())
	}
	if key, err := LoadKey(dir); err != nil || id.PublicKey() != key.Public() || !nkeys.IsValidPublicUserKey(id.PublicKey()) {
		t.Errorf("PublicKey() = %q, %v, want that of the directory's key", id.PublicKey(), err)
	}
	if exp, ok := id.Expiry(); !ok || exp.Unix() != 2e9 {
		t.Errorf("Expiry() = %v, %v", exp, ok)
	}
	if got := id.TUFURL(); got != "https://hub.example:8000/v1/tuf/" {
		t.Errorf("TUFURL() = %s", got)
	}
	for artifacts, want := range map[string]string{
		"":                            "https://hub.example:8000/v1/artifacts/ab",
		"/mirror/":                    "https://hub.example:8000/mirror/ab",
		"https://cdn.example/models/": "https://cdn.example/models/ab",
	} {
		c.Artifacts = artifacts
		if _, id := enrolled(t, c); id.ArtifactURL("ab") != want {
			t.Errorf("ArtifactURL(ab) of %q = %s, want %s", artifacts, id.ArtifactURL("ab"), want)
		}
	}
	moved, err := Open(dir, Options{Hub: "http://10.0.0.1:8000/"})
	if err != nil || moved.Hub() != "http://10.0.0.1:8000" {
		t.Errorf("Open with another address = %q, %v", moved.Hub(), err)
	}
	if again, err := Open(dir, Options{}); err != nil || again.Hub() != c.Hub {
		t.Errorf("an address that was given once is stored: %q, %v", again.Hub(), err)
	}
}

// TestAuthorizeOnlyTheHub: the credential goes to the hub's scheme, host and port and nowhere else.
func TestAuthorizeOnlyTheHub(t *testing.T) {
	_, id := enrolled(t, credential{Hub: "https://hub.example:8000", EnrollReply: EnrollReply{Device: "d", Site: "s", JWT: "a.b.c"}})
	for url, want := range map[string]string{
		"https://hub.example:8000/v1/tuf/1.root.json": "Bearer a.b.c",
		"http://hub.example:8000/v1/tuf/1.root.json":  "",
		"https://hub.example/":                        "",
		"https://hub.example:8001/":                   "",
		"https://hub.example.evil:8000/":              "",
		"https://evil/hub.example:8000":               "",
	} {
		r := httptest.NewRequest(http.MethodGet, url, nil)
		if id.Authorize(r); r.Header.Get("Authorization") != want {
			t.Errorf("Authorize(%s) sets %q, want %q", url, r.Header.Get("Authorization"), want)
		}
	}
}

// TestExpiryOfNoJWT: what cannot be read has no expiry, and is not taken for one that is over.
func TestExpiryOfNoJWT(t *testing.T) {
	for _, jwt := range []string{"x", "a.b", "a.!!.c", "a.e30.c", "a.bm8.c", strings.Repeat(".", 9)} {
		_, id := enrolled(t, credential{Hub: "http://h", EnrollReply: EnrollReply{Device: "d", Site: "s", JWT: jwt}})
		if exp, ok := id.Expiry(); ok {
			t.Errorf("Expiry() of %q = %v, want none", jwt, exp)
		}
	}
}

// TestOpenNamesTheFault damages what is stored, one part at a time.
func TestOpenNamesTheFault(t *testing.T) {
	good := `{"hub":"http://h","device":"d","site":"s","jwt":"a.b.c"}`
	for name, tt := range map[string]struct {
		text string
		want string
	}{
		"no device":     {strings.Replace(good, `"d"`, `""`, 1), "names no device or site"},
		"no site":       {strings.Replace(good, `"s"`, `""`, 1), "names no device or site"},
		"no credential": {strings.Replace(good, `"a.b.c"`, `""`, 1), "holds no credential"},
		"not JSON":      {good[:20], "load enrolment"},
		"empty":         {"", "load enrolment"},
	} {
		dir, _ := enrolled(t, credential{Hub: "h", EnrollReply: EnrollReply{Device: "d", Site: "s", JWT: "j"}})
		if err := WriteFile(filepath.Join(dir, credentialFile), []byte(tt.text)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), credentialFile) {
			t.Errorf("%s: Open = %v, want %q and the file", name, err, tt.want)
		}
	}
	dir, _ := enrolled(t, credential{Hub: "h", EnrollReply: EnrollReply{Device: "d", Site: "s", JWT: "j"}})
	if err := os.Remove(filepath.Join(dir, keyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "load device key") {
		t.Errorf("an enrolment without its key: Open = %v", err)
	}
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, keyFile), seed); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "not a user key") {
		t.Errorf("the key of an account: Open = %v", err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(filepath.Join(dir, credentialFile), 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "has mode 0640, others can read it") {
			t.Errorf("an enrolment that the group can read: Open = %v", err)
		}
	}
}

// TestAnswersOfTheHub holds which answers end an enrolment, and what of them its owner reads. An
// answer that may be another one later is waited for, so these are all that end it at once.
func TestAnswersOfTheHub(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"the hub's document":       {403, `{"error":{"code":"token_used","message":"token is used"}}`, "hub refused (HTTP 403): token is used"},
		"a short document":         {404, `{"error":"no such path"}`, "hub refused (HTTP 404): no such path"},
		"text of a proxy":          {400, "  bad gateway of somebody \n", "hub refused (HTTP 400): bad gateway of somebody"},
		"bytes":                    {400, "\xff\xfe", "hub refused (HTTP 400): ?"},
		"a page":                   {413, strings.Repeat("x", 5000), "hub refused (HTTP 413): " + strings.Repeat("x", 200) + "…"},
		"nothing":                  {401, "", "hub refused (HTTP 401): "},
		"an answer without device": {200, `{"jwt":"a.b.c"}`, "answer of the hub: it names no device or site"},
		"one without a credential": {201, `{"device":"d","site":"s"}`, "answer of the hub: it holds no credential"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		}))
		dir := t.TempDir()
		_, err := Enroll(t.Context(), dir, srv.URL, "token", Options{})
		srv.Close()
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "enrol at "+srv.URL) {
			t.Errorf("%s: Enroll = %v, want %q", name, err, tt.want)
		}
		re, refused := errors.AsType[*RefusedError](err)
		if refused != (tt.status >= 400) || refused && re.Status != tt.status {
			t.Errorf("%s: Enroll = %#v, want a refusal of HTTP %d", name, err, tt.status)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrNotEnrolled) {
			t.Errorf("%s: Open after it = %v, want ErrNotEnrolled", name, err)
		}
	}
}

// TestRenewKeepsWhatItHas: a renewal that fails, for whatever reason, leaves the credential that
// is there, in memory and on disk.
func TestRenewKeepsWhatItHas(t *testing.T) {
	for name, tt := range map[string]struct {
		nonce, renew func(w http.ResponseWriter)
		want         string
	}{
		"no nonce":        {func(w http.ResponseWriter) { w.WriteHeader(500) }, nil, "hub answered HTTP 500"},
		"too many":        {func(w http.ResponseWriter) { w.WriteHeader(429) }, nil, "hub answered HTTP 429"},
		"a nonce of text": {func(w http.ResponseWriter) { fmt.Fprint(w, "soon") }, nil, "answer of " + PathNonce},
		"revoked": {nil, func(w http.ResponseWriter) {
			w.WriteHeader(403)
			fmt.Fprint(w, `{"error":"device is revoked"}`)
		}, "device is revoked"},
		"no credential": {nil, func(w http.ResponseWriter) { fmt.Fprint(w, `{"join":9}`) }, "the hub's answer holds none"},
		"cut off":       {nil, func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		mux := http.NewServeMux()
		mux.HandleFunc("POST "+PathNonce, func(w http.ResponseWriter, _ *http.Request) {
			if tt.nonce != nil {
				tt.nonce(w)
				return
			}
			fmt.Fprint(w, `{"nonce":"n"}`)
		})
		mux.HandleFunc("POST "+PathRenew, func(w http.ResponseWriter, _ *http.Request) { tt.renew(w) })
		srv := httptest.NewServer(mux)
		dir, id := enrolled(t, credential{Hub: srv.URL, EnrollReply: EnrollReply{Device: "d", Site: "s", JWT: "a.b.c", Join: 3}})
		err := id.Renew(t.Context())
		srv.Close()
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "renew credential: ") {
			t.Errorf("%s: Renew = %v, want %q", name, err, tt.want)
		}
		again, openErr := Open(dir, Options{})
		if openErr != nil || id.Join() != 3 || again.Join() != 3 || again.get().JWT != "a.b.c" {
			t.Errorf("%s: join %d in memory, %d on disk, %v, want 3", name, id.Join(), again.Join(), openErr)
		}
	}
}

// TestWriteFile replaces whole files, for their owner alone, and leaves nothing beside them when
// it cannot.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"a long first text", "short", ""} {
		if err := WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("WriteFile(%q) leaves %q, %v", text, got, err)
		}
		if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("WriteFile(%q) gives mode %v, %v, want 0600", text, info.Mode(), err)
		}
	}
	if err := WriteFile(filepath.Join(dir, "none", "f"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteFile into no directory = %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "d"), []byte("x")); err == nil {
		t.Error("WriteFile replaces a directory")
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("%q are left beside the file, %v", left, err)
	}
}
