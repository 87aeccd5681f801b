package link

import "time"

// Bounds of what a lane may have under way, and when it changes.
const (
	firstBudget = 32 << 10
	minBudget   = 4 << 10
	// A receipt this fast lets the budget grow by its message, so that it doubles with every round.
	growWithin = 500 * time.Millisecond
	// One this slow halves it: what is under way then stands in the way of live data, which shares
	// the connection, and soon takes longer than the sender waits.
	halveAfter = 2 * time.Second
)

// budget bounds the bytes of a lane that wait for receipts. It finds what the link carries: a fast
// one gets large windows, one of a few kilobytes a second a message at a time. The zero value is
// not ready; it is not safe for concurrent use.
type budget struct {
	limit    int // bytes that may be under way; one message always may
	most     int
	underway int
	messages int
	slots    int // messages that may be under way
}

func newBudget(slots, most int) budget {
	return budget{limit: min(firstBudget, most), most: most, slots: slots}
}

// room returns the bytes that the next message may have, 0 when it must wait: a quarter of the
// budget, so that the next is on its way while one is answered. A message that cannot be smaller
// goes all the same, when it is alone.
func (b *budget) room() int {
	if b.messages > 0 && (b.messages >= b.slots || b.underway >= b.limit) {
		return 0
	}
	return b.limit / 4
}

// sent notes a message under way.
func (b *budget) sent(bytes int) {
	b.underway += bytes
	b.messages++
}

// answered notes the receipt of a message after a time.
func (b *budget) answered(bytes int, took time.Duration) {
	b.underway -= bytes
	b.messages--
	switch {
	case took >= halveAfter:
		b.shrink()
	case took < growWithin:
		b.limit = min(b.limit+bytes, b.most)
	default: // a long way, perhaps: fill it slowly
		b.limit = min(b.limit+bytes/16, b.most)
	}
}

// lost notes that no receipt came in time.
func (b *budget) lost(bytes int) {
	b.underway -= bytes
	b.messages--
	b.shrink()
}

func (b *budget) shrink() { b.limit = max(b.limit/2, minBudget) }
