package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
// published on the topic and answers once the readings are durable. It answers 204 when all of them
// are stored; 200 and what was refused, as a Partial in JSON, when some are, also of a label whose
// id no row has had; 400 when nothing of the payload can be read; 404 when no task reads the topic;
// 413 above the payload limit; 503 when they were not durable in time: send the payload again, a
// repeat with the same event time changes nothing.
type Ingest struct {
	sink    Sink
	limit   int
	wait    time.Duration
	clock   func() (int64, bool)
	behind  func() int64
	m       *metrics
	in      intake
	seen    func(context.Context, []Sighting)
	planMu  sync.Mutex
	plan    *Plan
	decoder sync.Pool
}

// Partial is the answer to a payload of which a part was refused.
type Partial struct {
	Taken    int      `json:"taken"`    // readings that are stored
	Refused  int      `json:"refused"`  // values that are not
	Problems []string `json:"problems"` // what is wrong with them, the first 16
}

// IngestOptions configures an Ingest. Zero values take the defaults.
type IngestOptions struct {
	MaxPayload spec.Bytes    // default 256 KiB
	Wait       time.Duration // for the readings to become durable, default 10 s
	Clock      func() (int64, bool)
	Behind     func() int64 // see Options
	Log        *slog.Logger
	Metrics    prometheus.Registerer
	Inputs     *Inputs // nil: an account of its own
	Seen       func(context.Context, []Sighting)
}

// NewIngest returns a handler for the pattern "POST /v1/ingest/{topic...}".
func NewIngest(plan *Plan, sink Sink, opts IngestOptions) *Ingest {
	o := Options{AgentMQTT: configs.AgentMQTT{MaxPayload: opts.MaxPayload}, Clock: opts.Clock, Behind: opts.Behind, Log: opts.Log, Metrics: opts.Metrics, Inputs: opts.Inputs}
	o.defaults()
	if opts.Wait == 0 {
		opts.Wait = 10 * time.Second
	}
	m := newMetrics(opts.Metrics)
	return &Ingest{
		sink:   sink,
		limit:  int(o.MaxPayload),
		wait:   opts.Wait,
		clock:  o.Clock,
		behind: o.Behind,
		m:      m,
		in:     intake{m: m, log: &complaints{log: o.Log, every: time.Minute}, inputs: o.Inputs},
		plan:   plan,
		seen:   opts.Seen,
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
		status, why := http.StatusBadRequest, err.Error()
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status, why = http.StatusRequestEntityTooLarge, fmt.Sprintf("a payload has at most %d bytes (mqtt.max_payload)", in.limit)
			in.m.errors.WithLabelValues(string(ErrSize)).Inc()
		}
		refuse(w, status, why)
		return
	}
	topic := r.PathValue("topic")
	dec := in.take()
	if tp := dec.of(topic); tp != nil && len(tp.fresh) > 0 && in.seen != nil {
		in.seen(r.Context(), tp.fresh)
		dec = in.take()
	}
	defer func() { in.decoder.Put(dec) }()
	plan := dec.plan
	now, ok := in.clock()
	readings := in.in.account(dec, topic, body, arrived{now, ok, false})
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
	part := Partial{Taken: len(readings), Refused: len(dec.out.Refused) + len(dec.out.Untimed), Problems: []string{}}
	for _, p := range dec.out.Problems {
		part.Problems = append(part.Problems, p.Error())
	}
	durable := make(chan struct{})
	var once sync.Once
	m := Message{
		Plan:     plan,
		Topic:    topic,
		Arrival:  now,
		ClockOK:  ok,
		Behind:   in.behind(),
		Readings: readings,
		Stray: func(series, id string) {
			part.Taken--
			part.Refused++
			if len(part.Problems) < maxProblems {
				part.Problems = append(part.Problems, fmt.Sprintf("label of series %q: no row is known with the id %q: it is not kept; send the row first", series, id))
			}
		},
		Clash: func(series string) {
			part.Taken--
			part.Refused++
			if len(part.Problems) < maxProblems {
				part.Problems = append(part.Problems, fmt.Sprintf("reading of series %q: its time, or its row, has another value already, which counts: this one is kept for the hub and not used", series))
			}
		},
		Ack: func() { once.Do(func() { close(durable) }) },
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
		if len(part.Problems) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, http.StatusOK, part)
	case <-timeout.C:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "the readings are not durable yet: send them again")
	case <-r.Context().Done():
	}
}

// take returns a decoder of the present plan.
func (in *Ingest) take() *Decoder {
	in.planMu.Lock()
	plan := in.plan
	in.planMu.Unlock()
	dec, _ := in.decoder.Get().(*Decoder)
	if dec == nil || dec.plan != plan {
		dec = NewDecoder(plan, in.limit)
	}
	return dec
}

func refuse(w http.ResponseWriter, status int, msg string) {
	answer(w, status, map[string]string{"error": msg})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// the client is gone when this fails
	_ = json.NewEncoder(w).Encode(body)
}
