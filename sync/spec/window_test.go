package spec

import (
	"strings"
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	zone := time.FixedZone("there", 5*3600)
	at := func(day, hour, minute int) time.Time { // 1 June 2026 is a Monday
		return time.Date(2026, 6, day, hour, minute, 0, 0, zone)
	}
	night := Window{From: "22:00", To: "05:00"}
	friday := Window{From: "22:00", To: "05:00", Days: []string{"fri"}}
	noon := Window{From: "12:00", To: "13:30"}
	for _, tt := range []struct {
		w    Window
		t    time.Time
		want bool
	}{
		{Window{}, at(1, 3, 0), true},
		{noon, at(1, 11, 59), false}, {noon, at(1, 12, 0), true}, {noon, at(1, 13, 29), true}, {noon, at(1, 13, 30), false},
		{night, at(1, 21, 59), false}, {night, at(1, 22, 0), true}, {night, at(2, 4, 59), true}, {night, at(2, 5, 0), false}, {night, at(2, 12, 0), false},
		{friday, at(5, 23, 0), true}, {friday, at(6, 4, 0), true}, {friday, at(6, 23, 0), false}, {friday, at(5, 4, 0), false},
		{noon, at(1, 12, 30).UTC(), false}, // 07:30 there
		{Window{From: "x", To: "05:00"}, at(1, 3, 0), false},
	} {
		if got := tt.w.Open(tt.t); got != tt.want {
			t.Errorf("%s at %s: open %v, want %v", &tt.w, tt.t.Format("Mon 15:04 -0700"), got, tt.want)
		}
	}
	for _, tt := range []struct {
		w    Window
		want string
	}{
		{night, ""}, {Window{}, ""}, {friday, ""},
		{Window{From: "22:00"}, `window.to "": must be a time of day`},
		{Window{From: "25:00", To: "01:00"}, `window.from "25:00"`},
		{Window{From: "9:00", To: "11:00"}, `window.from "9:00"`},
		{Window{From: "09:00", To: "09:00"}, "never be open"},
		{Window{From: "09:00", To: "10:00", Days: []string{"Friday"}}, `window.days "Friday": must be one of sun, mon`},
	} {
		if err := tt.w.Check(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Check of %+v = %v, want %q", tt.w, err, tt.want)
		}
	}
}
