package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/interchange"
	"skerry.dev/configs/commands"
	"skerry.dev/hub/api"
	"skerry.dev/hub/client"
)

// onModel is a command that does something with one model.
func (r *remote) onModel(name, short string, do func(ctx context.Context, hub *client.Client, digest string) error) *cobra.Command {
	return &cobra.Command{
		Use:               name + " <digest | task@version>",
		Short:             short,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.modelNames(),
		RunE: func(c *cobra.Command, args []string) error {
			hub := r.client()
			m, err := hub.FindModel(c.Context(), args[0])
			if err != nil {
				return err
			}
			return do(c.Context(), hub, m.Digest)
		},
	}
}

func (r *remote) modelCommand() *cobra.Command {
	var task, reason string
	list := &cobra.Command{
		Use:   "list",
		Short: "List models",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			models, err := r.client().Models(c.Context(), task)
			if err != nil {
				return err
			}
			return list(r, c, models,
				column[api.Model]{"MODEL", func(m api.Model) string { return text(m.Name) }},
				column[api.Model]{"STATE", func(m api.Model) string { return text(m.State) }},
				column[api.Model]{"KIND", func(m api.Model) string { return text(m.Kind) }},
				column[api.Model]{"BYTES", func(m api.Model) string { return fmt.Sprint(m.Size) }},
				column[api.Model]{"DIGEST", func(m api.Model) string { return text(m.Digest) }},
				column[api.Model]{"CREATED", func(m api.Model) string { return stamp(m.CreatedAt) }})
		},
	}
	list.Flags().StringVar(&task, "task", "", "models of one task")
	withReason := func(c *cobra.Command) *cobra.Command {
		c.Flags().StringVar(&reason, "reason", "", "why")
		_ = c.MarkFlagRequired("reason") // the flag exists
		return c
	}
	tomb := withReason(r.onModel("tombstone", "Forbid a model everywhere",
		func(ctx context.Context, hub *client.Client, digest string) error {
			return hub.Tombstone(ctx, digest, reason)
		}))
	lift := withReason(r.onModel("lift", "Allow a forbidden model again; it can be rolled out anew",
		func(ctx context.Context, hub *client.Client, digest string) error {
			return hub.Lift(ctx, digest, reason)
		}))
	var cohort string
	promote := r.onModel("promote", "Make a model the champion without a rollout",
		func(ctx context.Context, hub *client.Client, digest string) error {
			return hub.Promote(ctx, digest, cohort)
		})
	promote.Long = "Inference at the hub uses it from now on, and training is judged against it. Devices keep what they run: a rollout brings it to them."
	promote.Flags().StringVar(&cohort, "cohort", "", "of this cohort alone")
	return group("model", "Models of the registry", list, tomb, lift, promote,
		&cobra.Command{
			Use:               "show <digest | task@version>",
			Short:             "A model and what it came from",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.modelNames(),
			RunE: func(c *cobra.Command, args []string) error {
				hub := r.client()
				m, err := hub.FindModel(c.Context(), args[0])
				if err != nil {
					return err
				}
				l, err := hub.Lineage(c.Context(), m.Digest)
				if err != nil {
					return err
				}
				if r.json {
					return writeJSON(c.OutOrStdout(), l)
				}
				return writeModel(c.OutOrStdout(), l)
			},
		})
}

// writeModel prints a model and what it came from for people.
func writeModel(w io.Writer, l api.Lineage) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	m := l.Model
	fmt.Fprintf(t, "model\t%s\ntask\t%s\nkind\t%s\npredicts\t%s\nstate\t%s\n", m.Name, m.Task, text(m.Kind), text(m.Target), text(m.State))
	if m.TombstonedAt > 0 {
		fmt.Fprintf(t, "forbidden\t%s: %s\n", stamp(m.TombstonedAt), text(m.Tombstone))
	}
	if m.RemovedAt > 0 {
		fmt.Fprintf(t, "artifact\tno longer kept since %s (keep.models): upload it again to use it\n", stamp(m.RemovedAt))
	}
	fmt.Fprintf(t, "size\t%s\ndigest\t%s\ncreated\t%s by %s\n", size(m.Size), m.Digest, stamp(m.CreatedAt), text(m.CreatedBy))
	if j := l.Job; j != nil {
		fmt.Fprintf(t, "trained by\t%s, %s", j.ID, j.State)
		if j.StartedAt > 0 && j.FinishedAt > j.StartedAt {
			fmt.Fprintf(t, " in %s", span(time.Duration(j.FinishedAt-j.StartedAt)*time.Microsecond))
		}
		fmt.Fprintln(t)
	}
	for i, p := range l.Parents {
		fmt.Fprintf(t, "%s\t%s, %s\n", []string{"was to beat", ""}[min(i, 1)], p.Name, text(p.State))
	}
	facts(t, "METRICS", m.Metrics)
	facts(t, "LINEAGE", m.Lineage)
	return t.Flush()
}

func (r *remote) modelNames() cobra.CompletionFunc {
	return r.names(func(ctx context.Context, hub *client.Client) ([]string, error) {
		models, err := hub.Models(ctx, "")
		return mapped(models, err, func(m api.Model) string { return m.Name })
	})
}

// modelView is what is printed of a model that came or went.
type modelView struct {
	Digest string `json:"digest"`
	Name   string `json:"name"`
	Task   string `json:"task"`
	State  string `json:"state"`
	Kind   string `json:"kind"`
	Size   int64  `json:"size"`
}

func viewOf(m api.Model) modelView {
	return modelView{
		Digest: m.Digest,
		Name:   m.Name,
		Task:   m.Task,
		State:  m.State,
		Kind:   m.Kind,
		Size:   m.Size,
	}
}

func (r *remote) importCommand() *cobra.Command {
	var source, task, series, out string
	var o interchange.Options
	c := &cobra.Command{
		Use:   "import-model <file>",
		Short: "Register an artifact, or a model of LightGBM, XGBoost or ONNX",
		Long: "Upload a *.skerry file to the hub, or a model that another program made: LightGBM's text, XGBoost's JSON or UBJSON, ONNX (trees, linear models, perceptrons and the usual steps before them). Such a model becomes an artifact " +
			"that computes what its own library computes; what cannot be computed is refused by name. The artifact is decoded and self-tested here and there; a damaged one is refused. It becomes the next version of its task and is " +
			"rolled out with: skerry-hub rollout create. With --out it is only written to a file, and no hub is needed.",
		Example: "  skerry-hub import-model pm25.skerry\n  skerry-hub import-model model.txt --task pm25-now --series pm25\n  skerry-hub import-model pipeline.onnx --task quality --out quality.skerry\n  skerry-hub import-model model.json --task quality --inputs temp,load,speed --classes good,bad --out quality.skerry",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := commands.CheckOutputs([]commands.Output{{Flag: "--out", Path: out}}, args[0]); err != nil {
				return err
			}
			b, notes, err := artifactOf(args[0], task, series, o)
			if err != nil {
				return err
			}
			for _, n := range notes {
				fmt.Fprintln(c.ErrOrStderr(), "note:", n)
			}
			if out != "" {
				if err := commands.WriteFile(out, b); err != nil {
					return err
				}
				return r.print(c, map[string]any{"digest": artifact.Digest(b), "size": len(b), "file": out}, fmt.Sprintf("Wrote %s, %d bytes, to %s", artifact.Digest(b), len(b), out))
			}
			if source == "" {
				source = filepath.Base(args[0])
			}
			m, err := r.client().Upload(c.Context(), b, task, source)
			if err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			return r.print(c, viewOf(m), fmt.Sprintf("Registered %s as %s", m.Digest, m.Name))
		},
	}
	fl := c.Flags()
	fl.StringVar(&source, "source", "", "where it comes from, for its lineage (default: the file's name)")
	fl.StringVar(&task, "task", "", "task it is for; an artifact for another one is refused")
	fl.StringVar(&series, "series", "", "what a model of another program predicts (default: the task)")
	fl.StringVar(&o.Output, "output", "", "output of an ONNX graph to take, where it has several")
	fl.StringSliceVar(&o.Inputs, "inputs", nil, "names of the inputs of a model of another program, in its order, in place of those in the file")
	fl.StringSliceVar(&o.Classes, "classes", nil, "names of the classes of a model of another program, in its order: LightGBM and XGBoost keep numbers only")
	fl.StringVarP(&out, "out", "o", "", "write the artifact to this file instead of registering it")
	return c
}

func (r *remote) exportCommand() *cobra.Command {
	var out, format string
	c := &cobra.Command{
		Use:   "export-model <digest | task@version | file.skerry>",
		Short: "Write an artifact to a file, as it is or as ONNX",
		Long: "A registered artifact, or one in a file, as *.skerry or with --format onnx as an ONNX graph: its feature pipeline and its point model, for ONNX Runtime and others. Features that look back in time are inputs of the graph; " +
			"its metadata names them.",
		Example:           "  skerry-hub export-model pm25-next-hour@3 --out pm25.skerry\n  skerry-hub export-model pm25-next-hour@champion --out - | sha256sum\n  skerry-hub export-model income.skerry --format onnx --out income.onnx",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.modelNames(),
		RunE: func(c *cobra.Command, args []string) error {
			if format != "skerry" && format != "onnx" {
				return fmt.Errorf("--format %q: must be skerry or onnx", format)
			}
			if err := commands.CheckOutputs([]commands.Output{{Flag: "--out", Path: out}}, args[0]); err != nil {
				return err
			}
			b, m, err := r.fetch(c.Context(), args[0])
			if err != nil {
				return err
			}
			if format == "onnx" {
				a, err := artifact.DecodeBytes(b)
				if err != nil {
					return err
				}
				if b, err = interchange.ExportONNX(a); err != nil {
					return fmt.Errorf("export %s: %w", args[0], err)
				}
			}
			if out == "-" {
				_, err := c.OutOrStdout().Write(b)
				return err
			}
			if err := commands.WriteFile(out, b); err != nil {
				return err
			}
			return r.print(c, m, fmt.Sprintf("Wrote %s (%d bytes) to %s", m.Name, len(b), out))
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "file to write, - for standard output")
	c.Flags().StringVar(&format, "format", "skerry", "skerry or onnx")
	_ = c.MarkFlagRequired("out") // the flag exists
	return c
}

// fetch reads an artifact from a file of that name, else from the hub.
func (r *remote) fetch(ctx context.Context, ref string) ([]byte, modelView, error) {
	if strings.HasSuffix(ref, ".skerry") {
		a, b, err := readArtifact(ref)
		if err != nil {
			return nil, modelView{}, err
		}
		return b, modelView{
			Digest: a.Digest,
			Name:   ref,
			Task:   a.Manifest.Task,
			Kind:   a.Manifest.Learner,
			Size:   a.Size,
		}, nil
	}
	hub := r.client()
	m, err := hub.FindModel(ctx, ref)
	if err != nil {
		return nil, modelView{}, err
	}
	b, err := hub.Download(ctx, m)
	return b, viewOf(m), err
}
