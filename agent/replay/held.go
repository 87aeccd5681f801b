package replay

// heldBytes bounds what the rows of a table and their predictions may take where all have to be
// held: 1 GiB, or 256 MiB where an address has 32 bits.
const heldBytes = 256 << 20 << (^uint(0) >> 63 * 2)

// blockValues is how many values a block has at least: 512 KiB of those of 64 bits.
const blockValues = 1 << 16

// held keeps rows of equally many values in blocks, so that growing copies nothing.
type held[T any] struct {
	width  int // values of a row, at least 1
	n      int // rows
	blocks [][]T
}

// add appends a row, with a copy of values.
func (h *held[T]) add(values ...T) {
	per := h.rowsOfBlock()
	if h.n%per == 0 {
		h.blocks = append(h.blocks, make([]T, per*h.width))
	}
	h.n++
	copy(h.row(h.n-1), values)
}

// row returns the values of row i, which can be changed there.
func (h *held[T]) row(i int) []T {
	per := h.rowsOfBlock()
	at := i % per * h.width
	return h.blocks[i/per][at : at+h.width : at+h.width]
}

func (h *held[T]) rowsOfBlock() int { return max(blockValues/h.width, 1) }
