package service

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	kservice "github.com/kardianos/service"

	"skerry.dev/configs"
)

// hidden are the folders that the unit's sandbox hides or replaces by empty ones.
var hidden = map[string]string{
	"/home":     "ProtectHome",
	"/root":     "ProtectHome",
	"/run/user": "ProtectHome",
	"/tmp":      "PrivateTmp",
	"/var/tmp":  "PrivateTmp",
}

// Manager returns the service manager of this machine, such as linux-systemd.
func Manager() string { return kservice.Platform() }

// Sandboxed reports whether the service manager of this machine takes the unit, and with it the
// sandbox: on Linux a running systemd.
func Sandboxed() bool { return Manager() == "linux-systemd" }

// Problems lists what would keep the installed service from starting or working, each with what to
// do: nothing is written while there is one. settings are those that cfg was loaded with.
func Problems(c Config, cfg *configs.AgentConfig, settings []configs.Setting) ([]string, error) {
	if err := c.defaults(); err != nil {
		return nil, err
	}
	if runtime.GOOS != "linux" {
		return nil, nil
	}
	u, err := userOf(c.User)
	if err != nil {
		return nil, err
	}
	return u.problems(c, cfg, settings, hidden), nil
}

// problems lists them for one user and the folders that a sandbox hides.
func (u *account) problems(c Config, cfg *configs.AgentConfig, settings []configs.Setting, hidden map[string]string) []string {
	var out []string
	add := func(what, path string, need fs.FileMode, remedy string) {
		if reason := u.unreachable(path, need, hidden); reason != "" {
			out = append(out, fmt.Sprintf("%s %s %s: %s", what, path, reason, remedy))
		}
	}
	add("the program", c.Exec, 5, "install it first (sudo install -m 755 "+c.Exec+" /usr/local/bin/), and run install from there")
	if c.ConfigFile != "" {
		add("the configuration", c.ConfigFile, 4, "put it into /etc/skerry at mode 0644, and secrets into /etc/skerry/agent.env (0600), which systemd reads as root")
	}
	add("task_dir", cfg.TaskDir, 5, "create it with the task files, as /etc/skerry/tasks at mode 0755")
	if entries, err := os.ReadDir(cfg.TaskDir); err == nil {
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".yaml") {
				add("the task file", filepath.Join(cfg.TaskDir, e.Name()), 4, "give it mode 0644")
			}
		}
	}
	for _, f := range []struct{ key, path string }{
		{"mqtt.ca_file", cfg.MQTT.CAFile}, {"mqtt.cert_file", cfg.MQTT.CertFile}, {"mqtt.key_file", cfg.MQTT.KeyFile}, {"hub.ca_file", cfg.Hub.CAFile},
	} {
		if f.path != "" {
			add(f.key, f.path, 4, "put it into /etc/skerry, readable by the service")
		}
	}
	if own := "/var/lib/" + c.Name; filepath.Clean(cfg.StateDir) != own {
		out = append(out, fmt.Sprintf("state_dir %s cannot be written: the service may write %s alone: set state_dir to it (a link there may lead to another disk)", cfg.StateDir, own))
	}
	for _, s := range settings {
		if s.Origin == "flag" {
			out = append(out, fmt.Sprintf("--set %s has no effect on the service: write it into the configuration", s.Key))
		}
	}
	return out
}

// unreachable explains why a file cannot be used from within the service, "" when it can. need is
// what one class of users has to have, as the last digit of a mode.
func (u *account) unreachable(path string, need fs.FileMode, hidden map[string]string) string {
	if !filepath.IsAbs(path) {
		return "is no absolute path, and the service runs in another folder"
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		if os.IsNotExist(err) {
			return "does not exist"
		}
		return "cannot be looked at (" + err.Error() + ")"
	}
	for _, p := range []string{filepath.Clean(path), real} {
		for dir, why := range hidden {
			if strings.HasPrefix(p+"/", dir+"/") {
				return fmt.Sprintf("is hidden from the service, which sees another %s (%s)", dir, why)
			}
		}
	}
	for dir := filepath.Dir(real); ; dir = filepath.Dir(dir) {
		if !u.may(dir, 1) {
			return fmt.Sprintf("cannot be reached by %s: %s is closed to it", u.name, dir)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if !u.may(real, need) {
		return "cannot be read by " + u.name
	}
	return ""
}
