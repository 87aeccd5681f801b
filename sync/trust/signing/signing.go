// Package signing is the hub's side of sync/trust: a TUF repository in a directory, its keys, and
// the online role that signs models.
//
// The keys of root and targets are made on first use and needed again only to rotate keys or to
// extend their expiry; they can be moved away and brought back. The keys of snapshot, timestamp
// and models stay at the hub. Files are versioned (consistent snapshots): a change writes new
// versions and becomes visible with the timestamp, so a crash in between leaves the repository as
// it was.
//
// Tombstones are not in the metadata: they are desired state.
package signing

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"skerry.dev/sync/trust"
)

// Lives of the roles' metadata. Online roles are signed again when less than half is left.
const (
	rootLife      = 365 * 24 * time.Hour
	targetsLife   = 90 * 24 * time.Hour
	modelsLife    = 30 * 24 * time.Hour
	snapshotLife  = 14 * 24 * time.Hour
	timestampLife = 7 * 24 * time.Hour
)

// MaxTargets bounds the models that are signed at one time, so that the metadata stays below the
// device's size limit. The ones signed first leave first.
const MaxTargets = 400

// Options define where keys and metadata lie.
type Options struct {
	Keys string // directory of private keys, mode 0700
	Dir  string // directory of metadata
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log is where it goes that damaged metadata was signed again. nil: nowhere.
	Log *slog.Logger
}

// Repository signs metadata. Safe for concurrent use; one process at a time.
type Repository struct {
	opts Options
	mu   sync.Mutex // guards the files and what is loaded from them

	root      *metadata.Metadata[metadata.RootType]
	targets   *metadata.Metadata[metadata.TargetsType]
	models    *metadata.Metadata[metadata.TargetsType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]
}

// Files lists the files below the folders of Options without which a repository that was made cannot
// go on: the keys of the roles that sign every day, and where the metadata begins. Those of root and
// targets may lie elsewhere.
func Files(keys, dir string) []string {
	out := []string{filepath.Join(dir, "timestamp.json")}
	for _, role := range []string{trust.RoleModels, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		out = append(out, keyPath(keys, role))
	}
	return out
}

func keyPath(dir, role string) string { return filepath.Join(dir, "tuf-"+role+".pem") }

// Open reads the repository, making keys and metadata on first use and signing again what is
// about to expire, and what is damaged where its keys are here.
func Open(opts Options) (*Repository, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	r := &Repository{opts: opts}
	for _, d := range []string{opts.Keys, opts.Dir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open signing repository: %w", err)
		}
	}
	_, err := os.Stat(filepath.Join(opts.Dir, "timestamp.json"))
	if errors.Is(err, fs.ErrNotExist) {
		err = r.create()
	} else if err == nil {
		if err = r.loadRoot(); err == nil {
			if damage := r.loadOnline(); damage != nil {
				err = r.mend(damage)
			}
		}
	}
	if err == nil {
		err = r.Refresh()
	}
	if err != nil {
		return nil, fmt.Errorf("open signing repository: %w", err)
	}
	return r, nil
}

func (r *Repository) expires(life time.Duration) time.Time {
	return r.opts.Now().UTC().Add(life).Truncate(time.Second)
}

// key loads a role's private key; create makes it when it does not exist.
func (r *Repository) key(role string, create bool) (ed25519.PrivateKey, error) {
	b, err := os.ReadFile(keyPath(r.opts.Keys, role))
	if errors.Is(err, fs.ErrNotExist) && create {
		_, priv, err := ed25519.GenerateKey(nil)
		if err != nil {
			return nil, err
		}
		block := pem.EncodeToMemory(&pem.Block{Type: "ED25519 SEED", Bytes: priv.Seed()})
		return priv, write(keyPath(r.opts.Keys, role), block)
	}
	if err != nil {
		return nil, fmt.Errorf("key of role %s: %w", role, err)
	}
	block, _ := pem.Decode(b)
	if block == nil || len(block.Bytes) != ed25519.SeedSize {
		return nil, fmt.Errorf("key of role %s: %s is not an Ed25519 seed in PEM", role, keyPath(r.opts.Keys, role))
	}
	return ed25519.NewKeyFromSeed(block.Bytes), nil
}

func sign[T metadata.Roles](r *Repository, role string, m *metadata.Metadata[T]) ([]byte, error) {
	priv, err := r.key(role, false)
	if err != nil {
		return nil, err
	}
	s, err := signature.LoadSigner(priv, crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	m.ClearSignatures()
	if _, err := m.Sign(s); err != nil {
		return nil, fmt.Errorf("sign %s: %w", role, err)
	}
	return m.ToBytes(false)
}

func (r *Repository) create() error {
	r.root = metadata.Root(r.expires(rootLife))
	for _, role := range []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		k, err := r.public(role)
		if err != nil {
			return err
		}
		if err := r.root.Signed.AddKey(k, role); err != nil {
			return err
		}
	}
	var err error
	if r.targets, err = r.delegation(); err != nil {
		return err
	}
	r.models = metadata.Targets(r.expires(modelsLife))
	r.snapshot = metadata.Snapshot(r.expires(snapshotLife))
	r.timestamp = metadata.Timestamp(r.expires(timestampLife))
	b, err := sign(r, metadata.ROOT, r.root)
	if err == nil {
		err = write(filepath.Join(r.opts.Dir, "1.root.json"), b)
	}
	if err == nil {
		b, err = sign(r, metadata.TARGETS, r.targets)
	}
	if err == nil {
		err = write(filepath.Join(r.opts.Dir, "1.targets.json"), b)
	}
	if err != nil {
		return err
	}
	r.models.Signed.Version, r.snapshot.Signed.Version, r.timestamp.Signed.Version = 0, 0, 0
	return r.publish(true)
}

// delegation returns targets that hand the models over to their own role.
func (r *Repository) delegation() (*metadata.Metadata[metadata.TargetsType], error) {
	k, err := r.public(trust.RoleModels)
	if err != nil {
		return nil, err
	}
	id, err := k.ID()
	if err != nil {
		return nil, err
	}
	targets := metadata.Targets(r.expires(targetsLife))
	targets.Signed.Delegations = &metadata.Delegations{
		Keys: map[string]*metadata.Key{id: k},
		Roles: []metadata.DelegatedRole{{
			Name:        trust.RoleModels,
			KeyIDs:      []string{id},
			Threshold:   1,
			Terminating: true,
			Paths:       []string{"models/*", "models/*/*"},
		}},
	}
	return targets, nil
}

func (r *Repository) public(role string) (*metadata.Key, error) {
	priv, err := r.key(role, true)
	if err != nil {
		return nil, err
	}
	return metadata.KeyFromPublicKey(priv.Public())
}

// publish signs models (when they changed), snapshot and timestamp. The timestamp is written
// last: with it the change is visible.
func (r *Repository) publish(models bool) error {
	if models {
		r.models.Signed.Version++
		r.models.Signed.Expires = r.expires(modelsLife)
		b, err := sign(r, trust.RoleModels, r.models)
		if err != nil {
			return err
		}
		if int64(len(b)) > trust.Limit("models.json") {
			return fmt.Errorf("the metadata of models has %d bytes, devices accept %d", len(b), trust.Limit("models.json"))
		}
		if err := r.writeVersion(trust.RoleModels, r.models.Signed.Version, b); err != nil {
			return err
		}
	}
	r.snapshot.Signed.Version++
	r.snapshot.Signed.Expires = r.expires(snapshotLife)
	r.snapshot.Signed.Meta = map[string]*metadata.MetaFiles{
		"targets.json": metadata.MetaFile(r.targets.Signed.Version), "models.json": metadata.MetaFile(r.models.Signed.Version)}
	b, err := sign(r, metadata.SNAPSHOT, r.snapshot)
	if err == nil {
		err = r.writeVersion(metadata.SNAPSHOT, r.snapshot.Signed.Version, b)
	}
	if err == nil {
		err = r.stamp()
	}
	if err == nil {
		r.sweep()
	}
	return err
}

func (r *Repository) stamp() error {
	r.timestamp.Signed.Version++
	r.timestamp.Signed.Expires = r.expires(timestampLife)
	r.timestamp.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": metadata.MetaFile(r.snapshot.Signed.Version)}
	b, err := sign(r, metadata.TIMESTAMP, r.timestamp)
	if err != nil {
		return err
	}
	return write(filepath.Join(r.opts.Dir, "timestamp.json"), b)
}

// SignModel adds a file to the models role and publishes. custom must encode to JSON without
// fractions: the canonical form has integers only. Signing a path again with the same content
// does nothing.
func (r *Repository) SignModel(path string, length int64, sha256 string, custom any) error {
	sum, err := hex.DecodeString(sha256)
	if err != nil || len(sum) != 32 {
		return fmt.Errorf("sign %q: %q is not a SHA-256 digest", path, sha256)
	}
	if !strings.HasPrefix(path, "models/") {
		return fmt.Errorf("sign %q: the models role signs models/* only", path)
	}
	raw, err := json.Marshal(custom)
	if err != nil {
		return fmt.Errorf("sign %q: %w", path, err)
	}
	f := metadata.TargetFile()
	f.Length, f.Path, f.Hashes = length, path, metadata.Hashes{"sha256": sum}
	if custom != nil { // a null would not survive decoding, and the signature covers it
		f.Custom = (*json.RawMessage)(&raw)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.models.Signed.Targets[path]; old != nil && old.Equal(*f) {
		return nil
	}
	if err := r.change(func(targets map[string]*metadata.TargetFiles) {
		targets[path] = f
		r.evict(path)
	}); err != nil {
		return fmt.Errorf("sign %q: %w", path, err)
	}
	return nil
}

// change publishes what fn makes of the signed models. When that fails nothing has changed: what
// is in memory is what devices can fetch, and the same call may be made again.
func (r *Repository) change(fn func(targets map[string]*metadata.TargetFiles)) error {
	saved := maps.Clone(r.models.Signed.Targets)
	fn(r.models.Signed.Targets)
	err := r.publish(true)
	if err != nil {
		r.models.Signed.Targets = saved
		err = errors.Join(err, r.load())
	}
	return err
}

// evict drops the paths that sort first by the "seq" of their custom data while there are too many.
func (r *Repository) evict(keep string) {
	t := r.models.Signed.Targets
	if len(t) <= MaxTargets {
		return
	}
	seq := func(path string) (v struct {
		Seq int64 `json:"seq"`
	}) {
		if c := t[path].Custom; c != nil {
			_ = json.Unmarshal(*c, &v) // without a sequence it counts as the oldest
		}
		return v
	}
	paths := make([]string, 0, len(t))
	for p := range t {
		if p != keep {
			paths = append(paths, p)
		}
	}
	slices.SortFunc(paths, func(a, b string) int {
		if x, y := seq(a).Seq, seq(b).Seq; x != y {
			return int(min(max(x-y, -1), 1))
		}
		return strings.Compare(a, b)
	})
	for _, p := range paths[:len(t)-MaxTargets] {
		delete(t, p)
	}
}

// Remove stops signing paths, for example of models that must not run again.
func (r *Repository) Remove(paths ...string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	signed := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return r.models.Signed.Targets[p] == nil })
	if len(signed) == 0 {
		return nil
	}
	if err := r.change(func(targets map[string]*metadata.TargetFiles) {
		for _, p := range signed {
			delete(targets, p)
		}
	}); err != nil {
		return fmt.Errorf("stop signing %q: %w", signed, err)
	}
	return nil
}

// Signed reports whether a path is signed now.
func (r *Repository) Signed(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.models.Signed.Targets[path] != nil
}

// Refresh signs again what has less than half of its life left. Call it at least daily. Root and
// targets are extended only while their keys are here.
func (r *Repository) Refresh() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.refresh(); err != nil {
		// no version is left out: a device stops at a root that is missing
		return fmt.Errorf("refresh signatures: %w", errors.Join(err, r.load()))
	}
	return nil
}

func (r *Repository) refresh() error {
	now := r.opts.Now()
	due := func(expires time.Time, life time.Duration) bool { return expires.Sub(now) < life/2 }
	if due(r.root.Signed.Expires, rootLife) && r.have(metadata.ROOT) {
		r.root.Signed.Version++
		r.root.Signed.Expires = r.expires(rootLife)
		b, err := sign(r, metadata.ROOT, r.root)
		if err == nil {
			err = r.writeVersion(metadata.ROOT, r.root.Signed.Version, b)
		}
		if err != nil {
			return err
		}
	}
	publish := due(r.snapshot.Signed.Expires, snapshotLife)
	if due(r.targets.Signed.Expires, targetsLife) && r.have(metadata.TARGETS) {
		r.targets.Signed.Version++
		r.targets.Signed.Expires = r.expires(targetsLife)
		b, err := sign(r, metadata.TARGETS, r.targets)
		if err == nil {
			err = r.writeVersion(metadata.TARGETS, r.targets.Signed.Version, b)
		}
		if err != nil {
			return err
		}
		publish = true
	}
	if models := due(r.models.Signed.Expires, modelsLife); models || publish {
		return r.publish(models)
	}
	if due(r.timestamp.Signed.Expires, timestampLife) {
		return r.stamp()
	}
	return nil
}

func (r *Repository) have(role string) bool {
	_, err := os.Stat(keyPath(r.opts.Keys, role))
	return err == nil
}

// Run refreshes every hour until ctx ends.
func (r *Repository) Run(ctx context.Context, failed func(error)) error {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			if err := r.Refresh(); err != nil {
				failed(err)
			}
		}
	}
}
