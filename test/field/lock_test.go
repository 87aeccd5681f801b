//go:build linux

package field

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// names lists the files of a directory.
func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// TestSecondAgent: `run` typed while the service runs ends at once with the number of the process
// that has the state directory, and touches nothing; the first goes on.
func TestSecondAgent(t *testing.T) {
	a := newAgent(t, "", map[string]string{"level": levelTask})
	a.start()
	state := filepath.Join(a.dir, "state")
	before := names(t, state)
	out, err := a.command("run")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, fmt.Sprintf("process %d", a.proc.PID())) && !strings.Contains(out, fmt.Sprintf("pid %d", a.proc.PID())) {
		t.Errorf("the second agent: %v, %s; want exit 1 and the number %d", err, out, a.proc.PID())
	}
	if after := names(t, state); !slices.Equal(before, after) {
		t.Errorf("files before %v, after %v", before, after)
	}
	if d, err := a.detail(); err != nil || !d.Ready {
		t.Errorf("the first agent: %v", err)
	}
}

// TestStateOfAnotherUser: an agent that was run once as root leaves files that the service's user
// may not read: that is said, with exit 1, and nothing is set aside. Also after an unclean end.
func TestStateOfAnotherUser(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil || os.Getuid() != 0 {
		t.Skip("it takes root and setpriv to become another user")
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	a := newAgent(t, "", map[string]string{"level": levelTask})
	for _, d := range []string{filepath.Dir(path), filepath.Dir(a.dir), a.dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a.start()
	a.proc.Kill()
	state := filepath.Join(a.dir, "state")
	for name, owned := range map[string]map[string]os.FileMode{
		"the file":      {".": 0o777, "skerry.db": 0o600},
		"the directory": {".": 0o700, "skerry.db": 0o666},
		"the lock":      {".": 0o777, "skerry.db": 0o666, "skerry.lock": 0o600},
	} {
		for _, f := range slices.Sorted(maps.Keys(owned)) {
			if err := os.Chmod(filepath.Join(state, f), owned[f]); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		before := names(t, state)
		cmd := exec.Command(setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", path, "run", "--config", filepath.Join(a.dir, "agent.yaml"))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "permission denied") {
			t.Errorf("%s belongs to another user: %v, %s", name, err, out)
		}
		if after := names(t, state); !slices.Equal(before, after) {
			t.Errorf("%s: files before %v, after %v", name, before, after)
		}
	}
}
