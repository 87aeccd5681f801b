package wire

import (
	"strings"
	"testing"
)

// TestTextIsBounded holds that one long string used by many records is refused at both ends: it is a
// few hundred bytes on the wire and megabytes where it is stored.
func TestTextIsBounded(t *testing.T) {
	long := strings.Repeat("x", maxStringBytes)
	events := make([]Event, maxTextBytes/maxStringBytes+1)
	for i := range events {
		events[i] = Event{Kind: "k", Detail: long}
	}
	h := Header{Device: "d", Class: ClassEvent, First: 1}
	if _, err := Encode(h, &Records{Events: events}); err == nil {
		t.Errorf("%d events of %d bytes are encoded", len(events), len(long))
	}
	b, err := Encode(h, &Records{Events: events[:len(events)-2]})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Decode(b); err != nil {
		t.Errorf("texts within the bound are refused: %v", err)
	}
	var w columns
	w.text = -1 << 30 // a sender without the bound
	w.records(ClassEvent, &Records{Events: events})
	rd := columnReader{b: w.b, n: len(events)}
	if rd.records(ClassEvent); rd.err == nil {
		t.Error("strings beyond the bound are decoded")
	}
}

// TestRecordsSize compares the size of records with what they hold: slices of fixed parts, and
// texts as often as they are used.
func TestRecordsSize(t *testing.T) {
	r := &Records{Readings: make([]Reading, 10), Events: []Event{{Kind: "kind", Detail: strings.Repeat("x", 1000)}}}
	for i := range r.Readings {
		r.Readings[i].Series = "series"
	}
	if n := r.Size(); n < 1000+10*6+10*48 || n > 3000 {
		t.Errorf("Size = %d", n)
	}
}
