package signing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"skerry.dev/sync/trust"
)

// load reads what is on disk. On an error what is in memory stays.
func (r *Repository) load() error {
	return errors.Join(r.loadRoot(), r.loadOnline())
}

func (r *Repository) loadRoot() error {
	const putBack = "put it back from a backup of this folder: devices know the hub by its roots, and no other can be made in its place"
	first := r.path(metadata.ROOT, 1)
	if _, err := os.Stat(first); err != nil {
		return fmt.Errorf("the first root: %w: %s", err, putBack)
	}
	versions, err := r.versions(metadata.ROOT)
	if err != nil {
		return err
	}
	newest := r.path(metadata.ROOT, versions[0])
	root, err := metadata.Root().FromFile(newest)
	if err != nil {
		return fmt.Errorf("read %s: %w: %s", newest, err, putBack)
	}
	r.root = root
	return nil
}

// versions lists which versions of a role's metadata there are, newest first, damaged ones included.
func (r *Repository) versions(role string) (out []int64, err error) {
	entries, err := os.ReadDir(r.opts.Dir)
	for _, e := range entries {
		if v, ok := strings.CutSuffix(e.Name(), "."+role+".json"); ok {
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				out = append(out, n)
			}
		}
	}
	slices.SortFunc(out, func(a, b int64) int { return cmp.Compare(b, a) })
	return out, err
}

func (r *Repository) path(role string, version int64) string {
	return filepath.Join(r.opts.Dir, strconv.FormatInt(version, 10)+"."+role+".json")
}

// mend signs again the metadata of the online roles that cannot be read, which cause reports, in
// versions above all that a device can have. What is signed is what the newest file of the models
// that can be read has: whoever registers models signs what is missing in it again.
func (r *Repository) mend(cause error) error {
	r.opts.Log.Warn("trust metadata is damaged and is signed again", "err", cause)
	models, err := newest(r, func() *metadata.Metadata[metadata.TargetsType] { return metadata.Targets() }, trust.RoleModels)
	if err != nil {
		return err
	}
	if models.Signed.Targets == nil {
		models.Signed.Targets = map[string]*metadata.TargetFiles{}
	}
	snapshot, err := newest(r, func() *metadata.Metadata[metadata.SnapshotType] { return metadata.Snapshot() }, metadata.SNAPSHOT)
	if err != nil {
		return err
	}
	timestamp, err := metadata.Timestamp().FromFile(filepath.Join(r.opts.Dir, "timestamp.json"))
	if err != nil {
		// Its version is lost. Versions are counted, and more slowly than seconds pass.
		timestamp = metadata.Timestamp()
		timestamp.Signed.Version = r.opts.Now().Unix()
	}
	versions, err := r.versions(metadata.TARGETS)
	if err != nil {
		return err
	}
	version := int64(0)
	if len(versions) > 0 {
		version = versions[0]
	}
	targets, err := metadata.Targets().FromFile(r.path(metadata.TARGETS, version))
	if err != nil { // an older one is refused by devices
		err = fmt.Errorf("read %s: %w", r.path(metadata.TARGETS, version), err)
		if !r.have(metadata.TARGETS) {
			return fmt.Errorf("%w: put it back from a backup, or bring its key back to %s for this start", err, keyPath(r.opts.Keys, metadata.TARGETS))
		}
		if targets, err = r.delegation(); err != nil {
			return err
		}
		targets.Signed.Version = version + 1
		b, err := sign(r, metadata.TARGETS, targets)
		if err == nil {
			err = r.writeVersion(metadata.TARGETS, targets.Signed.Version, b)
		}
		if err != nil {
			return err
		}
	}
	r.models, r.snapshot, r.timestamp, r.targets = models, snapshot, timestamp, targets
	if err := r.publish(true); err != nil {
		return fmt.Errorf("%w: put the file back from a backup, or the key: sign again: %w", cause, err)
	}
	return nil
}

// newest returns the newest metadata of a role that can be read, empty where none can, with the
// version of the newest file.
func newest[T metadata.Roles](r *Repository, empty func() *metadata.Metadata[T], role string) (*metadata.Metadata[T], error) {
	versions, err := r.versions(role)
	if err != nil {
		return nil, err
	}
	m := empty()
	for _, v := range versions {
		if have, err := empty().FromFile(r.path(role, v)); err == nil {
			m = have
			break
		}
	}
	version := int64(0)
	if len(versions) > 0 {
		version = versions[0]
	}
	switch s := any(&m.Signed).(type) {
	case *metadata.TargetsType:
		s.Version = version
	case *metadata.SnapshotType:
		s.Version = version
	}
	return m, nil
}

func (r *Repository) loadOnline() error {
	timestamp, err := metadata.Timestamp().FromFile(filepath.Join(r.opts.Dir, "timestamp.json"))
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(r.opts.Dir, "timestamp.json"), err)
	}
	snapshot, err := read(r, metadata.Snapshot(), metadata.SNAPSHOT, timestamp.Signed.Meta)
	if err != nil {
		return err
	}
	targets, err := read(r, metadata.Targets(), metadata.TARGETS, snapshot.Signed.Meta)
	if err != nil {
		return err
	}
	models, err := read(r, metadata.Targets(), trust.RoleModels, snapshot.Signed.Meta)
	if err != nil {
		return err
	}
	if models.Signed.Targets == nil {
		models.Signed.Targets = map[string]*metadata.TargetFiles{}
	}
	r.timestamp, r.snapshot, r.targets, r.models = timestamp, snapshot, targets, models
	return nil
}

// read reads the version of a role's metadata that versions names, into m.
func read[T metadata.Roles](r *Repository, m *metadata.Metadata[T], role string, versions map[string]*metadata.MetaFiles) (*metadata.Metadata[T], error) {
	v := versions[role+".json"]
	if v == nil {
		return nil, fmt.Errorf("read %s.json: the metadata above it names no version", role)
	}
	m, err := m.FromFile(r.path(role, v.Version))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.path(role, v.Version), err)
	}
	return m, nil
}

var fileName = regexp.MustCompile(`^(timestamp|\d{1,12}\.(root|targets|snapshot|models))\.json$`)

// Fetch returns a metadata file, an error that wraps trust.ErrNotFound when there is none. It
// makes a Repository a trust.Fetcher.
func (r *Repository) Fetch(_ context.Context, name string) ([]byte, error) {
	if !fileName.MatchString(name) {
		return nil, fmt.Errorf("metadata file %q: %w", name, trust.ErrNotFound)
	}
	b, err := os.ReadFile(filepath.Join(r.opts.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("metadata file %q: %w", name, trust.ErrNotFound)
	}
	return b, err
}

// Root returns the first root, the trust anchor of new devices.
func (r *Repository) Root() ([]byte, error) { return r.Fetch(context.Background(), "1.root.json") }

func (r *Repository) writeVersion(role string, version int64, b []byte) error {
	return write(r.path(role, version), b)
}

// keptVersions is how many superseded versions stay, for devices in the middle of a refresh: a busy
// hub signs several models while a device on a slow link reads one file.
const keptVersions = 32

// sweep removes superseded versions.
func (r *Repository) sweep() {
	for role, v := range map[string]int64{trust.RoleModels: r.models.Signed.Version, metadata.SNAPSHOT: r.snapshot.Signed.Version} {
		for old := v - keptVersions; old > 0 && old > v-2*keptVersions; old-- {
			if os.Remove(r.path(role, old)) != nil {
				break // removed before
			}
		}
	}
}

// write replaces a file: write, sync, rename.
func write(path string, b []byte) error {
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
