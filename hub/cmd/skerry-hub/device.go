package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"skerry.dev/hub/api"
	"skerry.dev/hub/client"
)

var deviceColumns = []column[api.DeviceState]{
	{"DEVICE", func(d api.DeviceState) string { return text(d.Name) }},
	{"SITE", func(d api.DeviceState) string { return text(d.Site) }},
	{"COHORT", func(d api.DeviceState) string { return text(d.Cohort) }},
	{"CLASS", func(d api.DeviceState) string { return text(d.Class) }},
	{"VERSION", func(d api.DeviceState) string { return text(d.Version) }},
	{"LINK", func(d api.DeviceState) string { return yesNo(d.Connected) }},
	{"HEALTH", func(d api.DeviceState) string { return text(d.Health) }},
	{"PENDING", func(d api.DeviceState) string {
		if d.Outbox == nil {
			return "-"
		}
		return fmt.Sprint(d.Outbox.PendingRecords)
	}},
	{"SUSPECT", func(d api.DeviceState) string { return text(d.Suspect) }},
	{"SEEN", func(d api.DeviceState) string { return stamp(d.SeenAt) }},
}

func (r *remote) deviceNames() cobra.CompletionFunc {
	return r.names(func(ctx context.Context, hub *client.Client) ([]string, error) {
		devices, err := hub.Devices(ctx)
		return mapped(devices, err, func(d api.DeviceState) string { return d.Name })
	})
}

func (r *remote) deviceCommand() *cobra.Command {
	return group("device", "Devices of the fleet",
		&cobra.Command{
			Use:   "list",
			Short: "List devices",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				devices, err := r.client().Devices(c.Context())
				if err != nil {
					return err
				}
				return list(r, c, devices, deviceColumns...)
			},
		},
		&cobra.Command{
			Use:               "show <name>",
			Short:             "Everything about a device",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.deviceNames(),
			RunE: func(c *cobra.Command, args []string) error {
				d, err := r.client().Device(c.Context(), args[0])
				if err != nil {
					return err
				}
				return writeJSON(c.OutOrStdout(), d)
			},
		},
		&cobra.Command{
			Use:   "revoke <name>",
			Short: "Void a device's credential and close its connection",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.client().RevokeDevice(c.Context(), args[0])
			},
		},
		&cobra.Command{
			Use:   "clear-suspect <name>",
			Short: "Decide that a suspect device is the only one of its name",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.client().ClearSuspect(c.Context(), args[0])
			},
		})
}
