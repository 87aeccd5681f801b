//go:build !unix

package main

// keepPrivate does nothing here: the rights of a folder pass on to what is made in it.
func keepPrivate() {}
