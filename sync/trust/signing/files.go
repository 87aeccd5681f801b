package signing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
	newest := int64(0)
	entries, err := os.ReadDir(r.opts.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if v, ok := strings.CutSuffix(e.Name(), ".root.json"); ok {
			if n, err := strconv.ParseInt(v, 10, 64); err == nil {
				newest = max(newest, n)
			}
		}
	}
	root, err := metadata.Root().FromFile(filepath.Join(r.opts.Dir, strconv.FormatInt(newest, 10)+".root.json"))
	if err != nil {
		return fmt.Errorf("read %d.root.json: %w", newest, err)
	}
	r.root = root
	return nil
}

func (r *Repository) loadOnline() error {
	timestamp, err := metadata.Timestamp().FromFile(filepath.Join(r.opts.Dir, "timestamp.json"))
	if err != nil {
		return fmt.Errorf("read timestamp.json: %w", err)
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
	m, err := m.FromFile(filepath.Join(r.opts.Dir, strconv.FormatInt(v.Version, 10)+"."+role+".json"))
	if err != nil {
		return nil, fmt.Errorf("read %d.%s.json: %w", v.Version, role, err)
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
	return write(filepath.Join(r.opts.Dir, strconv.FormatInt(version, 10)+"."+role+".json"), b)
}

// keptVersions is how many superseded versions stay, for devices in the middle of a refresh: a busy
// hub signs several models while a device on a slow link reads one file.
const keptVersions = 32

// sweep removes superseded versions.
func (r *Repository) sweep() {
	for role, v := range map[string]int64{trust.RoleModels: r.models.Signed.Version, metadata.SNAPSHOT: r.snapshot.Signed.Version} {
		for old := v - keptVersions; old > 0 && old > v-2*keptVersions; old-- {
			if os.Remove(filepath.Join(r.opts.Dir, strconv.FormatInt(old, 10)+"."+role+".json")) != nil {
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
