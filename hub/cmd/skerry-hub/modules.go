package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm"
	"skerry.dev/hub/fit"
	"skerry.dev/sync/spec"
)

// readModule reads a file that may be a module; whoever has it next checks the rest.
func readModule(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	defer f.Close()
	code, err := io.ReadAll(io.LimitReader(f, feature.MaxModuleBytes+1))
	if err == nil && len(code) > feature.MaxModuleBytes {
		err = fmt.Errorf("is larger than %d bytes: leave out what is not needed, for example with wasm-opt -Oz or wasm-strip", feature.MaxModuleBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", path, err)
	}
	return code, nil
}

func (r *remote) moduleCommand() *cobra.Command {
	functions := column{"FUNCTIONS", func(o object) string {
		var names []string
		list, _ := o["functions"].([]any) // of the hub's own making
		for _, f := range list {
			if f, ok := f.(object); ok {
				n, _ := f["args"].(json.Number)
				args, _ := strconv.Atoi(n.String())
				names = append(names, wasm.Function{
					Name: text(f["name"]),
					Args: args,
					Rows: f["rows"] == true,
				}.String())
			}
		}
		return strings.Join(names, ", ")
	}}
	add := &cobra.Command{
		Use:   "add <name> <file>",
		Short: "Add a WebAssembly module, or replace one",
		Args:  cobra.ExactArgs(2),
		Long: "Upload a WebAssembly module (*.wasm) whose functions the features of task files can call by this name:\n\n" +
			"  features:\n    - {name: wet, wasm: air, function: wet, of: [temp, hum]}\n\n" +
			"It is checked here and there; what it must look like is in docs/formats/pipeline.md. The next training of such a task uses it; models carry their modules with them, so that those in force keep the code they were trained with. " +
			"Devices need the full build of skerry-agent.",
		Example: "  skerry-hub module add air air.wasm",
		RunE: func(c *cobra.Command, args []string) error {
			code, err := readModule(args[1])
			if err != nil {
				return err
			}
			found, err := wasm.Inspect(code)
			if err != nil {
				return fmt.Errorf("module %s: %w", args[1], err)
			}
			var m object
			if err := r.send(c.Context(), "PUT", "/v1/modules/"+url.PathEscape(args[0]), bytes.NewReader(code), "application/octet-stream", &m); err != nil {
				return fmt.Errorf("add %s: %w", args[1], err)
			}
			names := make([]string, len(found))
			for i, f := range found {
				names[i] = f.String()
			}
			return r.print(c, m, fmt.Sprintf("Added module %s: %s", args[0], strings.Join(names, ", ")))
		},
	}
	return group("module", "WebAssembly modules that features call", add,
		&cobra.Command{
			Use:   "list",
			Short: "List modules",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return r.list(c, "/v1/modules", field("MODULE", "name"), functions, field("BYTES", "size"), field("BY", "created_by"), stamp("CREATED", "created_at"))
			},
		},
		&cobra.Command{
			Use:               "remove <name>",
			Short:             "Remove a module; models that carry it go on",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.complete("/v1/modules", "name"),
			RunE: func(c *cobra.Command, args []string) error {
				return r.call(c.Context(), "DELETE", "/v1/modules/"+url.PathEscape(args[0]), nil, nil)
			},
		})
}

// transform is what --transform looks like. The file may have a drive's colon, and a column
// parentheses.
var transform = regexp.MustCompile(`^([^=]+)=(.+?):([^:(/\\]+)\((.+)\)(?:\s+over\s+(\d+))?\s*$`)

// addTransforms adds the features of --transform and reads their modules, each file once.
func addTransforms(o *fit.Options, texts []string) error {
	files := map[string]string{}
	for _, text := range texts {
		m := transform.FindStringSubmatch(text)
		if m == nil {
			return fmt.Errorf("--transform %q: must be name=file.wasm:function(column, column), with 'over 24' behind it for a function of rows", text)
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
				return err
			}
			if _, err := wasm.Inspect(code); err != nil {
				return fmt.Errorf("module %s: %w", file, err)
			}
			f.Wasm = moduleName(file, len(o.Modules))
			files[file] = f.Wasm
			o.Modules = append(o.Modules, feature.Module{Name: f.Wasm, Code: code})
		}
		o.Features = append(o.Features, f)
	}
	return nil
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
