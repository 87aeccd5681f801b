package keys

import (
	"errors"
	"os"
	"path/filepath"
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
