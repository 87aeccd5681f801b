package field

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"skerry.dev/test/rig"
)

// hubProgram is the hub, built once.
var hubProgram = sync.OnceValues(func() (string, error) { return build("skerry.dev/hub/cmd/skerry-hub") })

// hub is one process of the hub.
type hub struct {
	t         *testing.T
	dir       string
	web, nats string // host:port
	api       *rig.Client
	proc      *rig.Process
}

// newHub starts a hub with a data folder of its own and logs in as its administrator.
func newHub(t *testing.T) *hub {
	t.Helper()
	path, err := hubProgram()
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, dir: t.TempDir()}
	for _, addr := range []*string{&h.web, &h.nats} {
		port, err := rig.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		*addr = fmt.Sprintf("127.0.0.1:%d", port)
	}
	password, file := rand.Text(), filepath.Join(h.dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		t.Fatal(err)
	}
	h.proc = &rig.Process{Name: "hub", Path: path, Log: filepath.Join(h.dir, "hub.log"),
		Args: []string{"serve", "--data", filepath.Join(h.dir, "data"), "--listen", h.web, "--nats-listen", h.nats, "--admin-password-file", file, "--no-auto-train"}}
	if err := h.proc.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.proc.Stop(10 * time.Second)
		if t.Failed() {
			t.Logf("--- hub\n%s", h.proc.Tail())
		}
	})
	h.api = rig.NewClient(h.web, 30*time.Second)
	if err := h.api.WaitReady(t.Context(), 30*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := h.api.Login(t.Context(), "admin", password); err != nil {
		t.Fatal(err)
	}
	return h
}

// enrol gives an agent, which must not run yet, its identity as a device of the hub.
func (h *hub) enrol(a *agent, device string) {
	a.t.Helper()
	token, err := h.api.CreateEnrollToken(a.t.Context(), device, "default", "", 0)
	if err != nil {
		a.t.Fatal(err)
	}
	if out, err := a.command("enroll", "--hub", "http://"+h.web, "--token", token.Token); err != nil {
		a.t.Fatalf("enrol %s: %v\n%s", device, err, out)
	}
}

// command runs a command of the hub with the administrator's token.
func (h *hub) command(args ...string) string {
	path, err := hubProgram()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := exec.Command(path, append(args, "--hub", "http://"+h.web)...)
	cmd.Env = append(os.Environ(), "SKERRY_TOKEN="+h.api.Token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Errorf("skerry-hub %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
