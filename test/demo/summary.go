package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"skerry.dev/test/rig"
)

// summary is run-summary.json.
type summary struct {
	Source    string           `json:"source"`
	Devices   []deviceSummary  `json:"devices"`
	Models    []modelSummary   `json:"models"`
	Rollouts  []rolloutSummary `json:"rollouts"`
	LatencyUS latencySummary   `json:"latency_us"`
	Trainings int              `json:"trainings"`
	Wall      float64          `json:"wall_seconds"`
}

type deviceSummary struct {
	Name                     string  `json:"name"`
	Published                int     `json:"published"` // readings: one per series and event time
	Accepted                 uint64  `json:"accepted"`
	Applied                  uint64  `json:"applied"`
	InLakeOnce               int     `json:"in_lake_once"`
	Gaps                     int     `json:"gaps"`
	Duplicates               int     `json:"duplicates"`
	Predictions              int     `json:"predictions"`
	MAEPersistence           float64 `json:"mae_persistence"`
	MAEModel                 float64 `json:"mae_model"`
	Coverage90               float64 `json:"coverage90"`
	IntervalScore            float64 `json:"interval_score"`
	IntervalScorePersistence float64 `json:"interval_score_persistence"`
	DriftEvents              int64   `json:"drift_events"`
	ActiveModel              string  `json:"active_model"`
	// predictions repeated after the crash
	PublishedAgain     int `json:"published_again"`
	PublishedOtherwise int `json:"published_otherwise"`
	// predictions drawn at random that the hub has computed again, those that came to the bits that
	// were published, and those whose state it does not know
	Recomputed        int `json:"recomputed"`
	RecomputedEqual   int `json:"recomputed_equal"`
	RecomputedUnknown int `json:"recomputed_unknown"`
}

type modelSummary struct {
	Version     int     `json:"version"`
	Kind        string  `json:"kind"`
	TrainedOn   int     `json:"trained_on_rows"`
	OfflineMAE  float64 `json:"offline_mae"`
	Persistence float64 `json:"offline_mae_persistence"`
	Champion    bool    `json:"champion"`
}

type rolloutSummary struct {
	ID     string   `json:"id"`
	Model  string   `json:"model"`
	State  string   `json:"state"`
	Stages []string `json:"stages"`
}

type latencySummary struct {
	PredictP50 float64 `json:"predict_p50"`
	PredictP99 float64 `json:"predict_p99"`
	TotalP50   float64 `json:"mqtt_to_prediction_p50"`
	TotalP99   float64 `json:"mqtt_to_prediction_p99"`
}

// recompute is how many predictions of each device the hub computes again.
const recompute = 50

func (d *demo) summarise(ctx context.Context) (*summary, error) {
	s := &summary{Source: d.source}
	for k, a := range d.agents {
		dev, err := d.device(ctx, k, a, s)
		if err != nil {
			return nil, err
		}
		s.Devices = append(s.Devices, dev)
	}
	models, err := d.api.Models(ctx, "")
	if err != nil {
		return nil, err
	}
	for i := len(models) - 1; i >= 0; i-- {
		m := models[i]
		var metrics struct {
			MAE  float64 `json:"mae"`
			Base float64 `json:"mae_persistence"`
		}
		var lineage struct{ Rows int }
		if err := unwrap(m.Metrics, &metrics); err != nil {
			return nil, err
		}
		if err := unwrap(m.Lineage, &lineage); err != nil {
			return nil, err
		}
		s.Models = append(s.Models, modelSummary{
			Version:     int(m.Version),
			Kind:        m.Kind,
			TrainedOn:   lineage.Rows,
			OfflineMAE:  metrics.MAE,
			Persistence: metrics.Base,
			Champion:    m.State == "champion",
		})
	}
	rolls, err := d.api.Rollouts(ctx, "", "")
	if err != nil {
		return nil, err
	}
	for i := len(rolls) - 1; i >= 0; i-- {
		r := rolls[i]
		out := rolloutSummary{ID: r.ID, Model: r.Model, State: string(r.State), Stages: []string{}}
		for _, h := range r.Status.History {
			if n := len(out.Stages); n == 0 || out.Stages[n-1] != h.Stage {
				out.Stages = append(out.Stages, h.Stage)
			}
		}
		s.Rollouts = append(s.Rollouts, out)
	}
	jobs, err := d.api.Jobs(ctx, "", "")
	if err != nil {
		return nil, err
	}
	s.Trainings = len(jobs)
	s.Wall = time.Since(d.began).Seconds()
	return s, nil
}

// unwrap reads a JSON document that may be wrapped in a string.
func unwrap(b json.RawMessage, into any) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		b = json.RawMessage(text)
	}
	if len(b) == 0 {
		return nil
	}
	return json.Unmarshal(b, into)
}

// device compares what was published for a station with the lake, reading by reading, and judges
// its predictions.
func (d *demo) device(ctx context.Context, k int, a *rig.Agent, s *summary) (deviceSummary, error) {
	out := deviceSummary{Name: a.Device}
	st, err := a.State(ctx)
	if err != nil {
		return out, err
	}
	lake, err := d.api.LakeReadings(ctx, a.Device)
	if err != nil {
		return out, err
	}
	for _, h := range d.stations[k].hours {
		for _, v := range h.values {
			out.Published++
			if lake[rig.Key{Series: v.series, At: h.at.UnixMicro()}] == 1 {
				out.InLakeOnce++
			}
		}
	}
	for _, n := range lake {
		out.Duplicates += n - 1
	}
	var gaps rig.Items[json.RawMessage]
	if err := d.api.Call(ctx, "GET", "/v1/gaps?device="+a.Device, nil, &gaps); err != nil {
		return out, err
	}
	out.Gaps = len(gaps.Items)
	out.Accepted = st.Outbox.Stored["reading"]
	var dev struct {
		Applied map[string]uint64 `json:"applied"`
	}
	if err := d.api.Call(ctx, "GET", "/v1/devices/"+a.Device, nil, &dev); err != nil {
		return out, err
	}
	out.Applied = dev.Applied["reading"]
	t := st.Tasks[d.task]
	out.DriftEvents, out.ActiveModel = t.Drifts, t.Version
	v := d.scores[k].judge(d.stations[k])
	out.Predictions, out.MAEModel, out.MAEPersistence = v.Predictions, v.MAEModel, v.MAEPersistence
	out.Coverage90, out.IntervalScore, out.IntervalScorePersistence = v.Coverage90, v.IntervalScore, v.IntervalScoreNaive
	out.PublishedAgain, out.PublishedOtherwise = d.scores[k].again, d.scores[k].differ
	c, err := d.api.CheckPredictions(ctx, a.Device, d.task, 0, 0, recompute, 1)
	if err != nil {
		return out, err
	}
	out.Recomputed, out.RecomputedEqual, out.RecomputedUnknown = c.Drawn, c.Equal, c.Unknown
	s.LatencyUS.PredictP50 = max(s.LatencyUS.PredictP50, st.LatencyUS["predict_p50"])
	s.LatencyUS.PredictP99 = max(s.LatencyUS.PredictP99, st.LatencyUS["predict_p99"])
	s.LatencyUS.TotalP50 = max(s.LatencyUS.TotalP50, st.LatencyUS["mqtt_to_prediction_p50"])
	s.LatencyUS.TotalP99 = max(s.LatencyUS.TotalP99, st.LatencyUS["mqtt_to_prediction_p99"])
	return out, nil
}

func (s *summary) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %d trainings, %.0f s\n\n", s.Source, s.Trainings, s.Wall)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "device\treadings\taccepted\tapplied\tin lake once\tgaps\tdup\tpredictions\tMAE last value\tMAE\tratio\tcoverage\tinterval score\tof last value\tdrifts\trecomputed\tmodel\t")
	for _, d := range s.Devices {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%.3f\t%.3f\t%.4f\t%.3f\t%.1f\t%.1f\t%d\t%d/%d\t%s\t\n", d.Name, d.Published, d.Accepted, d.Applied, d.InLakeOnce, d.Gaps, d.Duplicates, d.Predictions,
			d.MAEPersistence, d.MAEModel, d.MAEModel/d.MAEPersistence, d.Coverage90, d.IntervalScore, d.IntervalScorePersistence, d.DriftEvents, d.RecomputedEqual, d.Recomputed, d.ActiveModel)
	}
	tw.Flush()
	fmt.Fprintln(w)
	for _, m := range s.Models {
		mark := ""
		if m.Champion {
			mark = "  champion"
		}
		fmt.Fprintf(w, "  model %d: %s on %d rows, held-out MAE %.3f, last value %.3f%s\n", m.Version, m.Kind, m.TrainedOn, m.OfflineMAE, m.Persistence, mark)
	}
	for _, r := range s.Rollouts {
		fmt.Fprintf(w, "  rollout %s of %s: %s through %v\n", r.ID, r.Model, r.State, r.Stages)
	}
	fmt.Fprintf(w, "  latency: one prediction %.0f µs median, %.0f µs p99; MQTT to prediction %.0f µs median, %.0f µs p99 (worst device)\n", s.LatencyUS.PredictP50, s.LatencyUS.PredictP99, s.LatencyUS.TotalP50, s.LatencyUS.TotalP99)
}

// problems lists what must hold in every run and does not: nothing lost, nothing twice, a model
// in force.
func (s *summary) problems() (out []string) {
	bad := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, d := range s.Devices {
		if d.InLakeOnce != d.Published {
			bad("%s: %d of %d readings are in the lake exactly once", d.Name, d.InLakeOnce, d.Published)
		}
		if d.Applied != d.Accepted {
			bad("%s: %d records applied, %d accepted", d.Name, d.Applied, d.Accepted)
		}
		if d.Gaps != 0 || d.Duplicates != 0 {
			bad("%s: %d gaps, %d duplicates", d.Name, d.Gaps, d.Duplicates)
		}
		if d.PublishedOtherwise != 0 {
			bad("%s: %d predictions were published again with another value", d.Name, d.PublishedOtherwise)
		}
		if differ := d.Recomputed - d.RecomputedEqual - d.RecomputedUnknown; differ != 0 || d.Recomputed == 0 || 20*d.RecomputedEqual < 19*d.Recomputed {
			bad("%s: of %d published predictions the hub recomputes %d bit for bit, %d are unknown and %d differ; want at least 95 %%, none different", d.Name, d.Recomputed, d.RecomputedEqual, d.RecomputedUnknown, differ)
		}
	}
	if len(s.Models) == 0 {
		bad("no model was trained")
	}
	completed := 0
	for _, r := range s.Rollouts {
		if r.State == "completed" {
			completed++
		}
	}
	if completed == 0 {
		bad("no rollout was completed")
	}
	return out
}
