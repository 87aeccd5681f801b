package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"skerry.dev/configs/commands"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check the configuration, or show what is in effect and why"}
	cmd.AddCommand(newConfigCheckCommand(), newConfigShowCommand())
	return cmd
}

func newConfigCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Read file and environment and report every problem at once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, _, err := loadConfig(cmd); err != nil {
				return err
			}
			file := configFile(cmd)
			if file == "" {
				file = "no file: defaults and environment"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "ok (%s)\n", file)
			return err
		},
	}
}

func newConfigShowCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print every key, its value and where it comes from; secrets are masked",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, settings, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				type row struct {
					Key    string `json:"key"`
					Value  string `json:"value"`
					Origin string `json:"origin"`
					Env    string `json:"env"`
				}
				rows := make([]row, len(settings))
				for i, s := range settings {
					rows[i] = row{s.Key, s.Value, s.Origin, s.Env}
				}
				return commands.WriteJSON(cmd.OutOrStdout(), rows)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "KEY\tVALUE\tORIGIN\tENVIRONMENT")
			for _, s := range settings {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", s.Key, s.Value, s.Origin, s.Env)
			}
			return t.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
