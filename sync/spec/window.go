package spec

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Window is when a device may activate a model, by its own local time. The zero value is always open.
type Window struct {
	From string   `json:"from,omitempty" doc:"beginning as HH:MM of the device's local time"`
	To   string   `json:"to,omitempty" doc:"end as HH:MM; before from: on the next day"`
	Days []string `json:"days,omitempty" doc:"on which it begins: mon, tue, wed, thu, fri, sat, sun; default every day"`
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// IsZero reports whether there is none.
func (w *Window) IsZero() bool { return w == nil || w.From == "" && w.To == "" && len(w.Days) == 0 }

// Check reports what is wrong with a window.
func (w *Window) Check() error {
	if w.IsZero() {
		return nil
	}
	for name, text := range map[string]string{"from": w.From, "to": w.To} {
		if _, ok := minuteOf(text); !ok {
			return fmt.Errorf("window.%s %q: must be a time of day as HH:MM", name, text)
		}
	}
	if w.From == w.To {
		return fmt.Errorf("window: from and to are both %s: it would never be open; leave it out for always", w.From)
	}
	for _, d := range w.Days {
		if !slices.Contains(weekdays, d) {
			return fmt.Errorf("window.days %q: must be one of %s", d, strings.Join(weekdays, ", "))
		}
	}
	return nil
}

func minuteOf(text string) (int, bool) {
	t, err := time.Parse("15:04", text)
	return 60*t.Hour() + t.Minute(), err == nil && len(text) == 5
}

// Open reports whether it is open at a time, which names the zone. A window that cannot be read is
// closed: whoever wrote it wanted to keep something from happening.
func (w *Window) Open(t time.Time) bool {
	if w.IsZero() {
		return true
	}
	from, ok1 := minuteOf(w.From)
	to, ok2 := minuteOf(w.To)
	if !ok1 || !ok2 {
		return false
	}
	now, day := 60*t.Hour()+t.Minute(), t.Weekday()
	if to < from && now < to { // it began yesterday
		day, now = (day+6)%7, now+24*60
	}
	if to < from {
		to += 24 * 60
	}
	return now >= from && now < to && (len(w.Days) == 0 || slices.Contains(w.Days, weekdays[day]))
}

func (w *Window) String() string {
	if w.IsZero() {
		return "always"
	}
	text := w.From + " to " + w.To
	if len(w.Days) > 0 {
		text += " on " + strings.Join(w.Days, ", ")
	}
	return text
}
