//go:build !unix

package metatest

import "syscall"

// unprivileged changes nothing: only Unix has a root as whom PostgreSQL refuses to run.
func unprivileged(string) (*syscall.SysProcAttr, error) { return &syscall.SysProcAttr{}, nil }
