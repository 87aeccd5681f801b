//go:build unix

package service

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"skerry.dev/configs"
)

// TestProblems tries what keeps an installed service from starting: each is named with what to do.
func TestProblems(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the sandbox is systemd's: run the tests on Linux")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		os.Chmod(d, 0o755) // t.TempDir is closed to others
	}
	good := func() (Config, configs.AgentConfig) {
		os.MkdirAll(filepath.Join(dir, "tasks"), 0o755)
		return Config{Name: "skerry-agent", Exec: write("bin/skerry-agent", 0o755), ConfigFile: write("etc/agent.yaml", 0o644)},
			configs.AgentConfig{TaskDir: filepath.Join(dir, "tasks"), StateDir: "/var/lib/skerry-agent"}
	}
	write("home/anna/skerry-agent", 0o755)
	write("closed/skerry-agent", 0o755)
	os.Chmod(filepath.Join(dir, "closed"), 0o700)
	if err := os.Symlink(filepath.Join(dir, "home/anna/skerry-agent"), filepath.Join(dir, "bin-link")); err != nil {
		t.Fatal(err)
	}
	hidden := map[string]string{filepath.Join(dir, "home"): "ProtectHome"}
	for name, tt := range map[string]struct {
		change   func(*Config, *configs.AgentConfig)
		settings []configs.Setting
		want     string
	}{
		"all is well":          {func(*Config, *configs.AgentConfig) {}, nil, ""},
		"a hidden program":     {func(c *Config, _ *configs.AgentConfig) { c.Exec = filepath.Join(dir, "home/anna/skerry-agent") }, nil, "hidden from the service, which sees another " + filepath.Join(dir, "home") + " (ProtectHome)"},
		"a link to one":        {func(c *Config, _ *configs.AgentConfig) { c.Exec = filepath.Join(dir, "bin-link") }, nil, "hidden from the service"},
		"no program":           {func(c *Config, _ *configs.AgentConfig) { c.Exec = filepath.Join(dir, "gone") }, nil, "does not exist"},
		"a closed folder":      {func(c *Config, _ *configs.AgentConfig) { c.Exec = filepath.Join(dir, "closed/skerry-agent") }, nil, "closed to it"},
		"no execution":         {func(c *Config, _ *configs.AgentConfig) { c.Exec = write("bin/plain", 0o644) }, nil, "the program"},
		"a secret file":        {func(c *Config, _ *configs.AgentConfig) { c.ConfigFile = write("etc/secret.yaml", 0o600) }, nil, "cannot be read by the service's own user: put it into /etc/skerry"},
		"no tasks":             {func(_ *Config, a *configs.AgentConfig) { a.TaskDir = filepath.Join(dir, "no-tasks") }, nil, "task_dir"},
		"a relative folder":    {func(_ *Config, a *configs.AgentConfig) { a.TaskDir = "tasks" }, nil, "no absolute path"},
		"another state":        {func(_ *Config, a *configs.AgentConfig) { a.StateDir = "/data/skerry" }, nil, "may write /var/lib/skerry-agent alone"},
		"a key of the broker":  {func(_ *Config, a *configs.AgentConfig) { a.MQTT.KeyFile = write("etc/key.pem", 0o600) }, nil, "mqtt.key_file"},
		"what is lost at boot": {func(*Config, *configs.AgentConfig) {}, []configs.Setting{{Key: "mqtt.broker", Origin: "flag"}}, "--set mqtt.broker has no effect"},
	} {
		c, cfg := good()
		tt.change(&c, &cfg)
		u, err := userOf("")
		if err != nil {
			t.Fatal(err)
		}
		got := u.problems(c, &cfg, tt.settings, hidden)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	c, cfg := good()
	cfg.TaskDir = filepath.Join(dir, "tasks")
	write("tasks/a.yaml", 0o600)
	u, _ := userOf("")
	if got := u.problems(c, &cfg, nil, hidden); len(got) != 1 || !strings.Contains(got[0], "a.yaml") {
		t.Errorf("a task file that cannot be read: %q", got)
	}
	if _, err := userOf("no-such-user-here"); err == nil || !strings.Contains(err.Error(), "useradd") {
		t.Errorf("an unknown user: %v", err)
	}
}
