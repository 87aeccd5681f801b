package rig

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Process is a program that was started here, with its log in a file. It is for one goroutine at
// a time.
type Process struct {
	Name string
	Path string
	Args []string
	Env  []string // beside the environment of this program
	Log  string

	cmd  *exec.Cmd
	done chan error
}

// Start starts the program; its output is appended to the log.
func (p *Process) Start() error {
	f, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	p.cmd = exec.Command(p.Path, p.Args...)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	p.cmd.Env = append(os.Environ(), p.Env...)
	// an interrupt at the terminal is for this program, which then stops its processes in order
	p.cmd.SysProcAttr = ownGroup()
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.done = make(chan error, 1)
	go func(cmd *exec.Cmd, done chan error) { done <- cmd.Wait() }(p.cmd, p.done)
	return nil
}

// PID returns the process id, 0 before the first start.
func (p *Process) PID() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Kill ends the process at once, as a power cut would.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	p.done <- <-p.done
}

// Stop signals the process to end and kills it when it does not. It may be called at any time.
func (p *Process) Stop(limit time.Duration) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(limit):
		p.Kill()
	}
}

// Exited reports whether the process has ended, and how.
func (p *Process) Exited() (error, bool) {
	select {
	case err := <-p.done:
		p.done <- err
		return err, true
	default:
		return nil, false
	}
}

// Tail returns the end of the process's log, or the place where it crashed.
func (p *Process) Tail() string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") || strings.HasPrefix(l, "unexpected fault") {
			return strings.Join(lines[max(0, i-3):min(len(lines), i+25)], "\n")
		}
	}
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
