package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/agent/service"
	"skerry.dev/configs"
)

// newServiceCommands returns install, uninstall, start, stop and restart.
func newServiceCommands() []*cobra.Command {
	about := map[string]string{
		"install":   "Install the agent as a service of this machine and have it started at boot",
		"uninstall": "Remove the service; readings, keys and models stay",
		"start":     "Start the installed service",
		"stop":      "Stop the installed service",
		"restart":   "Restart the installed service",
	}
	var out []*cobra.Command
	for _, action := range service.Actions {
		var c service.Config
		dryRun, unsandboxed := false, false
		cmd := &cobra.Command{
			Use: action, Short: about[action], Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if f := configFile(cmd); f != "" {
					abs, err := filepath.Abs(f)
					if err != nil {
						return err
					}
					c.ConfigFile = abs
				}
				if action == "install" {
					cfg, settings, err := loadConfig(cmd)
					if err != nil {
						return err
					}
					err = checkInstall(c, cfg, settings, unsandboxed)
					if dryRun {
						if err != nil {
							fmt.Fprintf(cmd.ErrOrStderr(), "install refuses this here:\n  %v\n", err)
						}
						return printInstall(cmd, c)
					}
					if err != nil {
						return fmt.Errorf("not installed, nothing was written:\n  %w", err)
					}
				}
				if err := service.Control(action, c); err != nil {
					return err
				}
				done := map[string]string{"install": "installed; skerry-agent start starts it now", "uninstall": "removed", "start": "started", "stop": "stopped", "restart": "restarted"}
				_, err := fmt.Fprintln(cmd.OutOrStdout(), done[action])
				return err
			},
		}
		cmd.Flags().StringVar(&c.Name, "name", "", "name of the service (default skerry-agent)")
		if action == "install" {
			cmd.Flags().StringVar(&c.User, "user", "", "run as this user (default: a user made for the service at every start)")
			cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be installed, check it and change nothing")
			cmd.Flags().BoolVar(&unsandboxed, "unsandboxed", false, "install also where the service manager is not systemd (OpenRC, SysV): without sandbox and watchdog")
		}
		out = append(out, cmd)
	}
	return out
}

// checkInstall returns everything that would keep the installed service from starting: a service
// that cannot start is not installed.
func checkInstall(c service.Config, cfg *configs.AgentConfig, settings []configs.Setting, unsandboxed bool) error {
	problems, err := service.Problems(c, cfg, settings)
	if err != nil {
		return err
	}
	if !service.Sandboxed() {
		if runtime.GOOS == "linux" && !unsandboxed {
			problems = []string{"systemd does not run here (the service manager is " + service.Manager() + "): install on a machine where it runs, run skerry-agent run under what starts programs here, or accept a service without sandbox and watchdog by --unsandboxed"}
		} else {
			problems = nil // those of the sandbox
		}
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n  "))
	}
	return nil
}

// printInstall prints what install writes.
func printInstall(cmd *cobra.Command, c service.Config) error {
	if service.Sandboxed() || runtime.GOOS == "linux" && !cmd.Flags().Changed("unsandboxed") {
		unit, err := service.Unit(c)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(cmd.OutOrStdout(), unit)
		return err
	}
	command, err := service.Command(c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "service manager: %s, which has no sandbox and no watchdog\ncommand: %s\n", service.Manager(), command)
	return err
}
