package api

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
)

type eventsIn struct {
	Device string `query:"device" maxLength:"63"`
	Task   string `query:"task" maxLength:"63"`
	Kind   string `query:"kind" maxLength:"63"`
	Class  string `query:"class" enum:"alarm,event" doc:"alarm or event; both when absent"`
	Since  int64  `query:"since" doc:"received at or after, microseconds"`
	Before int64  `query:"before" doc:"received before, microseconds; for paging backwards"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// Event is an event with its detail as JSON.
type Event struct {
	ID         string          `json:"id"`
	Device     string          `json:"device"`
	Class      string          `json:"class"`
	Time       int64           `json:"time"`
	Kind       string          `json:"kind"`
	Task       string          `json:"task"`
	Detail     json.RawMessage `json:"detail"`
	ReceivedAt int64           `json:"received_at"`
}

type ofDevice struct {
	Device string `query:"device" maxLength:"63"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

type taskIn struct {
	Name string `path:"name" maxLength:"63"`
}

type labelsIn struct {
	Name   string `path:"name" maxLength:"63"`
	Device string `query:"device" maxLength:"63"`
	From   int64  `query:"from"`
	To     int64  `query:"to"`
	Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
}

type taskOut struct {
	meta.Task
	Devices  []string      `json:"devices"`
	Champion string        `json:"champion" doc:"digest of the task's default champion"`
	Drifts   []Event       `json:"drifts"`
	Models   []model       `json:"models"`
	Recent   recentQuality `json:"recent"`
}

// recentQuality sums up the newest matured predictions.
type recentQuality struct {
	Labels         int64      `json:"labels"`
	MAE            meta.Float `json:"mae"`
	MAEPersistence meta.Float `json:"mae_persistence"`
	Coverage       meta.Float `json:"coverage"`
}

type checkIn struct {
	Device string `query:"device" required:"true" maxLength:"63"`
}

type readingsIn struct {
	Device string   `query:"device" required:"true" maxLength:"63"`
	Series []string `query:"series" maxItems:"64" doc:"names, separated by commas; absent means all"`
	From   int64    `query:"from" doc:"event time, microseconds"`
	To     int64    `query:"to" doc:"event time, microseconds; 0 means no end"`
	After  string   `query:"after" maxLength:"64" doc:"cursor of the page before"`
	Limit  int      `query:"limit" minimum:"1" maximum:"1000000" default:"10000"`
	Format string   `query:"format" enum:"json,csv" default:"json"`
}

func event(e meta.Event) Event {
	class := "event"
	if e.Class == 1 {
		class = "alarm"
	}
	return Event{e.ID, e.Device, class, e.Time, e.Kind, e.Task, json.RawMessage(e.Detail), e.ReceivedAt}
}

func events(rows []meta.Event, err error) ([]Event, error) {
	out := make([]Event, len(rows))
	for i, e := range rows {
		out[i] = event(e)
	}
	return out, err
}

func (s *Server) dataRoutes() {
	Register(s, Viewer, op("GET", "/v1/events", "list-events", "data", "Events and alarms, the last received first"), func(ctx context.Context, in *eventsIn) (*list[Event], error) {
		class := map[string]int64{"alarm": 1, "event": 2}[in.Class]
		return items(events(s.DB.Read().Events(ctx, meta.EventFilter{
			Device: in.Device,
			Task:   in.Task,
			Kind:   in.Kind,
			Class:  class,
			Since:  in.Since,
			Before: in.Before,
			Limit:  in.Limit,
		})))
	})
	Register(s, Viewer, op("GET", "/v1/gaps", "list-gaps", "data", "Declared losses"), func(ctx context.Context, in *ofDevice) (*list[meta.Gap], error) {
		return items(s.DB.Read().Gaps(ctx, in.Device, in.Limit))
	})
	Register(s, Viewer, op("GET", "/v1/conflicts", "list-conflicts", "data", "Chunks that claim stored sequence numbers with other contents"), func(ctx context.Context, in *ofDevice) (*list[meta.Conflict], error) {
		return items(s.DB.Read().Conflicts(ctx, in.Device, in.Limit))
	})
	Register(s, Operator, op("GET", "/v1/quarantine", "list-quarantine", "data", "Messages that could not be read"), func(ctx context.Context, in *ofDevice) (*list[meta.Quarantined], error) {
		return items(s.DB.Read().QuarantinedMessages(ctx, in.Limit))
	})
	Register(s, Viewer, op("GET", "/v1/tasks", "list-tasks", "tasks", "List tasks"), func(ctx context.Context, _ *none) (*list[meta.Task], error) {
		return items(s.DB.Read().Tasks(ctx))
	})
	Register(s, Viewer, op("GET", "/v1/tasks/{name}", "get-task", "tasks", "A task, who runs it, its drifts and models"), s.getTask)
	Register(s, Viewer, op("GET", "/v1/tasks/{name}/labels", "task-labels", "tasks", "Matured predictions for charts, oldest first"), func(ctx context.Context, in *labelsIn) (*list[meta.LabelPoint], error) {
		if in.To == 0 {
			in.To = 1 << 62
		}
		return items(s.DB.Read().LabelPoints(ctx, in.Name, in.Device, in.From, in.To, in.Limit))
	})
	Register(s, Viewer, op("GET", "/v1/lake/check", "lake-check", "data", "Did every reading arrive exactly once"), func(ctx context.Context, in *checkIn) (*body[lake.Check], error) {
		return reply(s.Lake.ExactlyOnce(ctx, in.Device))
	})
	Register(s, Viewer, op("GET", "/v1/lake/devices", "lake-devices", "data", "Devices that have readings"), func(ctx context.Context, _ *none) (*list[string], error) {
		return items(s.Lake.Devices(ctx))
	})
	Register(s, Viewer, op("GET", "/v1/lake/readings", "lake-readings", "data", "Export readings"), s.readings)
	Register(s, Admin, op("POST", "/v1/lake/compact", "lake-compact", "data", "Move every staged chunk to the lake now"), func(ctx context.Context, _ *none) (*body[map[string]int], error) {
		n, err := s.Lake.Compact(ctx, true)
		return reply(map[string]int{"chunks": n}, err)
	})
}

func (s *Server) getTask(ctx context.Context, in *taskIn) (*body[taskOut], error) {
	q := s.DB.Read()
	var out taskOut
	var err error
	if out.Task, err = q.Task(ctx, in.Name); err != nil {
		return nil, fmt.Errorf("task %q: %w", in.Name, err)
	}
	if out.Devices, err = q.TaskDevices(ctx, in.Name); err != nil {
		return nil, err
	}
	if c, err := q.Champion(ctx, in.Name, ""); err == nil {
		out.Champion = c.Digest
	}
	if out.Drifts, err = events(q.Events(ctx, meta.EventFilter{
		Task:  in.Name,
		Kind:  "drift",
		Limit: 100,
	})); err != nil {
		return nil, err
	}
	models, err := q.Models(ctx, in.Name, 50)
	if err != nil {
		return nil, err
	}
	for _, m := range models {
		out.Models = append(out.Models, view(m))
	}
	points, err := q.LabelPoints(ctx, in.Name, "", 0, 1<<62, 1000)
	out.Recent = quality(points)
	return reply(out, err)
}

func quality(points []meta.LabelPoint) recentQuality {
	var r recentQuality
	var abs, base, covered float64
	for _, p := range points {
		if p.Truth != p.Truth || p.Predicted != p.Predicted || p.Persistence != p.Persistence {
			continue // NaN
		}
		r.Labels++
		abs += max(float64(p.Truth-p.Predicted), float64(p.Predicted-p.Truth))
		base += max(float64(p.Truth-p.Persistence), float64(p.Persistence-p.Truth))
		if p.Truth >= p.Lower && p.Truth <= p.Upper {
			covered++
		}
	}
	n := float64(r.Labels) // no label: 0/0, NaN, null in JSON
	r.MAE, r.MAEPersistence, r.Coverage = meta.Float(abs/n), meta.Float(base/n), meta.Float(covered/n)
	return r
}

// jsonReading is a reading whose value may be no number.
type jsonReading struct {
	lake.Reading
	Value meta.Float `json:"value"`
}

// readings streams an export. JSON is one object {"items": […], "next": cursor}; CSV has a header
// line and no cursor.
func (s *Server) readings(ctx context.Context, in *readingsIn) (*huma.StreamResponse, error) {
	after, err := parseCursor(in.After)
	if err != nil {
		return nil, bad("after: %v", err)
	}
	if in.To == 0 {
		in.To = 1 << 62
	}
	rows := s.Lake.ReadingsAfter(ctx, in.Device, in.Series, in.From, in.To, after)
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		w := bufio.NewWriter(hc.BodyWriter())
		var err error
		if in.Format == "csv" {
			hc.SetHeader("Content-Type", "text/csv; charset=utf-8")
			err = writeCSV(w, rows, in.Limit)
		} else {
			hc.SetHeader("Content-Type", "application/json")
			err = writeJSON(w, rows, in.Limit)
		}
		if err == nil {
			err = w.Flush()
		}
		if err != nil && ctx.Err() == nil {
			s.opts.Log.Error("export broke off", "device", in.Device, "err", err)
			panic(http.ErrAbortHandler) // a truncated answer must not look complete
		}
	}}, nil
}

func writeCSV(w io.Writer, rows func(func(lake.Reading, error) bool), limit int) error {
	c := csv.NewWriter(w)
	err := c.Write([]string{"device", "run", "run_ordinal", "seq", "series", "time", "value", "mono", "flags"})
	for r, rerr := range rows {
		if err == nil {
			err = rerr
		}
		if err != nil || limit == 0 {
			break
		}
		limit--
		err = c.Write([]string{r.Device, r.Run, strconv.FormatInt(r.RunOrdinal, 10), strconv.FormatInt(r.Seq, 10), r.Series, strconv.FormatInt(r.Time, 10),
			strconv.FormatFloat(r.Value, 'g', -1, 64), strconv.FormatInt(r.Mono, 10), strconv.FormatInt(int64(r.Flags), 10)})
	}
	c.Flush()
	if err == nil {
		err = c.Error()
	}
	return err
}

func writeJSON(w io.Writer, rows func(func(lake.Reading, error) bool), limit int) error {
	_, err := io.WriteString(w, `{"items":[`)
	next, n := "", 0
	for r, rerr := range rows {
		if err == nil {
			err = rerr
		}
		if err != nil {
			break
		}
		if n == limit {
			break
		}
		b, merr := json.Marshal(jsonReading{r, meta.Float(r.Value)})
		if n > 0 {
			b = append([]byte{','}, b...)
		}
		n++
		if _, err = w.Write(b); err == nil {
			err = merr
		}
		next = cursor(lake.Key{Ordinal: r.RunOrdinal, Seq: r.Seq})
	}
	if err != nil {
		return err
	}
	if n < limit {
		next = ""
	}
	_, err = fmt.Fprintf(w, `],"next":%q}`, next)
	return err
}

func cursor(k lake.Key) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", k.Ordinal, k.Seq))
}

func parseCursor(s string) (k lake.Key, err error) {
	if s == "" {
		return k, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		_, err = fmt.Sscanf(string(b), "%d.%d", &k.Ordinal, &k.Seq)
	}
	if err != nil {
		return k, fmt.Errorf("%q is not a cursor of this listing", s)
	}
	return k, nil
}
