package selection

import (
	"math"

	"skerry.dev/compute/conformal"
	"skerry.dev/compute/metric"
)

// intervals compares the intervals that a device would publish around the predictions of champion
// and challenger: calibrated by the code of the devices, from the errors before each row.
type intervals struct {
	level   float64
	devices []pairOfIntervals
}

type pairOfIntervals struct{ champion, challenger interval }

// interval is one model's on one device.
type interval struct {
	blend *conformal.Blend
	errs  metric.Trail
	seen  int
	n     float64
	score float64
}

const (
	intervalWindow = 500 // conformal scores and errors, as on a device
	intervalWarm   = 50  // rows that calibrate before scores count
)

func newIntervals(p *Problem) *intervals {
	made := func() interval {
		return interval{blend: conformal.NewBlend(p.Level, intervalWindow), errs: metric.Trail{N: intervalWindow}}
	}
	iv := &intervals{level: p.Level}
	for range p.Devices {
		iv.devices = append(iv.devices, pairOfIntervals{made(), made()})
	}
	return iv
}

// add takes a row of a device with what both predict: a value and its raw interval, NaN for none.
func (iv *intervals) add(device int, truth, scale float64, champion, challenger [3]float64) {
	d := &iv.devices[device]
	d.champion.add(iv.level, truth, scale, champion)
	d.challenger.add(iv.level, truth, scale, challenger)
}

func (v *interval) add(level, truth, scale float64, p [3]float64) {
	half := conformal.Halves{Below: max(p[0]-p[1], 0), Above: max(p[2]-p[0], 0)}
	if math.IsNaN(p[1]) || math.IsNaN(p[2]) {
		half = conformal.Halves{Below: 2 * scale, Above: 2 * scale}
	}
	if issue, ok := v.blend.Make(half, 2*v.errs.Mean()); ok {
		if v.seen++; v.seen > intervalWarm {
			v.n++
			v.score += metric.IntervalScore(p[0]-issue.Issued.Below, p[0]+issue.Issued.Above, truth, level) / scale
		}
		v.blend.Update(&issue, truth-p[0], 0)
	}
	v.errs.Add(math.Abs(truth - p[0]))
}

// means are the mean interval scores over all devices, 0 where nothing was scored.
func (iv *intervals) means() (champion, challenger float64) {
	var a, b, n, m float64
	for i := range iv.devices {
		d := &iv.devices[i]
		a, n = a+d.champion.score, n+d.champion.n
		b, m = b+d.challenger.score, m+d.challenger.n
	}
	return a / max(n, 1), b / max(m, 1)
}
