// Package commands holds what the command lines of both programs share: what they refuse, and how
// they write reports.
package commands

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Strict makes every command of a tree refuse what it does not know: an unknown subcommand or flag
// is an error that names what is near and where the help is. By itself cobra checks the first word
// alone and prints help, as a success, for a wrong second one.
func Strict(root *cobra.Command) *cobra.Command {
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: see %s --help", err, c.CommandPath())
	})
	addCompletion(root)
	strict(root)
	return root
}

// addCompletion adds the command that cobra would add later, which then prints help for a shell
// that it does not know. It writes to where root writes when it runs.
func addCompletion(root *cobra.Command) {
	now := root.OutOrStdout()
	root.SetOut(output{root})
	root.InitDefaultCompletionCmd()
	if root.SetOut(now); now == os.Stdout {
		root.SetOut(nil) // the default
	}
}

// output is where a command writes when it does.
type output struct{ of *cobra.Command }

func (o output) Write(b []byte) (int, error) { return o.of.OutOrStdout().Write(b) }

func strict(c *cobra.Command) {
	for _, sub := range c.Commands() {
		strict(sub)
	}
	if c.Runnable() || !c.HasSubCommands() {
		if args := c.Args; args != nil { // it says how many there may be, and not which
			c.Args = func(c *cobra.Command, given []string) error {
				err := args(c, given)
				if err != nil {
					err = fmt.Errorf("%w: usage: %s: see %s --help", err, c.UseLine(), c.CommandPath())
				}
				return err
			}
		}
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.DisableFlagsInUseLine = true
	c.SuggestionsMinimumDistance = 2
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		near := ""
		if s := c.SuggestionsFor(args[0]); len(s) > 0 {
			near = fmt.Sprintf(" (did you mean %s?)", strings.Join(s, " or "))
		}
		return fmt.Errorf("unknown command %q for %q%s: see %s --help", args[0], c.CommandPath(), near, c.CommandPath())
	}
}
