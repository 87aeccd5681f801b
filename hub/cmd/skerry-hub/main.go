// Command skerry-hub is the central program of Skerry: it serves the hub and administers it over
// its REST API.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	_ "time/tzdata" // task files name zones

	"github.com/spf13/cobra"

	"skerry.dev/configs"
	"skerry.dev/configs/commands"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "skerry-hub:", err)
		if h := hint(err); h != "" {
			fmt.Fprintln(os.Stderr, "  "+h)
		}
		os.Exit(1)
	}
}

// hintError carries what the user can do about an error.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "skerry-hub",
		Short:         "The hub of a Skerry fleet",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	r := new(remote)
	c.PersistentFlags().StringVar(&r.url, "hub", "", "address of the hub's API (default $SKERRY_HUB, the address of the last login, or http://127.0.0.1:8000)")
	c.PersistentFlags().StringVar(&r.caFile, "ca-file", "", "PEM file of the authority that signed the hub's certificate (default: the last login's, or the system's)")
	c.PersistentPreRunE = func(*cobra.Command, []string) error { return r.trust() }
	c.PersistentFlags().BoolVar(&r.json, "json", false, "print JSON instead of a table")
	c.AddCommand(serveCommand(), initCommand(), openapiCommand(), r.loginCommand(), r.userCommand(), r.tokenCommand(), r.deviceCommand(),
		r.modelCommand(), r.moduleCommand(), r.dataCommand(), r.predictionCommand(), r.taskCommand(), r.trainCommand(), r.jobCommand(), r.rolloutCommand(), r.importCommand(), r.exportCommand(),
		fitCommand(), evaluateCommand(), explainCommand(), &cobra.Command{
			Use:   "version",
			Short: "Print the version",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				v := struct {
					Version string `json:"version"`
					Go      string `json:"go"`
					Class   string `json:"class"`
				}{configs.ProgramVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
				if r.json {
					e := json.NewEncoder(c.OutOrStdout())
					e.SetIndent("", "  ")
					return e.Encode(v)
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "skerry-hub %s (%s, %s)\n", v.Version, v.Class, v.Go)
				return err
			},
		})
	return commands.Strict(c)
}
