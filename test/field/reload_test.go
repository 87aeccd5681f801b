//go:build unix

package field

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"skerry.dev/test/wait"
)

// TestTaskFilesBehindLinks: a directory that is a link and is pointed elsewhere, a file behind a
// link, and a directory that is replaced and edited afterwards are all seen while the agent runs.
// SIGHUP reads the files again, and ends nothing.
func TestTaskFilesBehindLinks(t *testing.T) {
	a := newAgent(t, "", nil)
	at := func(name string) string { return filepath.Join(a.dir, name) }
	must := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	named := func(name string) string { return strings.ReplaceAll(levelTask, "task: level", "task: "+name) }
	put := func(name, task string) { must(os.WriteFile(at(name), []byte(named(task)), 0o644)) }
	has := func(what, task string) {
		t.Helper()
		wait.For(t, what, func() bool { return a.rows(task) == 0 })
	}
	must(os.Remove(at("tasks")), os.Mkdir(at("one"), 0o755), os.Mkdir(at("two"), 0o755))
	put("one/t.yaml", "first")
	put("two/t.yaml", "second")
	must(os.Symlink(at("one"), at("tasks")))
	a.start()
	has("the first directory", "first")
	must(os.Symlink(at("two"), at("new")), os.Rename(at("new"), at("tasks")))
	has("the link points elsewhere", "second")

	put("behind.yaml", "third")
	must(os.Remove(at("two/t.yaml")), os.Symlink(at("behind.yaml"), at("two/t.yaml")))
	has("a file became a link", "third")
	put("behind.yaml", "fourth")
	has("the file behind a link changed", "fourth")

	must(os.Remove(at("tasks")), os.Mkdir(at("tasks"), 0o755))
	put("tasks/t.yaml", "fifth")
	has("another directory took its place", "fifth")
	put("tasks/t.yaml", "sixth")
	has("it is edited", "sixth")

	must(syscall.Kill(a.proc.PID(), syscall.SIGHUP))
	wait.For(t, "SIGHUP reads them again", func() bool { return strings.Contains(a.log(), "task files are read again") })
	put("tasks/t.yaml", "seventh")
	has("the agent goes on", "seventh")
}

// TestHangupEndsNoHub: SIGHUP, which reloads other servers and comes of a terminal that is closed,
// leaves the hub as it is.
func TestHangupEndsNoHub(t *testing.T) {
	h := newHub(t)
	if err := syscall.Kill(h.proc.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	resp, err := http.Get("http://" + h.web + "/ready")
	if err != nil {
		t.Fatalf("a second after SIGHUP: %v", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a second after SIGHUP /ready is %d, want 200", resp.StatusCode)
	}
}
