package ingest_test

import (
	"fmt"
	"testing"

	"skerry.dev/configs"
	"skerry.dev/hub/ingest"
	"skerry.dev/hub/meta/metatest"
	"skerry.dev/sync/wire"
)

// TestFullQueue fills the queue of an ingester that stands still: what does not fit is sent back at
// once with a time, is counted, and every message is answered exactly once when the ingester runs.
func TestFullQueue(t *testing.T) {
	r, run := newRig(t, metatest.SQLite(t), configs.HubIngest{Queue: 1 << 20}), wire.Run{1}
	var waiting []<-chan wire.Receipt
	back := 0
	for i := range 400 {
		device := fmt.Sprintf("dev-%d", 1+i%2)
		receipt := r.offer(device, ingest.Live, readings(t, device, run, uint64(1+100*(i/2)), 100))
		select {
		case got := <-receipt:
			back++
			if got.RetryMS != 250 || got.Applied || got.Error != "the hub has too much waiting" {
				t.Fatalf("receipt of a full queue = %+v, want 250 ms and why", got)
			}
		default:
			waiting = append(waiting, receipt)
		}
	}
	if back == 0 || len(waiting) < 4 {
		t.Fatalf("%d messages wait and %d were sent back, want some of both", len(waiting), back)
	}
	if got := r.value(t, "skerry_ingest_busy_total", ""); got != float64(back) {
		t.Errorf("skerry_ingest_busy_total = %v, want %d", got, back)
	}
	if got := r.value(t, "skerry_ingest_pending_messages", "live"); got != float64(len(waiting)) {
		t.Errorf("skerry_ingest_pending_messages = %v, want %d", got, len(waiting))
	}
	r.run(t)
	for i, receipt := range waiting {
		if got := <-receipt; !got.Applied {
			t.Errorf("receipt %d = %+v, want applied", i, got)
		}
	}
	for name, want := range map[string]float64{"skerry_ingest_pending_messages": 0, "skerry_ingest_busy_total": float64(back)} {
		label := ""
		if want == 0 {
			label = "live"
		}
		if got := r.value(t, name, label); got != want {
			t.Errorf("afterwards %s = %v, want %v", name, got, want)
		}
	}
	if got := r.value(t, "skerry_ingest_records_total", "reading"); got != float64(100*len(waiting)) {
		t.Errorf("%v readings are counted, want %d", got, 100*len(waiting))
	}
	if got := r.value(t, "skerry_ingest_transaction_seconds", ""); got < 1 || got > float64(len(waiting)) {
		t.Errorf("%v transactions for %d messages", got, len(waiting))
	}
	if back := <-r.offer("dev-1", ingest.Live, readings(t, "dev-1", run, 100_001, 1)); !back.Applied {
		t.Errorf("receipt after the queue is empty = %+v, want applied", back)
	}
}

// TestFloodLeavesRoom: one device fills its sixteenth of the queue, in two lanes, and another still
// finds room and its turn at once; nothing of the flood that was taken is lost.
func TestFloodLeavesRoom(t *testing.T) {
	r, run := newRig(t, metatest.SQLite(t), configs.HubIngest{Queue: 4 << 20, BatchChunks: 8}), wire.Run{1}
	const offered = 1000
	order := make(chan string, offered+1) // of the receipts
	back := 0
	offer := func(device string, lane ingest.Lane, message []byte) {
		r.in.Offer(ingest.Message{Site: "north", Device: device, Lane: lane, Data: message, Reply: func(got wire.Receipt) {
			switch {
			case got.Applied:
				order <- device
			case got.RetryMS > 0:
				back++ // from Offer itself
			default:
				t.Errorf("receipt of %s = %+v", device, got)
			}
		}})
	}
	for i := range offered {
		offer("dev-1", ingest.Lane(1+i%2), readings(t, "dev-1", run, uint64(1+100*i), 100))
	}
	taken := offered - back
	if taken < 20 || back == 0 {
		t.Fatalf("%d of %d messages of one device wait, want its share", taken, offered)
	}
	offer("dev-2", ingest.Live, readings(t, "dev-2", run, 1, 1))
	if offered-back != taken {
		t.Fatal("the flood leaves another device no room")
	}
	r.run(t)
	for i := range taken + 1 {
		if device := <-order; device == "dev-2" && i >= 8 {
			t.Errorf("the other device is number %d, want it in the first batch of 8", i+1)
		}
	}
}

// TestCostAtTheEdge packs what one transaction takes, and one record more: a chunk of events costs
// one and each event another, up to 2,000.
func TestCostAtTheEdge(t *testing.T) {
	run := wire.Run{1}
	for _, tt := range []struct {
		name   string
		events []int // of each chunk
		later  []int // the chunks that are left for another message
	}{
		{"exactly the bound", []int{499, 499, 499, 499}, nil},
		{"one event more", []int{499, 499, 499, 500}, []int{3}},
		{"a small one after one that was too much", []int{499, 499, 499, 500, 10}, []int{3}},
		{"several that are too much", []int{500, 500, 500, 500, 500, 490}, []int{3, 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, metatest.SQLite(t), configs.HubIngest{})
			r.run(t)
			var chunks [][]byte
			first := uint64(1)
			for _, n := range tt.events {
				events := make([]wire.Event, n)
				for i := range events {
					events[i] = wire.Event{Kind: "note", Detail: "{}"}
				}
				chunks = append(chunks, chunk(t, "dev-1", run, wire.ClassEvent, first, wire.Records{Events: events}))
				first += uint64(n)
			}
			got := <-r.offer("dev-1", ingest.Events, wire.Pack(chunks))
			if got.Applied != (len(tt.later) == 0) || len(got.Refused) != len(tt.later) || got.RetryMS != 0 {
				t.Fatalf("receipt = %+v, want %v left out", got, tt.later)
			}
			for i, f := range got.Refused {
				if f.Index != tt.later[i] || f.Reason != "the message is too large for one transaction: send it again with fewer others" {
					t.Errorf("refused is %+v, want chunk %d", f, tt.later[i])
				}
			}
			for _, i := range tt.later {
				r.stored(t, "dev-1", ingest.Events, chunks[i])
			}
			a, err := r.in.Applied(t.Context(), "dev-1", run)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range a.Sets {
				if s.Class == wire.ClassEvent && (s.Mark != first-1 || len(s.Ranges) != 0) {
					t.Errorf("the events are applied up to %d and %v, want up to %d", s.Mark, s.Ranges, first-1)
				}
			}
			for label, want := range map[string]int{"stored": len(chunks), "postponed": len(tt.later)} {
				if got := r.value(t, "skerry_ingest_chunks_total", label); got != float64(want) {
					t.Errorf("%v chunks are counted as %s, want %d", got, label, want)
				}
			}
		})
	}
}
