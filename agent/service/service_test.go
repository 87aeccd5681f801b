package service

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
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

// TestUnitQuotes holds the words of the command line against systemd's rules: what is read there
// must be what was given here, and expand nothing.
func TestUnitQuotes(t *testing.T) {
	for exec, want := range map[string]string{
		"/usr/bin/skerry-agent": "/usr/bin/skerry-agent run",
		"/opt/a b/agent":        `"/opt/a b/agent" run`,
		`/opt/"x"/agent`:        `"/opt/\"x\"/agent" run`,
		`/opt/a\b`:              `"/opt/a\\b" run`,
		"/opt/$HOME/%h":         "/opt/$$HOME/%%h run",
		"/opt/it's":             `"/opt/it's" run`,
		"/opt/a;b":              `"/opt/a;b" run`,
	} {
		text, err := Unit(Config{Exec: exec})
		if err != nil || !strings.Contains(text, "\nExecStart="+want+"\n") {
			t.Errorf("Unit of %s: %v, want ExecStart=%s in\n%s", exec, err, want, text)
		}
	}
}

// TestUnitNames: another name is that of the state directory and of the dynamic user as well, and
// what would end a line is refused by the name of its field.
func TestUnitNames(t *testing.T) {
	text, err := Unit(Config{Name: "edge-2", Exec: "/a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"User=edge-2", "DynamicUser=yes", "StateDirectory=edge-2"} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("the unit of edge-2 lacks %s", want)
		}
	}
	if strings.Contains(text, "--config") {
		t.Error("the unit has --config without a file")
	}
	for what, c := range map[string]Config{
		"name":               {Name: "a\nb"},
		"user":               {User: "edge\rroot"},
		"program path":       {Exec: "/a\x00"},
		"configuration path": {Exec: "/a", ConfigFile: "/c\nUser=root"},
	} {
		if _, err := Unit(c); err == nil || !strings.Contains(err.Error(), "service "+what) || !strings.Contains(err.Error(), "must not contain line breaks") {
			t.Errorf("Unit with a line break in its %s = %v", what, err)
		}
		if err := Control("install", c); err == nil || !strings.Contains(err.Error(), "must not contain line breaks") {
			t.Errorf("Control with a line break in its %s = %v", what, err)
		}
		if state, err := State(c); err == nil || state != "unknown" {
			t.Errorf("State with a line break in its %s = %q, %v", what, state, err)
		}
	}
	if text, err = Unit(Config{}); err != nil || !strings.Contains(text, "ExecStart=") || strings.Contains(text, "ExecStart= ") {
		t.Errorf("Unit without a program = %v, want this one", err)
	}
}

// TestWatchdog holds when Beat sends: twice per watchdog time, never without one, and never for
// another process.
func TestWatchdog(t *testing.T) {
	for name, tt := range map[string]struct {
		usec, pid string
		want      time.Duration
	}{
		"for this process":    {"20000000", strconv.Itoa(os.Getpid()), 10 * time.Second},
		"for any":             {"20000000", "", 10 * time.Second},
		"for another process": {"20000000", "1", 0},
		"none":                {"", "", 0},
		"no number":           {"soon", "", 0},
		"negative":            {"-5", "", 0},
	} {
		t.Setenv("NOTIFY_SOCKET", "")
		t.Setenv("WATCHDOG_USEC", tt.usec)
		t.Setenv("WATCHDOG_PID", tt.pid)
		if got := NewNotifier().every; got != tt.want {
			t.Errorf("%s: beats every %v, want %v", name, got, tt.want)
		}
	}
}

// TestNotifyWithoutAnEnd: when nobody listens where NOTIFY_SOCKET points, every message says so.
func TestNotifyWithoutAnEnd(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("systemd's socket is not on Windows: run the tests on Linux")
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	t.Setenv("WATCHDOG_USEC", "1000000")
	t.Setenv("WATCHDOG_PID", "")
	n := NewNotifier()
	for name, f := range map[string]func() error{"Ready": n.Ready, "Stopping": n.Stopping, "Status": func() error { return n.Status("x") }, "Beat": func() error { return n.Beat(time.Now()) }} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "notify systemd") {
			t.Errorf("%s = %v, want an error of systemd's socket", name, err)
		}
	}
}
