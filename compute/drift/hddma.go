package drift

import (
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// HDDMA compares the mean of the stream with its mean up to the point where its upper bound was
// lowest, by Hoeffding's inequality. After Frías-Blanco, del Campo-Ávila, Ramos-Jiménez,
// Morales-Bueno, Ortiz-Díaz and Caballero-Mota, "Online and Non-Parametric Drift Detection
// Methods Based on Hoeffding's Bounds", TKDE 27 (2015), test A. It takes errors or losses in [0,
// 1]; values outside are clipped. An update costs a few square roots. Use NewHDDMA.
type HDDMA struct {
	// DriftConfidence and WarningConfidence are probabilities of a false alarm, DriftConfidence
	// the smaller one.
	DriftConfidence, WarningConfidence float64
	// TwoSided also reports falls of the mean.
	TwoSided bool

	hddmaState
	logs hddmLogs
}

// hddmLogs are the logarithms that the bounds need, made at the first value.
type hddmLogs struct {
	once, drift, warning float64 // of 1/DriftConfidence, and of the inverses for the two alarms
}

type hddmaState struct {
	all, low, high   mean // of everything, up to the cut that shows rises best, and falls
	alarmed, warning bool
}

// NewHDDMA returns a one-sided detector with confidences 0.001 and 0.005.
func NewHDDMA() *HDDMA { return &HDDMA{DriftConfidence: 0.001, WarningConfidence: 0.005} }

// Update implements Detector.
func (d *HDDMA) Update(x float64) bool {
	if !usable(x) {
		return false
	}
	if d.logs.once == 0 {
		d.logs = hddmLogs{exact.Log(1 / d.DriftConfidence), exact.Log(2 / d.DriftConfidence), exact.Log(2 / d.WarningConfidence)}
	}
	if d.alarmed {
		d.hddmaState = hddmaState{}
	}
	d.all.add(min(max(x, 0), 1))
	if d.low.n == 0 {
		d.low, d.high = d.all, d.all
	}
	bound := hoeffding(d.all.n, d.logs.once)
	if d.low.m+hoeffding(d.low.n, d.logs.once) >= d.all.m+bound {
		d.low = d.all
	}
	if d.high.m-hoeffding(d.high.n, d.logs.once) <= d.all.m-bound {
		d.high = d.all
	}
	d.alarmed = d.differ(&d.low, 1, d.logs.drift)
	d.warning = !d.alarmed && d.differ(&d.low, 1, d.logs.warning)
	if d.TwoSided {
		// As in the reference a fall may leave the warning of a rise standing.
		switch {
		case d.differ(&d.high, -1, d.logs.drift):
			d.alarmed = true
		case d.differ(&d.high, -1, d.logs.warning):
			d.warning = true
		}
	}
	return d.alarmed
}

// hoeffding is the half-width of the interval of a mean of n values in [0, 1].
func hoeffding(n, logConfidence float64) float64 {
	return math.Sqrt(float64(1 / (2 * n) * logConfidence))
}

// differ reports whether the whole mean lies above (sign 1) or below (-1) that of a part of the
// stream.
func (d *HDDMA) differ(part *mean, sign, logConfidence float64) bool {
	if part.n == d.all.n {
		return false
	}
	m := float64((d.all.n - part.n) / part.n * (1 / d.all.n))
	return float64(sign*(d.all.m-part.m)) >= math.Sqrt(float64(m/2*logConfidence))
}

// Warning implements Warner.
func (d *HDDMA) Warning() bool { return d.warning }

// Save implements Detector.
func (d *HDDMA) Save(w *state.Writer) {
	d.all.save(w)
	d.low.save(w)
	d.high.save(w)
	w.Bool(d.alarmed)
	w.Bool(d.warning)
}

// Load implements Detector.
func (d *HDDMA) Load(r *state.Reader) {
	var s hddmaState
	for _, m := range []*mean{&s.all, &s.low, &s.high} {
		m.load(r, 1)
	}
	s.alarmed, s.warning = r.Bool(), r.Bool()
	need(r, s.low.n <= s.all.n && s.high.n <= s.all.n && (s.all.n == 0 || s.low.n > 0 && s.high.n > 0))
	if r.Err() == nil {
		d.hddmaState = s
	}
}
