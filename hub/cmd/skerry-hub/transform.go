package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm"
	"skerry.dev/hub/fit"
	"skerry.dev/sync/spec"
)

// transform is what --transform looks like. The file may have a drive's colon, and a column
// parentheses.
var transform = regexp.MustCompile(`^([^=]+)=(.+?):([^:(/\\]+)\((.+)\)(?:\s+over\s+(\d+))?\s*$`)

// addTransforms adds the features of --transform and reads their modules, each file once.
func addTransforms(o *fit.Options, texts []string) (read []string, err error) {
	files := map[string]string{}
	for _, text := range texts {
		m := transform.FindStringSubmatch(text)
		if m == nil {
			return nil, fmt.Errorf("--transform %q: must be name=file.wasm:function(column, column), with 'over 24' behind it for a function of rows", text)
		}
		file := strings.TrimSpace(m[2])
		f := spec.Feature{Name: strings.TrimSpace(m[1]), Wasm: files[file], Function: strings.TrimSpace(m[3])}
		for of := range strings.SplitSeq(m[4], ",") {
			f.Of = append(f.Of, strings.TrimSpace(of))
		}
		if m[5] != "" {
			// of digits; what is beyond an int is the largest, which is refused
			f.Rows, _ = strconv.Atoi(m[5])
		}
		if f.Wasm == "" {
			code, err := readModule(file)
			if err != nil {
				return nil, err
			}
			if _, err := wasm.Inspect(code); err != nil {
				return nil, fmt.Errorf("module %s: %w", file, err)
			}
			f.Wasm = moduleName(file, len(o.Modules))
			files[file], read = f.Wasm, append(read, file)
			o.Modules = append(o.Modules, feature.Module{Name: f.Wasm, Code: code})
		}
		o.Features = append(o.Features, f)
	}
	return read, nil
}

// moduleName names the module of a file after it, and by its number where the file's name is none
// for a module.
func moduleName(path string, n int) string {
	name := fmt.Sprintf("%d-%s", n+1, strings.TrimSuffix(filepath.Base(path), ".wasm"))
	if feature.CheckModuleName(name) != nil {
		name = fmt.Sprintf("module-%d", n+1)
	}
	return name
}
