// Command ingest measures how fast a hub takes telemetry from many simulated devices, and whether
// it loses or doubles a reading when it is killed under that load.
//
// It starts hubs as processes of their own, each on a fresh data folder, enrols devices as agents
// do, and lets every device send chunks with a window of messages that wait for their answer. A
// hub that answers with receipts gets requests; one from before receipts gets published messages,
// and what it then publishes as applied counts. In both cases a reading counts when the device may
// release it. With several hubs the rounds are interleaved:
//
//	go build -o bin/ ./hub/cmd/skerry-hub
//	go run ./test/bench/ingest --hub before=old/skerry-hub --hub after=bin/skerry-hub \
//	  --devices 500 --records 12
//	go run ./test/bench/ingest --hub after=bin/skerry-hub --rounds 1 --kills 20
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// config is what a run does.
type config struct {
	Hubs    []hubProgram  `json:"-"`
	Devices int           `json:"devices"`
	Records int           `json:"records"` // in a chunk
	Window  int           `json:"window"`  // messages of a device that wait for an answer
	Pack    int           `json:"pack"`    // chunks of one message, at most
	Rate    int           `json:"rate"`    // readings a second in all; 0: by the window
	Warmup  time.Duration `json:"-"`
	Measure time.Duration `json:"-"`
	Rounds  int           `json:"rounds"`
	Kills   int           `json:"kills"`
	JSON    bool          `json:"-"`
}

type hubProgram struct{ name, path string }

// result is one round of one hub.
type result struct {
	Hub        string  `json:"hub"`
	Protocol   string  `json:"protocol"`
	Applied    float64 `json:"applied_per_s"`
	LagP50     float64 `json:"lag_p50_ms"`
	LagP99     float64 `json:"lag_p99_ms"`
	CPU        float64 `json:"cpu_s_per_million"`
	RSS        float64 `json:"rss_mb"`
	Busy       int64   `json:"sent_back"`
	Failed     int64   `json:"failed"`
	Sent       int64   `json:"readings,omitempty"`
	Lost       int64   `json:"lost"`
	Duplicated int64   `json:"duplicated"`
}

func main() {
	var c config
	flag.Func("hub", "NAME=PATH of a skerry-hub; repeat it to compare", func(s string) error {
		name, path, ok := strings.Cut(s, "=")
		if !ok {
			name, path = filepath.Base(s), s
		}
		c.Hubs = append(c.Hubs, hubProgram{name, path})
		return nil
	})
	flag.IntVar(&c.Devices, "devices", 500, "simulated devices")
	flag.IntVar(&c.Records, "records", 12, "readings in a chunk, 1 to 500")
	flag.IntVar(&c.Window, "window", 4, "messages of a device that wait for an answer")
	flag.IntVar(&c.Pack, "pack", 1, "chunks of one message at most, for hubs that take several")
	flag.IntVar(&c.Rate, "rate", 0, "readings a second of all devices together; 0: as fast as the window allows")
	flag.DurationVar(&c.Warmup, "warmup", 3*time.Second, "time before the measurement")
	flag.DurationVar(&c.Measure, "measure", 15*time.Second, "time of the measurement")
	flag.IntVar(&c.Rounds, "rounds", 3, "rounds of every hub, interleaved")
	flag.IntVar(&c.Kills, "kills", 0, "kill -9 the hub so often in each round under load, and count what is lost or doubled instead of the rate")
	flag.BoolVar(&c.JSON, "json", false, "print JSON")
	flag.Parse()
	if err := check(c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(c config) error {
	switch {
	case len(c.Hubs) == 0:
		return errors.New("--hub NAME=PATH is missing: build one with go build ./hub/cmd/skerry-hub")
	case c.Devices < 1 || c.Devices > 60_000:
		return fmt.Errorf("--devices %d: must be 1 to 60000", c.Devices)
	case c.Records < 1 || c.Records > 500:
		return fmt.Errorf("--records %d: must be 1 to 500", c.Records)
	case c.Window < 1 || c.Pack < 1 || c.Rounds < 1 || c.Rate < 0 || c.Kills < 0:
		return errors.New("--window, --pack and --rounds must be at least 1, --rate and --kills at least 0")
	}
	return nil
}

func run(ctx context.Context, c config) error {
	var all []result
	for range c.Rounds {
		for _, h := range c.Hubs {
			r, err := measure(ctx, c, h)
			if err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			all = append(all, r)
			if c.Kills > 0 {
				fmt.Fprintf(os.Stderr, "%-10s %d kills under %d readings: %d lost, %d doubled\n", r.Hub, c.Kills, r.Sent, r.Lost, r.Duplicated)
				continue
			}
			fmt.Fprintf(os.Stderr, "%-10s %8.0f applied/s, lag p99 %.0f ms, %.1f CPU s per million\n", r.Hub, r.Applied, r.LagP99, r.CPU)
		}
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"config": c, "rounds": all})
	}
	if c.Kills == 0 { // then nothing but what is lost or doubled is measured
		table(c, all)
	}
	for _, r := range all {
		if r.Lost != 0 || r.Duplicated != 0 {
			return fmt.Errorf("%s: %d readings lost, %d doubled", r.Hub, r.Lost, r.Duplicated)
		}
	}
	return nil
}

// table prints the median of every figure over the rounds.
func table(c config, all []result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "hub\tprotocol\tapplied/s\tlag p50 ms\tlag p99 ms\tCPU s/million\tRSS MB\tsent back\tfailed\t\n")
	for _, h := range c.Hubs {
		var rs []result
		for _, r := range all {
			if r.Hub == h.name {
				rs = append(rs, r)
			}
		}
		median := func(f func(result) float64) float64 {
			v := make([]float64, len(rs))
			for i, r := range rs {
				v[i] = f(r)
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%.0f\t%.1f\t%.0f\t%.0f\t%.0f\t\n", h.name, rs[0].Protocol,
			median(func(r result) float64 { return r.Applied }), median(func(r result) float64 { return r.LagP50 }),
			median(func(r result) float64 { return r.LagP99 }), median(func(r result) float64 { return r.CPU }),
			median(func(r result) float64 { return r.RSS }), median(func(r result) float64 { return float64(r.Busy) }),
			median(func(r result) float64 { return float64(r.Failed) }))
	}
	w.Flush()
}
