package service

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestUnit(t *testing.T) {
	text, err := Unit(Config{Exec: "/opt/my tools/skerry-agent", ConfigFile: "/etc/skerry/100%.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`ExecStart="/opt/my tools/skerry-agent" run --config /etc/skerry/100%%.yaml`, "Type=notify", "WatchdogSec=30", "StateDirectory=skerry-agent", "DynamicUser=yes", "Restart=always"} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("unit lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "{{") || strings.Contains(text, "@name@") {
		t.Error("the unit is taken as a template by the installer and must not contain one")
	}
	if text, err = Unit(Config{Exec: "/a", User: "edge"}); err != nil || !strings.Contains(text, "\nUser=edge\n") || strings.Contains(text, "DynamicUser") {
		t.Errorf("fixed user: %v\n%s", err, text)
	}
	if _, err := Unit(Config{Exec: "/a\nExecStartPre=/b"}); err == nil {
		t.Error("a line break in the path was accepted")
	}
}

func TestUnitIsHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed: apt-get install systemd")
	}
	for name, c := range map[string]Config{"dynamic": {Exec: "/bin/true"}, "fixed": {Exec: "/bin/true", User: "daemon"}} {
		text, err := Unit(c)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "skerry-agent.service")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		level, report, err := Security(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s user: exposure %.1f", name, level)
		if level > 2.0 {
			t.Errorf("%s user: exposure %.1f, want at most 2.0\n%s", name, level, report)
		}
		if out, err := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput(); strings.Contains(string(out), "skerry-agent.service:") {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}

func TestNotify(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("systemd's socket is not on Windows: run the tests on Linux")
	}
	path := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "30000000")
	n := NewNotifier()
	now := time.Now()
	for _, f := range []func() error{n.Ready, func() error { return n.Beat(now) }, func() error { return n.Beat(now.Add(time.Second)) },
		func() error { return n.Beat(now.Add(15 * time.Second)) }, func() error { return n.Status("a\nb") }, n.Stopping} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 100)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "STATUS=a b", "STOPPING=1"} {
		l.SetReadDeadline(time.Now().Add(5 * time.Second))
		k, err := l.Read(buf)
		if err != nil || string(buf[:k]) != want {
			t.Fatalf("received %q, %v, want %q", buf[:k], err, want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := NewNotifier().Ready(); err != nil {
		t.Errorf("without systemd Ready = %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	boom := errors.New("boom")
	err := Run(ctx, Config{}, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("Run = %v", err)
	}
}
