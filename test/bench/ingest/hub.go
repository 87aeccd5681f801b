package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"skerry.dev/test/rig"
)

// hub is a running hub process with its own folder.
type hub struct {
	rig.Process
	dir string
	api *rig.Client
	web string
}

func startHub(ctx context.Context, p hubProgram) (*hub, error) {
	dir, err := os.MkdirTemp("", "skerry-ingest-")
	if err != nil {
		return nil, err
	}
	h := &hub{dir: dir}
	var ports [2]int
	for i := range ports {
		if ports[i], err = rig.FreePort(); err != nil {
			return nil, err
		}
	}
	password := rand.Text()
	file := filepath.Join(dir, "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return nil, err
	}
	h.web = fmt.Sprintf("127.0.0.1:%d", ports[0])
	h.Process = rig.Process{
		Name: p.name,
		Path: p.path,
		Log:  filepath.Join(dir, "hub.log"),
		Env:  []string{"RATE_LIMIT_ENABLED=false"},
		Args: []string{"serve", "--data", filepath.Join(dir, "data"), "--listen", h.web, "--nats-listen", fmt.Sprintf("127.0.0.1:%d", ports[1]),
			"--admin-password-file", file, "--no-auto-train"},
	}
	if err := h.Start(); err != nil {
		return nil, err
	}
	h.api = rig.NewClient(h.web, time.Minute)
	if err := h.api.WaitReady(ctx, time.Minute); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, h.Tail())
	}
	_, err = h.api.Login(ctx, "admin", password)
	return h, err
}

// close stops the hub and removes its folder.
func (h *hub) close() {
	h.Stop(30 * time.Second)
	os.RemoveAll(h.dir)
}

// usage is what a process has used so far.
type usage struct {
	cpu time.Duration
	rss float64 // MB
}

// use reads /proc; elsewhere than on Linux it reports nothing.
func (h *hub) use() (u usage) {
	pid := strconv.Itoa(h.PID())
	if b, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil {
		if _, rest, ok := strings.Cut(string(b), ") "); ok {
			f := strings.Fields(rest)
			user, _ := strconv.ParseInt(f[11], 10, 64)
			sys, _ := strconv.ParseInt(f[12], 10, 64)
			u.cpu = time.Duration(user+sys) * 10 * time.Millisecond // USER_HZ is 100
		}
	}
	if b, err := os.ReadFile("/proc/" + pid + "/status"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "VmRSS:"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			u.rss = kb / 1024
		}
	}
	return u
}

// measure lets the devices of one round send to a fresh hub.
func measure(ctx context.Context, c config, p hubProgram) (result, error) {
	h, err := startHub(ctx, p)
	if err != nil {
		return result{}, err
	}
	defer h.close()
	f := newFleet(c)
	if err := f.enrol(ctx, h); err != nil {
		return result{}, fmt.Errorf("enrol devices: %w", err)
	}
	load, stop := context.WithCancel(ctx)
	defer stop()
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	for _, d := range f.devices {
		g.Go(func() error { return d.run(gctx, load) })
	}
	r := result{Hub: p.name}
	if c.Kills > 0 {
		err = f.killing(ctx, h, c.Kills)
	} else {
		err = f.measuring(ctx, h, &r)
	}
	stop() // no new readings; what is under way is waited for
	if err := join(err, g.Wait()); err != nil {
		return r, fmt.Errorf("%w\n%s", err, h.Tail())
	}
	r.Protocol, r.Busy, r.Failed = f.devices[0].protocol(), f.busy.Load(), f.failed.Load()
	if c.Kills > 0 {
		return r, f.count(ctx, h, &r)
	}
	return r, nil
}

func join(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (f *fleet) measuring(ctx context.Context, h *hub, r *result) error {
	if err := wait(ctx, f.c.Warmup); err != nil {
		return err
	}
	f.lags.reset()
	before, start, from := h.use(), time.Now(), f.released.Load()
	if err := wait(ctx, f.c.Measure); err != nil {
		return err
	}
	n, took, after := f.released.Load()-from, time.Since(start), h.use()
	r.Applied = float64(n) / took.Seconds()
	r.LagP50, r.LagP99 = f.lags.quantile(0.5), f.lags.quantile(0.99)
	r.RSS = after.rss
	if n > 0 {
		r.CPU = (after.cpu - before.cpu).Seconds() / float64(n) * 1e6
	}
	return nil
}

// killing ends the hub at once, again and again, while the devices go on sending.
func (f *fleet) killing(ctx context.Context, h *hub, times int) error {
	for n := range times {
		// every tenth of a second another distance from the start
		if err := wait(ctx, time.Second+time.Duration(n%10)*100*time.Millisecond); err != nil {
			return err
		}
		h.Kill()
		if err := h.Start(); err != nil {
			return err
		}
		if err := h.api.WaitReady(ctx, time.Minute); err != nil {
			return err
		}
	}
	return wait(ctx, 2*time.Second)
}

// count compares what was released with what the hub holds, device by device.
func (f *fleet) count(ctx context.Context, h *hub, r *result) error {
	for _, d := range f.devices {
		var have struct{ Readings, Distinct, Duplicates int64 }
		if err := h.api.Call(ctx, "GET", "/v1/lake/check?device="+url.QueryEscape(d.name), nil, &have); err != nil {
			return err
		}
		r.Sent += int64(d.made)
		r.Lost += int64(d.made) - have.Distinct
		r.Duplicated += have.Readings - have.Distinct
	}
	return nil
}
