package api

import (
	"context"
	"encoding/json"

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

func (s *Server) eventRoutes() {
	register(s, Viewer, op("GET", "/v1/events", "list-events", "data", "Events and alarms, the last received first"),
		func(ctx context.Context, in *eventsIn) (*list[Event], error) {
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
	register(s, Viewer, op("GET", "/v1/gaps", "list-gaps", "data", "Declared losses"),
		func(ctx context.Context, in *ofDevice) (*list[meta.Gap], error) {
			return items(s.DB.Read().Gaps(ctx, in.Device, in.Limit))
		})
	register(s, Viewer, op("GET", "/v1/conflicts", "list-conflicts", "data", "Chunks that claim stored sequence numbers with other contents"),
		func(ctx context.Context, in *ofDevice) (*list[meta.Conflict], error) {
			return items(s.DB.Read().Conflicts(ctx, in.Device, in.Limit))
		})
	register(s, Operator, op("GET", "/v1/quarantine", "list-quarantine", "data", "Messages that could not be read"),
		func(ctx context.Context, in *ofDevice) (*list[meta.Quarantined], error) {
			return items(s.DB.Read().QuarantinedMessages(ctx, in.Limit))
		})
}
