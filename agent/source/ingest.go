package source

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/configs"
	"skerry.dev/sync/spec"
)

// Ingest is the HTTP way in: POST /v1/ingest/{topic...} takes the payload that would have been
// published on the topic and answers once the readings are durable. It answers 204 when they are
// stored; 400 when nothing of the payload can be read; 404 when no task reads the topic; 413
// above the payload limit; 503 when they were not durable in time: send the payload again, a
// repeat with the same event time changes nothing.
type Ingest struct {
	sink    Sink
	limit   int
	wait    time.Duration
	clock   func() (int64, bool)
	m       *metrics
	in      intake
	planMu  sync.Mutex
	plan    *Plan
	decoder sync.Pool
}

// IngestOptions configures an Ingest. Zero values take the defaults.
type IngestOptions struct {
	MaxPayload spec.Bytes    // default 256 KiB
	Wait       time.Duration // for the readings to become durable, default 10 s
	Clock      func() (int64, bool)
	Log        *slog.Logger
	Metrics    prometheus.Registerer
	Inputs     *Inputs // nil: an account of its own
}

// NewIngest returns a handler for the pattern "POST /v1/ingest/{topic...}".
func NewIngest(plan *Plan, sink Sink, opts IngestOptions) *Ingest {
	o := Options{AgentMQTT: configs.AgentMQTT{MaxPayload: opts.MaxPayload}, Clock: opts.Clock, Log: opts.Log, Metrics: opts.Metrics, Inputs: opts.Inputs}
	o.defaults()
	if opts.Wait == 0 {
		opts.Wait = 10 * time.Second
	}
	m := newMetrics(opts.Metrics)
	return &Ingest{
		sink:  sink,
		limit: int(o.MaxPayload),
		wait:  opts.Wait,
		clock: o.Clock,
		m:     m,
		in:    intake{m: m, log: &complaints{log: o.Log, every: time.Minute}, inputs: o.Inputs},
		plan:  plan,
	}
}

// Replace makes p the plan of the requests from now on.
func (in *Ingest) Replace(p *Plan) {
	in.planMu.Lock()
	in.plan = p
	in.planMu.Unlock()
}

// ServeHTTP takes one payload of a topic by POST.
func (in *Ingest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(in.limit)))
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
			in.m.errors.WithLabelValues(string(ErrSize)).Inc()
		}
		refuse(w, status, err.Error())
		return
	}
	in.planMu.Lock()
	plan := in.plan
	in.planMu.Unlock()
	dec, _ := in.decoder.Get().(*Decoder)
	if dec == nil || dec.plan != plan {
		dec = NewDecoder(plan, in.limit)
	}
	defer in.decoder.Put(dec)
	topic := r.PathValue("topic")
	now, ok := in.clock()
	readings := in.in.account(dec, topic, body, now, ok)
	if len(readings) == 0 {
		// once more for the answer: account has only reported it
		out, err := dec.Decode(topic, body)
		switch {
		case err != nil:
			refuse(w, http.StatusBadRequest, err.Error())
		case !out.Known:
			refuse(w, http.StatusNotFound, "no task reads topic \""+topic+"\"")
		case len(out.Problems) > 0:
			refuse(w, http.StatusBadRequest, out.Problems[0].Error())
		default:
			refuse(w, http.StatusBadRequest, "the payload holds no reading of any series of topic \""+topic+"\"")
		}
		return
	}
	durable := make(chan struct{})
	var once sync.Once
	m := Message{
		Plan:     plan,
		Topic:    topic,
		Arrival:  now,
		ClockOK:  ok,
		Readings: readings,
		Ack:      func() { once.Do(func() { close(durable) }) },
	}
	if err := in.sink.Message(r.Context(), m); err != nil {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	timeout := time.NewTimer(in.wait)
	defer timeout.Stop()
	select {
	case <-durable:
		w.WriteHeader(http.StatusNoContent)
	case <-timeout.C:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "the readings are not durable yet: send them again")
	case <-r.Context().Done():
	}
}

func refuse(w http.ResponseWriter, status int, msg string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// the client is gone when this fails
	_ = json.NewEncoder(w).Encode(map[string]string{"error": msg})
}
