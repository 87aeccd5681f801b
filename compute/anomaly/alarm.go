package anomaly

import (
	"fmt"
	"math"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/state"
)

// Alarm picks the scores that are rare for their own stream. A score is an alarm when the chance
// to see one as high among the last 4096 is at most the rate: as long as rows are exchangeable,
// that is the share of false alarms (the p-value of conformal anomaly detection, Laxhammar and
// Falkman, 2014). Where the rate is too small for the scores at hand, their tail is continued as
// an exponential one.
type Alarm struct {
	rate   float64
	scores history
}

// alarmHistory is how many scores an alarm compares with.
const alarmHistory = 4096

// NewAlarm makes an alarm for a rate of false alarms, as a share of all rows.
func NewAlarm(rate float64) (*Alarm, error) {
	if !(rate > 0 && rate < 0.5) {
		return nil, fmt.Errorf("alarm rate %v: must be above 0 and below 0.5", rate)
	}
	return &Alarm{rate: rate, scores: newHistory(alarmHistory, 0.05)}, nil
}

// Update takes the score of a row and reports whether it is an alarm. Scores that are not above
// 0, and NaN, are none; during the first 30 there is none. It costs some comparisons and a move
// of up to 4096 numbers.
func (a *Alarm) Update(score float64) bool {
	v, ok := bounded(score)
	if !ok {
		return false
	}
	n := len(a.scores.sorted)
	hit := false
	switch {
	case n < minHistory || v <= 0:
	case a.rate*float64(n+1) >= 5:
		// of n+1 scores as many may be alarms
		i := int(float64(n) - math.Floor(a.rate*float64(n+1)) + 1)
		hit = v > a.scores.sorted[max(i-1, 0)]
	default:
		hit = a.scores.above(v) >= -exact.Log(a.rate)
	}
	a.scores.add(v)
	return hit
}

// Save appends the state to a snapshot.
func (a *Alarm) Save(w *state.Writer) { a.scores.save(w) }

// Load restores it into an alarm with the same rate.
func (a *Alarm) Load(r *state.Reader) { a.scores.load(r) }
