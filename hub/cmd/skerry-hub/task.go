package main

import (
	"context"

	"github.com/spf13/cobra"

	"skerry.dev/hub/client"
	"skerry.dev/hub/meta"
)

func (r *remote) taskCommand() *cobra.Command {
	return group("task", "Tasks that devices run",
		&cobra.Command{
			Use:   "list",
			Short: "List tasks",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				tasks, err := r.client().Tasks(c.Context())
				if err != nil {
					return err
				}
				return list(r, c, tasks,
					column[meta.Task]{"TASK", func(t meta.Task) string { return text(t.Name) }},
					column[meta.Task]{"KIND", func(t meta.Task) string { return text(t.Kind) }},
					column[meta.Task]{"FIRST SEEN", func(t meta.Task) string { return stamp(t.FirstSeen) }},
					column[meta.Task]{"LAST SEEN", func(t meta.Task) string { return stamp(t.LastSeen) }})
			},
		},
		&cobra.Command{
			Use:               "show <name>",
			Short:             "A task, who runs it, its drifts and models",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.taskNames(),
			RunE: func(c *cobra.Command, args []string) error {
				t, err := r.client().Task(c.Context(), args[0])
				if err != nil {
					return err
				}
				return writeJSON(c.OutOrStdout(), t)
			},
		})
}

func (r *remote) taskNames() cobra.CompletionFunc {
	return r.names(func(ctx context.Context, hub *client.Client) ([]string, error) {
		tasks, err := hub.Tasks(ctx)
		return mapped(tasks, err, func(t meta.Task) string { return t.Name })
	})
}
