package keys

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

func userKey(t *testing.T) string {
	t.Helper()
	kp, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// TestRing signs, checks and revokes, and holds that the keys stay over a restart.
func TestRing(t *testing.T) {
	dir := t.TempDir()
	ring, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	pub := userKey(t)
	token, err := ring.SignDevice(pub, "pump-1", "north", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if name, key, err := again.CheckDevice(token); err != nil || name != "pump-1" || key != pub {
		t.Errorf("after a restart CheckDevice = %q, %q, %v", name, key, err)
	}
	calls := 0
	ring.OnChange(func(c *jwt.AccountClaims, _ string) error {
		if calls++; c.Revocations[pub] == 0 {
			t.Error("the server is not given the revocation")
		}
		return nil
	})
	for range 2 { // the second holds nothing new
		if err := ring.Revoke(map[string]int64{pub: VoidBefore(time.Now().Truncate(time.Hour).Add(time.Hour))}); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 1 {
		t.Errorf("the server was told %d times, want once", calls)
	}
	if _, _, err := ring.CheckDevice(token); !errors.Is(err, ErrRevoked) {
		t.Errorf("a revoked credential: %v, want ErrRevoked", err)
	}
}

// TestCheckDeviceRefuses gives credentials that are not a device's of this hub.
func TestCheckDeviceRefuses(t *testing.T) {
	ring, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(token string, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	worker := sign(ring.SignWorker(userKey(t), "w", time.Hour))
	for name, token := range map[string]string{
		"empty":           "",
		"no token":        "abc.def.ghi",
		"another hub's":   sign(other.SignDevice(userKey(t), "pump-1", "north", time.Hour)),
		"a worker's":      worker,
		"a cut signature": worker[:len(worker)-4],
	} {
		if _, _, err := ring.CheckDevice(token); !errors.Is(err, ErrRevoked) {
			t.Errorf("%s: %v, want ErrRevoked", name, err)
		}
	}
	if _, err := ring.SignDevice("not a key", "pump-1", "north", time.Hour); err == nil {
		t.Error("a credential is signed for what is no key")
	}
}

// TestDamagedKey holds that a key that cannot be read stops the hub instead of being replaced: every
// device would be locked out.
func TestDamagedKey(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "nats-account.nk")
	if err := os.WriteFile(path, []byte("damaged\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a damaged key is taken")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "damaged\n" {
		t.Errorf("the damaged key was replaced: %q, %v", b, err)
	}
}

// TestExpiry holds that a credential is void from the second in which it ends.
func TestExpiry(t *testing.T) {
	ring, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for ttl, want := range map[time.Duration]error{time.Hour: nil, time.Nanosecond: ErrRevoked} {
		token, err := ring.SignDevice(userKey(t), "pump-1", "north", ttl)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := ring.CheckDevice(token); !errors.Is(err, want) {
			t.Errorf("CheckDevice of a credential for %v = %v, want %v", ttl, err, want)
		}
	}
}

// TestEarlierRevocations reads what a hub of an earlier release kept in a file: those credentials
// stay void, those of others and those issued later do not; a file that cannot be read stops the
// hub instead of letting everybody in.
func TestEarlierRevocations(t *testing.T) {
	dir := t.TempDir()
	ring, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	void, later, other := userKey(t), userKey(t), userKey(t)
	for _, key := range []string{void, later, other} {
		if tokens[key], err = ring.SignDevice(key, "pump-1", "north", time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "nats-revoked")
	text := fmt.Sprintf("%s %d\n%s %d\n", void, VoidBefore(time.Now()), later, time.Now().Add(-time.Hour).Unix())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if ring, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]error{void: ErrRevoked, later: nil, other: nil} {
		if _, _, err := ring.CheckDevice(tokens[key]); !errors.Is(err, want) {
			t.Errorf("CheckDevice after the earlier revocations = %v, want %v", err, want)
		}
	}
	if got := ring.Revoked(); len(got) != 2 {
		t.Errorf("Revoked = %v, want the two of the file", got)
	}
	for _, damaged := range []string{"x\n", void + "\n", void + " soon\n"} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("Open with the revocations %q = %v, want an error that names the file", damaged, err)
		}
	}
}

// TestRevokedIsACopy holds that what a caller does to the list revokes nobody and frees nobody.
func TestRevokedIsACopy(t *testing.T) {
	ring, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key := userKey(t)
	if err := ring.Revoke(map[string]int64{key: 7}); err != nil {
		t.Fatal(err)
	}
	clear(ring.Revoked())
	if got := ring.Revoked()[key]; got != 7 {
		t.Errorf("Revoked of the key = %d, want 7", got)
	}
	// an older time frees nobody
	if err := ring.Revoke(map[string]int64{key: 3}); err != nil {
		t.Fatal(err)
	}
	if got := ring.Revoked()[key]; got != 7 {
		t.Errorf("after an older revocation Revoked of the key = %d, want 7", got)
	}
}

// TestRevokeReportsTheServer holds that a server that does not take the revocation is reported:
// its connections are still open.
func TestRevokeReportsTheServer(t *testing.T) {
	ring, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	down := errors.New("server is down")
	ring.OnChange(func(*jwt.AccountClaims, string) error { return down })
	if err := ring.Revoke(map[string]int64{userKey(t): 7}); !errors.Is(err, down) {
		t.Errorf("Revoke = %v, want the server's error", err)
	}
}

// TestRolesAreApart holds that every role's credentials come from a key of its own, and what each
// may publish and hear. The matrix of a device's subjects is tried on a server in package bus.
func TestRolesAreApart(t *testing.T) {
	ring, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, token := ring.Account()
	account, err := jwt.DecodeAccountClaims(token)
	if err != nil {
		t.Fatal(err)
	}
	signers := map[string]Role{}
	for _, role := range []Role{RoleDevice, RoleHub, RoleWorker, RoleReader} {
		key, err := ring.Signer(role)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := signers[key]; taken {
			t.Errorf("roles %s and %s share a key", role, other)
		}
		signers[key] = role
		scope, ok := account.SigningKeys.GetScope(key)
		if !ok || scope == nil {
			t.Errorf("the account does not bind role %s to its template", role)
			continue
		}
		template := scope.(*jwt.UserScope).Template
		for list, allow := range map[string]jwt.StringList{"publish": template.Pub.Allow, "subscribe": template.Sub.Allow} {
			if role != RoleHub && allow.Contains(">") {
				t.Errorf("role %s may %s everything", role, list)
			}
		}
		if len(template.Pub.Allow)+len(template.Pub.Deny) == 0 || len(template.Sub.Allow) == 0 {
			t.Errorf("role %s has no list: it may do everything", role)
		}
	}
	// the hub's own credentials are signed with the right keys
	hub, _, err := ring.HubUser("hub")
	if err != nil {
		t.Fatal(err)
	}
	system, _, err := ring.SystemUser("system")
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(hub)
	if err != nil || signers[claims.Issuer] != RoleHub || claims.Expires != 0 {
		t.Errorf("HubUser = %+v, %v, want one of role hub that does not expire", claims, err)
	}
	systemKey, _ := ring.System()
	if claims, err = jwt.DecodeUserClaims(system); err != nil || claims.Issuer != systemKey {
		t.Errorf("SystemUser = %+v, %v, want one of the system account", claims, err)
	}
	if _, _, err := ring.CheckDevice(hub); !errors.Is(err, ErrRevoked) {
		t.Errorf("the hub's own credential passes for a device's: %v", err)
	}
}
