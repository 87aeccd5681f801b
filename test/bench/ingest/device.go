package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"skerry.dev/sync/identity"
	"skerry.dev/sync/wire"
)

// fleet is the devices of one round and what they have seen together.
type fleet struct {
	c        config
	devices  []*device
	released atomic.Int64 // readings
	busy     atomic.Int64 // messages sent back
	failed   atomic.Int64 // messages without an answer
	lags     lags
}

func newFleet(c config) *fleet {
	f := &fleet{c: c}
	for i := range c.Devices {
		d := &device{fleet: f, name: fmt.Sprintf("device-%05d", i), started: time.Now().UnixMicro()}
		if _, err := rand.Read(d.id[:]); err != nil {
			panic(err) // it never fails
		}
		d.wake = make(chan struct{}, 1)
		f.devices = append(f.devices, d)
	}
	return f
}

// enrol gives every device its key and credential.
func (f *fleet) enrol(ctx context.Context, h *hub) error {
	for i, d := range f.devices {
		var token struct{ Token string }
		if err := h.api.Call(ctx, "POST", "/v1/enroll-tokens", map[string]string{"device": d.name, "site": "north"}, &token); err != nil {
			return err
		}
		kp, err := nkeys.CreateUser()
		if err != nil {
			return err
		}
		pub, err := kp.PublicKey()
		if err != nil {
			return err
		}
		d.key = kp
		// attempts to enrol are limited by address: every device has its own
		local := &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/250), byte(1+i%250))}
		client := http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: local}).DialContext, DisableKeepAlives: true}}
		body, err := json.Marshal(identity.EnrollRequest{
			Token:       token.Token,
			PublicKey:   pub,
			Fingerprint: d.name,
			Class:       "linux/amd64",
			Version:     "bench",
		})
		if err != nil {
			return err
		}
		resp, err := client.Post("http://"+h.web+identity.PathEnroll, "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s: %s %v", d.name, resp.Status, answer, err)
		}
		if err := json.Unmarshal(answer, &d.reply); err != nil {
			return err
		}
	}
	return nil
}

// held is a chunk that its device has not released yet.
type held struct {
	bytes   []byte
	first   uint64
	last    uint64
	made    time.Time
	sending bool
}

// device is one simulated agent: its outbox is a slice.
type device struct {
	fleet   *fleet
	name    string
	id      wire.Run
	key     nkeys.KeyPair
	reply   identity.EnrollReply
	started int64 // microseconds
	wake    chan struct{}

	mu        sync.Mutex // guards everything below
	nc        *nats.Conn
	box       []*held
	made      uint64 // readings so far
	maxChunks int
	ended     bool // no more readings are made
}

func (d *device) protocol() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.maxChunks > 0 {
		return "request"
	}
	return "stream"
}

// run sends until load ends, and then until everything is released.
func (d *device) run(ctx, load context.Context) error {
	if err := d.connect(); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	defer d.nc.Close()
	var wg sync.WaitGroup
	for range d.fleet.c.Window {
		wg.Go(func() { d.send(ctx) })
	}
	d.produce(load)
	d.mu.Lock()
	d.ended = true
	d.mu.Unlock()
	d.notify()
	wg.Wait()
	deadline := time.Now().Add(2 * time.Minute)
	for d.waiting() > 0 {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %d chunks were never released", d.name, d.waiting())
		}
		if d.maxChunks == 0 { // a lost applied message is made good by the next hello
			d.hello()
		}
		time.Sleep(200 * time.Millisecond)
		d.send(ctx)
	}
	return nil
}

func (d *device) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.box)
}

func (d *device) connect() error {
	nc, err := nats.Connect(d.reply.NATS[0], nats.CustomInboxPrefix(wire.InboxPrefix(d.name)), nats.MaxReconnects(-1),
		nats.ReconnectWait(200*time.Millisecond), nats.ReconnectJitter(300*time.Millisecond, 0), nats.RetryOnFailedConnect(true),
		nats.UserJWT(func() (string, error) { return d.reply.JWT, nil }, d.key.Sign),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ReconnectHandler(func(*nats.Conn) { go d.hello() }))
	if err != nil {
		return err
	}
	d.nc = nc
	if _, err := nc.Subscribe(wire.SubjectApplied(d.name), func(m *nats.Msg) {
		var a wire.Applied
		if json.Unmarshal(m.Data, &a) == nil {
			d.applied(a)
		}
	}); err != nil {
		return err
	}
	for range 100 {
		if err = d.hello(); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func (d *device) hello() error {
	body, err := json.Marshal(wire.Hello{Device: d.name, JoinCounter: d.reply.Join, Version: "bench",
		Runs: []wire.RunInfo{{Run: d.id, StartedAt: d.started, ClockOK: true}}})
	if err != nil {
		return err
	}
	m, err := d.nc.Request(wire.SubjectHello(d.name), body, 10*time.Second)
	if err != nil {
		return err
	}
	var r wire.HelloReply
	if err := json.Unmarshal(m.Data, &r); err != nil || r.Error != "" {
		return fmt.Errorf("hello: %s %w", r.Error, err)
	}
	d.mu.Lock()
	d.maxChunks = r.MaxChunks
	for _, h := range d.box {
		if r.MaxChunks == 0 {
			h.sending = false // taken by a stream that may be gone
		}
	}
	d.mu.Unlock()
	d.applied(r.Applied)
	return nil
}

// produce makes chunks until ctx ends: at the rate given, or so that some always wait.
func (d *device) produce(ctx context.Context) {
	c := d.fleet.c
	if c.Rate == 0 {
		for ctx.Err() == nil {
			for d.waiting() < c.Window*max(c.Pack, 2) {
				d.add(time.Now())
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
		return
	}
	every := time.Duration(float64(c.Records*c.Devices) / float64(c.Rate) * float64(time.Second))
	next := time.Now().Add(time.Duration(mrand.Int64N(int64(every))))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
		d.add(next)
		next = next.Add(every)
	}
}

// add makes one chunk of readings, twelve series in turn, each at a time of its own.
func (d *device) add(at time.Time) {
	d.mu.Lock()
	r := &wire.Records{}
	first := d.made + 1
	for range d.fleet.c.Records {
		d.made++
		r.Readings = append(r.Readings, wire.Reading{
			Series: series[d.made%uint64(len(series))],
			Time:   d.started + int64(d.made)*1000,
			Value:  math.Round(1000*math.Sin(float64(d.made)/50)) / 10,
		})
	}
	b, err := wire.Encode(wire.Header{Device: d.name, Run: d.id, Class: wire.ClassReading, First: first}, r)
	if err != nil {
		panic(err) // the records are made here
	}
	d.box = append(d.box, &held{bytes: b, first: first, last: d.made, made: at})
	d.mu.Unlock()
	d.notify()
}

var series = [...]string{"pm25", "pm10", "so2", "no2", "co", "o3", "temp", "pres", "dewp", "rain", "wd", "wspm"}

func (d *device) notify() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// next takes what one message carries; ended reports that there will be no more.
func (d *device) next() (out []*held, ended bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit := max(1, min(d.fleet.c.Pack, d.maxChunks))
	for _, h := range d.box {
		if len(out) == limit {
			d.notify() // another sender has work as well
			break
		}
		if !h.sending {
			h.sending = true
			out = append(out, h)
		}
	}
	return out, d.ended
}

// send sends messages until nothing is left to send and no more is made.
func (d *device) send(ctx context.Context) {
	for ctx.Err() == nil {
		chunks, ended := d.next()
		if len(chunks) == 0 {
			if ended {
				d.notify()
				return
			}
			select {
			case <-ctx.Done():
			case <-d.wake:
			}
			continue
		}
		var bytes [][]byte
		for _, h := range chunks {
			bytes = append(bytes, h.bytes)
		}
		msg := &nats.Msg{Subject: wire.SubjectLive("north", d.name), Data: wire.Pack(bytes)}
		stream := d.protocol() == "stream"
		if stream {
			msg.Header = nats.Header{nats.MsgIdHdr: {fmt.Sprintf("%s.%d.%d", d.id, wire.ClassReading, chunks[0].first)}}
		}
		pause, err := d.request(msg)
		switch {
		case err != nil:
			d.again(chunks)
			time.Sleep(pause)
		case !stream:
			for _, h := range chunks {
				d.release(h.first, h.last)
			}
		}
	}
}

// request sends a message and returns nil when the hub has taken it, else how long to wait.
func (d *device) request(msg *nats.Msg) (time.Duration, error) {
	m, err := d.nc.RequestMsg(msg, 10*time.Second)
	if err != nil {
		d.fleet.failed.Add(1)
		return 200 * time.Millisecond, err
	}
	var r struct {
		Applied bool            `json:"applied"`
		RetryMS int             `json:"retry_ms"`
		Error   json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &r); err != nil {
		return time.Second, err
	}
	if len(r.Error) > 0 || r.RetryMS > 0 {
		d.fleet.busy.Add(1)
		return max(time.Duration(r.RetryMS)*time.Millisecond, 100*time.Millisecond), errors.New(string(r.Error))
	}
	return 0, nil
}

func (d *device) again(chunks []*held) {
	d.mu.Lock()
	for _, h := range chunks {
		h.sending = false
	}
	d.mu.Unlock()
	d.notify()
}

// applied releases what the ledger has.
func (d *device) applied(a wire.Applied) {
	for _, s := range a.Sets {
		if s.Run != d.id || s.Class != wire.ClassReading {
			continue
		}
		d.release(1, s.Mark)
		for _, r := range s.Ranges {
			d.release(r.From, r.To)
		}
	}
}

// release drops the chunks within a range.
func (d *device) release(from, to uint64) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.box = slices.DeleteFunc(d.box, func(h *held) bool {
		in := from <= h.first && h.last <= to
		if in {
			d.fleet.released.Add(int64(h.last - h.first + 1))
			d.fleet.lags.add(now.Sub(h.made))
		}
		return in
	})
}

// lags are the times from making a chunk to its release.
type lags struct {
	mu sync.Mutex
	ms []float64
}

func (l *lags) add(d time.Duration) {
	l.mu.Lock()
	l.ms = append(l.ms, float64(d)/float64(time.Millisecond))
	l.mu.Unlock()
}

func (l *lags) reset() {
	l.mu.Lock()
	l.ms = l.ms[:0]
	l.mu.Unlock()
}

func (l *lags) quantile(q float64) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ms) == 0 {
		return math.NaN()
	}
	slices.Sort(l.ms)
	return l.ms[min(len(l.ms)-1, int(q*float64(len(l.ms))))]
}
