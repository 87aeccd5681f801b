//go:build unix

package service

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// account is who the service runs as.
type account struct {
	name  string
	uid   uint32
	gids  []uint32
	known bool // false: a user made at the start, to whom only what is open to all is open
}

func userOf(name string) (*account, error) {
	if name == "" {
		return &account{name: "the service's own user"}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("--user %s: %w: create it first (sudo useradd --system %s)", name, err, name)
	}
	a := &account{name: "the user " + name, known: true}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("--user %s: %w", name, err)
	}
	a.uid = uint32(uid)
	groups, err := u.GroupIds()
	if err != nil {
		groups = []string{u.Gid}
	}
	for _, g := range groups {
		if gid, err := strconv.ParseUint(g, 10, 32); err == nil {
			a.gids = append(a.gids, uint32(gid))
		}
	}
	return a, nil
}

// may reports whether the account has the rights, as the last digit of a mode, on a file. The unit
// drops all capabilities, so that root is a user as any other.
func (u *account) may(path string, need fs.FileMode) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	mode := info.Mode().Perm()
	if st, ok := info.Sys().(*syscall.Stat_t); ok && u.known {
		switch {
		case st.Uid == u.uid:
			mode >>= 6
		case slices.Contains(u.gids, st.Gid):
			mode >>= 3
		}
	}
	return mode&need == need
}
