package identity

import (
	"context"
	"encoding/base64"
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

// hub is a small enrolment service that can lose answers.
type hub struct {
	*httptest.Server
	bound  string // the public key that the token is bound to
	join   uint64
	nonce  string
	lose   int // answers to swallow after the work is done
	enrols int
}

func testJWT(exp time.Time) string {
	body := fmt.Sprintf(`{"iat":%d,"exp":%d}`, exp.Add(-24*time.Hour).Unix(), exp.Unix())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(body)) + ".sig"
}

func newHub(t *testing.T) *hub {
	h := &hub{join: 1}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		if h.lose > 0 {
			h.lose--
			panic(http.ErrAbortHandler)
		}
		json.NewEncoder(w).Encode(v)
	}
	refuse := func(w http.ResponseWriter, msg string) {
		w.WriteHeader(http.StatusForbidden)
		json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": "refused", "message": msg}})
	}
	mux.HandleFunc("POST "+PathEnroll, func(w http.ResponseWriter, r *http.Request) {
		var req EnrollRequest
		json.NewDecoder(r.Body).Decode(&req)
		h.enrols++
		if req.Token != "token" || (h.bound != "" && h.bound != req.PublicKey) {
			refuse(w, "token is used")
			return
		}
		h.bound = req.PublicKey
		answer(w, EnrollReply{Device: "dev1", Site: "north", JWT: testJWT(time.Now().Add(time.Hour)), NATS: []string{"nats://127.0.0.1:4222"}, TUFRoot: []byte("root"), Artifacts: PathArtifact, Join: h.join})
	})
	mux.HandleFunc("POST "+PathNonce, func(w http.ResponseWriter, r *http.Request) {
		h.nonce = fmt.Sprint(time.Now().UnixNano())
		answer(w, NonceReply{h.nonce})
	})
	mux.HandleFunc("POST "+PathRenew, func(w http.ResponseWriter, r *http.Request) {
		var req RenewRequest
		json.NewDecoder(r.Body).Decode(&req)
		pub, err := nkeys.FromPublicKey(h.bound)
		text := fmt.Sprintf("skerry-renew\n%s\n%s\n%d", req.Device, req.Nonce, req.Join)
		if err != nil || req.Nonce != h.nonce || (req.Join != h.join && req.Join+1 != h.join) || pub.Verify([]byte(text), req.Signature) != nil {
			refuse(w, "renewal refused")
			return
		}
		h.nonce = ""
		h.join = req.Join + 1
		answer(w, RenewReply{JWT: testJWT(time.Now().Add(48 * time.Hour)), Join: h.join, NATS: []string{"nats://127.0.0.1:5222"}})
	})
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func TestEnrolAndRenew(t *testing.T) {
	h := newHub(t)
	dir := filepath.Join(t.TempDir(), "identity")
	h.lose = 2
	id, err := Enroll(t.Context(), dir, h.URL+"/", "token", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if h.enrols != 3 || id.Device() != "dev1" || id.Site() != "north" || id.Join() != 1 || id.ArtifactURL("ab") != h.URL+"/v1/artifacts/ab" {
		t.Errorf("enrolled after %d requests as %+v", h.enrols, id.get())
	}
	if _, err := Enroll(t.Context(), dir, h.URL, "token", Options{}); err != nil {
		t.Errorf("repeating with the same key = %v", err)
	}
	_, err = Enroll(t.Context(), filepath.Join(t.TempDir(), "other"), h.URL, "token", Options{})
	if re, ok := errors.AsType[*RefusedError](err); !ok || re.Message != "token is used" {
		t.Errorf("enrolling with another key = %v, want the hub's refusal", err)
	}
	for _, name := range []string{keyFile, credentialFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
			t.Errorf("%s: mode %v, %v, want 0600", name, info.Mode(), err)
		}
	}

	id, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]bool{h.URL + "/v1/artifacts/x": true, "http://elsewhere.invalid/": false} {
		r := httptest.NewRequest("GET", url, nil)
		if id.Authorize(r); (r.Header.Get("Authorization") != "") != want {
			t.Errorf("Authorize of a request to %s set %q", url, r.Header.Get("Authorization"))
		}
	}
	h.lose = 1
	if err := id.Renew(t.Context()); err == nil {
		t.Error("a lost nonce is not a renewal")
	}
	if err := id.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{})
	if err != nil || again.Join() != 2 || again.NATS()[0] != "nats://127.0.0.1:5222" {
		t.Errorf("stored after the renewal: %+v, %v", again.get(), err)
	}
	if exp, ok := again.Expiry(); !ok || time.Until(exp) < 40*time.Hour {
		t.Errorf("expiry %v, %v", exp, ok)
	}
}

func TestRenewAfterALostAnswer(t *testing.T) {
	h := newHub(t)
	id, err := Enroll(t.Context(), t.TempDir(), h.URL, "token", Options{})
	if err != nil {
		t.Fatal(err)
	}
	h.join = 2 // the hub counted a renewal whose answer was lost
	if err := id.Renew(t.Context()); err != nil || id.Join() != 2 {
		t.Errorf("Renew after a lost answer = %v, join %d", err, id.Join())
	}
}

func TestRunRenewsAnExpiredCredential(t *testing.T) {
	h := newHub(t)
	id, err := Enroll(t.Context(), t.TempDir(), h.URL, "token", Options{})
	if err != nil {
		t.Fatal(err)
	}
	id.mu.Lock()
	id.cur.JWT = testJWT(time.Now().Add(-time.Hour))
	id.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	opts := Options{}
	opts.defaults()
	go func() { done <- id.Run(ctx, opts.Log) }()
	for range 400 {
		if id.Join() == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil || id.Join() != 2 {
		t.Errorf("Run = %v, join %d, want 2", err, id.Join())
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(t.TempDir(), Options{}); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("Open of an empty directory = %v", err)
	}
	if _, err := LoadKey(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("LoadKey of an empty directory = %v", err)
	}
	dir := t.TempDir()
	k, err := LoadOrCreateKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := LoadOrCreateKey(dir); err != nil || again.Public() != k.Public() {
		t.Errorf("the second LoadOrCreateKey made another key: %v", err)
	}
	if runtime.GOOS != "windows" {
		os.Chmod(filepath.Join(dir, keyFile), 0o644)
		if _, err := LoadKey(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("LoadKey of a readable key = %v", err)
		}
	}
	os.WriteFile(filepath.Join(dir, keyFile), []byte("rubbish"), 0o600)
	os.Chmod(filepath.Join(dir, keyFile), 0o600)
	if _, err := LoadOrCreateKey(dir); err == nil {
		t.Error("a damaged key was replaced silently")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Enroll(ctx, t.TempDir(), "http://127.0.0.1:1", "token", Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Enroll without a hub = %v", err)
	}
	if _, err := Enroll(ctx, t.TempDir(), "hub", "token", Options{}); err == nil {
		t.Error("an address without a scheme was accepted")
	}
}

func TestFingerprint(t *testing.T) {
	if a, b := Fingerprint(), Fingerprint(); a != b || len(a) != 64 {
		t.Errorf("Fingerprint() = %q, then %q", a, b)
	}
}
