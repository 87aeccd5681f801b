package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

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

// described lists what a model of another program takes and gives.
func described(m *interchange.Model) string {
	const most = 50
	var names []string
	for i, in := range m.Inputs {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(m.Inputs)-most))
			break
		}
		if n := len(in.Categories); n > 0 {
			in.Name += fmt.Sprintf(" (%d categories)", n)
		}
		names = append(names, in.Name)
	}
	text := fmt.Sprintf("its inputs are %s (--inputs gives them other names)", strings.Join(names, ", "))
	if len(m.Classes) > 0 {
		text += fmt.Sprintf("; its classes are %s (--classes)", strings.Join(m.Classes[:min(len(m.Classes), most)], ", "))
	}
	return text
}

// artifactOf reads a file as an artifact: its own bytes, or those made of a model of another
// program.
func artifactOf(path, task, series string, o interchange.Options) (b []byte, notes []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read model: %w", err)
	}
	defer f.Close()
	head := make([]byte, 64)
	n, _ := io.ReadFull(f, head) // a short file is reported by what follows
	if artifact.Detect(head[:n]) {
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
	o.Name = filepath.Base(path)
	m, err := interchange.Import(f, info.Size(), o)
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
	return b, append(m.Notes, described(m)), nil
}
