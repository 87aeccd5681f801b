package source

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	messages, readings, missing, unknown     prometheus.Counter
	connects, published, superseded, dropped prometheus.Counter
	errors                                   *prometheus.CounterVec
	connected                                prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return register(r, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "skerry_source_" + name,
			Help: help,
		}))
	}
	return &metrics{
		messages:   counter("messages_total", "Messages received by MQTT, HTTP or from files."),
		readings:   counter("readings_total", "Readings decoded from messages."),
		missing:    counter("missing_total", "Series that a message on their topic did not carry."),
		unknown:    counter("unknown_topic_total", "Messages on topics that no task reads."),
		connects:   counter("connects_total", "Connections made to the MQTT broker."),
		published:  counter("published_total", "Messages published to the MQTT broker."),
		superseded: counter("publish_superseded_total", "Messages replaced by a newer one of their topic before they could be published."),
		dropped:    counter("publish_dropped_total", "Messages dropped because too many waited to be published."),
		errors: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skerry_source_errors_total",
			Help: "Payloads and single readings refused, by kind.",
		}, []string{"kind"})),
		connected: register(r, prometheus.NewGauge(prometheus.GaugeOpts{Name: "skerry_source_connected",
			Help: "1 while the MQTT broker is connected."})),
	}
}

// register registers c, or returns the collector of the same name that is registered already.
func register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	if err := r.Register(c); err != nil {
		if have, ok := err.(prometheus.AlreadyRegisteredError); ok {
			return have.ExistingCollector.(C)
		}
		panic("source: " + err.Error()) // names are constants
	}
	return c
}

// maxComplaints bounds the number of different repeats remembered.
const maxComplaints = 1000

// complaints logs a repeated warning once per interval with the number of times it was left out.
type complaints struct {
	log   *slog.Logger
	every time.Duration

	mu   sync.Mutex
	seen map[string]*complaint
}

type complaint struct {
	next    time.Time
	skipped int
	msg     string
	args    []any
}

func (c *complaints) warn(key, msg string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	e := c.seen[key]
	if e == nil {
		if c.seen == nil || len(c.seen) >= maxComplaints {
			c.seen = map[string]*complaint{}
		}
		e = &complaint{}
		c.seen[key] = e
	}
	if now.Before(e.next) {
		e.skipped++
		e.msg, e.args = msg, args
		return
	}
	if e.skipped > 0 {
		args = append(args, "repeated", e.skipped)
	}
	e.next, e.skipped = now.Add(c.every), 0
	c.log.Warn(msg, args...)
}

// flush logs what is left of suppressed repeats.
func (c *complaints) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.seen {
		if e.skipped > 0 {
			c.log.Warn(e.msg, append(e.args, "repeated", e.skipped)...)
		}
	}
	c.seen = nil
}
