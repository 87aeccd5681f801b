package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"skerry.dev/hub/lake"
	"skerry.dev/hub/meta"
)

// Readings defines which readings of a device are exported.
type Readings struct {
	Device string
	Series []string // names; empty: all
	From   int64    // event time, microseconds
	To     int64    // event time, microseconds; 0: no end
	After  string   // cursor of the page before, of format json
	Limit  int      // 1 to 1,000,000; 0: 10,000
	Format string   // json or csv; empty: json
}

// Export streams a device's readings. JSON is one object {"items": […], "next": cursor}; CSV has a
// header line. The caller closes it. A stream that the hub cuts off ends with an error.
func (c *Client) Export(ctx context.Context, r Readings) (io.ReadCloser, error) {
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	return c.open(ctx, http.MethodGet, query("/v1/lake/readings",
		"device", r.Device,
		"series", strings.Join(r.Series, ","),
		"from", number(r.From),
		"to", number(r.To),
		"after", r.After,
		"limit", number(int64(r.Limit)),
		"format", r.Format,
	), nil, "")
}

// Check returns whether every reading of a device arrived exactly once.
func (c *Client) Check(ctx context.Context, device string) (lake.Check, error) {
	return one[lake.Check](ctx, c, "/v1/lake/check?device="+url.QueryEscape(device))
}

// Lake returns what the lake holds.
func (c *Client) Lake(ctx context.Context) (lake.Summary, error) {
	return one[lake.Summary](ctx, c, "/v1/lake")
}

// Gaps lists up to a thousand declared losses of a device.
func (c *Client) Gaps(ctx context.Context, device string) ([]meta.Gap, error) {
	return list[meta.Gap](ctx, c, query("/v1/gaps", "limit", "1000", "device", device))
}
