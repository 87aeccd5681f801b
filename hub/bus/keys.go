package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// keyring holds every key of the hub's NATS operator. Files are created with mode 0600 on first
// use and never replaced.
type keyring struct {
	dir                       string
	operator, account, system nkeys.KeyPair
	signers                   map[Role]nkeys.KeyPair
	operatorClaims            *jwt.OperatorClaims
	accountJWT, systemJWT     string
	accountClaims             *jwt.AccountClaims
	accountPub, systemPub     string
	// public key of a user → Unix seconds before which its credentials are void
	revoked map[string]int64
}

func openKeyring(dir string) (*keyring, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	k := &keyring{dir: dir, signers: map[Role]nkeys.KeyPair{}, revoked: map[string]int64{}}
	var err error
	load := func(name string, prefix nkeys.PrefixByte) (kp nkeys.KeyPair) {
		if err == nil {
			kp, err = loadKey(filepath.Join(dir, name+".nk"), prefix)
		}
		return kp
	}
	k.operator = load("nats-operator", nkeys.PrefixByteOperator)
	k.account = load("nats-account", nkeys.PrefixByteAccount)
	k.system = load("nats-system", nkeys.PrefixByteAccount)
	for _, r := range roles {
		k.signers[r] = load("nats-sign-"+string(r), nkeys.PrefixByteAccount)
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

func (k *keyring) revokedPath() string { return filepath.Join(k.dir, "nats-revoked") }

func (k *keyring) loadRevoked() error {
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

func (k *keyring) saveRevoked() error {
	var b strings.Builder
	for key, at := range k.revoked {
		fmt.Fprintf(&b, "%s %d\n", key, at)
	}
	return writeFile(k.revokedPath(), []byte(b.String()))
}

// encode makes the operator, account and system JWTs from the keys and the revocations.
func (k *keyring) encode() (err error) {
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
		p.Pub.Allow.Add("edge.{{tag(site)}}."+device+".>", "svc.*."+device, wire.SubjectDesiredGet(device))
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

// user signs a scoped user JWT: the permissions come from the role's template.
func (k *keyring) user(r Role, publicKey, name, site string, ttl time.Duration) (string, error) {
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
