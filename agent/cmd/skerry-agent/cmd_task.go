package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"skerry.dev/agent/device"
	"skerry.dev/agent/source"
	"skerry.dev/configs/commands"
	"skerry.dev/sync/spec"
)

func newTaskCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "task", Short: "Check and list task files"}
	cmd.AddCommand(newTaskCheckCommand(), newTaskListCommand())
	return cmd
}

func newTaskCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [file …]",
		Short: "Read task files and report every problem at once (default: those of task_dir)",
		RunE: func(cmd *cobra.Command, files []string) error {
			tasks, plan, err := readTasks(cmd, files)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: tasks %d, series %d, topics %s\n", len(tasks), len(plan.Series()), strings.Join(plan.Filters(), ", "))
			return err
		},
	}
}

func newTaskListCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "list", Short: "List the tasks of task_dir", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tasks, _, err := readTasks(cmd, nil)
			if err != nil {
				return err
			}
			type row struct {
				Task    string `json:"task"`
				Kind    string `json:"kind"`
				Target  string `json:"target"`
				Horizon string `json:"horizon,omitempty"`
				Inputs  int    `json:"inputs"`
				File    string `json:"file"`
				Hash    string `json:"hash"`
			}
			rows := make([]row, len(tasks))
			for i, t := range tasks {
				rows[i] = row{
					Task:   t.Name,
					Kind:   string(t.Kind),
					Target: t.Target.Series,
					Inputs: len(t.Inputs),
					File:   t.Path,
					Hash:   t.Hash,
				}
				if t.Horizon() > 0 {
					rows[i].Horizon = t.Horizon().String()
				}
			}
			if asJSON {
				return commands.WriteJSON(cmd.OutOrStdout(), rows)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "TASK\tKIND\tTARGET\tHORIZON\tINPUTS\tFILE")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", r.Task, r.Kind, r.Target, r.Horizon, r.Inputs, r.File)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// readTasks reads the files named, or those of task_dir, and compiles their plan.
func readTasks(cmd *cobra.Command, files []string) ([]*spec.Task, *source.Plan, error) {
	if len(files) == 0 {
		cfg, _, err := loadConfig(cmd)
		if err != nil {
			return nil, nil, err
		}
		return device.LoadTasks(cfg.TaskDir)
	}
	var tasks []*spec.Task
	var errs []error
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t, err := spec.ParseTask(path, f)
		f.Close()
		tasks, errs = append(tasks, t), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	plan, err := source.Compile(tasks)
	return tasks, plan, err
}
