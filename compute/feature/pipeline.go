package feature

// Column is one fitted step: it computes one number per row, then imputes, centres and scales it.
type Column struct {
	Name string `json:"name"`
	Op   Op     `json:"op"`
	// index into Pipeline.Inputs; ignored by ops of the calendar and of earlier columns
	Series   int     `json:"series"`
	Lag      int64   `json:"lag,omitempty"`      // microseconds, > 0
	Window   int64   `json:"window,omitempty"`   // microseconds, > 0
	Category float64 `json:"category,omitempty"` // OpOneHot
	// replaces a missing result; nil leaves NaN for models that handle it
	Impute *float64 `json:"impute,omitempty"`
	Center float64  `json:"center,omitempty"` // subtracted after imputation
	Scale  float64  `json:"scale,omitempty"`  // then divided by, unless 0

	// a lag or window in rows, instead of Lag or Window
	Rows     int     `json:"rows,omitempty"`
	Other    int     `json:"other,omitempty"`     // the second series, index into Pipeline.Inputs
	Level    float64 `json:"level,omitempty"`     // OpQuantile, 0 to 1
	HalfLife int64   `json:"half_life,omitempty"` // microseconds, > 0
	Low      float64 `json:"low,omitempty"`       // OpBandPower, hertz
	High     float64 `json:"high,omitempty"`      // OpBandPower, hertz
	Limit    float64 `json:"limit,omitempty"`     // OpSpike, in MADs, > 0
	Of       int     `json:"of,omitempty"`        // index of an earlier column
	By       int     `json:"by,omitempty"`        // index of an earlier column
	// OpTable: a value per category; OpPlace: 2 to 32 quantiles, ascending
	Table []float64 `json:"table,omitempty"`
	// OpTable: the value of categories that the table lacks
	Default float64 `json:"default,omitempty"`
	Expr    []Token `json:"expr,omitempty"`   // OpExpr
	Module  int     `json:"module,omitempty"` // OpModule: index into Pipeline.Modules
	// OpModule: the function that the module exports
	Func string `json:"func,omitempty"`
	// OpModule: its arguments, indices into Pipeline.Inputs
	Args []int `json:"args,omitempty"`
}

// Input describes one series of a row.
type Input struct {
	Name       string   `json:"name"`
	Unit       string   `json:"unit,omitempty"`
	Min        float64  `json:"min,omitempty"` // declared range; both 0 when none
	Max        float64  `json:"max,omitempty"`
	Categories []string `json:"categories,omitempty"` // values are indices into it
}

// Pipeline is a fitted list of columns. It is immutable and safe for concurrent use; compute with
// an [Evaluator].
type Pipeline struct {
	Inputs  []Input  `json:"inputs"`
	Columns []Column `json:"columns"`
	// how much older than Lag a lagged row may be, microseconds; half the usual row distance
	Tolerance int64 `json:"tolerance"`
	// added to the time before calendar ops, microseconds (a time zone)
	Offset int64 `json:"offset"`
	// look-back in rows: no step looks at more than this many rows, the newest included
	Rows int `json:"rows"`
	// usual distance of rows, microseconds; needed by spectra
	Distance int64 `json:"distance,omitempty"`
	// ascending, by the local date; needed by OpHoliday
	Holidays []Day    `json:"holidays,omitempty"`
	Modules  []Module `json:"modules,omitempty"` // of OpModule
}

// Limits of a pipeline.
const (
	MaxColumns   = 4096
	MaxLookback  = 256  // rows
	MaxHolidays  = 4096 // a dozen a year for three hundred years
	MaxTable     = 4096 // categories of an OpTable
	MaxQuantiles = 32   // points of an OpPlace
	MaxTokens    = 64   // of an OpExpr
	MaxStack     = 16   // values an OpExpr may hold at once

	MaxModules     = 8
	MaxModuleBytes = 256 << 10 // code of a module
	// code of all modules: in the base64 of JSON they leave a third of an artifact's section to
	// the columns
	MaxCodeBytes = 512 << 10
	MaxArgs      = 16 // series that an OpModule takes
)

// Width returns the number of columns.
func (p *Pipeline) Width() int { return len(p.Columns) }

// Names returns the column names in order.
func (p *Pipeline) Names() []string {
	names := make([]string, len(p.Columns))
	for i := range p.Columns {
		names[i] = p.Columns[i].Name
	}
	return names
}

// points returns how many points the grid of a spectrum has: those at most a window old, counted
// from the newest row in steps of Distance.
func (p *Pipeline) points(c *Column) int64 {
	if c.Rows > 0 {
		return int64(c.Rows)
	}
	return (c.Window-1)/p.Distance + 1
}
