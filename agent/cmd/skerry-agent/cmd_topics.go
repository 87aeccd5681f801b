package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/agent/source"
	"skerry.dev/configs/commands"
	"skerry.dev/sync/spec"
)

func newTopicsCommand() *cobra.Command {
	asJSON := false
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "topics [filter …]",
		Short: "Listen at the broker and show which topics, values and times there are, as lines of a task file",
		Long: `Listen at the broker for some seconds (default: to everything, #) and show every topic that a message came on, what its payload holds, and the lines
of a task file that read it. Retained messages come at once, others when they are sent: listen longer than the slowest sensor's interval.

It has a session of its own and takes nothing away from the running agent.`,
		Example: "  skerry-agent topics\n  skerry-agent topics 'zigbee2mqtt/#' --for 2m",
		RunE: func(cmd *cobra.Command, filters []string) error {
			cfg, _, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			if cfg.MQTT.Broker == "" {
				return errors.New("there is no broker: mqtt.broker is empty")
			}
			if len(filters) == 0 {
				filters = []string{"#"}
			}
			for _, f := range filters {
				if err := spec.CheckFilter(f); err != nil {
					return fmt.Errorf("topic filter %q: %w", f, err)
				}
			}
			certificates, err := cfg.MQTT.TLS()
			if err != nil {
				return err
			}
			found, more, err := source.Discover(cmd.Context(), cfg.MQTT, certificates, filters, wait)
			if err != nil {
				return err
			}
			if asJSON {
				return commands.WriteJSON(cmd.OutOrStdout(), found)
			}
			return writeTopics(cmd.OutOrStdout(), found, more, wait)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&wait, "for", 5*time.Second, "how long to listen")
	return cmd
}

func writeTopics(w io.Writer, found []source.Found, more int, wait time.Duration) error {
	if len(found) == 0 {
		_, err := fmt.Fprintf(w, "no message in %s: listen longer (--for), or check with `doctor` that this user may subscribe\n", wait)
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	taken := map[string]bool{}
	for _, f := range found {
		kept := ""
		if f.Retained {
			kept = ", retained: not published while listening"
		}
		sample, _, _ := strings.Cut(f.Sample, "\n")
		if len(sample) > 100 {
			sample = strings.ToValidUTF8(sample[:100], "") + "…"
		}
		fmt.Fprintf(t, "%s\t%d messages%s\t%s\n", f.Topic, f.Messages, kept, sample)
		at, local := "", false
		for _, v := range f.Values {
			if v.Kind == "time" && at == "" {
				at = fmt.Sprintf(", time: {path: %q", v.Path)
				if v.Local {
					at += ", zone: Area/City"
				}
				at += "}"
				local = v.Local
			}
		}
		for _, v := range f.Values {
			path := v.Path
			if path == "" {
				path = "(bare)"
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\n", path, v.Kind, v.Value)
		}
		if source.OfAgents(f.Topic) {
			fmt.Fprint(t, "  # published by an agent: no input\n\n")
			continue
		}
		for _, v := range f.Values {
			if v.Kind != "number" && v.Kind != "word" && v.Kind != "boolean" {
				continue
			}
			line := fmt.Sprintf("  - {series: %s, topic: %q", seriesName(f.Topic, v.Path, taken), f.Topic)
			if v.Path != "" {
				line += fmt.Sprintf(", path: %q", v.Path)
			}
			line += at + "}"
			if local {
				line += "  # the time says no zone: name that of the sender's clock"
			}
			fmt.Fprintln(t, line)
		}
		fmt.Fprintln(t)
	}
	if more > 0 {
		fmt.Fprintf(t, "and at least %d topics more: name a filter\n", more)
	}
	return t.Flush()
}

// seriesName makes a name of topic and path that no line before has.
func seriesName(topic, path string, taken map[string]bool) string {
	clean := func(s string) string {
		var b strings.Builder
		for _, c := range s {
			if c < 0x80 && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '-') {
				b.WriteRune(c)
			} else {
				b.WriteByte('_')
			}
		}
		return strings.Trim(b.String(), "_-")
	}
	levels := strings.Split(topic, "/")
	name := clean(strings.Trim(strings.TrimPrefix(path, "$"), ".[]'"))
	for i := len(levels) - 1; i >= 0 && (name == "" || taken[name]); i-- {
		name = strings.Trim(clean(levels[i])+"_"+name, "_-")
	}
	if name == "" {
		name = "value"
	}
	name = name[:min(len(name), 100)]
	for base, n := name, 2; taken[name]; n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	taken[name] = true
	return name
}
