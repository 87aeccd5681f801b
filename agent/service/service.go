package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	kservice "github.com/kardianos/service"
)

// Config describes how the service is run.
type Config struct {
	Name       string // of the service, default "skerry-agent"
	Exec       string // absolute path of the program, default this one
	ConfigFile string // passed as --config, "" for none
	User       string // a fixed user; default: a dynamic user of the service's name
}

func (c *Config) defaults() error {
	if c.Name == "" {
		c.Name = "skerry-agent"
	}
	if c.Exec == "" {
		exe, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find own program: %w", err)
		}
		c.Exec = exe
	}
	for what, s := range map[string]string{"name": c.Name, "user": c.User, "program path": c.Exec, "configuration path": c.ConfigFile} {
		if strings.ContainsAny(s, "\n\r\x00") {
			return fmt.Errorf("service %s %q: must not contain line breaks", what, s)
		}
	}
	return nil
}

func (c *Config) args() []string {
	args := []string{"run"}
	if c.ConfigFile != "" {
		args = append(args, "--config", c.ConfigFile)
	}
	return args
}

// Unit returns the systemd unit of the service.
func Unit(c Config) (string, error) {
	if err := c.defaults(); err != nil {
		return "", err
	}
	command, err := Command(c)
	if err != nil {
		return "", err
	}
	user := "DynamicUser=yes\nUser=" + c.Name
	if c.User != "" {
		user = "User=" + c.User
	}
	return strings.NewReplacer("@name@", c.Name, "@command@", command, "@user@", user).Replace(unit), nil
}

// Command returns the command line of the service, as systemd reads it.
func Command(c Config) (string, error) {
	if err := c.defaults(); err != nil {
		return "", err
	}
	command := quote(c.Exec)
	for _, a := range c.args() {
		command += " " + quote(a)
	}
	return command, nil
}

// quote writes one word of a command line for systemd: no specifier or variable is expanded.
func quote(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s)
	if s == "" || strings.ContainsAny(s, " \t'\"\\;") {
		return `"` + s + `"`
	}
	return s
}

// What is left open has a reason: the network (broker, hub), Unix sockets (the service
// manager's), and the state directory. Memory that is written and then executed is never needed.
const unit = `[Unit]
Description=Skerry edge agent: predicts beside the sensors and syncs with the hub
Wants=network-online.target
After=network-online.target mosquitto.service time-sync.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=@command@
WatchdogSec=30
TimeoutStartSec=120
TimeoutStopSec=30
Restart=always
RestartSec=2
@user@
StateDirectory=@name@
StateDirectoryMode=0700
EnvironmentFile=-/etc/skerry/agent.env
UMask=0077
LimitNOFILE=4096
OOMPolicy=stop
OOMScoreAdjust=-200

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
DevicePolicy=closed
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
`

func (c *Config) kardianos() (kservice.Service, error) {
	if err := c.defaults(); err != nil {
		return nil, err
	}
	text, err := Unit(*c)
	if err != nil {
		return nil, err
	}
	conf := &kservice.Config{
		Name:        c.Name,
		DisplayName: "Skerry agent",
		Description: "Predicts beside the sensors and syncs with the hub",
		Executable:  c.Exec,
		Arguments:   c.args(),
		Option:      kservice.KeyValue{"SystemdScript": text, "OnFailure": "restart", "OnFailureDelayDuration": "2s", "KeepAlive": true, "RunAtLoad": true, "DelayedAutoStart": false},
	}
	if runtime.GOOS != "linux" {
		conf.UserName = c.User
	}
	return kservice.New(&program{}, conf)
}

// Actions are what Control understands.
var Actions = []string{"install", "uninstall", "start", "stop", "restart"}

// Control does one of the Actions. Install does not start the service.
func Control(action string, c Config) error {
	s, err := c.kardianos()
	if err != nil {
		return fmt.Errorf("%s service: %w", action, err)
	}
	if err := kservice.Control(s, action); err != nil {
		hint := ""
		if runtime.GOOS != "windows" && os.Geteuid() != 0 {
			hint = " (services of the machine are managed by root: try sudo)"
		}
		return fmt.Errorf("%s service %s under %s: %w%s", action, c.Name, s.Platform(), err, hint)
	}
	return nil
}

// State is what the service manager reports: running, stopped, not installed or unknown.
func State(c Config) (string, error) {
	s, err := c.kardianos()
	if err != nil {
		return "unknown", err
	}
	st, err := s.Status()
	switch {
	case errors.Is(err, kservice.ErrNotInstalled):
		return "not installed", nil
	case err != nil:
		return "unknown", err
	case st == kservice.StatusRunning:
		return "running", nil
	case st == kservice.StatusStopped:
		return "stopped", nil
	}
	return "unknown", nil
}

// Run calls run with a context that ends when the service manager, or a signal on a terminal,
// requires the program to stop.
func Run(ctx context.Context, c Config, run func(context.Context) error) error {
	if runtime.GOOS != "windows" || kservice.Interactive() {
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		return run(ctx)
	}
	if err := c.defaults(); err != nil {
		return err
	}
	p := &program{ctx: ctx, run: run, done: make(chan error, 1)}
	s, err := kservice.New(p, &kservice.Config{Name: c.Name})
	if err != nil {
		return fmt.Errorf("run as a service: %w", err)
	}
	if err := s.Run(); err != nil {
		return fmt.Errorf("run as a service: %w", err)
	}
	return p.err
}

// program is what the Windows service manager starts and stops.
type program struct {
	ctx    context.Context // lives as long as the service
	run    func(context.Context) error
	cancel context.CancelFunc
	done   chan error
	err    error
}

// Start must not block.
func (p *program) Start(s kservice.Service) error {
	if p.run == nil {
		return nil
	}
	ctx, cancel := context.WithCancel(p.ctx)
	p.cancel = cancel
	go func() {
		err := p.run(ctx)
		p.done <- err
		if err != nil && ctx.Err() == nil {
			os.Exit(1) // the manager restarts what failed, not what ended
		}
	}()
	return nil
}

// Stop waits for the program to end.
func (p *program) Stop(kservice.Service) error {
	if p.cancel == nil {
		return nil
	}
	p.cancel()
	p.err = <-p.done
	return nil
}

// Security runs systemd-analyze over a unit file and returns the exposure level, 0 (best) to 10.
func Security(ctx context.Context, unitFile string) (level float64, report string, err error) {
	out, err := exec.CommandContext(ctx, "systemd-analyze", "security", "--offline=true", "--no-pager", unitFile).CombinedOutput()
	report = string(out)
	_, rest, ok := strings.Cut(report, "Overall exposure level for ")
	if !ok {
		return 0, report, fmt.Errorf("systemd-analyze security %s: %w: %s", unitFile, errors.Join(err, errors.New("no level in its answer")), report)
	}
	_, rest, _ = strings.Cut(rest, ": ")
	word, _, _ := strings.Cut(rest, " ")
	level, err = strconv.ParseFloat(word, 64)
	return level, report, err
}
