package lake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"skerry.dev/hub/blob"
)

// verifyBytes is how much of the lake is read again between two compactions.
const verifyBytes = 32 << 20

// Err reports files that are missing, cut or changed, as far as they have been looked at: all by
// their sizes at the start, every one by its content in turn. nil when none is.
func (l *Lake) Err() error {
	l.damage.Lock()
	defer l.damage.Unlock()
	if len(l.damaged) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(l.damaged)))
	return fmt.Errorf("%d files of the lake are damaged, put them back from a backup; %s: %s", len(l.damaged), first, l.damaged[first])
}

// found notes damage, once.
func (l *Lake) found(file, why string) {
	l.damage.Lock()
	defer l.damage.Unlock()
	if _, known := l.damaged[file]; known {
		return
	}
	if l.damaged == nil {
		l.damaged = map[string]string{}
	}
	l.damaged[file] = why
	l.opts.Log.Error("a file of the lake is damaged", "path", file, "reason", why)
}

// Verify reads the next files of the manifest, about limit bytes of them, and compares their content
// with their names. What was damaged and is well again is forgotten.
func (l *Lake) Verify(ctx context.Context, limit int64) error {
	l.mu.Lock() // what is merged meanwhile would be missing
	defer l.mu.Unlock()
	files, err := l.db.Read().LakeFiles(ctx, 0)
	if err != nil || len(files) == 0 {
		return err
	}
	l.damage.Lock()
	last := l.verified
	l.damage.Unlock()
	paths := make([]string, len(files))
	sizes := map[string]int64{}
	for i, f := range files {
		paths[i], sizes[f.Path] = f.Path, f.Bytes
	}
	slices.Sort(paths)
	l.damage.Lock()
	maps.DeleteFunc(l.damaged, func(p, _ string) bool { _, there := sizes[p]; return !there }) // merged since
	l.damage.Unlock()
	at, found := slices.BinarySearch(paths, last)
	if found {
		at++
	}
	for n := 0; n < len(paths) && limit > 0; n++ {
		p := paths[(at+n)%len(paths)]
		limit -= sizes[p]
		why, err := l.verify(ctx, p)
		if err != nil {
			return err
		}
		if why != "" {
			l.found(p, why)
		}
		l.damage.Lock()
		if why == "" {
			delete(l.damaged, p)
		}
		l.verified = p
		l.damage.Unlock()
	}
	return nil
}

// verify reports what is wrong with a file, "" when nothing is.
func (l *Lake) verify(ctx context.Context, file string) (string, error) {
	obj, err := l.blobs.Open(ctx, file)
	if errors.Is(err, blob.ErrNotFound) {
		return "it is missing", nil
	}
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, obj)
	if err = errors.Join(err, obj.Close()); err != nil {
		return "", err
	}
	if want := strings.TrimSuffix(path.Base(file), ".parquet"); want != hex.EncodeToString(sum.Sum(nil)[:16]) {
		return "its content is not what was written", nil
	}
	return "", nil
}
