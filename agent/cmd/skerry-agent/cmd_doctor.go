package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/agent/doctor"
)

func newDoctorCommand() *cobra.Command {
	asJSON := false
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check broker, clock, disk, keys, hub and task files, and say what to do",
		Long: `Check broker, clock, disk, keys, hub and task files, and say what to do.

The broker is probed with 1200 small messages on a topic of the agent's own, to find out how many it delivers before they are acknowledged and how many
it keeps for a client that is away. Works without a broker and without a hub. Exit status 1 when something fails.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			brokerTLS, err := cfg.MQTT.TLS()
			if err != nil {
				return err
			}
			client, err := cfg.Hub.Client(timeout)
			if err != nil {
				return err
			}
			results := doctor.Run(cmd.Context(), doctor.Options{
				TaskDir:      cfg.TaskDir,
				StateDir:     cfg.StateDir,
				IdentityDir:  cfg.IdentityDir(),
				Listen:       cfg.HTTP.Listen,
				Broker:       cfg.MQTT.Broker,
				Username:     cfg.MQTT.Username,
				Password:     cfg.MQTT.Password,
				TLS:          brokerTLS,
				CommitAcks:   cfg.Cache.CommitAcks,
				HubURL:       cfg.Hub.URL,
				HTTP:         client,
				MinFreeBytes: int64(cfg.Govern.MinFreeBytes),
				MinFreeShare: cfg.Govern.MinFreeShare,
				Timeout:      timeout,
			})
			write := doctor.WriteTable
			if asJSON {
				write = doctor.WriteJSON
			}
			if err := write(cmd.OutOrStdout(), results); err != nil {
				return err
			}
			if doctor.Failed(results) {
				return errors.New("something fails, see above")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "longest time for one check")
	return cmd
}
