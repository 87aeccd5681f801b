package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/compute/feature"
	"skerry.dev/compute/feature/wasm"
	"skerry.dev/hub/api"
	"skerry.dev/hub/client"
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
			m, err := r.client().PutModule(c.Context(), args[0], code)
			if err != nil {
				return fmt.Errorf("add %s: %w", args[1], err)
			}
			return r.print(c, m, fmt.Sprintf("Added module %s: %s", args[0], signatures(found)))
		},
	}
	return group("module", "WebAssembly modules that features call", add,
		&cobra.Command{
			Use:   "list",
			Short: "List modules",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				modules, err := r.client().Modules(c.Context())
				if err != nil {
					return err
				}
				return list(r, c, modules,
					column[api.Module]{"MODULE", func(m api.Module) string { return text(m.Name) }},
					column[api.Module]{"FUNCTIONS", func(m api.Module) string { return signatures(m.Functions) }},
					column[api.Module]{"BYTES", func(m api.Module) string { return fmt.Sprint(m.Size) }},
					column[api.Module]{"BY", func(m api.Module) string { return text(m.CreatedBy) }},
					column[api.Module]{"CREATED", func(m api.Module) string { return stamp(m.CreatedAt) }})
			},
		},
		&cobra.Command{
			Use:               "remove <name>",
			Short:             "Remove a module; models that carry it go on",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.moduleNames(),
			RunE: func(c *cobra.Command, args []string) error {
				return r.client().RemoveModule(c.Context(), args[0])
			},
		})
}

func (r *remote) moduleNames() cobra.CompletionFunc {
	return r.names(func(ctx context.Context, hub *client.Client) ([]string, error) {
		modules, err := hub.Modules(ctx)
		return mapped(modules, err, func(m api.Module) string { return m.Name })
	})
}

// signatures lists functions as "wet(2 series), mean(rows)".
func signatures(functions []wasm.Function) string {
	names := make([]string, len(functions))
	for i, f := range functions {
		names[i] = f.String()
	}
	return strings.Join(names, ", ")
}
