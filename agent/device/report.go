package device

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"skerry.dev/agent/source"
	"skerry.dev/agent/task"
	"skerry.dev/agent/update"
	"skerry.dev/compute/engine"
	"skerry.dev/configs"
	"skerry.dev/sync/spec"
	"skerry.dev/sync/wire"
)

func (d *Device) linkChanged(bool) { d.report() }

// updateEvent stores a step of an assignment as an event and reports it to the hub at once. The
// updater calls it without locks.
func (d *Device) updateEvent(e update.Event) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	detail := map[string]any{"phase": string(e.Phase), "digest": e.Digest, "version": e.Version, "rollout": e.Rollout, "reason": e.Reason}
	if err := d.runtime.Version(ctx, e.Task, e.Digest, e.Version); err != nil {
		return // stopping: the state is reported again after the next start
	}
	var err error
	switch e.Phase {
	case spec.PhaseVetoed, spec.PhaseReverted, spec.PhaseFailed:
		err = d.runtime.Alarm(ctx, "assignment", e.Task, detail)
	default:
		err = d.runtime.Event(ctx, "assignment", e.Task, time.Now().UnixMicro(), detail)
	}
	if err != nil {
		d.log.Warn("update event not stored", "err", err)
	}
	d.report()
}

// happened is an alarm about an input, the broker or the clock, or an event, of a kind that ends in
// _well, that something is well again.
type happened struct {
	kind, task string
	at         int64
	detail     map[string]any
}

// happen hands an event to reportLoop, which logs and stores it. It does not wait, since the runtime
// itself may call it: what there is no room for is in the log and in health.
func (d *Device) happen(kind, task string, detail map[string]any) {
	select {
	case d.happenings <- happened{kind, task, time.Now().UnixMicro(), detail}:
	default:
		d.log.Warn("something is wrong outside, and the event is not stored", "kind", kind, "task", task, "what", detail["what"])
	}
}

// keep stores what has happened, for the hub; an alarm is logged where it is stored.
func (d *Device) keep(ctx context.Context, h happened) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var err error
	if strings.HasSuffix(h.kind, "_well") {
		d.log.Info("well again outside", "kind", h.kind, "task", h.task, "what", h.detail["what"])
		err = d.runtime.Event(ctx, h.kind, h.task, h.at, h.detail)
	} else {
		err = d.runtime.Alarm(ctx, h.kind, h.task, h.detail)
	}
	if err != nil {
		d.log.Warn("event not stored", "kind", h.kind, "task", h.task, "what", h.detail["what"], "err", err)
	}
}

// watchInputs looks for a clock that is wrong and for inputs that have fallen silent, or that
// nothing has ever come for: of these the broker, where there is one, is asked, for a few seconds,
// what does come.
func (d *Device) watchInputs(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	var asked time.Time
	var topics []string
	wrong := "" // of the clock
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := d.clockWrong()
		switch {
		case now != "" && wrong == "":
			d.happen("clock_wrong", "", map[string]any{"what": now})
		case now == "" && wrong != "":
			d.happen("clock_well", "", map[string]any{"what": "this device's clock agrees with the hub's"})
		}
		wrong = now
		since := d.began
		if d.client != nil {
			since = d.client.Since()
		}
		if since.IsZero() {
			continue
		}
		if d.deaf() {
			d.inputs.Deaf(time.Now().UnixMicro())
		}
		fresh := d.inputs.Silent(time.Now().UnixMicro(), since.UnixMicro(), d.isLabel)
		if len(fresh) == 0 {
			continue
		}
		if d.client != nil && time.Since(asked) > askAgain {
			asked, topics = time.Now(), d.ask(ctx)
		}
		d.inputs.Near(fresh, topics)
	}
}

// deaf reports whether readings may come that are not counted: nothing can be stored, and the broker
// gives no more of them or there is no memory left to take them to.
func (d *Device) deaf() bool { return d.runtime.Waits() || d.client != nil && d.client.Deaf() }

const (
	askFor   = 3 * time.Second
	askAgain = 10 * time.Minute // every message of the broker comes while it is asked
)

// ask lists the topics that something comes on.
func (d *Device) ask(ctx context.Context) (topics []string) {
	certificates, err := d.cfg.MQTT.TLS()
	var found []source.Found
	if err == nil {
		found, _, err = source.Discover(ctx, d.cfg.MQTT, certificates, []string{"#"}, askFor)
	}
	if err != nil {
		d.log.Info("the broker does not tell which topics there are", "err", err)
	}
	for _, f := range found {
		topics = append(topics, f.Topic)
	}
	return topics
}

// isLabel reports whether a series is the target of a task that comes by a topic of its own.
func (d *Device) isLabel(series string) bool {
	return slices.ContainsFunc(d.Tasks(), func(t *spec.Task) bool { return t.Target.Topic != "" && t.Target.Series == series })
}

// behind returns by how many microseconds the hub says that this clock is slow.
func (d *Device) behind() int64 {
	off, _ := d.offset()
	return max(off.Microseconds(), 0)
}

// offset returns by how much this clock is behind the hub's.
func (d *Device) offset() (time.Duration, bool) {
	if d.link == nil {
		return 0, false
	}
	off := d.link.ClockOffset()
	return off, off != 0
}

// maxOffset is the difference from the hub's clock that is not worth a word.
const maxOffset = time.Minute

// clockWrong says how wrong this device's clock is by the hub's, "" when it is not.
func (d *Device) clockWrong() string {
	off, known := d.offset()
	if !known || off.Abs() <= maxOffset {
		return ""
	}
	which := "behind"
	if off < 0 {
		which = "ahead of"
	}
	return fmt.Sprintf("this device's clock is %s %s the hub's: set it, or let NTP do so; until then readings may pass for ones of the future and arrival times are wrong", off.Abs().Round(time.Second), which)
}

// reportRate bounds what the reports cost the connection to the hub, in bytes a second: a long one
// is sent again after as many seconds as it has this many bytes, but for what is wrong, which is
// told at once.
const reportRate = 8 << 10

// reportLoop publishes reported state when it changes and at least every 30 s.
func (d *Device) reportLoop(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last []byte
	var reasons int
	var sent time.Time
	var pause time.Duration
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-d.happenings:
			d.keep(ctx, h)
			continue
		case <-tick.C:
		}
		r := d.Reported()
		r.Time = 0
		doc, err := json.Marshal(r)
		if err != nil {
			return err
		}
		// texts of reasons count, so that they change all the time
		if len(r.Reasons) != reasons || !bytes.Equal(doc, last) && time.Since(sent) > pause || time.Since(sent) > 20*time.Second {
			pause = time.Duration(d.report()) * time.Second / reportRate
			last, reasons, sent = doc, len(r.Reasons), time.Now()
		}
	}
}

// report offers the present state to the link and returns its size in bytes.
func (d *Device) report() int {
	if d.link == nil || !d.link.Up() || d.runtime == nil {
		return 0
	}
	r := d.Reported()
	r.Inputs = reportedInputs(d.inputs.Status())
	doc, err := r.Encode(wire.MaxMessage)
	if err != nil {
		d.log.Error("reported state cannot be written", "err", err)
		return 0
	}
	d.link.PublishState(doc)
	return len(doc)
}

// reportedInputs is what the hub hears of the inputs, those with something wrong first.
func reportedInputs(all []source.InputStatus) []spec.ReportedInput {
	slices.SortStableFunc(all, func(a, b source.InputStatus) int { return min(len(b.Wrong), 1) - min(len(a.Wrong), 1) })
	out := make([]spec.ReportedInput, len(all))
	for i := range all {
		st := &all[i]
		out[i] = spec.ReportedInput{
			Series:      st.Series,
			Topic:       st.Topic,
			Path:        st.Path,
			Tasks:       st.Tasks,
			Readings:    st.Readings,
			Refused:     st.Refused,
			Outside:     st.Outside,
			Missing:     st.Missing,
			LastSeen:    st.LastSeen,
			LastValue:   st.LastValue,
			LastText:    st.LastText,
			EveryS:      st.EveryS,
			LastRefused: st.LastRefused,
			Wrong:       st.Wrong,
		}
	}
	return out
}

// Reported implements serve.Status: what is reported to the hub.
func (d *Device) Reported() spec.Reported {
	r := spec.Reported{
		Device:     d.name,
		Site:       d.site,
		Version:    d.opts.Version,
		Run:        d.store.Outbox().Run().String(),
		Generation: d.manager.Generation(),
		Time:       time.Now().UnixMicro(),
		Class:      runtime.GOOS + "/" + runtime.GOARCH,
		Tasks:      map[string]spec.ReportedTask{},
		Health:     "ok",
	}
	if d.id != nil {
		r.Cohort = d.id.Cohort()
	}
	o := d.store.Outbox().Stats()
	r.Outbox = spec.ReportedOutbox{
		PendingRecords: o.PendingRecords,
		PendingBytes:   o.PendingBytes,
		CapBytes:       o.CapBytes,
		BytesPerDay:    o.BytesPerDay,
		OfflineDays:    o.OfflineDays,
		Stored:         map[string]uint64{},
	}
	for c, n := range o.Stored {
		r.Outbox.Stored[c.String()] = n
	}
	st := d.runtime.Status()
	r.LatencyUS = map[string]float64{"predict_p50": st.Latency.PredictP50, "predict_p99": st.Latency.PredictP99, "mqtt_to_prediction_p50": st.Latency.TotalP50, "mqtt_to_prediction_p99": st.Latency.TotalP99}
	for _, t := range st.Tasks {
		e := t.Engine
		reported := spec.ReportedTask{
			Kind:        string(t.Spec.Kind),
			Spec:        t.Spec.Source,
			SpecHash:    t.Spec.Hash,
			Watermark:   max(e.Watermark, 0),
			Rows:        e.Rows,
			Labels:      e.Labels,
			Drifts:      e.Drifts,
			Champion:    e.Champion,
			Version:     t.Version,
			MAE:         e.MAE,
			MAEBaseline: e.MAELast,
			Coverage:    e.Coverage,

			IntervalScore: e.IntervalScore,
			IntervalPlain: e.IntervalPlain,

			Unmatched:  e.Unmatched.Labels,
			Assignment: d.manager.Reported(t.Spec.Name),
		}
		if c := reportedClasses(e.Classes); c != nil {
			reported.Classes, reported.MAE, reported.MAEBaseline = c, c.ErrorRate, c.ErrorRateBaseline
		}
		r.Tasks[t.Spec.Name] = reported
	}
	if r.Reasons = d.reasons(st); len(r.Reasons) > 0 {
		r.Health = "degraded"
	}
	return r
}

// reportedClasses is how a classification does, nil for other tasks and before there are labels to
// tell.
func reportedClasses(s *engine.ClassScores) *spec.ReportedClasses {
	if s == nil || math.IsNaN(s.Error+s.ErrorLast+s.LogLoss+s.LogLossLast+s.SetSize) {
		return nil
	}
	return &spec.ReportedClasses{
		ErrorRate:         s.Error,
		ErrorRateBaseline: s.ErrorLast,
		LogLoss:           s.LogLoss,
		LogLossBaseline:   s.LogLossLast,
		SetSize:           s.SetSize,
	}
}

// reasons reports what is wrong and what to do.
func (d *Device) reasons(st *task.Status) []string {
	var out []string
	if st.Trouble != "" {
		out = append(out, "nothing can be stored: "+st.Trouble)
		if d.runtime.Waits() {
			out = append(out, "nothing is predicted: what waits to be stored fills the memory that it may take, so that readings wait too: make room on the disk of "+d.cfg.StateDir)
		} else if d.client != nil && !d.client.Live().IsZero() {
			out = append(out, "predicting from memory since "+d.client.Live().Format(time.DateTime)+"; nothing is acknowledged, so the broker keeps what comes: make room on the disk of "+d.cfg.StateDir)
		}
	}
	if d.store.Outbox().Tight() {
		out = append(out, fmt.Sprintf("the cache is too small for these tasks: what they have learned and know takes more than three quarters of cache.max_bytes (%d MiB), so that readings wait for the hub in a quarter of it and the file may grow beyond: raise cache.max_bytes", d.cfg.Cache.MaxBytes>>20))
	}
	if p := d.badFile.Load(); p != nil {
		out = append(out, "task files not in force: "+*p)
	}
	out = append(out, d.captures.reasons()...)
	if p := d.noPages.Load(); p != nil {
		out = append(out, "no local pages: "+*p)
	}
	out = append(out, d.identityReasons()...)
	if d.held.Load() {
		out = append(out, fmt.Sprintf("the hub holds this device back, and nothing is installed: its state looks like a copy of another's, or another runs with a copy of it. Give each box an enrolment and a state directory of its own, and where %s is the only one of its name, run skerry-hub device clear-suspect %s at the hub", d.name, d.name))
	}
	if why := d.clockWrong(); why != "" {
		out = append(out, why)
	}
	if d.inputs != nil {
		out = append(out, d.inputs.Reasons()...)
	}
	for i := range st.Tasks {
		for _, s := range []string{unmatched(&st.Tasks[i]), overtaken(&st.Tasks[i])} {
			if s != "" {
				out = append(out, s)
			}
		}
	}
	if len(st.Tasks) == 0 && len(*d.files.Load()) == 0 {
		out = append(out, "there is no task: put a task file, *.yaml, into "+d.cfg.TaskDir)
	}
	if dmg := d.store.Damage(); dmg != "" {
		out = append(out, "the cache was damaged and salvaged at start: "+dmg)
	}
	if d.client != nil {
		if why := d.client.TakenOver(); why != "" {
			out = append(out, why)
		}
		if !d.client.Connected() {
			out = append(out, "no connection to the MQTT broker "+configs.Redacted(d.cfg.MQTT.Broker))
		}
		for _, f := range d.client.Refused() {
			out = append(out, "the broker refused the subscription "+f+": check its access list")
		}
	}
	if d.host != nil {
		out = append(out, d.host.Reasons()...)
	}
	return out
}

// unmatchedInARow is how many labels in a row must match no row until that is a matter of health.
const unmatchedInARow = 10

// unmatched tells that a task's labels match no row, and by how much; "" when they do.
func unmatched(t *task.TaskStatus) string {
	u := t.Engine.Unmatched
	if u.InARow < unmatchedInARow {
		return ""
	}
	at := func(us int64) string { return time.UnixMicro(us).UTC().Format(time.RFC3339Nano) }
	why := "no row waits for one"
	if u.Nearest != math.MinInt64 {
		d := time.Duration(u.Time-u.Nearest) * time.Microsecond
		why = fmt.Sprintf("the nearest row that waits is of %s, %v away, and the tolerance is %v", at(u.Nearest), d.Abs(), t.Spec.Target.Tolerance.Std())
	}
	return fmt.Sprintf("task %s: the last %d labels match no row; the newest is of %s: %s. A label carries the time of its row: correct it at the sender, or set target.tolerance", t.Spec.Name, u.InARow, at(u.Time), why)
}

// overtakenInARow is how many readings in a row must make no row until that is a matter of health.
const overtakenInARow = 5

// overtaken tells that a task's rows do not come about, since other readings overtake those that
// make them; "" when they do.
func overtaken(t *task.TaskStatus) string {
	o := t.Engine.Overtaken
	if o.InARow < overtakenInARow {
		return ""
	}
	behind := (time.Duration(o.Behind) * time.Microsecond).Round(time.Millisecond)
	if o.Room > 0 {
		return fmt.Sprintf("task %s: the last %d readings of %s made no row: the newest came %v behind the time that rows were complete to. rows.lateness is %v, but %d readings of a series wait at most, which are those of %v here: let the sender send them in order, or seldomer", t.Spec.Name, o.InARow, t.Spec.Rows.On, behind, t.Spec.Rows.Lateness.Std(), engine.MaxWaiting, (time.Duration(o.Room) * time.Microsecond).Round(time.Millisecond))
	}
	return fmt.Sprintf("task %s: the last %d readings of %s made no row: the newest came %v behind the time that another input's readings, or its own, had reached by then. Inputs without a time of their own have that of their arrival: give all of them their time (time.path), or set rows.lateness to more than %v", t.Spec.Name, o.InARow, t.Spec.Rows.On, behind, behind)
}

// gauges exports what is read rather than counted.
func (d *Device) gauges() {
	gauge := func(name, help string, f func() float64) {
		d.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "skerry_agent_" + name,
			Help: help,
		}, f))
	}
	gauge("outbox_pending_records", "Records the hub has not applied yet.", func() float64 { return float64(d.store.Outbox().Stats().PendingRecords) })
	gauge("outbox_pending_bytes", "Bytes of these records on disk.", func() float64 { return float64(d.store.Outbox().Stats().PendingBytes) })
	gauge("outbox_dropped_records", "Records dropped under pressure and replaced by gap records, since the start.", func() float64 { return float64(d.store.Outbox().Stats().Dropped) })
	gauge("outbox_offline_days", "Days this device can stay offline at the present rate, -1 when unknown.", func() float64 { return d.store.Outbox().Stats().OfflineDays })
	gauge("hub_link_up", "1 while the hub answers.", func() float64 {
		if d.link != nil && d.link.Up() {
			return 1
		}
		return 0
	})
}
