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
	"skerry.dev/sync/identity"
)

// inspectArtifact is what the hub demands of an uploaded artifact: it can be decoded, and computes here what it computed where it was made.
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

// model finds a model by its digest (or the beginning of one) or by the name people know, "pm25-next-hour@3". "task@champion" is the one in force.
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
	var source, task string
	c := &cobra.Command{
		Use:     "import-model <file>",
		Short:   "Register an artifact",
		Long:    "Upload a *.skerry file to the hub. It is decoded and self-tested here and there; a damaged one is refused. It becomes the next version of its task and is rolled out with: skerry-hub rollout create",
		Example: "  skerry-hub import-model pm25.skerry\n  skerry-hub import-model pm25.skerry --source \"bench of 3 May\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			_, b, err := readArtifact(args[0])
			if err != nil {
				return err
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
	c.Flags().StringVar(&source, "source", "", "where it comes from, for its lineage (default: the file's name)")
	c.Flags().StringVar(&task, "task", "", "refuse it unless it is for this task")
	return c
}

func (r *remote) exportCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:               "export-model <digest | task@version>",
		Short:             "Write a registered artifact to a file",
		Example:           "  skerry-hub export-model pm25-next-hour@3 --out pm25.skerry\n  skerry-hub export-model pm25-next-hour@champion --out - | sha256sum",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.complete("/v1/models", "name"),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := r.model(c.Context(), args[0])
			if err != nil {
				return err
			}
			rc, err := r.open(c.Context(), "GET", identity.PathArtifact+m.Digest, nil, "")
			if err != nil {
				return err
			}
			defer rc.Close()
			b, err := io.ReadAll(io.LimitReader(rc, artifact.MaxBytes+1))
			if err != nil {
				return fmt.Errorf("download %s: %w", m.Name, err)
			}
			if d := artifact.Digest(b); d != m.Digest {
				return fmt.Errorf("download %s: got bytes of digest %s, want %s: try again", m.Name, d, m.Digest)
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
	_ = c.MarkFlagRequired("out") // the flag exists
	return c
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
