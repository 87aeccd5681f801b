// Command month lets a hub live through weeks of a few devices in minutes and reports what grows:
// the database, the files of the lake, the bytes per reading.
//
// Chunks as agents make them go through the hub's ingest into the database, are moved to the lake,
// merged and pruned by the hub's own code. Only time is compressed: event times pass by themselves,
// and at the end of each simulated day every stamp that the hub took from its clock (of ledger,
// events, points of charts, feed) is set one day back, so that ages are those of a hub that ran so
// long. It exits 1 when a reading is missing or double, or a file of a finished day is too small
// although there is enough for a larger one.
//
//	go run ./test/bench/month --days 30 --devices 4
//	go run ./test/bench/month --database postgres://…   # an empty database
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"

	"skerry.dev/configs"
	"skerry.dev/hub/blob"
	"skerry.dev/hub/feed"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
	"skerry.dev/hub/retain"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

type config struct {
	days, devices, series int
	every                 time.Duration // between two readings of a series
	age                   time.Duration // of events and points of charts
	repeats               int           // readings of a device and day that come twice
	database, dir         string
}

func main() {
	var c config
	flag.IntVar(&c.days, "days", 30, "simulated days")
	flag.IntVar(&c.devices, "devices", 4, "devices")
	flag.IntVar(&c.series, "series", 8, "series of each device")
	flag.DurationVar(&c.every, "every", 10*time.Second, "between two readings of a series")
	flag.DurationVar(&c.age, "age", 7*24*time.Hour, "how long events and points of charts are kept; the hub's default is 90 days")
	flag.IntVar(&c.repeats, "repeats", 100, "readings of each device and day that come once more, under other sequence numbers")
	flag.StringVar(&c.database, "database", "", "URL of an empty PostgreSQL database (default SQLite)")
	flag.StringVar(&c.dir, "dir", "", "where data go (default a temporary directory)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "month:", err)
		os.Exit(1)
	}
}

// month is a hub without its network.
type month struct {
	config
	db      *meta.Store
	raw     *sql.DB // the same database, to set its stamps back
	ingest  *ingest.Ingester
	lake    *lake.Lake
	pruner  *retain.Pruner
	begin   time.Time
	devices []*device
}

func run(ctx context.Context, c config) (err error) {
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "month-"); err != nil {
			return err
		}
		defer os.RemoveAll(c.dir)
	}
	m := &month{config: c}
	if m.db, err = meta.Open(ctx, meta.Options{Dir: c.dir, URL: c.database}); err != nil {
		return err
	}
	defer m.db.Close()
	if c.database == "" {
		m.raw, err = sql.Open("sqlite", "file:"+filepath.Join(c.dir, "hub.db")+"?_pragma=busy_timeout(60000)")
	} else {
		m.raw, err = sql.Open("pgx", c.database)
	}
	if err != nil {
		return err
	}
	defer m.raw.Close()
	blobs, err := blob.Open(ctx, "", c.dir, "lake")
	if err != nil {
		return err
	}
	defer blobs.Close()
	// As much of the past, so that the last simulated day is today.
	m.begin = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-c.days)
	m.ingest = ingest.New(m.db, ingest.Options{})
	m.lake = lake.New(m.db, blobs, lake.Options{HubLake: configs.HubLake{LabelAge: spec.Duration(c.age)}})
	m.pruner = retain.New(m.db, configs.HubKeep{Events: spec.Duration(c.age)}, nil, nil)
	for i := range c.devices {
		d := &device{name: fmt.Sprintf("pump-%d", i+1), run: wire.Run{byte(i + 1)}, next: map[wire.Class]uint64{}, r: rand.New(rand.NewPCG(uint64(i), 1)), value: make([]float64, c.series)}
		m.devices = append(m.devices, d)
		err := m.db.Tx(ctx, func(q *meta.Queries) error {
			return q.InsertDevice(ctx, meta.Device{Name: d.name, Site: "plant", PublicKey: d.name})
		})
		if err != nil {
			return err
		}
	}
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- m.ingest.Run(working) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()

	fmt.Printf("%d devices, %d series each, one reading every %v; events and points of charts kept %v; %s\n\n",
		c.devices, c.series, c.every, c.age, m.db.Dialect())
	fmt.Println("| day | database MB | readings, million | lake MB | files | smallest of finished days MB | in grace MB | peak heap MB | s |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for day := range c.days {
		if err := m.day(ctx, day); err != nil {
			return fmt.Errorf("day %d: %w", day+1, err)
		}
	}
	return m.verdict(ctx)
}

// day sends a day's telemetry, moves it to the lake in quarters, and does what the hub does by the
// hour and the day.
func (m *month) day(ctx context.Context, day int) error {
	began := time.Now()
	start := m.begin.AddDate(0, 0, day)
	for quarter := range 4 {
		var wg sync.WaitGroup
		errs := make([]error, len(m.devices))
		for i, d := range m.devices {
			wg.Go(func() { errs[i] = d.send(m, start.Add(time.Duration(quarter)*6*time.Hour), 6*time.Hour) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if _, err := m.lake.Compact(ctx, true); err != nil {
			return err
		}
	}
	// The hub's evening: what is small and of days before today is merged.
	now := start.Add(24*time.Hour - time.Second)
	if _, err := m.lake.Merge(ctx, now); err != nil {
		return err
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	if err := m.lake.Expire(ctx, now); err != nil {
		return err
	}
	err := errors.Join(m.lake.Tidy(ctx, time.Now()), m.pruner.Prune(ctx, nil, time.Now()))
	if _, perr := feed.Prune(ctx, m.db, feed.Limits{}); err != nil || perr != nil {
		return errors.Join(err, perr)
	}
	if day++; day%5 == 0 || day == m.days {
		if err := m.report(ctx, day, now, mem.HeapSys, time.Since(began)); err != nil {
			return err
		}
	}
	if day == m.days {
		return nil
	}
	const back = int64(24 * time.Hour / time.Microsecond)
	for _, stamp := range []string{"ledger SET applied_at = applied_at", "event SET received_at = received_at", "label_point SET received_at = received_at", "feed SET time = time"} {
		if _, err := m.raw.ExecContext(ctx, fmt.Sprintf("UPDATE %s - %d", stamp, back)); err != nil {
			return err
		}
	}
	return nil
}

func (m *month) report(ctx context.Context, day int, now time.Time, heap uint64, took time.Duration) error {
	size, err := m.databaseBytes(ctx)
	if err != nil {
		return err
	}
	sum, err := m.lake.Summary(ctx)
	if err != nil {
		return err
	}
	files, least, err := m.finished(ctx, now)
	if err != nil {
		return err
	}
	smallest := "–"
	if least < math.MaxInt64 {
		smallest = fmt.Sprintf("%.1f", float64(least)/1e6)
	}
	var rows, bytes int64
	for _, c := range sum.Classes {
		if bytes += c.Bytes; c.Class == wire.ClassReading.String() {
			rows = c.Rows
		}
	}
	fmt.Printf("| %d | %.1f | %.2f | %.1f | %d | %s | %.1f | %.0f | %.1f |\n", day, float64(size)/1e6, float64(rows)/1e6, float64(bytes)/1e6, files, smallest,
		float64(sum.Retired.Bytes)/1e6, float64(heap)/1e6, took.Seconds())
	return nil
}

// finished returns how many files the lake has, and the size of the smallest one of readings of a
// finished day.
func (m *month) finished(ctx context.Context, now time.Time) (files int, least int64, err error) {
	all, err := m.db.Read().LakeFiles(ctx, 0)
	least = math.MaxInt64
	for _, f := range all {
		if f.Class == int64(wire.ClassReading) && f.Date < now.Format(time.DateOnly) {
			least = min(least, f.Bytes)
		}
	}
	return len(all), least, err
}

func (m *month) databaseBytes(ctx context.Context) (n int64, err error) {
	if m.database != "" {
		err = m.raw.QueryRowContext(ctx, "SELECT pg_database_size(current_database())").Scan(&n)
		return n, err
	}
	if _, err := m.raw.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return 0, err
	}
	st, err := os.Stat(filepath.Join(m.dir, "hub.db"))
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// verdict counts every reading and looks at the sizes of the files.
func (m *month) verdict(ctx context.Context) error {
	// The day after: the last day is finished too.
	now := m.begin.AddDate(0, 0, m.days).Add(time.Hour)
	if _, err := m.lake.Merge(ctx, now); err != nil {
		return err
	}
	var errs []error
	var sent, repeated int64
	for _, d := range m.devices {
		c, err := m.lake.ExactlyOnce(ctx, d.name)
		if err != nil {
			return err
		}
		if c.Readings != d.distinct || c.Duplicates != 0 || c.Equal != d.repeated {
			errs = append(errs, fmt.Errorf("%s: %d readings, %d duplicates and %d left out; %d distinct and %d repeats were sent", d.name, c.Readings, c.Duplicates, c.Equal, d.distinct, d.repeated))
		}
		sent, repeated = sent+d.distinct, repeated+d.repeated
	}
	_, least, err := m.finished(ctx, now)
	if err != nil {
		return err
	}
	sum, err := m.lake.Summary(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d readings, each once; %d repeats left out\n\n", sent, repeated)
	fmt.Println("| class | files | rows | MB | bytes a row |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	for _, c := range sum.Classes {
		fmt.Printf("| %s | %d | %d | %.1f | %.2f |\n", c.Class, c.Files, c.Rows, float64(c.Bytes)/1e6, float64(c.Bytes)/float64(c.Rows))
		if c.Class == wire.ClassReading.String() && c.Files > 1 && least < 16<<20 {
			errs = append(errs, fmt.Errorf("a file of readings of a finished day has %d bytes", least))
		}
		if c.Class != wire.ClassReading.String() && c.Files > 1 && c.Bytes < 16<<20 {
			errs = append(errs, fmt.Errorf("class %s has %d files for %d bytes", c.Class, c.Files, c.Bytes))
		}
	}
	return errors.Join(errs...)
}

// device makes telemetry as an agent does: chunks of about a hundred records of one class.
type device struct {
	name               string
	run                wire.Run
	next               map[wire.Class]uint64 // last sequence number given out
	r                  *rand.Rand
	value              []float64
	distinct, repeated int64
}

// send sends what a device measures and predicts in a span of time.
func (d *device) send(m *month, from time.Time, span time.Duration) error {
	start := from.UnixMicro()
	var readings []wire.Reading
	for at := int64(0); at < span.Microseconds(); at += m.every.Microseconds() {
		for s := range d.value {
			// A slow walk with two decimals beside a daily course, as a sensor gives it; the times
			// of a sensor without a clock vary by milliseconds.
			d.value[s] += d.r.NormFloat64() * 0.05
			v := 20 + float64(s) + d.value[s] + 3*math.Sin(2*math.Pi*float64(start+at)/86400e6)
			readings = append(readings, wire.Reading{
				Series: fmt.Sprintf("sensor-%d", s+1),
				Time:   start + at + 1000*d.r.Int64N(50),
				Value:  math.Round(v*100) / 100,
				Mono:   (start + at - m.begin.UnixMicro()) * 1000,
			})
		}
	}
	d.distinct += int64(len(readings))
	again := readings[:min(m.repeats/4, len(readings))]
	d.repeated += int64(len(again))
	readings = append(readings, again...)
	var predictions []wire.Prediction
	var labels []wire.Label
	var hosts []wire.Host
	for at := int64(0); at < span.Microseconds(); at += 60e6 {
		t, v := start+at, 20+d.r.NormFloat64()
		predictions = append(predictions, wire.Prediction{Task: "flow", Row: t, For: t + 3600e6, Value: v, Lower: v - 1, Upper: v + 1, Model: "flow@1"})
		labels = append(labels, wire.Label{Task: "flow", Row: t - 3600e6, At: t, Truth: v, Predicted: v + d.r.NormFloat64(), Lower: v - 1, Upper: v + 1, Persistence: v + 0.5, ChampionID: "flow@1"})
		for _, metric := range []string{"cpu_percent", "memory_bytes", "temperature"} {
			hosts = append(hosts, wire.Host{Time: t, Metric: metric, Value: math.Round(d.r.Float64() * 100)})
		}
	}
	events := []wire.Event{{Time: start, Kind: "drift", Task: "flow", Detail: `{"model":"flow@1"}`}}
	return errors.Join(
		send(m, d, ingest.Live, wire.ClassReading, readings, func(r *wire.Records, x []wire.Reading) { r.Readings = x }),
		send(m, d, ingest.Live, wire.ClassPrediction, predictions, func(r *wire.Records, x []wire.Prediction) { r.Predictions = x }),
		send(m, d, ingest.Live, wire.ClassLabel, labels, func(r *wire.Records, x []wire.Label) { r.Labels = x }),
		send(m, d, ingest.Live, wire.ClassHost, hosts, func(r *wire.Records, x []wire.Host) { r.Hosts = x }),
		send(m, d, ingest.Events, wire.ClassEvent, events, func(r *wire.Records, x []wire.Event) { r.Events = x }))
}

// window is how many messages of a device wait for their receipts.
const window = 64

func send[T any](m *month, d *device, lane ingest.Lane, class wire.Class, all []T, put func(*wire.Records, []T)) error {
	receipts := make(chan wire.Receipt, window)
	waiting := 0
	var refused []string
	receive := func() {
		if r := <-receipts; !r.Applied {
			refused = append(refused, r.Error)
		}
		waiting--
	}
	for len(all) > 0 && len(refused) == 0 {
		n := min(100, len(all))
		var records wire.Records
		put(&records, all[:n])
		b, err := wire.Encode(wire.Header{Device: d.name, Run: d.run, Class: class, First: d.next[class] + 1}, &records)
		if err != nil {
			return err
		}
		d.next[class] += uint64(n)
		all = all[n:]
		if waiting == window {
			receive()
		}
		waiting++
		m.ingest.Offer(ingest.Message{Site: "plant", Device: d.name, Lane: lane, Data: b, Reply: func(r wire.Receipt) { receipts <- r }})
	}
	for waiting > 0 {
		receive()
	}
	if len(refused) > 0 {
		return fmt.Errorf("%s: %s records were refused: %s", d.name, class, strings.Join(refused[:1], ""))
	}
	return nil
}
