package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"skerry.dev/compute/artifact"
	"skerry.dev/compute/interchange"
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

// artifactOf reads a file as an artifact: its own bytes, or those made of a model of another
// program.
func artifactOf(path, task, series, output string) (b []byte, notes []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read model: %w", err)
	}
	defer f.Close()
	head := make([]byte, 64)
	n, _ := io.ReadFull(f, head) // a short file is reported by what follows
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
