package api_test

import (
	"fmt"
	"net/url"
	"testing"

	"skerry.dev/hub/meta"
	"skerry.dev/hub/meta/metatest"
)

// TestEventPages holds that paging shows every event once, also of those that were received at one
// time, as all of a chunk are, and that what happens later is after the newest one.
func TestEventPages(t *testing.T) {
	metatest.Each(t, func(t *testing.T, d metatest.DB) {
		f := newFixtureOn(t, d)
		token := f.login("viewer")
		insert := func(from, to int, at int64) {
			t.Helper()
			if err := f.db.Tx(t.Context(), func(q *meta.Queries) error {
				for n := from; n < to; n++ {
					// in pairs that a collation may take for nearly the same
					id := fmt.Sprintf("%s/r/2/%d", []string{"pump-a", "pumP-b"}[n%2], n)
					if err := q.InsertEvent(t.Context(), meta.Event{ID: id, Device: "pump", Kind: "note", Detail: "{}", ReceivedAt: at}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		type page struct {
			Items []struct {
				ID         string
				ReceivedAt int64 `json:"received_at"`
			}
			Next string
		}
		// all returns how often every event is seen, and the newest one's cursor.
		all := func(after string) (seen map[string]int, newest string) {
			t.Helper()
			seen = map[string]int{}
			before := ""
			for pages := 0; pages == 0 || before != ""; pages++ {
				if pages > 20 {
					t.Fatal("the pages do not end")
				}
				var p page
				f.get("/v1/events?limit=100&"+url.Values{"before": {before}, "after": {after}}.Encode(), token, &p)
				for _, e := range p.Items {
					if newest == "" {
						newest = fmt.Sprintf("%d,%s", e.ReceivedAt, e.ID)
					}
					seen[e.ID]++
				}
				before = p.Next
			}
			return seen, newest
		}
		once := func(what string, seen map[string]int, want int) {
			t.Helper()
			if len(seen) != want {
				t.Errorf("%s: %d events are seen, want %d", what, len(seen), want)
			}
			for id, n := range seen {
				if n != 1 {
					t.Errorf("%s: event %s is seen %d times", what, id, n)
				}
			}
		}
		insert(0, 500, 7)
		seen, newest := all("")
		once("500 of one chunk", seen, 500)
		seen, _ = all(newest)
		once("nothing new", seen, 0)
		insert(500, 750, 8)
		seen, _ = all(newest)
		once("250 of the next", seen, 250)
	})
}
