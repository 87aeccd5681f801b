// Command skerry-agent is the edge program: it predicts beside the sensors and syncs with the
// hub. Each command has a file cmd_<name>.go; nothing else is here.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/configs"
	"skerry.dev/configs/commands"
)

// defaultConfig is read when no other file is named and it is there.
const defaultConfig = "/etc/skerry/agent.yaml"

func main() {
	if err := newRoot().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "skerry-agent:", err)
		os.Exit(1)
	}
}

// newRoot returns the whole command tree.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "skerry-agent",
		Short:         "Predict beside the sensors and sync with the hub",
		Version:       configs.ProgramVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().String("config", "", "configuration file (default "+defaultConfig+" when it is there; SKERRY_CONFIG)")
	root.PersistentFlags().StringArray("set", nil, "set one key, before environment and file: --set mqtt.broker=tcp://10.0.0.2:1883")
	root.AddCommand(newRunCommand(), newEnrollCommand(), newStatusCommand(), newDoctorCommand(), newConfigCommand(), newTaskCommand(), newTopicsCommand(), newVersionCommand())
	root.AddCommand(newReplayCommand(), newPredictCommand(), newDriftCommand(), newAnomalyCommand(), newBenchCommand())
	root.AddCommand(newServiceCommands()...)
	root.AddCommand(newCacheCommands()...)
	return commands.Strict(root)
}

// configFile returns the configuration file in effect, "" for none.
func configFile(cmd *cobra.Command) string {
	if f, _ := cmd.Flags().GetString("config"); f != "" {
		return f
	}
	if f := os.Getenv("SKERRY_CONFIG"); f != "" {
		return f
	}
	if _, err := os.Stat(defaultConfig); err == nil {
		return defaultConfig
	}
	return ""
}

// loadConfig loads the agent's configuration by the flags every command has.
func loadConfig(cmd *cobra.Command) (*configs.AgentConfig, []configs.Setting, error) {
	sets, _ := cmd.Flags().GetStringArray("set")
	flags := map[string]string{}
	for _, s := range sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, nil, fmt.Errorf("--set %q: must be key=value", s)
		}
		flags[key] = value
	}
	return configs.Agent(configs.Sources{File: configFile(cmd), Environ: os.Environ(), Flags: flags})
}
