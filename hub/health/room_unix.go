//go:build unix

package health

import "golang.org/x/sys/unix"

// room returns how many bytes an ordinary user may still write on the file system of a folder, and
// how many it has.
func room(dir string) (free, size int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}
