package cache

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
)

// The reserve is a file that takes up room for the day when the disk is full: its space is given
// up first, so that what was accepted can be stored, the link can note what was delivered, and the
// program can start. It is made again once there is room for much more.
const (
	reserveName  = "skerry.reserve"
	reserveShare = 32 // of the cap
	reserveMin   = 256 << 10
	reserveMax   = 8 << 20
	reserveTimes = 4 // its size must be free so many times before it is made
)

func (s *Store) reservePath() string { return filepath.Join(s.dir, reserveName) }

// Release gives up the reserve; false when there was none.
func (s *Store) Release() bool { return os.Remove(s.reservePath()) == nil }

// Reserve makes the reserve if there is none and room for it. It writes some MiB at most.
func (s *Store) Reserve() error {
	if s.free == nil {
		return nil
	}
	if _, err := os.Stat(s.reservePath()); err == nil {
		return nil
	}
	if free, err := s.free(s.dir); err != nil || free < reserveTimes*uint64(s.reserve) {
		return err
	}
	half := s.reservePath() + ".new"
	err := writeFull(half, s.reserve)
	if err == nil {
		err = os.Rename(half, s.reservePath())
	}
	if err != nil {
		return errors.Join(err, os.Remove(half))
	}
	return nil
}

// writeFull writes a file of size bytes that no file system can store as a hole.
func writeFull(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	block := bytes.Repeat([]byte("skerry: space kept for a full disk\n"), 1<<14)
	for left := size; left > 0 && err == nil; left -= int64(len(block)) {
		_, err = f.Write(block[:min(left, int64(len(block)))])
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
