package commands_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"skerry.dev/configs/commands"
)

// TestStrict holds what each wrong or missing word leads to, at every depth of a tree.
func TestStrict(t *testing.T) {
	for _, c := range []struct{ line, err, out string }{
		{"device list", "", "listed"},
		{"device list --all", "", "listed"},
		{"device", "", "Available Commands"},
		{"", "", "Available Commands"},
		{"device lst", `unknown command "lst" for "prog device" (did you mean list?): see prog device --help`, ""},
		{"device remove x", `unknown command "remove" for "prog device": see prog device --help`, ""},
		{"device key crate", `unknown command "crate" for "prog device key" (did you mean create?)`, ""},
		{"devise", `unknown command "devise" for "prog"`, ""},
		{"device list --al", "unknown flag: --al: see prog device list --help", ""},
		{"device --al", "unknown flag: --al: see prog device --help", ""},
		{"device list x", "unknown command", ""},
		{"device key drop", "accepts 1 arg(s), received 0: usage: prog device key drop <name> [flags]: see prog device key drop --help", ""},
		{"device --help", "", "prog device [command]"},
		{"completion foo", `unknown command "foo" for "prog completion"`, ""},
		{"completion bash", "", "bash completion"},
	} {
		list := &cobra.Command{Use: "list", Args: cobra.NoArgs, Run: func(c *cobra.Command, _ []string) { c.Print("listed") }}
		list.Flags().Bool("all", false, "")
		key := &cobra.Command{Use: "key"}
		key.AddCommand(&cobra.Command{Use: "create", Run: func(*cobra.Command, []string) {}}, &cobra.Command{Use: "drop <name>", Args: cobra.ExactArgs(1), Run: func(*cobra.Command, []string) {}})
		device := &cobra.Command{Use: "device", Short: "Devices"}
		device.AddCommand(list, key)
		root := &cobra.Command{Use: "prog", SilenceErrors: true, SilenceUsage: true}
		root.AddCommand(device)
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(strings.Fields(c.line))
		err := commands.Strict(root).Execute()
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q = %v, want %q", c.line, err, c.err)
		}
		if !strings.Contains(out.String(), c.out) {
			t.Errorf("%q prints %q, want %q in it", c.line, out.String(), c.out)
		}
	}
}
