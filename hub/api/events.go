package api

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"skerry.dev/hub/meta"
)

type eventsIn struct {
	Device string `query:"device" maxLength:"63"`
	Task   string `query:"task" maxLength:"63"`
	Kind   string `query:"kind" maxLength:"63"`
	Class  string `query:"class" enum:"alarm,event" doc:"alarm or event; both when absent"`
	Since  int64  `query:"since" doc:"received at or after, microseconds: after without an event"`
	After  string `query:"after" maxLength:"512" doc:"only what was received after the event with this cursor, received_at,id of an event; a time in microseconds alone means at or after it. To follow what happens, ask for what is after the newest event seen, with before when that is more than a page: events appear in the order of their cursors, none before one that was already to be seen"`
	Before string `query:"before" maxLength:"512" doc:"only what was received before the event with this cursor: next of the page before. A time in microseconds alone means before it, and as a way of paging leaves out what else was received at that time"`
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

// eventsPage is a page of events.
type eventsPage struct {
	Body struct {
		Items []Event `json:"items"`
		Next  string  `json:"next" doc:"cursor of the next page, to be given as before; empty on the last one"`
	}
}

// eventCursor encodes the place of an event. It is text that a client can make of an event itself.
func eventCursor(e Event) string { return strconv.FormatInt(e.ReceivedAt, 10) + "," + e.ID }

// parseEventCursor decodes a cursor or a time; "" is no cursor.
func parseEventCursor(name, s string) (c meta.EventCursor, err error) {
	if s == "" {
		return c, nil
	}
	at, id, _ := strings.Cut(s, ",")
	if c.ReceivedAt, err = strconv.ParseInt(at, 10, 64); err != nil {
		return c, bad("query.%s: %.64q is neither a cursor, received_at,id of an event, nor a time in microseconds", name, s)
	}
	c.ID = id
	return c, nil
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
	register(s, Viewer, op("GET", "/v1/events", "list-events", "data", "Events and alarms, the last received first"), s.listEvents)
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

func (s *Server) listEvents(ctx context.Context, in *eventsIn) (*eventsPage, error) {
	after, err := parseEventCursor("after", in.After)
	if err != nil {
		return nil, err
	}
	if since := (meta.EventCursor{ReceivedAt: in.Since}); since.Compare(after) > 0 {
		after = since
	}
	before, err := parseEventCursor("before", in.Before)
	if err != nil {
		return nil, err
	}
	out := &eventsPage{}
	if out.Body.Items, err = events(s.DB.Read().Events(ctx, meta.EventFilter{
		Device: in.Device,
		Task:   in.Task,
		Kind:   in.Kind,
		Class:  map[string]int64{"alarm": 1, "event": 2}[in.Class],
		After:  after,
		Before: before,
		Limit:  in.Limit,
	})); err != nil {
		return nil, err
	}
	if n := len(out.Body.Items); n == in.Limit {
		out.Body.Next = eventCursor(out.Body.Items[n-1])
	}
	return out, nil
}
