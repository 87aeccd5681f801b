package loop

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bin holds the programs under test, built once: static and stripped, as they are shipped.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "skerry-loop-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	// as make build does
	for _, args := range [][]string{append(small(), "-tags", "nethttpomithttp2", "./agent/cmd/skerry-agent"), {"./hub/cmd/skerry-hub", "./test/demo"}} {
		cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", dir + string(filepath.Separator)}, args...)...)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the programs under test: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// small are the flags that keep the agent small, as in the Makefile.
func small() (flags []string) {
	for _, p := range []string{"google.golang.org/protobuf/...", "github.com/prometheus/...", "github.com/spf13/...", "go.yaml.in/...", "github.com/theupdateframework/...",
		"github.com/sigstore/...", "github.com/secure-systems-lab/...", "github.com/shirou/...", "github.com/kardianos/...", "encoding/gob", "text/template/...", "net/http",
		"crypto/x509", "crypto/tls", "github.com/fsnotify/...", "github.com/nats-io/nkeys", "github.com/gorilla/websocket"} {
		flags = append(flags, "-gcflags="+p+"=-l")
	}
	return flags
}
