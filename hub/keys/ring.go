package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"skerry.dev/sync/wire"
)

// Role is the kind of a NATS user; each has its own scoped signing key.
type Role string

// The roles.
const (
	RoleDevice Role = "device" // an agent: its own subjects only
	RoleHub    Role = "hub"    // the hub's own connection
	RoleWorker Role = "worker" // a training worker: the job queue only
	RoleReader Role = "reader" // read-only observers
)

var roles = []Role{RoleDevice, RoleHub, RoleWorker, RoleReader}

// ErrRevoked is returned for a credential that is expired, revoked or not ours.
var ErrRevoked = errors.New("credential is not valid")

// Ring holds every key of the hub's NATS operator. Safe for concurrent use.
type Ring struct {
	dir                       string
	operator, account, system nkeys.KeyPair
	signers                   map[Role]nkeys.KeyPair
	operatorClaims            *jwt.OperatorClaims
	systemJWT                 string
	accountPub, systemPub     string

	mu            sync.Mutex // guards everything below
	accountJWT    string
	accountClaims *jwt.AccountClaims
	// public key of a user → Unix seconds before which its credentials are void
	revoked map[string]int64
	changed func(*jwt.AccountClaims, string) error
}

// Files lists the files of the keys in dir, which Open makes where they are missing.
func Files(dir string) []string {
	out := []string{keyFile(dir, "operator"), keyFile(dir, "account"), keyFile(dir, "system")}
	for _, r := range roles {
		out = append(out, keyFile(dir, "sign-"+string(r)))
	}
	return out
}

func keyFile(dir, name string) string { return filepath.Join(dir, "nats-"+name+".nk") }

// Open reads the keys in dir. Files are created with mode 0600 on first use and never replaced.
func Open(dir string) (*Ring, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	k := &Ring{dir: dir, signers: map[Role]nkeys.KeyPair{}, revoked: map[string]int64{}}
	var err error
	load := func(name string, prefix nkeys.PrefixByte) (kp nkeys.KeyPair) {
		if err == nil {
			kp, err = loadKey(keyFile(dir, name), prefix)
		}
		return kp
	}
	k.operator = load("operator", nkeys.PrefixByteOperator)
	k.account = load("account", nkeys.PrefixByteAccount)
	k.system = load("system", nkeys.PrefixByteAccount)
	for _, r := range roles {
		k.signers[r] = load("sign-"+string(r), nkeys.PrefixByteAccount)
	}
	if err == nil {
		err = k.loadRevoked()
	}
	if err == nil {
		err = k.encode()
	}
	if err != nil {
		return nil, fmt.Errorf("open NATS keys: %w", err)
	}
	return k, nil
}

func loadKey(path string, prefix nkeys.PrefixByte) (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		kp, err := nkeys.CreatePair(prefix)
		if err != nil {
			return nil, err
		}
		if seed, err = kp.Seed(); err != nil {
			return nil, err
		}
		return kp, writeFile(path, append(seed, '\n'))
	}
	if err != nil {
		return nil, err
	}
	kp, err := nkeys.FromSeed([]byte(strings.TrimSpace(string(seed))))
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	return kp, nil
}

// writeFile replaces a private file: write, sync, rename.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (k *Ring) revokedPath() string { return filepath.Join(k.dir, "nats-revoked") }

// loadRevoked reads the revocations that a hub of an earlier release kept in a file. New ones are
// in the database.
func (k *Ring) loadRevoked() error {
	b, err := os.ReadFile(k.revokedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		var key string
		var at int64
		if _, err := fmt.Sscan(line, &key, &at); err != nil {
			return fmt.Errorf("read %s: %w", k.revokedPath(), err)
		}
		k.revoked[key] = at
	}
	return err
}

// deviceSubs bounds the subscriptions of a device's connection. An agent has three: its inbox,
// desired and applied. Each takes memory of the server and time of every message; without a bound
// one device could have as many as it likes below its inbox.
const deviceSubs = 64

// encode makes the operator, account and system JWTs from the keys and the revocations.
func (k *Ring) encode() (err error) {
	pub := func(kp nkeys.KeyPair) (s string) {
		if err == nil {
			s, err = kp.PublicKey()
		}
		return s
	}
	op := jwt.NewOperatorClaims(pub(k.operator))
	op.Name = "skerry"
	k.systemPub, k.accountPub = pub(k.system), pub(k.account)
	op.SystemAccount = k.systemPub
	sys := jwt.NewAccountClaims(k.systemPub)
	sys.Name = "SYS"
	acc := jwt.NewAccountClaims(k.accountPub)
	acc.Name = "skerry"
	acc.Limits.JetStreamLimits = jwt.JetStreamLimits{
		DiskStorage:   jwt.NoLimit,
		MemoryStorage: jwt.NoLimit,
		Streams:       jwt.NoLimit,
		Consumer:      jwt.NoLimit,
	}
	for _, r := range roles {
		scope := jwt.NewUserScope()
		scope.Key, scope.Role = pub(k.signers[r]), string(r)
		scope.Template.Permissions = permissions(r)
		if r == RoleDevice {
			scope.Template.Subs = deviceSubs
		}
		acc.SigningKeys.AddScopedSigner(scope)
	}
	for key, at := range k.revoked {
		acc.RevokeAt(key, time.Unix(at, 0))
	}
	if err != nil {
		return err
	}
	var opJWT string
	if opJWT, err = op.Encode(k.operator); err != nil {
		return err
	}
	if k.operatorClaims, err = jwt.DecodeOperatorClaims(opJWT); err != nil {
		return err
	}
	if k.systemJWT, err = sys.Encode(k.operator); err != nil {
		return err
	}
	if k.accountJWT, err = acc.Encode(k.operator); err != nil {
		return err
	}
	k.accountClaims, err = jwt.DecodeAccountClaims(k.accountJWT)
	return err
}

// permissions is the allow-list of a role. {{name()}} is the user's name, {{tag(site)}} its site.
func permissions(r Role) (p jwt.Permissions) {
	const device = "{{name()}}"
	switch r {
	case RoleDevice:
		// Exactly what the hub reads: what nobody consumes nobody would bound either.
		const site = "{{tag(site)}}"
		p.Pub.Allow.Add(wire.SubjectLive(site, device), wire.SubjectBack(site, device), wire.SubjectEvents(site, device),
			wire.SubjectState(site, device), wire.SubjectHello(device), wire.SubjectDesiredRead(device))
		p.Sub.Allow.Add(wire.InboxPrefix(device)+".>", wire.SubjectDesired(device), wire.SubjectApplied(device))
	case RoleWorker:
		p.Pub.Allow.Add("$JS.API.CONSUMER.MSG.NEXT.JOBS.>", "$JS.API.CONSUMER.INFO.JOBS.>", "$JS.ACK.JOBS.>", "train.results.>")
		p.Sub.Allow.Add(wire.InboxPrefix(device) + ".>")
	case RoleReader:
		p.Pub.Deny.Add(">")
		p.Sub.Allow.Add("edge.>", "applied.>", "desired.>")
	case RoleHub:
		p.Pub.Allow.Add(">")
		p.Sub.Allow.Add(">")
	}
	return p
}

// sign makes a scoped user JWT: the permissions come from the role's template.
func (k *Ring) sign(r Role, publicKey, name, site string, ttl time.Duration) (string, error) {
	if !nkeys.IsValidPublicUserKey(publicKey) {
		return "", fmt.Errorf("sign credential of %q: %q is not a public user key", name, publicKey)
	}
	c := jwt.NewUserClaims(publicKey)
	c.Name = name
	c.SetScoped(true)
	c.IssuerAccount = k.accountPub
	if site != "" {
		c.Tags.Add("site:" + site)
	}
	if ttl > 0 {
		c.Expires = time.Now().Add(ttl).Unix()
	}
	return c.Encode(k.signers[r])
}

// SignDevice makes the credential of a device: a user JWT for its public key that expires after
// ttl.
func (k *Ring) SignDevice(publicKey, device, site string, ttl time.Duration) (string, error) {
	return k.sign(RoleDevice, publicKey, device, site, ttl)
}

// SignWorker makes the credential of a training worker.
func (k *Ring) SignWorker(publicKey, name string, ttl time.Duration) (string, error) {
	return k.sign(RoleWorker, publicKey, name, "", ttl)
}

// HubUser makes a credential for a connection of the hub's own, with a key that exists in memory
// only.
func (k *Ring) HubUser(name string) (token string, kp nkeys.KeyPair, err error) {
	kp, pub, err := newUser()
	if err != nil {
		return "", nil, err
	}
	token, err = k.sign(RoleHub, pub, name, "", 0)
	return token, kp, err
}

// SystemUser makes a credential for the system account, which sees connections come and go.
func (k *Ring) SystemUser(name string) (token string, kp nkeys.KeyPair, err error) {
	kp, pub, err := newUser()
	if err != nil {
		return "", nil, err
	}
	c := jwt.NewUserClaims(pub)
	c.Name = name
	token, err = c.Encode(k.system)
	return token, kp, err
}

func newUser() (nkeys.KeyPair, string, error) {
	kp, err := nkeys.CreateUser()
	if err != nil {
		return nil, "", err
	}
	pub, err := kp.PublicKey()
	return kp, pub, err
}

// Signer returns the public key that signs the credentials of a role.
func (k *Ring) Signer(r Role) (string, error) { return k.signers[r].PublicKey() }

// Operator returns the claims that a server trusts.
func (k *Ring) Operator() *jwt.OperatorClaims { return k.operatorClaims }

// Account returns the public key and the JWT of the account that devices and hub share.
func (k *Ring) Account() (publicKey, token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.accountPub, k.accountJWT
}

// System returns the public key and the JWT of the system account.
func (k *Ring) System() (publicKey, token string) { return k.systemPub, k.systemJWT }

// OnChange sets who is given the account's claims and JWT whenever they change: the server that
// enforces them. Set it before the first Revoke; fn is called with the ring locked.
func (k *Ring) OnChange(fn func(*jwt.AccountClaims, string) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changed = fn
}

// CheckDevice reads a device's credential and returns the device's name and public key, or
// ErrRevoked. It proves who issued the credential, not who presents it.
func (k *Ring) CheckDevice(token string) (device, publicKey string, err error) {
	c, err := jwt.DecodeUserClaims(token) // verifies the issuer's signature
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrRevoked, err)
	}
	signer, err := k.Signer(RoleDevice)
	if err != nil {
		return "", "", err
	}
	k.mu.Lock()
	revoked, account := k.accountClaims.IsClaimRevoked(c), k.accountPub
	k.mu.Unlock()
	switch {
	case c.Issuer != signer || c.IssuerAccount != account:
		return "", "", fmt.Errorf("%w: issued by somebody else", ErrRevoked)
	case c.Expires != 0 && c.Expires <= time.Now().Unix():
		return "", "", fmt.Errorf("%w: expired", ErrRevoked)
	case revoked:
		return "", "", fmt.Errorf("%w: revoked", ErrRevoked)
	}
	return c.Name, c.Subject, nil
}

// Revoked returns the revocations that the ring holds: Unix seconds before which the credentials of
// a public key are void.
func (k *Ring) Revoked() map[string]int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.revoked)
}

// VoidBefore returns the time to revoke with when everything issued up to now is to be void:
// issued-at has a resolution of one second.
func VoidBefore(now time.Time) int64 { return now.Unix() + 1 }

// Revoke adds revocations and has them enforced: the server closes the connections of those keys.
// It stores nothing; a revocation that the ring holds already costs nothing.
func (k *Ring) Revoke(before map[string]int64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	fresh := false
	for key, at := range before {
		if at > k.revoked[key] {
			k.revoked[key], fresh = at, true
		}
	}
	if !fresh {
		return nil
	}
	err := k.encode()
	if err == nil && k.changed != nil {
		err = k.changed(k.accountClaims, k.accountJWT)
	}
	if err != nil {
		return fmt.Errorf("revoke credentials: %w", err)
	}
	return nil
}
