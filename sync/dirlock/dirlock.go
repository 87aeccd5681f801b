// Package dirlock gives a directory to one process at a time.
//
// The lock is the operating system's, on a file in the directory: it ends with its holder, however
// that ends, and a file that was left behind locks nobody out. Beside it the holder writes its
// process id, for people.
package dirlock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// The files in the directory.
const (
	LockName = "skerry.lock"
	pidName  = "skerry.pid"
)

// HeldError is returned when another process has the directory.
type HeldError struct {
	Dir string
	PID int // of the holder, 0 when it is not known
}

func (e *HeldError) Error() string {
	holder := "another process"
	if e.PID > 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("%s is in use by %s: nothing was changed; end that process, or give this one a directory of its own", e.Dir, holder)
}

// Lock is a held lock.
type Lock struct {
	file *flock.Flock
	pid  string
}

// Acquire takes the directory, which must exist, or returns a *HeldError at once. A process that
// holds it already gets the error as well.
func Acquire(dir string) (*Lock, error) {
	l := &Lock{file: flock.New(filepath.Join(dir, LockName), flock.SetPermissions(0o600)), pid: filepath.Join(dir, pidName)}
	ok, err := l.file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if !ok {
		return nil, &HeldError{dir, l.holder()}
	}
	// A full disk must not keep a program from starting: the number serves people alone.
	if os.WriteFile(l.pid, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600) != nil {
		_ = os.Remove(l.pid)
	}
	return l, nil
}

func (l *Lock) holder() int {
	b, err := os.ReadFile(l.pid)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Release gives the directory back. On nil it does nothing.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	err := os.Remove(l.pid)
	if _, gone := os.Lstat(l.pid); errors.Is(gone, os.ErrNotExist) { // where nothing can be written it never was
		err = nil
	}
	return errors.Join(err, l.file.Unlock())
}
