package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/agent/serve"
	"skerry.dev/agent/service"
)

func newStatusCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use: "status", Short: "Show what the running agent does", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			d, raw, err := askAgent(cfg.HTTP.Listen)
			if err != nil {
				state, _ := service.State(service.Config{})
				return fmt.Errorf("the agent does not answer on %s (service: %s): %w", cfg.HTTP.Listen, state, err)
			}
			if asJSON {
				_, err := cmd.OutOrStdout().Write(raw)
				return err
			}
			return writeStatus(cmd.OutOrStdout(), d)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the agent's whole state as JSON")
	return cmd
}

// askAgent reads the running agent's state. A server that listens on every address is reached on
// the loopback one.
func askAgent(listen string) (d serve.Detailed, raw []byte, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return d, nil, err
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get("http://" + net.JoinHostPort(host, port) + "/health/detailed")
	if err != nil {
		return d, nil, err
	}
	defer res.Body.Close()
	if raw, err = io.ReadAll(io.LimitReader(res.Body, 16<<20)); err != nil {
		return d, nil, err
	}
	if res.StatusCode != http.StatusOK {
		return d, nil, fmt.Errorf("HTTP %d", res.StatusCode)
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, nil, errors.Join(errors.New("the answer is not an agent's"), err)
	}
	return d, raw, nil
}

func writeStatus(w io.Writer, d serve.Detailed) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	s := d.State
	link := func(name string) string {
		up, known := d.Links[name]
		switch {
		case !known:
			return "none"
		case up:
			return "connected"
		}
		return "away"
	}
	fmt.Fprintf(t, "device\t%s at %s\n", s.Device, s.Site)
	fmt.Fprintf(t, "agent\t%s, up %s\n", d.Version, time.Duration(d.UptimeS)*time.Second)
	fmt.Fprintf(t, "health\t%s\n", d.Status)
	for _, r := range d.Reasons {
		fmt.Fprintf(t, "\t%s\n", r)
	}
	sensors := link("mqtt")
	if sensors == "none" {
		sensors = "by HTTP only, there is no broker"
	}
	fmt.Fprintf(t, "sensors\t%s\n", sensors)
	fmt.Fprintf(t, "hub\t%s\n", link("hub"))
	outbox := fmt.Sprintf("%d records, %d KiB of %d MiB", s.Outbox.PendingRecords, s.Outbox.PendingBytes>>10, s.Outbox.CapBytes>>20)
	if s.Outbox.OfflineDays >= 0 && s.Outbox.BytesPerDay > 0 {
		outbox += fmt.Sprintf("; can stay offline %.1f days at this rate", s.Outbox.OfflineDays)
	}
	fmt.Fprintf(t, "waiting\t%s\n\n", outbox)
	fmt.Fprintln(t, "TASK\tMODEL\tERROR\tLAST-VALUE ERROR\tCOVERAGE\tROWS\tLABELS\tDRIFTS\tINTERVAL SCORE\tROLLOUT")
	names := make([]string, 0, len(s.Tasks))
	for name := range s.Tasks {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		k := s.Tasks[name]
		model, rollout := "baselines", "-"
		if k.Champion != "" {
			model = k.Champion[:min(len(k.Champion), 8)]
			if k.Version != "" {
				model = k.Version
			}
		}
		if a := k.Assignment; a != nil {
			rollout = strings.TrimSuffix(string(a.Phase)+": "+a.Reason, ": ")
		}
		e, base := figure(k.MAE), figure(k.MAEBaseline)
		if c := k.Classes; c != nil {
			e, base = c.Texts()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\n", name, model, e, base, figure(k.Coverage), k.Rows, k.LabelsText(), k.Drifts, k.IntervalText(), rollout)
	}
	if len(d.Inputs) > 0 {
		fmt.Fprintln(t, "\nINPUT\tTOPIC\tREADINGS\tEVERY\tLAST\tVALUE\tREFUSED\tOUT OF RANGE\tFORGIVEN")
	}
	for _, in := range d.Inputs {
		last, value, every := "never", "-", "-"
		if in.EveryS > 0 {
			every = fmt.Sprintf("%.3g s", in.EveryS)
		}
		if in.Readings > 0 {
			last, value = time.UnixMicro(in.LastSeen).UTC().Format(time.RFC3339), cmp.Or(in.LastText, fmt.Sprintf("%.6g", in.LastValue))
		}
		var forgiven []string
		for _, kind := range slices.Sorted(maps.Keys(in.Forgiven)) {
			forgiven = append(forgiven, fmt.Sprintf("%s %d", kind, in.Forgiven[kind]))
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%d\t%d\t%s\n", in.Series, in.Topic, in.Readings, every, last, value, in.Refused, in.Outside, cmp.Or(strings.Join(forgiven, ", "), "-"))
		for _, w := range in.Wrong {
			if !slices.Contains(d.Reasons, w) { // of very many health names the first
				fmt.Fprintf(t, "\t! %s\n", w)
			}
		}
		if in.LastRefused != "" {
			fmt.Fprintf(t, "\t→ %s\n", in.LastRefused)
		}
	}
	return t.Flush()
}

func figure(v float64) string {
	if v == 0 || math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.4g", v)
}
