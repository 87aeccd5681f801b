package health

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"
)

// diskEvery is how often the room on the disk is looked at.
const diskEvery = time.Second

// Disk watches the room of the file systems on which folders lie. Safe for concurrent use.
type Disk struct {
	dirs    []string
	minFree int64
	log     *slog.Logger
	full    atomic.Pointer[string] // why nothing may be stored, nil while it may
}

// WatchDisk returns a watch over folders that calls a file system full when less than minFree bytes
// are free, or less than a tenth of it where that is not as much. It has looked once. log may be
// nil.
func WatchDisk(minFree int64, log *slog.Logger, dirs ...string) *Disk {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &Disk{dirs: dirs, minFree: minFree, log: log}
	d.look()
	return d
}

// Err reports why nothing may be stored, nil while there is room.
func (d *Disk) Err() error {
	if why := d.full.Load(); why != nil {
		return fmt.Errorf("%s", *why)
	}
	return nil
}

// Run watches until ctx ends.
func (d *Disk) Run(ctx context.Context) error {
	t := time.NewTicker(diskEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			d.look()
		}
	}
}

func (d *Disk) look() {
	was := d.full.Load()
	for _, dir := range d.dirs {
		free, size, err := room(dir)
		if err != nil {
			continue // no folder, or a system that does not tell: writing will show
		}
		limit := min(d.minFree, size/10)
		if was != nil {
			limit += limit / 4 // so that it does not go to and fro
		}
		if free >= limit {
			continue
		}
		name, err := filepath.Abs(dir)
		if err != nil {
			name = dir
		}
		why := fmt.Sprintf("%d MiB are free on the disk of %s, %d MiB are needed: telemetry waits on the devices until there is room (disk.min_free)", free>>20, name, limit>>20)
		d.full.Store(&why)
		if was == nil {
			d.log.Error("the disk is nearly full, no telemetry is taken", "dir", name, "free_bytes", free, "needed_bytes", limit)
		}
		return
	}
	d.full.Store(nil)
	if was != nil {
		d.log.Info("the disk has room again, telemetry is taken")
	}
}
