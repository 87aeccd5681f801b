package trust

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

var (
	// ErrNotFound is returned by a Fetcher for a file that the hub does not have, and by Target
	// for a path nobody signed.
	ErrNotFound = errors.New("not found")
	// ErrExpired means that metadata is older than its signed expiry: install nothing.
	ErrExpired = errors.New("trust metadata has expired")
	// ErrRollback means that the hub offered metadata older than what was already accepted.
	ErrRollback = errors.New("trust metadata was rolled back")
	// ErrInvalid means that metadata is damaged, too large or not signed by the keys it must be
	// signed by.
	ErrInvalid = errors.New("trust metadata is not valid")
	// ErrStale is returned by Target before the first successful Refresh.
	ErrStale = errors.New("trust metadata was not refreshed yet")
)

// maxRotations bounds how many root versions one refresh follows.
const maxRotations = 32

// RoleModels is the delegated role that signs models.
const RoleModels = "models"

// Limit returns the largest size accepted of a metadata file, in bytes. A fetcher should stop
// reading there.
func Limit(name string) int64 {
	switch {
	case strings.HasSuffix(name, "root.json"):
		return 64 << 10
	case name == "timestamp.json":
		return 16 << 10
	}
	return 256 << 10
}

// Fetcher reads one metadata file of the hub, for example "timestamp.json" or "3.root.json". It
// returns an error that wraps ErrNotFound when there is none.
type Fetcher interface {
	Fetch(ctx context.Context, name string) ([]byte, error)
}

// FetchFunc is a function as a Fetcher.
type FetchFunc func(ctx context.Context, name string) ([]byte, error)

// Fetch calls f.
func (f FetchFunc) Fetch(ctx context.Context, name string) ([]byte, error) { return f(ctx, name) }

// Options of a client.
type Options struct {
	// Dir keeps verified metadata. It is made with mode 0700.
	Dir string
	// Root is the trust anchor, used until Dir holds a root of its own.
	Root []byte
	// Fetch reads metadata from the hub or a bundle.
	Fetch Fetcher
	// Now is the clock that expiry is checked against; nil means time.Now. A device with an
	// untrusted clock passes its time floor.
	Now func() time.Time
}

// Target is what was signed about a file.
type Target struct {
	Path   string
	Length int64
	SHA256 string // 64 hexadecimal digits
	Custom json.RawMessage
}

// Client is safe for concurrent use.
type Client struct {
	opts Options
	mu   sync.Mutex // guards state and the directory
	good *trustedmetadata.TrustedMetadata
}

// Open reads the trust anchor: the newest root in the directory, or the one given, which is then
// stored.
func Open(opts Options) (*Client, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	c := &Client{opts: opts}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open trust directory: %w", err)
	}
	root, err := c.read("root")
	if errors.Is(err, fs.ErrNotExist) {
		if root = opts.Root; len(root) == 0 {
			return nil, errors.New("open trust directory: no root of trust: enrol first")
		}
		if _, err := trustedmetadata.New(root); err != nil {
			return nil, fmt.Errorf("open trust directory: root of trust: %w", classify(err))
		}
		err = c.write("root", root)
	}
	if err != nil {
		return nil, fmt.Errorf("open trust directory: %w", err)
	}
	if _, err := trustedmetadata.New(root); err != nil {
		return nil, fmt.Errorf("open trust directory: root of trust: %w", classify(err))
	}
	return c, nil
}

// Refresh brings the metadata up to date by the TUF client workflow. On an error the state of the
// last successful refresh stays in use.
func (c *Client) Refresh(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.refresh(ctx)
	if err != nil {
		return fmt.Errorf("refresh trust metadata: %w", err)
	}
	c.good = t
	return nil
}

func (c *Client) refresh(ctx context.Context) (*trustedmetadata.TrustedMetadata, error) {
	root, err := c.read("root")
	if err != nil {
		return nil, err
	}
	t, err := trustedmetadata.New(root)
	if err != nil {
		return nil, fmt.Errorf("root: %w", classify(err))
	}
	t.RefTime = c.opts.Now().UTC()
	if err := c.roots(ctx, t); err != nil {
		return nil, err
	}
	if err := c.timestamp(ctx, t); err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	for _, role := range []string{metadata.SNAPSHOT, metadata.TARGETS, RoleModels} {
		if err := c.role(ctx, t, role); err != nil {
			return nil, fmt.Errorf("%s: %w", role, err)
		}
	}
	return t, nil
}

func (c *Client) roots(ctx context.Context, t *trustedmetadata.TrustedMetadata) error {
	for range maxRotations {
		name := strconv.FormatInt(t.Root.Signed.Version+1, 10) + ".root.json"
		b, err := c.fetch(ctx, name)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err == nil {
			_, err = t.UpdateRoot(b)
			err = classify(err)
		}
		if err == nil {
			err = c.write("root", b)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (c *Client) timestamp(ctx context.Context, t *trustedmetadata.TrustedMetadata) error {
	if b, err := c.read(metadata.TIMESTAMP); err == nil {
		// for rollback protection; one that expired or was damaged is replaced now
		_, _ = t.UpdateTimestamp(b)
	}
	b, err := c.fetch(ctx, "timestamp.json")
	if err != nil {
		return err
	}
	_, err = t.UpdateTimestamp(b)
	if _, same := errors.AsType[*metadata.ErrEqualVersionNumber](err); same {
		return nil
	}
	if err != nil {
		return classify(err)
	}
	return c.write(metadata.TIMESTAMP, b)
}

// role loads snapshot, targets or models from the directory, or from the hub when the copy there
// is not the current one.
func (c *Client) role(ctx context.Context, t *trustedmetadata.TrustedMetadata, role string) error {
	update := func(b []byte, trusted bool) (err error) {
		switch role {
		case metadata.SNAPSHOT:
			_, err = t.UpdateSnapshot(b, trusted)
		case metadata.TARGETS:
			_, err = t.UpdateTargets(b)
		default:
			_, err = t.UpdateDelegatedTargets(b, role, metadata.TARGETS)
		}
		return classify(err)
	}
	if b, err := c.read(role); err == nil && update(b, true) == nil {
		return nil
	}
	file := role + ".json"
	var info *metadata.MetaFiles
	if role == metadata.SNAPSHOT {
		info = t.Timestamp.Signed.Meta[file]
	} else {
		info = t.Snapshot.Signed.Meta[file]
	}
	if info == nil {
		return fmt.Errorf("%w: not in the snapshot", ErrInvalid)
	}
	if t.Root.Signed.ConsistentSnapshot {
		file = strconv.FormatInt(info.Version, 10) + "." + file
	}
	b, err := c.fetch(ctx, file)
	if err != nil {
		return err
	}
	if err := update(b, false); err != nil {
		return err
	}
	return c.write(role, b)
}

// Target returns what is signed about a path. Each role is believed only for the paths delegated
// to it.
func (c *Client) Target(path string) (Target, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.good == nil {
		return Target{}, ErrStale
	}
	now := c.opts.Now().UTC()
	t := c.good
	targets := t.Targets[metadata.TARGETS]
	if t.Timestamp.Signed.IsExpired(now) || t.Snapshot.Signed.IsExpired(now) || targets.Signed.IsExpired(now) {
		return Target{}, ErrExpired
	}
	if f := targets.Signed.Targets[path]; f != nil {
		return target(path, f)
	}
	if targets.Signed.Delegations != nil {
		for _, r := range targets.Signed.Delegations.GetRolesForTarget(path) {
			role := t.Targets[r.Name]
			if role == nil {
				continue
			}
			if role.Signed.IsExpired(now) {
				return Target{}, ErrExpired
			}
			if f := role.Signed.Targets[path]; f != nil {
				return target(path, f)
			}
			if r.Terminating {
				break
			}
		}
	}
	return Target{}, fmt.Errorf("target %q: %w", path, ErrNotFound)
}

func target(path string, f *metadata.TargetFiles) (Target, error) {
	sum := f.Hashes["sha256"]
	if len(sum) != 32 || f.Length < 0 {
		return Target{}, fmt.Errorf("%w: target %q has no SHA-256", ErrInvalid, path)
	}
	out := Target{Path: path, Length: f.Length, SHA256: hex.EncodeToString(sum)}
	if f.Custom != nil {
		out.Custom = *f.Custom
	}
	return out, nil
}

// Versions returns the accepted version numbers by role, for floors kept elsewhere. It is empty
// before the first successful Refresh.
func (c *Client) Versions() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int64{}
	if c.good != nil {
		out[metadata.ROOT] = c.good.Root.Signed.Version
		out[metadata.TIMESTAMP] = c.good.Timestamp.Signed.Version
		out[metadata.SNAPSHOT] = c.good.Snapshot.Signed.Version
		for name, m := range c.good.Targets {
			out[name] = m.Signed.Version
		}
	}
	return out
}

func (c *Client) fetch(ctx context.Context, name string) ([]byte, error) {
	b, err := c.opts.Fetch.Fetch(ctx, name)
	if err == nil && int64(len(b)) > Limit(name) {
		err = fmt.Errorf("%w: %s has %d bytes, the limit is %d", ErrInvalid, name, len(b), Limit(name))
	}
	return b, err
}

func (c *Client) path(role string) string { return filepath.Join(c.opts.Dir, role+".json") }

func (c *Client) read(role string) ([]byte, error) { return os.ReadFile(c.path(role)) }

// write replaces a file: write, sync, rename.
func (c *Client) write(role string, b []byte) error {
	f, err := os.CreateTemp(c.opts.Dir, ".tmp-*")
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
	return os.Rename(f.Name(), c.path(role))
}

// classify gives go-tuf's errors the names callers branch on.
func classify(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*metadata.ErrExpiredMetadata](err); ok {
		return fmt.Errorf("%w: %w", ErrExpired, err)
	}
	if _, ok := errors.AsType[*metadata.ErrBadVersionNumber](err); ok {
		return fmt.Errorf("%w: %w", ErrRollback, err)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}
