package cache

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
)

// ErrDamaged matches the result of a check that proved a file to be damaged.
var ErrDamaged = errors.New("the file is damaged")

// ExitDamaged is the exit status of a child whose CheckFile returned ErrDamaged.
const ExitDamaged = 3

// crashed is the exit status of a Go program that the runtime ended.
const crashed = 2

// ChildError judges how a child ended that ran CheckFile, from what it wrote and the error of its
// command. Only what the child said of the file, or its own crash over it, proves damage: a child
// that was killed, ran out of time or memory or could not begin says nothing about the file.
func ChildError(output []byte, err error) error {
	if err == nil {
		return nil
	}
	text, _, _ := bytes.Cut(bytes.TrimSpace(output), []byte("\n"))
	text = bytes.TrimPrefix(text, []byte(ErrDamaged.Error()+": ")) // is said below
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		starved := bytes.Contains(output, []byte("out of memory")) || bytes.Contains(output, []byte("cannot allocate memory"))
		if code := exit.ExitCode(); code == ExitDamaged || code == crashed && !starved {
			return fmt.Errorf("%w: %s", ErrDamaged, text)
		}
	}
	return fmt.Errorf("%w: %s", err, text)
}
