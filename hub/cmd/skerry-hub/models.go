package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/interchange"
	"skerry.dev/sync/identity"
)

// inspectArtifact is what the hub demands of an uploaded artifact: it can be decoded, and
// computes here what it computed where it was made.
func inspectArtifact(data []byte) (task, kind string, metrics any, err error) {
	a, err := artifact.DecodeBytes(data)
	if err != nil {
		return "", "", nil, err
	}
	if err := a.SelfTest(); err != nil {
		return "", "", nil, err
	}
	if _, err := artifact.NewRunner(a); err != nil {
		return "", "", nil, err
	}
	kind = a.Manifest.Learner
	if kind == "" {
		kind = artifact.ModelKind(a.Models[artifact.Point])
	}
	return a.Manifest.Task, kind, a.Manifest.Metrics, nil
}

// readArtifact reads and checks an artifact file.
func readArtifact(path string) (*artifact.Artifact, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read artifact: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, artifact.MaxBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read artifact: %w", err)
	}
	a, err := artifact.DecodeBytes(b)
	if err == nil {
		err = a.SelfTest()
	}
	if err != nil {
		return nil, nil, &hintError{fmt.Errorf("read artifact %s: %w", path, err), "an artifact is a *.skerry file; make one with: skerry-hub fit"}
	}
	return a, b, nil
}

type modelView struct {
	Digest string `json:"digest"`
	Name   string `json:"name"`
	Task   string `json:"task"`
	State  string `json:"state"`
	Kind   string `json:"kind"`
	Size   int64  `json:"size"`
}

// model finds a model by its digest (or the beginning of one) or by the name people know,
// "pm25-next-hour@3". "task@champion" is the one in force.
func (r *remote) model(ctx context.Context, ref string) (modelView, error) {
	var out struct{ Items []modelView }
	task, version, named := strings.Cut(ref, "@")
	path := "/v1/models?limit=1000"
	if named {
		path += "&task=" + url.QueryEscape(task)
	}
	if err := r.call(ctx, "GET", path, nil, &out); err != nil {
		return modelView{}, err
	}
	var found []modelView
	for _, m := range out.Items {
		if m.Digest == ref || m.Name == ref || named && version == "champion" && m.State == "champion" || !named && len(ref) >= 6 && strings.HasPrefix(m.Digest, ref) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return modelView{}, &hintError{fmt.Errorf("model %q: %w", ref, errNoModel), "give a digest, its first digits (six or more), task@version or task@champion; list them with: skerry-hub model list"}
	}
	return modelView{}, fmt.Errorf("model %q: %d models begin so: give more digits", ref, len(found))
}

func (r *remote) importCommand() *cobra.Command {
	var source, task, series, out, output string
	c := &cobra.Command{
		Use:   "import-model <file>",
		Short: "Register an artifact, or a model of LightGBM, XGBoost or ONNX",
		Long: "Upload a *.skerry file to the hub, or a model that another program made: LightGBM's text, XGBoost's JSON or UBJSON, ONNX (trees, linear models, perceptrons and the usual steps before them). Such a model becomes an artifact " +
			"that computes what its own library computes; what cannot be computed is refused by name. The artifact is decoded and self-tested here and there; a damaged one is refused. It becomes the next version of its task and is " +
			"rolled out with: skerry-hub rollout create. With --out it is only written to a file, and no hub is needed.",
		Example: "  skerry-hub import-model pm25.skerry\n  skerry-hub import-model model.txt --task pm25-now --series pm25\n  skerry-hub import-model pipeline.onnx --task quality --out quality.skerry",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			b, notes, err := artifactOf(args[0], task, series, output)
			if err != nil {
				return err
			}
			for _, n := range notes {
				fmt.Fprintln(c.ErrOrStderr(), "note:", n)
			}
			if out != "" {
				if err := writeFile(out, b); err != nil {
					return err
				}
				return r.print(c, map[string]any{"digest": artifact.Digest(b), "size": len(b), "file": out}, fmt.Sprintf("Wrote %s, %d bytes, to %s", artifact.Digest(b), len(b), out))
			}
			if source == "" {
				source = filepath.Base(args[0])
			}
			q := url.Values{"source": {source}}
			if task != "" {
				q.Set("task", task)
			}
			var m modelView
			if err := r.send(c.Context(), "POST", "/v1/models?"+q.Encode(), bytes.NewReader(b), "application/octet-stream", &m); err != nil {
				return fmt.Errorf("import %s: %w", args[0], err)
			}
			return r.print(c, m, fmt.Sprintf("Registered %s as %s", m.Digest, m.Name))
		},
	}
	fl := c.Flags()
	fl.StringVar(&source, "source", "", "where it comes from, for its lineage (default: the file's name)")
	fl.StringVar(&task, "task", "", "task it is for; an artifact for another one is refused")
	fl.StringVar(&series, "series", "", "what a model of another program predicts (default: the task)")
	fl.StringVar(&output, "output", "", "output of an ONNX graph to take, where it has several")
	fl.StringVarP(&out, "out", "o", "", "write the artifact to this file instead of registering it")
	return c
}

// artifactOf reads a file as an artifact: its own bytes, or those made of a model of another
// program.
func artifactOf(path, task, series, output string) (b []byte, notes []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read model: %w", err)
	}
	defer f.Close()
	head := make([]byte, 64)
	n, _ := io.ReadFull(f, head) // a short file is told by what follows
	if _, foreign := interchange.Detect(head[:n]); !foreign {
		_, b, err = readArtifact(path)
		return b, nil, err
	}
	if task == "" {
		return nil, nil, fmt.Errorf("import %s: --task is needed: a model of another program does not say what it is for", path)
	}
	if series == "" {
		series = task
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("read model: %w", err)
	}
	m, err := interchange.Import(f, info.Size(), interchange.Options{
		Name:   filepath.Base(path),
		Output: output,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("import %s: %w", path, err)
	}
	a, err := m.Artifact(task, series)
	if err != nil {
		return nil, nil, fmt.Errorf("import %s: %w", path, err)
	}
	if b, err = artifact.Encode(a); err != nil {
		return nil, nil, fmt.Errorf("import %s: %w", path, err)
	}
	return b, m.Notes, nil
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
		ValidArgsFunction: r.complete("/v1/models", "name"),
		RunE: func(c *cobra.Command, args []string) error {
			if format != "skerry" && format != "onnx" {
				return fmt.Errorf("--format %q: must be skerry or onnx", format)
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
			if err := writeFile(out, b); err != nil {
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
	m, err := r.model(ctx, ref)
	if err != nil {
		return nil, m, err
	}
	rc, err := r.open(ctx, "GET", identity.PathArtifact+m.Digest, nil, "")
	if err != nil {
		return nil, m, err
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, artifact.MaxBytes+1))
	if err != nil {
		return nil, m, fmt.Errorf("download %s: %w", m.Name, err)
	}
	if d := artifact.Digest(b); d != m.Digest {
		return nil, m, fmt.Errorf("download %s: got bytes of digest %s, want %s: try again", m.Name, d, m.Digest)
	}
	return b, m, nil
}

// writeFile replaces a file as a whole: whoever reads it sees the old bytes or the new ones.
func writeFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
