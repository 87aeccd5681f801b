//go:build unix

package main

import "golang.org/x/sys/unix"

// keepPrivate lets nobody else read what the hub writes from now on: keys, logins, telemetry.
func keepPrivate() { unix.Umask(0o077) }
