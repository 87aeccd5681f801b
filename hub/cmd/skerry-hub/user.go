package main

import (
	"os"

	"github.com/spf13/cobra"

	"skerry.dev/hub/meta"
)

func (r *remote) userCommand() *cobra.Command {
	var role string
	add := &cobra.Command{
		Use:   "add <name>",
		Short: "Create a user; the password is asked for",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			pw, err := password("Password of " + args[0])
			if err != nil {
				return err
			}
			if err := r.client().CreateUser(c.Context(), args[0], role, pw); err != nil {
				return err
			}
			return r.print(c, map[string]string{"name": args[0], "role": role}, "Created user "+args[0]+" with role "+role)
		},
	}
	add.Flags().StringVar(&role, "role", "viewer", "viewer, operator, engineer or admin")
	passwd := &cobra.Command{
		Use:   "passwd <name>",
		Short: "Set a user's password",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			pw, err := password("New password of " + args[0])
			if err != nil {
				return err
			}
			hub := r.client()
			me, err := hub.Me(c.Context())
			if err != nil {
				return err
			}
			current := ""
			if me.Name == "user/"+args[0] {
				if current = os.Getenv("SKERRY_CURRENT_PASSWORD"); current == "" {
					if current, err = password("Current password"); err != nil {
						return err
					}
				}
			}
			return hub.SetPassword(c.Context(), args[0], pw, current)
		},
	}
	return group("user", "People who may log in", add, passwd,
		&cobra.Command{
			Use:   "list",
			Short: "List users",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				users, err := r.client().Users(c.Context())
				if err != nil {
					return err
				}
				return list(r, c, users,
					column[meta.Account]{"NAME", func(a meta.Account) string { return text(a.Name) }},
					column[meta.Account]{"ROLE", func(a meta.Account) string { return text(a.Role) }},
					column[meta.Account]{"CREATED", func(a meta.Account) string { return stamp(a.CreatedAt) }})
			},
		},
		&cobra.Command{
			Use:   "remove <name>",
			Short: "Remove a user",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.client().RemoveUser(c.Context(), args[0])
			},
		})
}
