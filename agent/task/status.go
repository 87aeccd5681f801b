package task

import (
	"math"
	"math/bits"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/compute/engine"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

// Status is what the runtime shows of itself, at most half a second old.
type Status struct {
	Tasks   []TaskStatus
	Latency LatencySummary
	Trouble string
}

// TaskStatus is one task's part of it.
type TaskStatus struct {
	Spec      *spec.Task
	Engine    engine.Status
	Shadow    string // digest in the shadow slot
	Probation bool
	Last      engine.Prediction
	Version   string // of the champion
}

// Status returns the newest status.
func (r *Runtime) Status() *Status { return r.status.Load() }

func (r *Runtime) setStatus() {
	s := &Status{Latency: r.latency.summary(), Trouble: r.Trouble()}
	for _, t := range r.tasks {
		_, probation, _ := t.engine.Trial()
		st := t.engine.Status()
		s.Tasks = append(s.Tasks, TaskStatus{
			Spec:      t.spec,
			Engine:    st,
			Shadow:    t.engine.ShadowID(),
			Probation: probation,
			Last:      t.last,
			Version:   t.version(st.Champion),
		})
	}
	r.opts.Metrics.experts(s.Tasks)
	r.status.Store(s)
}

func (s *sealed) touch() {
	if s.began.IsZero() {
		s.began = time.Now()
	}
}

// Latency collects durations in buckets an eighth of an octave wide.
type Latency struct {
	Predict Histogram // one engine step
	Total   Histogram // arrival to publication
}

// LatencySummary are quantiles in microseconds.
type LatencySummary struct {
	PredictP50 float64 `json:"predict_p50"`
	PredictP99 float64 `json:"predict_p99"`
	TotalP50   float64 `json:"mqtt_to_prediction_p50"`
	TotalP99   float64 `json:"mqtt_to_prediction_p99"`
}

func (l *Latency) summary() LatencySummary {
	return LatencySummary{l.Predict.Quantile(0.5), l.Predict.Quantile(0.99), l.Total.Quantile(0.5), l.Total.Quantile(0.99)}
}

// Histogram counts durations with a relative error of a sixteenth. The zero value is empty; it is
// not safe for concurrent use.
type Histogram struct {
	n       int64
	buckets [512]int64
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	h.n++
	h.buckets[bucketOf(uint64(max(d.Nanoseconds(), 0)))]++
}

func bucketOf(ns uint64) int {
	if ns < 8 {
		return int(ns)
	}
	e := bits.Len64(ns) - 1
	return e*8 + int(ns>>(e-3)&7)
}

// Quantile returns the middle of the bucket that holds quantile q, in microseconds; 0 when
// nothing was counted.
func (h *Histogram) Quantile(q float64) float64 {
	var seen int64
	for b, n := range h.buckets {
		seen += n
		if n > 0 && float64(seen) >= q*float64(h.n) {
			if b < 8 {
				return float64(b) / 1e3
			}
			e, m := b/8, b%8
			return (float64(m) + 8.5) / 8 * float64(uint64(1)<<e) / 1e3
		}
	}
	return 0
}

// Metrics are the runtime's counters.
type Metrics struct {
	Accepted, Repeated, Predictions, Labels, Drifts, Anomalies prometheus.Counter
	Flagged                                                    *prometheus.CounterVec
	PredictSeconds, CommitSeconds                              prometheus.Histogram
	Commits                                                    prometheus.Counter
	// by task and expert
	Weight, Loss *prometheus.GaugeVec
	// by task, and of what was published or of constant widths
	Interval *prometheus.GaugeVec
}

// NewMetrics makes the counters and registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "skerry_agent_" + name, Help: help})
	}
	m := &Metrics{
		Accepted:    counter("readings_accepted_total", "Readings accepted, durable or about to be."),
		Repeated:    counter("readings_repeated_total", "Readings ignored because the same value of the same series and event time was accepted before."),
		Predictions: counter("predictions_total", "Predictions made."),
		Labels:      counter("labels_total", "Predictions that met their truth."),
		Drifts:      counter("drift_events_total", "Drift events of errors and inputs."),
		Anomalies:   counter("anomaly_events_total", "Times that the rows of an anomaly task began to be unusual."),
		Flagged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skerry_agent_readings_flagged_total",
			Help: "Readings stored with a flag, by flag.",
		}, []string{"flag"}),
		PredictSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "skerry_agent_predict_seconds",
			Help:    "Time of one engine step that predicted.",
			Buckets: []float64{1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 1e-2},
		}),
		CommitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "skerry_agent_commit_seconds",
			Help:    "Time to make a group of messages durable.",
			Buckets: []float64{5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1},
		}),
		Commits: counter("commits_total", "Groups of messages made durable."),
	}
	gauge := func(name, by, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "skerry_agent_" + name,
			Help: help,
		}, []string{"task", by})
	}
	m.Weight = gauge("expert_weight", "expert", "Weight of an expert in its task's prediction.")
	m.Loss = gauge("expert_loss", "expert", "Mean loss of an expert: absolute error, or log loss of classes.")
	m.Interval = gauge("interval_score", "of", "Trailing interval score of what was published, and of constant widths around the same values: the smaller the better.")
	if reg != nil {
		reg.MustRegister(m.Weight, m.Loss, m.Interval, m.Accepted, m.Repeated, m.Predictions, m.Labels, m.Drifts, m.Anomalies, m.Flagged, m.PredictSeconds, m.CommitSeconds, m.Commits)
	}
	return m
}

// experts shows what every task's experts weigh, and how its intervals do.
func (m *Metrics) experts(tasks []TaskStatus) {
	m.Weight.Reset()
	m.Loss.Reset()
	m.Interval.Reset()
	for i := range tasks {
		if e := &tasks[i].Engine; e.IntervalPlain > 0 {
			m.Interval.WithLabelValues(tasks[i].Spec.Name, "published").Set(e.IntervalScore)
			m.Interval.WithLabelValues(tasks[i].Spec.Name, "constant").Set(e.IntervalPlain)
		}
		for _, x := range tasks[i].Engine.Experts {
			m.Weight.WithLabelValues(tasks[i].Spec.Name, x.Name).Set(x.Weight)
			if !math.IsNaN(x.Loss) {
				m.Loss.WithLabelValues(tasks[i].Spec.Name, x.Name).Set(x.Loss)
			}
		}
	}
}

func (m *Metrics) commit(d time.Duration, _ int) {
	m.Commits.Inc()
	m.CommitSeconds.Observe(d.Seconds())
}

var flagNames = []struct {
	flag wire.Flags
	name string
}{{wire.FlagFuture, "future"}, {wire.FlagRange, "range"}, {wire.FlagConflict, "conflict"}, {wire.FlagArrival, "arrival_time"}, {wire.FlagDup, "dup"}, {wire.FlagNoClock, "no_clock"}, {wire.FlagNotFinite, "not_finite"}, {wire.FlagStuck, "stuck"}, {wire.FlagSpike, "spike"}}

func (m *Metrics) flagged(f wire.Flags) {
	if f == 0 {
		return
	}
	for _, n := range flagNames {
		if f&n.flag != 0 {
			m.Flagged.WithLabelValues(n.name).Inc()
		}
	}
}
