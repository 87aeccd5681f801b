package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/hub/api"
	"skerry.dev/hub/client"
	"skerry.dev/hub/meta"
	"skerry.dev/sync/spec"
)

func (r *remote) taskCommand() *cobra.Command {
	return group("task", "Tasks: what the hub trains, and which devices run it",
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
					column[meta.Task]{"DEFINED BY", func(t meta.Task) string { return text(t.Source) }},
					column[meta.Task]{"FIRST SEEN", func(t meta.Task) string { return stamp(t.FirstSeen) }},
					column[meta.Task]{"LAST SEEN", func(t meta.Task) string { return stamp(t.LastSeen) }})
			},
		},
		r.showTask(), r.setTask(),
		&cobra.Command{
			Use:   "remove <name>",
			Short: "End a task at the hub; its models and data stay",
			Long: "The task is trained and rolled out no more. A device that still has the task file goes on with it by itself and does not bring the task back; " +
				"its page and its alarms say so. Bring it back with: skerry-hub task set",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.taskNames(),
			RunE: func(c *cobra.Command, args []string) error {
				if err := r.client().RemoveTask(c.Context(), args[0]); err != nil {
					return err
				}
				return r.print(c, map[string]string{"removed": args[0]}, "Removed task "+args[0])
			},
		})
}

func (r *remote) showTask() *cobra.Command {
	return &cobra.Command{
		Use:               "show <name>",
		Short:             "A task, who runs it, its drifts and models",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.taskNames(),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := r.client().Task(c.Context(), args[0])
			if err != nil {
				return err
			}
			if r.json {
				return writeJSON(c.OutOrStdout(), t)
			}
			printTask(c.OutOrStdout(), &t)
			return nil
		},
	}
}

// printTask prints a task for people; what does not agree with the definition comes last, where it
// is seen.
func printTask(w io.Writer, t *api.TaskDetail) {
	champion := "none yet: devices predict by their baselines"
	for _, m := range t.Models {
		if m.Digest == t.Champion {
			champion = m.Name
		}
	}
	fmt.Fprintf(w, "task        %s\nkind        %s\ndefined by  %s (version %d)\n", text(t.Name), text(t.Kind), text(t.Source), t.Version)
	fmt.Fprintf(w, "first seen  %s\nlast seen   %s\n", stamp(t.FirstSeen), stamp(t.LastSeen))
	fmt.Fprintf(w, "devices     %d: %s\n", len(t.Devices), text(strings.Join(t.Devices, ", ")))
	fmt.Fprintf(w, "champion    %s\nmodels      %d\n", champion, len(t.Models))
	if n, c := t.Recent.Labels, t.Recent.Classes; n > 0 && c != nil {
		e, base := c.Texts()
		fmt.Fprintf(w, "error       %s over the newest %d truths, baseline %s, sets of %.1f classes cover %.1f %%\n", e, n, base, c.SetSize, 100*float64(t.Recent.Coverage))
	} else if n > 0 {
		fmt.Fprintf(w, "error       %.4g over the newest %d truths, last value %.4g, coverage %.1f %%\n", float64(t.Recent.MAE), n, float64(t.Recent.MAEPersistence), 100*float64(t.Recent.Coverage))
	}
	if len(t.Drifts) > 0 {
		fmt.Fprintf(w, "drifts      %d, the newest at %s on %s\n", len(t.Drifts), stamp(t.Drifts[0].Time), text(t.Drifts[0].Device))
	}
	fmt.Fprintf(w, "\n%s\n", strings.TrimRight(t.Spec, "\n"))
	for _, d := range t.Differing {
		fmt.Fprintf(w, "\nDIFFERS: device %s runs another file under this name (seen %s). It gets no models of this task.\n", text(d.Device), stamp(d.LastSeen))
		fmt.Fprintf(w, "  make it the definition with: skerry-hub task set %s --from %s\n\n", text(t.Name), text(d.Device))
		file := d.Spec
		if file == "" {
			file = "(the device has not reported its text)"
		}
		fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(strings.TrimRight(file, "\n"), "\n", "\n  "))
	}
}

func (r *remote) setTask() *cobra.Command {
	var file, device string
	c := &cobra.Command{
		Use:   "set <name> (--file <task.yaml> | --from <device>)",
		Short: "Define a task by a task file",
		Long: "The definition is what the hub trains by. The first device that reports a task defines it; from then on other devices cannot change it. " +
			"What is set here is replaced by no device at all.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.taskNames(),
		Example:           "  skerry-hub task set pm25-next-hour --file pm25.yaml\n  skerry-hub task set pm25-next-hour --from station-3",
		RunE: func(c *cobra.Command, args []string) error {
			text := ""
			if file != "" {
				f, err := os.Open(file)
				if err != nil {
					return err
				}
				defer f.Close()
				b, err := io.ReadAll(io.LimitReader(f, spec.MaxTaskBytes+1))
				if err != nil {
					return err
				}
				text = string(b)
			}
			t, err := r.client().SetTask(c.Context(), args[0], text, device)
			if err != nil {
				return err
			}
			return r.print(c, t, fmt.Sprintf("Task %s is at version %d: %d devices run it, %d differ", args[0], t.Version, len(t.Devices), len(t.Differing)))
		},
	}
	c.Flags().StringVar(&file, "file", "", "task file")
	c.Flags().StringVar(&device, "from", "", "device whose reported task file to take")
	c.MarkFlagsOneRequired("file", "from")
	c.MarkFlagsMutuallyExclusive("file", "from")
	return c
}

func (r *remote) taskNames() cobra.CompletionFunc {
	return r.names(func(ctx context.Context, hub *client.Client) ([]string, error) {
		tasks, err := hub.Tasks(ctx)
		return mapped(tasks, err, func(t meta.Task) string { return t.Name })
	})
}
