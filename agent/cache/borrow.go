package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"skerry.dev/sync/outbox"
)

// ErrWritable is returned by Commit once the directory, which could not be written when the store
// was opened, can be: the store has to be opened anew. Nothing that was committed meanwhile is
// lost, since nothing was.
var ErrWritable = errors.New("the state directory can be written again")

// borrow opens a copy in memory of what was learned, for a directory that cannot be written: whoever
// starts then predicts as one who was running does. Every Commit fails as there. The outbox stays
// where it is.
func (s *Store) borrow(path string, box outbox.Options, cause error) (err error) {
	if s.copy, err = memoryDir(); err != nil {
		return errors.Join(cause, err)
	}
	file := filepath.Join(s.copy, FileName)
	if err = copyLearned(path, file); err == nil {
		err = s.use(file, box)
	}
	if err != nil {
		return errors.Join(cause, fmt.Errorf("copy it into memory: %w", err), os.RemoveAll(s.copy))
	}
	s.borrowed = fmt.Errorf("the state directory %s could not be written when the agent started: it works from a copy in memory, without the hub, and learns for the time being: %w", s.dir, cause)
	return nil
}

// Borrowed returns why the store works on a copy in memory and stores nothing, nil where it does
// not.
func (s *Store) Borrowed() error { return s.borrowed }

// memoryDir makes a directory that is most likely in memory.
func memoryDir() (string, error) {
	var errs []error
	for _, dir := range []string{os.Getenv("RUNTIME_DIRECTORY"), "/dev/shm", os.TempDir()} {
		if dir == "" {
			continue
		}
		made, err := os.MkdirTemp(dir, "skerry-state-")
		if err == nil {
			return made, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// copyLearned copies everything but the outbox of a file, which may be missing, into a new one.
func copyLearned(from, to string) error {
	dst, err := open(to, false, 0)
	if err != nil {
		return err
	}
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		return dst.Close()
	}
	src, err := open(from, true, 0)
	if err != nil {
		return errors.Join(err, dst.Close())
	}
	err = src.View(func(r *bbolt.Tx) error {
		return dst.Update(func(w *bbolt.Tx) error {
			for _, name := range [][]byte{bucketJournal, bucketSnapshots, bucketPositions, bucketSeries, bucketSeen} {
				b := r.Bucket(name)
				if b == nil {
					continue
				}
				to, err := w.CreateBucket(name)
				if err == nil {
					err = copyInto(b, to)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	return errors.Join(err, src.Close(), dst.Close())
}

func copyInto(from, to *bbolt.Bucket) error {
	return from.ForEach(func(k, v []byte) error {
		if v != nil {
			return to.Put(k, v)
		}
		sub, err := to.CreateBucket(k)
		if err != nil {
			return err
		}
		return copyInto(from.Bucket(k), sub)
	})
}

// writable reports whether a file can be made in a directory.
func writable(dir string) bool {
	f, err := os.CreateTemp(dir, ".writable-")
	if err != nil {
		return false
	}
	return errors.Join(f.Close(), os.Remove(f.Name())) == nil
}
