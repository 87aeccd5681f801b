package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/agent/cache"
	"skerry.dev/agent/device"
	"skerry.dev/agent/service"
	"skerry.dev/compute/ensemble"
	"skerry.dev/configs"
)

func newRunCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the agent until it is interrupted",
		Long:  "Run the agent: read sensors, predict, adapt, keep what must not be lost, and sync with the hub when there is one.\n\nThe service runs this command; it may be run by hand as well.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, settings, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			log := newLogger(cmd.ErrOrStderr(), cfg.Log)
			configs.LogIneffective(log, settings)
			ensemble.SetCompile(cfg.Inference.Compile)
			if set, reason := ensemble.Kernel(); reason != "" {
				log.Warn("instruction set not as requested", "used", set, "reason", reason)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			hangup := make(chan os.Signal, 1) // of logrotate, a service manager, a terminal that is closed
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			n := service.NewNotifier()
			opts := device.Options{
				Config:  cfg,
				Version: configs.ProgramVersion(),
				Log:     log,
				Reload:  hangup,
				Check:   checkInChild,
				Salvage: salvageInChild,
				Heartbeat: func() {
					if err := n.Beat(time.Now()); err != nil {
						log.Warn("watchdog not notified", "err", err)
					}
				},
				Ready: func() {
					if err := n.Ready(); err != nil {
						log.Warn("service manager not notified", "err", err)
					}
				},
			}
			for {
				d, err := device.Open(opts)
				if err != nil {
					return err
				}
				err = errors.Join(d.Run(ctx), d.Close())
				if ctx.Err() != nil || !errors.Is(err, cache.ErrWritable) {
					return err
				}
			}
		},
	}
}

// newLogger writes the program's log as configured.
func newLogger(w io.Writer, c configs.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToLower(c.Level))); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// childLimit bounds the check of a cache, which reads the whole file: slow cards do a megabyte in a
// second.
func childLimit(path string) time.Duration {
	limit := 2 * time.Minute
	if info, err := os.Stat(path); err == nil {
		limit += time.Duration(info.Size()>>20) * time.Second
	}
	return limit
}

// checkInChild looks at a cache file in a process of its own: a badly damaged one can crash
// whoever reads it.
func checkInChild(path string) error { return cache.ChildError(inChild("cache-check", path)) }

func salvageInChild(from, to string) error {
	return cache.ChildError(inChild("cache-salvage", from, to))
}

func inChild(job, path string, more ...string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	limit := childLimit(path)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, self, append([]string{job, path}, more...)...).CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("%s ended after %v: %w", job, limit, err)
	}
	return out, err
}

// newCacheCommands are for the agent itself.
func newCacheCommands() []*cobra.Command {
	return []*cobra.Command{
		{
			Use:    "cache-check FILE",
			Short:  "Read a whole cache file and report damage",
			Hidden: true,
			Args:   cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				err := cache.CheckFile(args[0])
				if errors.Is(err, cache.ErrDamaged) {
					fmt.Fprintln(cmd.ErrOrStderr(), err)
					os.Exit(cache.ExitDamaged)
				}
				return err
			},
		},
		{
			Use:    "cache-salvage FROM TO",
			Short:  "Copy what can be read of a damaged cache file",
			Hidden: true,
			Args:   cobra.ExactArgs(2),
			RunE:   func(_ *cobra.Command, args []string) error { return cache.SalvageFile(args[0], args[1]) },
		},
	}
}
