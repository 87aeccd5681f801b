//go:build unix

package metatest

import (
	"os"
	"syscall"
)

// unprivileged gives dir to the user nobody when the tests run as root, as whom PostgreSQL refuses
// to run, and returns the attributes of a process of that user.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{}
	if os.Getuid() != 0 {
		return attr, nil
	}
	const nobody = 65534
	attr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	return attr, os.Chown(dir, nobody, nobody)
}
