package identity

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"skerry.dev/sync/wire"
)

// ErrNotEnrolled is returned by Open for a directory without an enrolment.
var ErrNotEnrolled = errors.New("device is not enrolled: run skerry-agent enroll --hub <address> --token <token>")

// RefusedError is the hub's answer to a request that will not succeed by being repeated.
type RefusedError struct {
	Status  int
	Message string
}

// Error says what the hub answered.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("hub refused (HTTP %d): %s", e.Status, e.Message)
}

// Identity is an enrolled device: its key, its name and its current credential. Safe for
// concurrent use.
type Identity struct {
	dir  string
	key  *Key
	http *http.Client

	mu  sync.Mutex // guards cur
	cur credential
}

// credential is what is stored of an enrolment.
type credential struct {
	Hub string `json:"hub"`
	EnrollReply
}

// Options of Enroll and Open.
type Options struct {
	HTTP    *http.Client // default: one with a timeout of 15 s
	Hub     string       // overrides the stored address of the hub
	Version string       // of the agent program
	Log     *slog.Logger
}

func (o *Options) defaults() {
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: 15 * time.Second}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Enroll binds the directory's key (made when there is none) to the device that the one-time
// token was made for, and stores the answer. An answer that does not arrive is requested again
// with the same key until ctx ends; the hub treats that as one enrolment. A refusal is a
// *RefusedError.
func Enroll(ctx context.Context, dir, hub, token string, opts Options) (*Identity, error) {
	opts.defaults()
	if u, err := url.Parse(hub); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("enrol: hub %q: must be an address such as https://hub.example:8000", hub)
	}
	key, err := LoadOrCreateKey(dir)
	if err != nil {
		return nil, err
	}
	id := &Identity{dir: dir, key: key, http: opts.HTTP, cur: credential{Hub: strings.TrimRight(hub, "/")}}
	req := EnrollRequest{
		Token:       token,
		PublicKey:   key.Public(),
		Fingerprint: Fingerprint(),
		Class:       runtime.GOOS + "/" + runtime.GOARCH,
		Version:     opts.Version,
	}
	if err := retry(ctx, opts.Log, func() error { return id.post(ctx, PathEnroll, req, &id.cur.EnrollReply) }); err != nil {
		return nil, fmt.Errorf("enrol at %s: %w", hub, err)
	}
	if err := id.cur.check(); err != nil {
		return nil, fmt.Errorf("enrol at %s: answer of the hub: %w", hub, err)
	}
	if err := id.store(id.cur); err != nil {
		return nil, err
	}
	return id, nil
}

// DamagedError is returned by Open for an enrolment that is there and cannot be used: it, or the
// key, is damaged, missing or open to others. Device and Site are those of the enrolment, "" where
// it does not tell them.
type DamagedError struct {
	Device, Site string
	Err          error
}

// Error says what is wrong with which file, and what to do.
func (e *DamagedError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *DamagedError) Unwrap() error { return e.Err }

// Open loads an enrolled identity. It returns ErrNotEnrolled when there is no enrolment, and a
// *DamagedError for one that cannot be used; it changes nothing.
func Open(dir string, opts Options) (*Identity, error) {
	opts.defaults()
	id := &Identity{dir: dir, http: opts.HTTP}
	var err, keyErr error
	if id.cur, err = readCredential(filepath.Join(dir, credentialFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	id.key, keyErr = LoadKey(dir)
	switch {
	case err == nil:
		err = keyErr
	case keyErr != nil:
		err = fmt.Errorf("%w; %w", err, keyErr)
	}
	if err != nil {
		return nil, &DamagedError{id.cur.Device, id.cur.Site, err}
	}
	if opts.Hub != "" {
		id.cur.Hub = strings.TrimRight(opts.Hub, "/")
	}
	return id, nil
}

// readCredential reads what is stored of an enrolment. What can be read of it is returned beside an
// error.
func readCredential(path string) (c credential, err error) {
	private := checkPrivate(path)
	if info, err := os.Stat(path); private != nil && (err != nil || !info.Mode().IsRegular()) {
		return c, fmt.Errorf("load enrolment: %w", private)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil {
		err = c.check()
	}
	switch {
	case private != nil: // it says what to do
		return c, fmt.Errorf("load enrolment: %w", private)
	case err != nil:
		return c, fmt.Errorf("load enrolment %s: %w: put it back from a backup, or enrol again (skerry-agent enroll)", path, err)
	}
	return c, nil
}

func (c *credential) check() error {
	switch {
	case c.Device == "" || c.Site == "":
		return errors.New("it names no device or site")
	case c.JWT == "":
		return errors.New("it holds no credential")
	}
	return nil
}

// Device returns the device's name.
func (id *Identity) Device() string { return id.get().Device }

// Site returns the name of the device's site.
func (id *Identity) Site() string { return id.get().Site }

// Cohort returns the device's cohort, "" for none.
func (id *Identity) Cohort() string { return id.get().Cohort }

// Join returns the join counter.
func (id *Identity) Join() uint64 { return id.get().Join }

// Hub returns the hub's address without a slash at the end.
func (id *Identity) Hub() string { return id.get().Hub }

// NATS returns the server addresses the hub gave.
func (id *Identity) NATS() []string { return id.get().NATS }

// TUFRoot returns the trust anchor, 1.root.json.
func (id *Identity) TUFRoot() []byte { return id.get().TUFRoot }

// PublicKey returns the device's public key.
func (id *Identity) PublicKey() string { return id.key.Public() }

// ArtifactURL returns the address of an artifact.
func (id *Identity) ArtifactURL(digest string) string {
	c := id.get()
	base := c.Artifacts
	if base == "" {
		base = PathArtifact
	}
	if strings.HasPrefix(base, "/") {
		base = c.Hub + base
	}
	return base + digest
}

// TUFURL returns the address of the metadata files, with a slash at the end.
func (id *Identity) TUFURL() string { return id.get().Hub + PathTUF }

// Expiry returns when the credential ends; false when it has no expiry.
func (id *Identity) Expiry() (time.Time, bool) {
	_, exp, ok := jwtTimes(id.get().JWT)
	return exp, ok
}

func (id *Identity) get() credential {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.cur
}

// jwtTimes reads issue and expiry of a JWT without checking it: the server that takes it does.
func jwtTimes(jwt string) (issued, expires time.Time, ok bool) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return issued, expires, false
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct{ Iat, Exp int64 }
	if err != nil || json.Unmarshal(body, &claims) != nil || claims.Exp == 0 {
		return issued, expires, false
	}
	return time.Unix(claims.Iat, 0), time.Unix(claims.Exp, 0), true
}

// Options returns what a NATS connection of this device needs: its credential, read again at
// every connection, and its private inbox.
func (id *Identity) Options() []nats.Option {
	return []nats.Option{
		nats.UserJWT(func() (string, error) { return id.get().JWT, nil }, id.key.Sign),
		nats.CustomInboxPrefix(wire.InboxPrefix(id.Device())),
		nats.Name("skerry-agent " + id.Device()),
	}
}

// Authorize adds the credential to a request to the hub. A request to anybody else is left alone.
func (id *Identity) Authorize(r *http.Request) {
	c := id.get()
	if hub, err := url.Parse(c.Hub); err == nil && r.URL.Host == hub.Host && r.URL.Scheme == hub.Scheme {
		r.Header.Set("Authorization", "Bearer "+c.JWT)
	}
}

// Renew gets the next credential by signing a nonce with the device's key, and stores it before
// it is used.
func (id *Identity) Renew(ctx context.Context) error {
	cur := id.get()
	var nonce NonceReply
	if err := id.post(ctx, PathNonce, struct{}{}, &nonce); err != nil {
		return fmt.Errorf("renew credential: %w", err)
	}
	sig, err := id.key.Sign(RenewText(cur.Device, nonce.Nonce, cur.Join))
	if err != nil {
		return fmt.Errorf("renew credential: %w", err)
	}
	var reply RenewReply
	if err := id.post(ctx, PathRenew, RenewRequest{
		Device:    cur.Device,
		Nonce:     nonce.Nonce,
		Join:      cur.Join,
		Signature: sig,
	}, &reply); err != nil {
		return fmt.Errorf("renew credential: %w", err)
	}
	if reply.JWT == "" {
		return errors.New("renew credential: the hub's answer holds none")
	}
	cur.JWT, cur.Join = reply.JWT, reply.Join
	if len(reply.NATS) > 0 {
		cur.NATS = reply.NATS
	}
	return id.store(cur)
}

// minRenew is the least time between two renewals that succeed.
const minRenew = time.Minute

// Run renews the credential when two thirds of its time are over, and goes on trying when that
// fails, until ctx ends. An expired credential does not stop it: the key is what the hub
// identifies it by.
func (id *Identity) Run(ctx context.Context, log *slog.Logger) error {
	failed := 0
	for wait := id.untilDue(); ; {
		timer := time.NewTimer(max(wait, time.Second))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := id.Renew(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if failed++; failed == 1 || failed%10 == 0 {
				log.Warn("credential not renewed", "err", err, "attempt", failed)
			}
			wait = backoff(failed, 10*time.Minute)
			continue
		}
		exp, _ := id.Expiry()
		log.Info("credential renewed", "expires", exp, "failed_attempts", failed)
		failed = 0
		// all of its time is ahead, whatever this device's clock shows: by one that is fast it is
		// always over
		wait = max(id.share(), minRenew)
	}
}

// untilDue returns how long the stored credential, whose age only this device's clock tells, need
// not be renewed.
func (id *Identity) untilDue() time.Duration {
	issued, _, ok := jwtTimes(id.get().JWT)
	if !ok {
		return minRenew
	}
	return min(time.Until(issued.Add(id.share())), id.share())
}

// share returns two thirds of the credential's time, 0 when it does not say.
func (id *Identity) share() time.Duration {
	issued, exp, ok := jwtTimes(id.get().JWT)
	if !ok {
		return 0
	}
	return exp.Sub(issued) / 3 * 2
}

func (id *Identity) store(c credential) error {
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("store enrolment: %w", err)
	}
	if err := WriteFile(filepath.Join(id.dir, credentialFile), text); err != nil {
		return fmt.Errorf("store enrolment: %w", err)
	}
	id.mu.Lock()
	id.cur = c
	id.mu.Unlock()
	return nil
}

const maxReply = 1 << 20

func (id *Identity) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, id.get().Hub+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	client := id.http
	if client == nil {
		client = &http.Client{Timeout: 15 * time.Second}
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil {
		return err
	}
	switch {
	case res.StatusCode == http.StatusOK || res.StatusCode == http.StatusCreated:
		if err := json.Unmarshal(reply, into); err != nil {
			return fmt.Errorf("answer of %s: %w", path, err)
		}
		return nil
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("hub answered HTTP %d: %s", res.StatusCode, message(reply))
	default:
		return &RefusedError{Status: res.StatusCode, Message: message(reply)}
	}
}

// message reads the hub's error document, {"error": {"code": …, "message": …}} or {"error": "…"}.
func message(reply []byte) string {
	var long struct{ Error struct{ Message string } }
	if json.Unmarshal(reply, &long) == nil && long.Error.Message != "" {
		return long.Error.Message
	}
	var short struct{ Error string }
	if json.Unmarshal(reply, &short) == nil && short.Error != "" {
		return short.Error
	}
	text := strings.ToValidUTF8(strings.TrimSpace(string(reply)), "?")
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return text
}

// retry repeats what may succeed later until ctx ends.
func retry(ctx context.Context, log *slog.Logger, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if _, refused := errors.AsType[*RefusedError](err); err == nil || refused {
			return err
		}
		wait := backoff(attempt, 30*time.Second)
		log.Warn("hub did not answer", "err", err, "attempt", attempt, "retry_ms", wait.Milliseconds())
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

func backoff(attempt int, limit time.Duration) time.Duration {
	d := min(250*time.Millisecond<<min(attempt-1, 16), limit)
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}
