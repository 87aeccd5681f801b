// Command forecast measures forecasts of many steps: the online forecasters on the hourly series
// of the M4 competition, and ridge regression on lagged values on ETTh1, beside figures that were
// published.
//
//	go run ./test/bench/forecast --data ../shared/data
//	go run ./test/bench/forecast --data ../shared/data --only m4 --back 48
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	data := flag.String("data", os.Getenv("SKERRY_DATA"), "folder of the public data sets")
	only := flag.String("only", "", "m4 or etth1 (default both)")
	back := flag.Int("back", 0, "M4: foresee the 48 hours that end so many hours before the competition's")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *data, *only, *back); err != nil {
		fmt.Fprintln(os.Stderr, "forecast:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, data, only string, back int) error {
	if data == "" {
		return fmt.Errorf("--data: give the folder of the public data sets, or set SKERRY_DATA")
	}
	if only != "" && only != "m4" && only != "etth1" {
		return fmt.Errorf("--only %q: must be m4 or etth1", only)
	}
	if back < 0 || back > 240 {
		return fmt.Errorf("--back %d: must be 0 to 240 hours", back)
	}
	if only != "etth1" {
		if err := m4(ctx, filepath.Join(data, "forecast", "m4_hourly.csv.gz"), back); err != nil {
			return err
		}
	}
	if only != "m4" {
		return etth1(ctx, filepath.Join(data, "forecast", "etth1.csv.gz"))
	}
	return nil
}
