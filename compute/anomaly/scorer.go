package anomaly

import (
	"fmt"

	"skerry.dev/compute/state"
)

// Schema describes the rows of a stream.
type Schema struct {
	Columns []string // names, in the order of the rows
	Timed   bool     // times are microseconds since 1970; else they are the numbers of the rows
}

// MaxColumns bounds a row.
const MaxColumns = 4096

func (s Schema) check() error {
	if n := len(s.Columns); n < 1 || n > MaxColumns {
		return fmt.Errorf("%d columns: must be 1 to %d", n, MaxColumns)
	}
	return nil
}

// maxBytes bounds what the state of a scorer may grow to.
const maxBytes = 1 << 31

// affordable refuses settings and columns with which the state would grow beyond any device's
// memory.
func affordable(bytes float64) error {
	if bytes > maxBytes {
		return fmt.Errorf("the state would take %.0f MB with these settings and columns: must be at most %d MB", bytes/1e6, maxBytes/1_000_000)
	}
	return nil
}

// Scorer rates how unusual the rows of a stream are.
//
// A scorer never sees ahead: the score of a row depends on it and the rows before it. Rows are
// never kept by reference nor changed. Values that are NaN or infinite are missing, values beyond
// ±1e150 are taken for that: no row can make the state useless. In the steady state Update does
// not allocate. The same rows, settings and seed give the same bits on every architecture. A
// scorer is not safe for concurrent use.
type Scorer interface {
	// Update returns the score of a row, from 0 for nothing unusual to 1, and then learns from
	// the row where the scorer still learns. len(x) is the schema's; t is in its unit. While a
	// scorer has seen too little scores are 0.
	Update(x []float64, t int64) float64
	// Limit is the score from which on a row is an alarm by the scorer's own measure. For some it
	// is 1, which they hardly reach: they rank rows, and an [Alarm] decides which are rare enough.
	Limit() float64
	// Bytes returns about how much memory the state takes, which is bounded by the settings.
	Bytes() int
	// Save and Load carry the state over a restart, bit for bit, into a scorer made with the same
	// schema and settings.
	Save(w *state.Writer)
	Load(r *state.Reader)
}
