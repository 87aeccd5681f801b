package feature

import (
	"encoding/binary"
	"errors"
	"math"
)

// History holds the newest rows of one task in event-time order. It is a ring: pushing beyond the
// capacity forgets the oldest row. It allocates only in NewHistory and is not safe for concurrent
// use.
type History struct {
	width, capacity int
	times           []int64
	values          []float64
	head, n         int // head is the slot of the newest row
}

// NewHistory returns an empty history of rows of width values that keeps the newest capacity
// rows. Both must be positive.
func NewHistory(width, capacity int) *History {
	if width < 1 || capacity < 1 {
		panic("feature: history needs a positive width and capacity")
	}
	return &History{
		width:    width,
		capacity: capacity,
		times:    make([]int64, capacity),
		values:   make([]float64, width*capacity),
		head:     -1,
	}
}

// Width returns the number of values in a row.
func (h *History) Width() int { return h.width }

// Len returns the number of rows held.
func (h *History) Len() int { return h.n }

// Push appends a row, copying values (len(values) is Width, missing = NaN). Times should not go
// back: whoever joins rows leaves late ones out. Where they do, rows still count in the order in
// which they were pushed, as the package comment describes.
func (h *History) Push(time int64, values []float64) {
	if len(values) != h.width {
		panic("feature: row has the wrong width")
	}
	h.head = (h.head + 1) % h.capacity
	h.times[h.head] = time
	copy(h.values[h.head*h.width:], values)
	h.n = min(h.n+1, h.capacity)
}

// Time returns the time of the row back rows before the newest (0 = newest). back must be below
// Len.
func (h *History) Time(back int) int64 { return h.times[h.slot(back)] }

// Row returns the values of the row back rows before the newest. The slice belongs to the history
// and changes with Push.
func (h *History) Row(back int) []float64 {
	s := h.slot(back) * h.width
	return h.values[s : s+h.width : s+h.width]
}

func (h *History) slot(back int) int {
	if back < 0 || back >= h.n {
		panic("feature: row outside the history")
	}
	s := h.head - back
	if s < 0 {
		s += h.capacity
	}
	return s
}

// gather copies the present readings of a series in the newest rows, from back rows before the
// newest on, oldest first, and how many rows before it each lies. It returns their number.
func (h *History) gather(vals []float64, at []int, back, rows, series int) int {
	n := 0
	if rows == 0 {
		return n
	}
	s := h.slot(back + rows - 1)
	for r := rows - 1; r >= 0; r-- {
		if v := h.values[s*h.width+series]; !math.IsNaN(v) {
			vals[n], at[n] = v, r
			n++
		}
		if s++; s == h.capacity {
			s = 0
		}
	}
	return n
}

// AppendBinary appends the history's rows, oldest first.
func (h *History) AppendBinary(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(h.width))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.n))
	for i := h.n - 1; i >= 0; i-- {
		b = binary.LittleEndian.AppendUint64(b, uint64(h.Time(i)))
		for _, v := range h.Row(i) {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	return b
}

// DecodeBinary replaces the rows by those of an earlier AppendBinary and returns the rest of b.
// The width must match; rows beyond the capacity are forgotten, oldest first.
func (h *History) DecodeBinary(b []byte) ([]byte, error) {
	if len(b) < 8 {
		return nil, errors.New("feature: history ends early")
	}
	width, n := int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
	b = b[8:]
	if width != h.width || n < 0 || n > len(b)/(8*(width+1)) {
		return nil, errors.New("feature: history has another width or ends early")
	}
	h.head, h.n = -1, 0
	row := make([]float64, width)
	for range n {
		t := int64(binary.LittleEndian.Uint64(b))
		b = b[8:]
		for j := range row {
			row[j] = math.Float64frombits(binary.LittleEndian.Uint64(b))
			b = b[8:]
		}
		h.Push(t, row)
	}
	return b, nil
}
