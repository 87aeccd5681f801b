package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// sensors counts the series of a plan without those of ids.
func sensors(p *source.Plan) (n int) {
	for _, s := range p.Series() {
		if !s.IDs {
			n++
		}
	}
	return n
}

func newTaskCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [file …]",
		Short: "Read task files and report every problem at once (default: those of task_dir)",
		Long: `Read task files and report every problem at once (default: those of task_dir).

With an agent running, it also tells which of its tasks would start learning anew with these files,
and why. Comments, spaces, order, topics, paths and ranges reset nothing.`,
		RunE: func(cmd *cobra.Command, files []string) error {
			tasks, plan, notes, err := readTasks(cmd, files)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "ok: tasks %d, series %d, topics %s\n", len(tasks), sensors(plan), strings.Join(plan.Filters(), ", "))
			for _, note := range notes {
				fmt.Fprintln(w, note)
			}
			for _, t := range tasks {
				if names := t.Captures(); names != nil {
					fmt.Fprintf(w, "task %s is made for each {%s} that its topics match, at most %d\n", t.Name, strings.Join(names, "}, {"), t.MaxDevices)
				}
			}
			cfg, _, err := loadConfig(cmd)
			if err != nil {
				return fmt.Errorf("the task files are good, but not the agent's own, which tells what they would reset: %w", err)
			}
			running, _, err := askAgent(cfg.HTTP.Listen)
			if err != nil {
				_, err = fmt.Fprintf(cmd.ErrOrStderr(), "no agent answers on %s: what these files would reset is not known\n", cfg.HTTP.Listen)
				return err
			}
			for _, line := range resets(tasks, running.State.Tasks, len(files) == 0) {
				fmt.Fprintln(w, line)
			}
			return nil
		},
	}
}

// instances returns the tasks with those in the place of templates that these make for the devices
// that run.
func instances(tasks []*spec.Task, running map[string]spec.ReportedTask) (out []*spec.Task) {
	for _, t := range tasks {
		if t.Captures() == nil {
			out = append(out, t)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(running)) {
			before, err := spec.ParseTask("the agent's", strings.NewReader(running[name].Spec))
			if err != nil || !strings.HasPrefix(name, t.Name+"-") {
				continue
			}
			for i := range before.Inputs {
				values, ok := t.Capture(before.Inputs[i].Topic)
				if !ok {
					continue
				}
				if one, err := t.Instance(name, values); err == nil {
					out = append(out, one)
				}
				break
			}
		}
	}
	return out
}

// resets tells which running tasks would start learning anew with these, or, when they are all there
// are, end.
func resets(tasks []*spec.Task, running map[string]spec.ReportedTask, all bool) (lines []string) {
	kept := map[string]bool{}
	for _, t := range instances(tasks, running) {
		kept[t.Name] = true
		now, ok := running[t.Name]
		if !ok || now.Rows == 0 {
			continue
		}
		before, err := spec.ParseTask("the agent's", strings.NewReader(now.Spec))
		if err != nil {
			lines = append(lines, fmt.Sprintf("task %s: the agent has another form of it, what is reset is not known: %v", t.Name, err))
			continue
		}
		if why := before.Learned().Changes(t); len(why) > 0 {
			lines = append(lines, fmt.Sprintf("task %s will start learning anew (%d rows and %d labels so far): %s", t.Name, now.Rows, now.Labels, strings.Join(why, "; ")))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(running)) {
		if all && !kept[name] {
			lines = append(lines, fmt.Sprintf("task %s is in no file any more and will end: what it has learned (%d rows) is kept for a week, should its file come back", name, running[name].Rows))
		}
	}
	return lines
}

func newTaskListCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "list", Short: "List the tasks of task_dir", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tasks, _, _, err := readTasks(cmd, nil)
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

// readTasks reads the files named, or those of task_dir, as they would run beside each other on this
// device. notes are about series that have other names there.
func readTasks(cmd *cobra.Command, files []string) (tasks []*spec.Task, plan *source.Plan, notes []string, err error) {
	cfg, _, err := loadConfig(cmd)
	if err != nil && len(files) == 0 {
		return nil, nil, nil, err
	}
	state := ""
	if err == nil { // files can be judged without a configuration
		state = cfg.StateDir
	}
	names, doubt := device.ReadNames(state)
	var read []*spec.Task
	if len(files) == 0 {
		read, err = device.LoadTasks(cfg.TaskDir, state)
	} else {
		read, err = parseTasks(files)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	if tasks, plan, err = device.Plan(read, names); err != nil {
		return nil, nil, nil, err
	}
	if notes = names.Notes(read); len(notes) > 0 && doubt != nil {
		notes = append(notes, doubt.Error())
	}
	return tasks, plan, append(notes, device.Odd(read)...), nil
}

func parseTasks(files []string) (tasks []*spec.Task, err error) {
	var errs []error
	for _, path := range files {
		b, err := device.ReadTask(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t, err := spec.ParseTask(path, bytes.NewReader(b))
		tasks, errs = append(tasks, t), append(errs, err)
	}
	return tasks, errors.Join(errs...)
}
