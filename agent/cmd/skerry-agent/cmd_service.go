package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"skerry.dev/agent/service"
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
		dryRun := false
		cmd := &cobra.Command{
			Use: action, Short: about[action], Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if action == "install" {
					if _, _, err := loadConfig(cmd); err != nil {
						return err // a service that cannot start is not installed
					}
				}
				if f := configFile(cmd); f != "" {
					abs, err := filepath.Abs(f)
					if err != nil {
						return err
					}
					c.ConfigFile = abs
				}
				if dryRun {
					unit, err := service.Unit(c)
					if err != nil {
						return err
					}
					_, err = fmt.Fprint(cmd.OutOrStdout(), unit)
					return err
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
			cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the systemd unit and change nothing")
		}
		out = append(out, cmd)
	}
	return out
}
