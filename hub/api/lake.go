package api

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
)

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

func (s *Server) lakeRoutes() {
	register(s, Viewer, op("GET", "/v1/lake/check", "lake-check", "data", "Did every reading arrive exactly once"),
		func(ctx context.Context, in *checkIn) (*body[lake.Check], error) {
			c, err := s.Lake.ExactlyOnce(ctx, in.Device)
			if err == nil && c.Readings == 0 {
				err = s.known(ctx, in.Device)
			}
			return reply(c, err)
		})
	register(s, Viewer, op("GET", "/v1/lake/devices", "lake-devices", "data", "Devices that have readings"),
		func(ctx context.Context, _ *none) (*list[string], error) {
			return items(s.Lake.Devices(ctx))
		})
	register(s, Viewer, op("GET", "/v1/lake/readings", "lake-readings", "data", "Export readings"), s.readings)
	register(s, Viewer, op("GET", "/v1/lake", "lake", "data", "What the lake holds by class, what waits to be deleted, what was left out"),
		func(ctx context.Context, _ *none) (*body[lake.Summary], error) {
			return reply(s.Lake.Summary(ctx))
		})
	register(s, Admin, op("POST", "/v1/lake/compact", "lake-compact", "data", "Move every staged chunk to the lake and merge its files now"),
		func(ctx context.Context, _ *none) (*body[compacted], error) {
			n, err := s.Lake.Compact(ctx, true)
			if err != nil {
				return nil, err
			}
			m, err := s.Lake.Merge(ctx, time.Now())
			return reply(compacted{Chunks: n, Merged: m}, err)
		})
}

// compacted is what a compaction on command did.
type compacted struct {
	Chunks int         `json:"chunks" doc:"chunks that were moved to the lake"`
	Merged lake.Merged `json:"merged"`
}

// known returns an error for a device that is neither enrolled nor has sent anything: a name that
// was mistyped must not look like a device without readings.
func (s *Server) known(ctx context.Context, device string) error {
	_, err := s.DB.Read().Device(ctx, device)
	if !errors.Is(err, meta.ErrNotFound) {
		return err
	}
	names, lerr := s.Lake.Devices(ctx) // removed devices leave their readings
	if lerr != nil || slices.Contains(names, device) {
		return lerr
	}
	return fmt.Errorf("device %q: %w", device, err)
}

// Reading is a reading whose value may be no number.
type Reading struct {
	lake.Reading
	Value meta.Float `json:"value"`
	// the name of the value, by the device's task files, where the series holds categories
	Category string `json:"category,omitempty"`
}

// readings streams an export. JSON is one object {"items": […], "next": cursor}; CSV has a header
// line and no cursor.
func (s *Server) readings(ctx context.Context, in *readingsIn) (*huma.StreamResponse, error) {
	after, err := parseCursor(in.After)
	if err != nil {
		return nil, bad("after: %v", err)
	}
	if err := s.known(ctx, in.Device); err != nil {
		return nil, err
	}
	names, err := s.categories(ctx, in.Device)
	if err != nil {
		return nil, err
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
			err = writeCSV(w, rows, in.Limit, names)
		} else {
			hc.SetHeader("Content-Type", "application/json")
			err = writeJSON(w, rows, in.Limit, names)
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

func writeCSV(w io.Writer, rows func(func(lake.Reading, error) bool), limit int, names categoryNames) error {
	c := csv.NewWriter(w)
	err := c.Write([]string{"device", "run", "run_ordinal", "seq", "series", "time", "value", "mono", "flags", "category"})
	for r, rerr := range rows {
		if err == nil {
			err = rerr
		}
		if err != nil || limit == 0 {
			break
		}
		limit--
		err = c.Write([]string{r.Device, r.Run, strconv.FormatInt(r.RunOrdinal, 10), strconv.FormatInt(r.Seq, 10), r.Series, strconv.FormatInt(r.Time, 10),
			strconv.FormatFloat(r.Value, 'g', -1, 64), strconv.FormatInt(r.Mono, 10), strconv.FormatInt(int64(r.Flags), 10),
			names.of(r.Series, r.Value)})
	}
	c.Flush()
	if err == nil {
		err = c.Error()
	}
	return err
}

func writeJSON(w io.Writer, rows func(func(lake.Reading, error) bool), limit int, names categoryNames) error {
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
		b, merr := json.Marshal(Reading{r, meta.Float(r.Value), names.of(r.Series, r.Value)})
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
