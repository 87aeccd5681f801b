package fleet_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"skerry.dev/hub/bus/bustest"
	"skerry.dev/hub/fleet"
	"skerry.dev/hub/keys"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/wire"
	"skerry.dev/test/wait"
)

// hub is a fleet over a database and a NATS server of its own.
type hub struct {
	t     *testing.T
	dir   string
	db    *meta.Store
	bus   bustest.Bus
	fleet *fleet.Fleet
}

func newHub(t *testing.T, opts fleet.Options) *hub {
	t.Helper()
	h := &hub{t: t, dir: t.TempDir()}
	var err error
	if h.db, err = meta.Open(t.Context(), meta.Options{Dir: h.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	h.bus = bustest.Open(t, h.dir)
	h.fleet = fleet.New(h.db, h.bus.Bus, h.bus.Ring, opts)
	return h
}

func (h *hub) token(device string) string {
	h.t.Helper()
	secret, _, err := h.fleet.CreateToken(h.t.Context(), "ada", device, "north", "roof", 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return secret
}

func (h *hub) row(device string) meta.Device {
	h.t.Helper()
	d, err := h.db.Read().Device(h.t.Context(), device)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

// box is a device: a key and what the hub told it.
type box struct {
	h    *hub
	key  nkeys.KeyPair
	pub  string
	name string
	join uint64
	jwt  string
}

func (h *hub) newBox() *box {
	h.t.Helper()
	key, pub := bustest.Key(h.t)
	return &box{h: h, key: key, pub: pub}
}

func (b *box) enroll(token string) (identity.EnrollReply, error) {
	r, err := b.h.fleet.Enroll(b.h.t.Context(), "10.0.0.1", identity.EnrollRequest{Token: token, PublicKey: b.pub, Fingerprint: "f", Class: "linux/arm64", Version: "1.0"})
	if err == nil {
		b.name, b.join, b.jwt = r.Device, r.Join, r.JWT
	}
	return r, err
}

// enrolled returns a new box that has a name.
func (h *hub) enrolled(device string) *box {
	h.t.Helper()
	b := h.newBox()
	if _, err := b.enroll(h.token(device)); err != nil {
		h.t.Fatal(err)
	}
	return b
}

// request makes a renewal that is right in everything.
func (b *box) request(join uint64) identity.RenewRequest {
	b.h.t.Helper()
	n, err := b.h.fleet.Nonce(b.h.t.Context(), "10.0.0.1")
	if err != nil {
		b.h.t.Fatal(err)
	}
	sig, err := b.key.Sign(identity.RenewText(b.name, n.Nonce, join))
	if err != nil {
		b.h.t.Fatal(err)
	}
	return identity.RenewRequest{Device: b.name, Nonce: n.Nonce, Join: join, Signature: sig}
}

func (b *box) renew(join uint64) (identity.RenewReply, error) {
	b.h.t.Helper()
	return b.h.fleet.Renew(b.h.t.Context(), "10.0.0.1", b.request(join))
}

func (b *box) connect() (*nats.Conn, error) {
	nc, err := nats.Connect(b.h.bus.URLs()[0], nats.CustomInboxPrefix(wire.InboxPrefix(b.name)), nats.MaxReconnects(0),
		nats.UserJWT(func() (string, error) { return b.jwt, nil }, func(nonce []byte) ([]byte, error) { return b.key.Sign(nonce) }))
	if err == nil {
		b.h.t.Cleanup(nc.Close)
	}
	return nc, err
}

func TestCreateTokenRefuses(t *testing.T) {
	h := newHub(t, fleet.Options{})
	h.enrolled("taken")
	for _, tt := range []struct{ device, site, cohort, want string }{
		{"", "north", "", `device name "": must be 1 to 63 of a-z`},
		{"a b", "../x", "c.d", "device name \"a b\": must be 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit\nsite name \"../x\": must be"},
		{"a", "north", "c.d", `cohort name "c.d"`},
		{"a", "", "", `site name ""`},
		{"taken", "north", "", `device "taken": the device is enrolled: revoke it before it gets a new key`},
	} {
		if secret, _, err := h.fleet.CreateToken(t.Context(), "ada", tt.device, tt.site, tt.cohort, 0); err == nil || secret != "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("CreateToken(%q, %q, %q) = %v, want %q", tt.device, tt.site, tt.cohort, err, tt.want)
		}
	}
	if tokens, err := h.db.Read().EnrollTokens(t.Context()); err != nil || len(tokens) != 1 {
		t.Errorf("%d tokens are stored, %v, want the one that was used", len(tokens), err)
	}
}

func TestEnroll(t *testing.T) {
	h := newHub(t, fleet.Options{TrustRoot: func() ([]byte, error) { return []byte("root"), nil }})
	before := time.Now()
	secret, tok, err := h.fleet.CreateToken(t.Context(), "ada", "pump-1", "north", "roof", 0)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.UnixMicro(tok.ExpiresAt).Sub(before); left < 59*time.Minute || left > 61*time.Minute {
		t.Errorf("the token lives for %v, want an hour", left)
	}
	b := h.newBox()
	got, err := b.enroll(secret)
	if err != nil {
		t.Fatal(err)
	}
	want := identity.EnrollReply{Device: "pump-1", Site: "north", Cohort: "roof", JWT: got.JWT, NATS: h.bus.URLs(), TUFRoot: []byte("root"), Artifacts: identity.PathArtifact, Join: 1}
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
		t.Errorf("Enroll = %s, want %s", a, b)
	}
	if d := h.row("pump-1"); d.PublicKey != b.pub || d.Fingerprint != "f" || d.Class != "linux/arm64" || d.Version != "1.0" || d.CreatedAt == 0 {
		t.Errorf("device = %+v", d)
	}
	if _, err := b.connect(); err != nil {
		t.Errorf("the credential does not connect: %v", err)
	}
	if again, err := b.enroll(secret); err != nil || again.Join != 1 {
		t.Errorf("the same key again = %+v, %v: its first reply may have been lost", again, err)
	}
	if _, err := h.newBox().enroll(secret); !errors.Is(err, fleet.ErrToken) {
		t.Errorf("another key with the token = %v, want ErrToken", err)
	}
	files, err := filepath.Glob(filepath.Join(h.dir, "hub.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no database", err)
	}
	for _, f := range files {
		if data, err := os.ReadFile(f); err != nil || strings.Contains(string(data), secret) {
			t.Errorf("%s holds the secret (%v)", filepath.Base(f), err)
		}
	}
	if entries, err := h.db.Read().AuditEntries(t.Context(), 0, 10); err != nil || len(entries) != 2 || entries[0].Action != "enroll_token.create" || entries[1].Actor != "device/pump-1" || entries[1].Detail != "key="+b.pub {
		t.Errorf("audit = %+v, %v", entries, err)
	}
}

// TestTokensThatCannotBeUsed holds every reason to the same answer: whoever guesses learns nothing.
func TestTokensThatCannotBeUsed(t *testing.T) {
	h := newHub(t, fleet.Options{TriesPerMinute: 100})
	known := h.enrolled("known")
	revoked, tok, err := h.fleet.CreateToken(t.Context(), "ada", "a", "north", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.db.Tx(t.Context(), func(q *meta.Queries) error { return q.RevokeEnrollToken(t.Context(), tok.ID, meta.Now()) }); err != nil {
		t.Fatal(err)
	}
	expired, short, err := h.fleet.CreateToken(t.Context(), "ada", "b", "north", "", time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(time.UnixMicro(short.ExpiresAt + 1)))
	// two tokens of one device: the second has come too late
	early, late := h.token("c"), h.token("c")
	if _, err := h.newBox().enroll(early); err != nil {
		t.Fatal(err)
	}
	fresh := h.token("d")
	box := h.newBox()
	for name, r := range map[string]identity.EnrollRequest{
		"unknown":            {Token: "ske_AAAAAAAAAAAAAAAAAAAAAAAAAA", PublicKey: box.pub},
		"empty":              {PublicKey: box.pub},
		"revoked":            {Token: revoked, PublicKey: box.pub},
		"expired":            {Token: expired, PublicKey: box.pub},
		"device is there":    {Token: late, PublicKey: box.pub},
		"key of another one": {Token: fresh, PublicKey: known.pub},
		"no key":             {Token: fresh, PublicKey: "UAAA"},
		"not a user's key":   {Token: fresh, PublicKey: strings.Replace(box.pub, "U", "A", 1)},
		"long fingerprint":   {Token: fresh, PublicKey: box.pub, Fingerprint: strings.Repeat("f", 129)},
		"long class":         {Token: fresh, PublicKey: box.pub, Class: strings.Repeat("f", 65)},
		"long version":       {Token: fresh, PublicKey: box.pub, Version: strings.Repeat("f", 65)},
	} {
		if got, err := h.fleet.Enroll(t.Context(), "10.0.0.2", r); err != fleet.ErrToken || got.JWT != "" {
			t.Errorf("%s: Enroll = %+v, %v, want ErrToken and nothing else", name, got, err)
		}
	}
	if _, err := box.enroll(fresh); err != nil {
		t.Errorf("after all that the good token = %v", err)
	}
}

// TestOneTokenOneKey lets many keys use a token at one time: one gets the name.
func TestOneTokenOneKey(t *testing.T) {
	h := newHub(t, fleet.Options{TriesPerMinute: 100})
	secret := h.token("pump-1")
	boxes := make([]*box, 8)
	for i := range boxes {
		boxes[i] = h.newBox()
	}
	var wg sync.WaitGroup
	for _, b := range boxes {
		wg.Go(func() {
			if _, err := b.enroll(secret); err != nil && !errors.Is(err, fleet.ErrToken) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	won := slices.DeleteFunc(boxes, func(b *box) bool { return b.name == "" })
	if len(won) != 1 || won[0].pub != h.row("pump-1").PublicKey {
		t.Errorf("%d keys got the name, want the one that is stored", len(won))
	}
}

func TestTriesAreBounded(t *testing.T) {
	h := newHub(t, fleet.Options{TriesPerMinute: 3})
	secret := h.token("pump-1")
	b := h.newBox()
	guess := func(source string) error {
		_, err := h.fleet.Enroll(t.Context(), source, identity.EnrollRequest{Token: "guess", PublicKey: b.pub})
		return err
	}
	for i := range 5 {
		if want, err := []error{fleet.ErrToken, fleet.ErrToken, fleet.ErrToken, fleet.ErrRate, fleet.ErrRate}[i], guess("10.0.0.9"); !errors.Is(err, want) {
			t.Errorf("guess %d = %v, want %v", i, err, want)
		}
	}
	if _, err := h.fleet.Nonce(t.Context(), "10.0.0.9"); !errors.Is(err, fleet.ErrRate) {
		t.Errorf("Nonce of the same source = %v, want ErrRate", err)
	}
	if _, err := h.fleet.Renew(t.Context(), "10.0.0.9", identity.RenewRequest{}); !errors.Is(err, fleet.ErrRate) {
		t.Errorf("Renew of the same source = %v, want ErrRate", err)
	}
	for range 2 { // two tries of another source, then a success, then three again
		if err := guess("10.0.0.1"); !errors.Is(err, fleet.ErrToken) {
			t.Errorf("another source = %v, want ErrToken", err)
		}
	}
	if _, err := b.enroll(secret); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := guess("10.0.0.1"); !errors.Is(err, fleet.ErrToken) {
			t.Errorf("after a success = %v, want a new count", err)
		}
	}
}

// TestTriesComeBack lets a minute go by. No part of it needs the bus.
func TestTriesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleet.New(metatest.SQLite(t).Open(t), nil, nil, fleet.Options{})
		for range 10 {
			if _, err := f.Nonce(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.Nonce(t.Context(), "a"); !errors.Is(err, fleet.ErrRate) {
			t.Errorf("try 11 of a minute = %v, want ErrRate", err)
		}
		time.Sleep(time.Minute)
		n, err := f.Nonce(t.Context(), "a")
		if err != nil || n.Nonce == "" {
			t.Errorf("a minute later = %+v, %v", n, err)
		}
		time.Sleep(time.Minute + time.Second)
		if _, err := f.Renew(t.Context(), "a", identity.RenewRequest{Nonce: n.Nonce}); !errors.Is(err, fleet.ErrRenew) {
			t.Errorf("a challenge of 61 s = %v, want ErrRenew", err)
		}
	})
}

func TestRenew(t *testing.T) {
	h := newHub(t, fleet.Options{CredentialTTL: time.Hour, TriesPerMinute: 100})
	b := h.enrolled("pump-1")
	for _, join := range []uint64{1, 2, 3, 3} { // the last reply is lost, the device asks again
		got, err := b.renew(join)
		if want := map[uint64]uint64{1: 2, 2: 3, 3: 4}[join]; err != nil || got.Join != want {
			t.Fatalf("renewal %d = %d, %v, want %d", join, got.Join, err, want)
		}
		b.jwt = got.JWT
	}
	if _, err := b.connect(); err != nil {
		t.Errorf("the renewed credential does not connect: %v", err)
	}
	good := b.request(4)
	if _, err := h.fleet.Renew(t.Context(), "10.0.0.1", good); err != nil {
		t.Fatal(err)
	}
	other := h.enrolled("pump-2")
	unsigned, forged, unknown, huge := b.request(5), b.request(5), b.request(5), b.request(math.MaxUint64)
	unsigned.Signature = nil
	forged.Join = 6
	unknown.Device = "pump-3"
	stolen := other.request(5)
	stolen.Device = "pump-1"
	for name, r := range map[string]identity.RenewRequest{"the same again": good, "no signature": unsigned, "another counter than was signed": forged, "no such device": unknown,
		"signed by another device": stolen, "counter at its end": huge, "counter near its end": b.request(math.MaxInt64), "nothing": {}} {
		if got, err := h.fleet.Renew(t.Context(), "10.0.0.1", r); err != fleet.ErrRenew || got.JWT != "" {
			t.Errorf("%s: Renew = %+v, %v, want ErrRenew and nothing else", name, got, err)
		}
	}
	if d := h.row("pump-1"); d.JoinCounter != 5 || d.Suspect != "" {
		t.Errorf("device = %+v, want counter 5 and no suspicion", d)
	}
	if got, err := b.renew(40); err != nil || got.Join != 41 {
		t.Errorf("a counter ahead of a hub from a backup = %d, %v, want 41", got.Join, err)
	}
}

// TestCopyIsSuspect renews with a counter that only a copy of the key can have.
func TestCopyIsSuspect(t *testing.T) {
	h := newHub(t, fleet.Options{TriesPerMinute: 100})
	b := h.enrolled("pump-1")
	for join := range uint64(3) {
		if _, err := b.renew(join + 1); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := b.renew(2); err != nil {
			t.Fatalf("the copy = %v: which one is the copy is for the operator to say", err)
		}
	}
	if d := h.row("pump-1"); d.Suspect != "renewal with join counter 2, the device has confirmed 4" || d.JoinCounter != 4 {
		t.Errorf("device = %+v", d)
	}
	if d, err := h.fleet.Desired(t.Context(), "pump-1"); err != nil || !d.Suspect || d.Generation != 1 {
		t.Errorf("desired = %+v, %v, want pushes to be stopped, once", d, err)
	}
	for range 2 {
		if err := h.fleet.ClearSuspect(t.Context(), "ada", "pump-1"); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := h.fleet.Desired(t.Context(), "pump-1"); err != nil || d.Suspect || d.Generation != 2 || h.row("pump-1").Suspect != "" {
		t.Errorf("desired = %+v, %v after the operator's word", d, err)
	}
	if err := h.fleet.ClearSuspect(t.Context(), "ada", "nobody"); !errors.Is(err, meta.ErrNotFound) || !strings.Contains(err.Error(), `clear suspicion of device "nobody"`) {
		t.Errorf("ClearSuspect(nobody) = %v", err)
	}
}

func TestRevokeAndEnrolAgain(t *testing.T) {
	h := newHub(t, fleet.Options{TriesPerMinute: 100})
	secret := h.token("pump-1")
	old := h.newBox()
	if _, err := old.enroll(secret); err != nil {
		t.Fatal(err)
	}
	nc, err := old.connect()
	if err != nil {
		t.Fatal(err)
	}
	created := h.row("pump-1").CreatedAt
	if err := h.fleet.Revoke(t.Context(), "ada", "pump-1"); err != nil {
		t.Fatal(err)
	}
	wait.For(t, "the connection closes", nc.IsClosed)
	if _, err := old.connect(); err == nil {
		t.Error("a revoked credential connects")
	}
	if _, _, err := h.bus.Ring.CheckDevice(old.jwt); !errors.Is(err, keys.ErrRevoked) {
		t.Errorf("CheckDevice = %v, want ErrRevoked", err)
	}
	if _, err := old.renew(1); !errors.Is(err, fleet.ErrRenew) {
		t.Errorf("renewal after revocation = %v, want ErrRenew", err)
	}
	if _, err := old.enroll(secret); !errors.Is(err, fleet.ErrToken) {
		t.Errorf("its old token = %v, want ErrToken", err)
	}
	b := h.enrolled("pump-1")
	if _, err := b.connect(); err != nil {
		t.Errorf("the new key does not connect: %v", err)
	}
	if d := h.row("pump-1"); d.PublicKey != b.pub || d.CreatedAt != created || d.RevokedAt != 0 || d.JoinCounter != 1 {
		t.Errorf("device = %+v, want the new key and the old day of birth", d)
	}
	if _, err := old.enroll(secret); !errors.Is(err, fleet.ErrToken) {
		t.Errorf("the old key's token after the new key = %v, want ErrToken", err)
	}
	if err := h.fleet.Revoke(t.Context(), "ada", "nobody"); !errors.Is(err, meta.ErrNotFound) || !strings.Contains(err.Error(), `revoke device "nobody"`) {
		t.Errorf("Revoke(nobody) = %v", err)
	}
}
