// Package blob stores immutable bytes under keys: a folder by default, any S3 store by URL.
//
// Artifacts are content-addressed (sha256/<aa>/<hex>); names live in the database only. On a
// folder every object is written beside its place, synced and renamed, so that a reader never
// sees half of one and what was put outlives a power cut: the database then forgets where the
// bytes came from.
package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/s3blob" // s3:// URLs
	"gocloud.dev/gcerrors"
)

// ErrNotFound is returned for a key that holds nothing.
var ErrNotFound = errors.New("blob not found")

// Store is an open bucket. Safe for concurrent use.
type Store struct {
	b   *blob.Bucket
	dir string // of a folder, empty for other stores
}

// Open opens the part named sub of the store at rawURL: "s3://bucket?region=…" (objects get the
// prefix "<sub>/"), or "file:///dir" or a plain path, or "" for dir; then sub is a folder.
func Open(ctx context.Context, rawURL, dir, sub string) (*Store, error) {
	if path, ok := strings.CutPrefix(rawURL, "file://"); ok {
		rawURL = path
	}
	if !strings.Contains(rawURL, "://") {
		if rawURL != "" {
			dir = rawURL
		}
		path, err := filepath.Abs(filepath.Join(dir, sub))
		if err != nil {
			return nil, fmt.Errorf("open blob store: %w", err)
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, fmt.Errorf("open blob store: %w", err)
		}
		b, err := fileblob.OpenBucket(path, &fileblob.Options{
			NoTempDir: true,
			Metadata:  fileblob.MetadataDontWrite,
		})
		if err != nil {
			return nil, fmt.Errorf("open blob store %s: %w", path, err)
		}
		return &Store{b: b, dir: path}, nil
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	if q := u.Query(); q.Has("endpoint") && !q.Has("request_checksum_calculation") {
		// checksum trailers break other S3 stores
		q.Set("request_checksum_calculation", "when_required")
		u.RawQuery = q.Encode()
	}
	b, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("open blob store %s://%s: %w", u.Scheme, u.Host, err)
	}
	return &Store{b: blob.PrefixedBucket(b, sub+"/")}, nil
}

// OwnerKey is where a store has whose it is.
const OwnerKey = "owner"

// Owner returns whose store this is, "" when nobody has said so.
func (s *Store) Owner(ctx context.Context) (string, error) {
	b, err := s.Get(ctx, OwnerKey)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// SetOwner records whose store this is.
func (s *Store) SetOwner(ctx context.Context, owner string) error {
	return s.write(ctx, OwnerKey, []byte(owner+"\n"))
}

// Empty reports whether the store holds nothing, half-written objects aside.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	errFound := errors.New("found")
	err := s.List(ctx, "", func(key string, _ int64, _ time.Time) error {
		if strings.HasSuffix(key, ".tmp") || strings.HasPrefix(key, ProbePrefix) {
			return nil
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		return false, nil
	}
	return err == nil, err
}

// Dir is the folder of a store that is one, "" otherwise.
func (s *Store) Dir() string { return s.dir }

// ProbePrefix is how the keys begin under which a store is tried out.
const ProbePrefix = "probe-"

// Probe writes an object, reads it back and removes it.
func (s *Store) Probe(ctx context.Context, name string) error {
	key, want := ProbePrefix+name, []byte(time.Now().Format(time.RFC3339Nano))
	if err := s.write(ctx, key, want); err != nil {
		return err
	}
	got, err := s.Get(ctx, key)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("read blob %q: not what was written", key)
	}
	return errors.Join(err, s.Delete(ctx, key))
}

// Close releases the store. It is idempotent.
func (s *Store) Close() error {
	err := s.b.Close()
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return nil // closed before
	}
	return err
}

// Key returns where the artifact with a digest lies.
func Key(digest string) string { return "sha256/" + digest[:2] + "/" + digest }

// Put writes an object unless the key exists; what is there is then taken for the same content.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	if ok, err := s.b.Exists(ctx, key); err != nil || ok {
		return wrap("put", key, err)
	}
	return s.write(ctx, key, data)
}

// write puts an object in place of what the key holds.
func (s *Store) write(ctx context.Context, key string, data []byte) error {
	if s.dir != "" {
		return wrap("put", key, s.writeFile(ctx, key, data))
	}
	return wrap("put", key, s.b.WriteAll(ctx, key, data, nil))
}

// writeFile writes an object of a folder and syncs it, its name and the folders on the way.
func (s *Store) writeFile(ctx context.Context, key string, data []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var f *os.File // has another name until w is closed
	w, err := s.b.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/octet-stream",
		BeforeWrite: func(as func(any) bool) error {
			as(&f)
			return nil
		},
	})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		cancel() // so that closing drops what was written
		return errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return err
	}
	return syncFolders(filepath.Dir(f.Name()), s.dir)
}

// syncFolders syncs a folder and those above it up to top, which may all be new.
func syncFolders(dir, top string) error {
	if runtime.GOOS == "windows" {
		return nil // a folder cannot be opened for syncing there
	}
	for {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
		if up := filepath.Dir(dir); dir != top && len(up) >= len(top) {
			dir = up
			continue
		}
		return nil
	}
}

// PutContent stores data under its digest and returns the digest. What is there and has another
// content is damaged, and is replaced.
func (s *Store) PutContent(ctx context.Context, data []byte) (string, error) {
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	old, err := s.Get(ctx, Key(digest))
	switch {
	case err == nil && bytes.Equal(old, data):
		return digest, nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return digest, err
	}
	return digest, s.write(ctx, Key(digest), data)
}

// Get reads an object.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := s.b.ReadAll(ctx, key)
	return b, wrap("get", key, err)
}

// Delete removes an object; removing nothing is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	err := s.b.Delete(ctx, key)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return wrap("delete", key, err)
}

// List calls fn for every key below prefix. On a folder it may also see, under the key with a
// number and ".tmp" behind it, what is being written or what a crash left half written, so that
// it can be swept.
func (s *Store) List(ctx context.Context, prefix string, fn func(key string, size int64, modified time.Time) error) error {
	it := s.b.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wrap("list", prefix, err)
		}
		if err := fn(o.Key, o.Size, o.ModTime); err != nil {
			return err
		}
	}
}

func wrap(verb, key string, err error) error {
	if err == nil {
		return nil
	}
	if gcerrors.Code(err) == gcerrors.NotFound {
		return fmt.Errorf("%s blob %q: %w", verb, key, ErrNotFound)
	}
	return fmt.Errorf("%s blob %q: %w", verb, key, err)
}

// Object is an open object. ReadAt is safe for concurrent use, the rest is not.
type Object struct {
	Size     int64
	Modified time.Time

	ctx context.Context // bounds every read; an Object lives within one call
	s   *Store
	key string
	r   *blob.Reader
	pos int64
}

// Open opens an object for reading. ctx bounds its whole use.
func (s *Store) Open(ctx context.Context, key string) (*Object, error) {
	a, err := s.b.Attributes(ctx, key)
	if err != nil {
		return nil, wrap("open", key, err)
	}
	return &Object{Size: a.Size, Modified: a.ModTime, ctx: ctx, s: s, key: key}, nil
}

// Read reads on from the current position.
func (o *Object) Read(p []byte) (int, error) {
	if o.pos >= o.Size {
		return 0, io.EOF
	}
	if o.r == nil {
		r, err := o.s.b.NewRangeReader(o.ctx, o.key, o.pos, -1, nil)
		if err != nil {
			return 0, wrap("read", o.key, err)
		}
		o.r = r
	}
	n, err := o.r.Read(p)
	o.pos += int64(n)
	return n, err
}

// Seek moves the position.
func (o *Object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.pos
	case io.SeekEnd:
		offset += o.Size
	case io.SeekStart:
	default:
		return 0, fmt.Errorf("seek blob %q: whence is %d", o.key, whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek blob %q: negative position", o.key)
	}
	if offset != o.pos {
		o.pos = offset
		return offset, o.drop()
	}
	return offset, nil
}

// ReadAt reads a range.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off >= o.Size {
		return 0, io.EOF
	}
	r, err := o.s.b.NewRangeReader(o.ctx, o.key, off, int64(len(p)), nil)
	if err != nil {
		return 0, wrap("read", o.key, err)
	}
	defer r.Close()
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func (o *Object) drop() error {
	if o.r == nil {
		return nil
	}
	err := o.r.Close()
	o.r = nil
	return err
}

// Close releases the object.
func (o *Object) Close() error { return o.drop() }
