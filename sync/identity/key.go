package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"
)

const (
	keyFile        = "device.nk"
	credentialFile = "enrolment.json"
)

// Key is a device's own key pair. The seed never leaves the device.
type Key struct{ pair nkeys.KeyPair }

// LoadKey reads the key of an identity directory. The error wraps fs.ErrNotExist when there is
// none yet.
func LoadKey(dir string) (*Key, error) {
	path := filepath.Join(dir, keyFile)
	if err := checkPrivate(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load device key: %w: put it back from a backup, or enrol again (skerry-agent enroll)", err)
	} else if err != nil {
		return nil, fmt.Errorf("load device key: %w", err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load device key: %w", err)
	}
	const remedy = "put it back from a backup, or move it away and enrol again (skerry-agent enroll)"
	pair, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	clear(seed)
	if err != nil {
		return nil, fmt.Errorf("load device key %s: %w: %s", path, err, remedy)
	}
	if pub, err := pair.PublicKey(); err != nil || !nkeys.IsValidPublicUserKey(pub) {
		return nil, fmt.Errorf("load device key %s: not a user key: %s", path, remedy)
	}
	return &Key{pair}, nil
}

// LoadOrCreateKey returns the key of an identity directory and makes directory and key (mode 0600)
// when there is none. A key is on disk before it is returned, so that an enrolment that was
// answered but not received can be repeated with the same key.
func LoadOrCreateKey(dir string) (*Key, error) {
	k, err := LoadKey(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create device key: %w", err)
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("create device key: %w", err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, fmt.Errorf("create device key: %w", err)
	}
	if err := WriteFile(filepath.Join(dir, keyFile), append(seed, '\n')); err != nil {
		return nil, fmt.Errorf("store device key: %w", err)
	}
	return &Key{pair}, nil
}

// Public returns the public key, "U…".
func (k *Key) Public() string {
	pub, err := k.pair.PublicKey()
	if err != nil {
		panic("identity: " + err.Error()) // the pair was made from a seed
	}
	return pub
}

// Sign signs data with Ed25519.
func (k *Key) Sign(data []byte) ([]byte, error) { return k.pair.Sign(data) }

// RenewText is what a device signs to renew its credential.
func RenewText(device, nonce string, join uint64) []byte {
	return []byte("skerry-renew\n" + device + "\n" + nonce + "\n" + strconv.FormatUint(join, 10))
}

// Fingerprint is a SHA-256 over facts of the host that stay over restarts: machine id, board
// serial and product, and the hardware addresses of its network cards. Two devices with one key
// and different fingerprints are a clone. The facts themselves do not leave the device.
func Fingerprint() string {
	facts := []string{"skerry-fingerprint-1", runtime.GOOS, runtime.GOARCH}
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid", "/sys/class/dmi/id/board_serial",
		"/sys/firmware/devicetree/base/serial-number", "/etc/hostid"} {
		if b, err := os.ReadFile(path); err == nil {
			facts = append(facts, path+"="+strings.Trim(string(b), "\x00 \n"))
		}
	}
	if cards, err := net.Interfaces(); err == nil {
		var macs []string
		for _, c := range cards {
			// A locally administered address may be new at every start (virtual and randomised
			// interfaces).
			if len(c.HardwareAddr) == 6 && c.HardwareAddr[0]&2 == 0 && c.Flags&net.FlagLoopback == 0 {
				macs = append(macs, c.HardwareAddr.String())
			}
		}
		slices.Sort(macs)
		facts = append(facts, slices.Compact(macs)...)
	}
	sum := sha256.Sum256([]byte(strings.Join(facts, "\n")))
	return hex.EncodeToString(sum[:])
}
