package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/hub/api"
	"skerry.dev/hub/client"
	"skerry.dev/sync/spec"
)

var deviceColumns = []column[api.DeviceState]{
	{"DEVICE", func(d api.DeviceState) string { return text(d.Name) }},
	{"SITE", func(d api.DeviceState) string { return text(d.Site) }},
	{"COHORT", func(d api.DeviceState) string { return text(d.Cohort) }},
	{"CLASS", func(d api.DeviceState) string { return text(d.Class) }},
	{"VERSION", func(d api.DeviceState) string { return text(d.Version) }},
	{"LINK", func(d api.DeviceState) string { return yesNo(d.Connected) }},
	{"HEALTH", func(d api.DeviceState) string { return text(d.Health) }},
	{"PENDING", func(d api.DeviceState) string {
		if d.Outbox == nil {
			return "-"
		}
		return fmt.Sprint(d.Outbox.PendingRecords)
	}},
	{"SUSPECT", func(d api.DeviceState) string { return text(d.Suspect) }},
	{"SEEN", func(d api.DeviceState) string { return stamp(d.SeenAt) }},
}

// writeDevice prints a device for people: how it is, what it runs and why, what it sent.
func writeDevice(w io.Writer, d api.DeviceDetail) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "device\t%s\nsite\t%s\ncohort\t%s\nclass\t%s\nversion\t%s\n", d.Name, text(d.Site), text(d.Cohort), text(d.Class), text(d.Version))
	link := "down, seen " + stamp(d.SeenAt)
	if d.Connected {
		link = "up"
	}
	fmt.Fprintf(t, "link\t%s\nhealth\t%s, reported %s\n", link, text(d.Health), stamp(d.ReportedAt))
	for _, reason := range d.Reasons {
		fmt.Fprintf(t, "\t- %s\n", reason)
	}
	if d.Suspect != "" {
		fmt.Fprintf(t, "suspect\t%s\n", d.Suspect)
	}
	if d.RevokedAt > 0 {
		fmt.Fprintf(t, "revoked\t%s\n", stamp(d.RevokedAt))
	}
	fmt.Fprintf(t, "enrolled\t%s\n", stamp(d.CreatedAt))
	if o := d.Outbox; o != nil {
		fmt.Fprintf(t, "waiting\t%d records, %s of %s", o.PendingRecords, size(o.PendingBytes), size(o.CapBytes))
		if o.OfflineDays >= 0 {
			fmt.Fprintf(t, "; may stay offline for %s", span(time.Duration(o.OfflineDays*24*float64(time.Hour))))
		}
		fmt.Fprintln(t)
	}
	if len(d.Applied) > 0 {
		fmt.Fprint(t, "stored here\t")
		for i, class := range slices.Sorted(maps.Keys(d.Applied)) {
			fmt.Fprintf(t, "%s%d %s", strings.Repeat(", ", min(i, 1)), d.Applied[class], class)
		}
		fmt.Fprintln(t)
	}
	if len(d.Usage) > 0 {
		u := d.Usage[0]
		fmt.Fprintf(t, "sent\t%s of %s on %s; %d messages refused, %d contradict stored ones\n", size(u.Bytes), size(d.Quota), u.Day, u.Refused, u.Conflicts)
	}
	fmt.Fprintf(t, "starts\t%d", d.RunCount)
	if len(d.Runs) > 0 {
		fmt.Fprintf(t, ", the newest %s", stamp(d.Runs[0].StartedAt))
	}
	fmt.Fprintln(t)
	names := slices.Collect(maps.Keys(d.Why))
	var reported map[string]spec.ReportedTask
	if d.Reported != nil {
		reported = d.Reported.Tasks
	}
	for name := range reported {
		names = append(names, name)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) > 0 {
		fmt.Fprintln(t, "\nTASK\tRUNS\tSHOULD RUN\tROWS\tLABELS\tERROR\tLAST VALUE\tCOVERAGE\tINTERVAL SCORE\tWHY")
	}
	for _, name := range names {
		why, r := d.Why[name], reported[name]
		because := why.Reason
		if a := r.Assignment; a != nil && a.Reason != "" && !strings.Contains(because, a.Reason) {
			because = strings.TrimPrefix(because+"; ", "; ") + string(a.Phase) + ": " + a.Reason
		}
		e, last, coverage := "-", "-", "-"
		if r.Labels > 0 {
			if r.MAE != 0 || r.MAEBaseline != 0 || r.Coverage != 0 { // labels came for rows that had a prediction
				e, last, coverage = fmt.Sprintf("%.4g", r.MAE), fmt.Sprintf("%.4g", r.MAEBaseline), fmt.Sprintf("%.1f %%", 100*r.Coverage)
			}
			if c := r.Classes; c != nil {
				e, last = c.Texts()
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", name, short(why.Running), short(why.Desired), r.Rows, r.LabelsText(), e, last, coverage, r.IntervalText(), text(because))
	}
	if d.Reported != nil {
		writeInputs(t, d.Reported)
	}
	if len(d.Host) > 0 {
		fmt.Fprintln(t, "\nHOST\tVALUE\tAT")
	}
	for _, h := range d.Host {
		name, value := hostText(h.Metric, float64(h.Value))
		fmt.Fprintf(t, "%s\t%s\t%s\n", name, value, stamp(h.Time))
	}
	return t.Flush()
}

// hostText tells a metric's unit by the end of its name, as the agent names them.
func hostText(metric string, v float64) (name, value string) {
	i := strings.LastIndexByte(metric, '_')
	name = strings.ReplaceAll(metric[:max(i, 0)], "_", " ")
	switch metric[i+1:] {
	case "bytes":
		return name, size(int64(v))
	case "seconds":
		return name, span(time.Duration(v * float64(time.Second)))
	case "percent":
		return name, fmt.Sprintf("%.1f %%", v)
	case "celsius":
		return name, fmt.Sprintf("%.1f °C", v)
	}
	return strings.ReplaceAll(metric, "_", " "), fmt.Sprintf("%.4g", v)
}

// writeInputs prints what has arrived at a device, and what is wrong with it that health does not
// say.
func writeInputs(w io.Writer, r *spec.Reported) {
	if len(r.Inputs) > 0 {
		fmt.Fprintln(w, "\nINPUT\tTOPIC\tREADINGS\tEVERY\tLAST\tVALUE\tREFUSED\tOUT OF RANGE\tWHY")
	}
	for _, in := range r.Inputs {
		last, value, every := "never", "-", "-"
		if in.Readings > 0 {
			last, value = stamp(in.LastSeen), cmp.Or(in.LastText, fmt.Sprintf("%.6g", in.LastValue))
		}
		if in.EveryS > 0 {
			every = span(time.Duration(in.EveryS * float64(time.Second)))
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%d\t%d\t%s\n", in.Series, strings.TrimSpace(in.Topic+" "+in.Path), in.Readings, every, last, value, in.Refused, in.Outside, text(in.LastRefused))
		for _, why := range in.Wrong {
			if !slices.Contains(r.Reasons, why) {
				fmt.Fprintf(w, "\t! %s\n", why)
			}
		}
	}
	if r.LeftOut != "" {
		fmt.Fprintf(w, "\nnot reported: %s\n", r.LeftOut)
	}
}

// short is a digest as a cell; none is what the device does without a model.
func short(digest string) string { return cmp.Or(digest[:min(len(digest), 12)], "baselines") }

func (r *remote) deviceNames() cobra.CompletionFunc {
	return r.names(func(ctx context.Context, hub *client.Client) ([]string, error) {
		devices, err := hub.Devices(ctx)
		return mapped(devices, err, func(d api.DeviceState) string { return d.Name })
	})
}

func (r *remote) deviceCommand() *cobra.Command {
	return group("device", "Devices of the fleet",
		&cobra.Command{
			Use:   "list",
			Short: "List devices",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				devices, err := r.client().Devices(c.Context())
				if err != nil {
					return err
				}
				return list(r, c, devices, deviceColumns...)
			},
		},
		&cobra.Command{
			Use:               "show <name>",
			Short:             "Everything about a device",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.deviceNames(),
			RunE: func(c *cobra.Command, args []string) error {
				d, err := r.client().Device(c.Context(), args[0])
				if err != nil {
					return err
				}
				if r.json {
					return writeJSON(c.OutOrStdout(), d)
				}
				return writeDevice(c.OutOrStdout(), d)
			},
		},
		&cobra.Command{
			Use:   "revoke <name>",
			Short: "Void a device's credential and close its connection",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.client().RevokeDevice(c.Context(), args[0])
			},
			ValidArgsFunction: r.deviceNames(),
		},
		&cobra.Command{
			Use:   "remove <name>",
			Short: "Void a device's credential and forget the device; its data stays",
			Long: "Void a device's credential and forget the device: its site, cohort, assignments and what it reported. Its readings, predictions and events stay until their retention ends.\n\n" +
				"The agent goes on predicting by itself. It comes back by a new token: skerry-hub token device.",
			Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.client().DeleteDevice(c.Context(), args[0])
			},
			ValidArgsFunction: r.deviceNames(),
		},
		&cobra.Command{
			Use:   "clear-suspect <name>",
			Short: "Decide that a suspect device is the only one of its name",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.client().ClearSuspect(c.Context(), args[0])
			},
			ValidArgsFunction: r.deviceNames(),
		})
}
