package main

import (
	"github.com/spf13/cobra"

	"skerry.dev/hub/meta"
)

func (r *remote) tokenCommand() *cobra.Command {
	var site, cohort, role string
	var minutes, days int
	device := &cobra.Command{
		Use:   "device <name>",
		Short: "Create a one-time token that enrols a device",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			out, err := r.client().CreateEnrollToken(c.Context(), args[0], site, cohort, minutes)
			if err != nil {
				return err
			}
			return r.print(c, out, out.Token)
		},
	}
	device.Flags().StringVar(&site, "site", "default", "site of the device")
	device.Flags().StringVar(&cohort, "cohort", "", "cohort of the device")
	device.Flags().IntVar(&minutes, "minutes", 0, "life of the token in minutes (default an hour)")
	apiToken := &cobra.Command{
		Use:   "api <name>",
		Short: "Create an API token for a program",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			out, err := r.client().CreateAPIToken(c.Context(), args[0], role, days)
			if err != nil {
				return err
			}
			return r.print(c, out, out.Token)
		},
	}
	apiToken.Flags().StringVar(&role, "role", "viewer", "viewer, operator, engineer or admin")
	apiToken.Flags().IntVar(&days, "days", 0, "life of the token in days (default a year)")
	return group("token", "Tokens of devices and programs", device, apiToken,
		&cobra.Command{
			Use:   "list",
			Short: "List API tokens",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				tokens, err := r.client().APITokens(c.Context())
				if err != nil {
					return err
				}
				return list(r, c, tokens,
					column[meta.APIToken]{"ID", func(t meta.APIToken) string { return text(t.ID) }},
					column[meta.APIToken]{"NAME", func(t meta.APIToken) string { return text(t.Name) }},
					column[meta.APIToken]{"ROLE", func(t meta.APIToken) string { return text(t.Role) }},
					column[meta.APIToken]{"EXPIRES", func(t meta.APIToken) string { return stamp(t.ExpiresAt) }},
					column[meta.APIToken]{"REVOKED", func(t meta.APIToken) string { return stamp(t.RevokedAt) }})
			},
		},
		&cobra.Command{
			Use:   "list-devices",
			Short: "List enrolment tokens",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				tokens, err := r.client().EnrollTokens(c.Context())
				if err != nil {
					return err
				}
				return list(r, c, tokens,
					column[meta.EnrollToken]{"ID", func(t meta.EnrollToken) string { return text(t.ID) }},
					column[meta.EnrollToken]{"DEVICE", func(t meta.EnrollToken) string { return text(t.Device) }},
					column[meta.EnrollToken]{"SITE", func(t meta.EnrollToken) string { return text(t.Site) }},
					column[meta.EnrollToken]{"EXPIRES", func(t meta.EnrollToken) string { return stamp(t.ExpiresAt) }},
					column[meta.EnrollToken]{"USED", func(t meta.EnrollToken) string { return stamp(t.UsedAt) }})
			},
		},
		&cobra.Command{
			Use:   "revoke <id>",
			Short: "Revoke an API token",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.client().RevokeAPIToken(c.Context(), args[0])
			},
		})
}
