// Package committee lets several experts predict together: online learners, and outsiders such as
// a model of the hub or the last value, whose predictions the caller brings. Their weights follow
// their losses by fixed share, so that the committee is never much worse than the best sequence
// of experts in hindsight.
//
// Labels may come late. What was predicted is kept by the caller between [Committee.Predict] and
// [Committee.Learn], so that losses are those of the predictions that were made.
package committee

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"skerry.dev/compute/internal/exact"
	"skerry.dev/compute/mixture"
	"skerry.dev/compute/online"
	"skerry.dev/compute/state"
)

// Member is an expert with its name: one learner, or none for an outsider.
type Member struct {
	Name  string
	Class online.Classifier
	Value online.Regressor
	Prior float64 // its weight before any label, against the others'; 0 means 1
	Guest bool    // it may come late and change, as a model of the hub does; see [Committee.Reset]
}

func (m *Member) learner() online.Learner {
	switch {
	case m.Class != nil:
		return m.Class
	case m.Value != nil:
		return m.Value
	}
	return nil
}

// Committee is a mixture of experts. It is not safe for concurrent use.
//
// How fast weights should move depends on the stream and on how late labels come: several
// mixtures, fast and slow, faithful and fickle, weigh the experts side by side, and a mixture of
// mixtures weighs these. Where there are guests the same mixtures also weigh the others alone, and
// one more weighs the two sides: whatever a guest says, the committee loses little against one that
// never had guests.
type Committee struct {
	classes int
	members []Member
	mixes   []*mixture.FixedShare
	top     *mixture.FixedShare
	homes   []*mixture.FixedShare // of the members that are no guests; none without guests
	balance *mixture.Duel         // of the two sides: all, and those of homes
	prior   []float64
	weights []float64 // of the members, through all mixtures
	// of the mixtures: their weights, as far as their shares suit how late labels are
	trust    []float64
	shares   []float64
	spread   float64 // mean absolute error of the last member: the unit of losses
	n        float64
	learned  int64
	late     float64 // how many predictions wait for their label, of late
	loss     []float64
	homeLoss []float64
	topLoss  []float64
	sides    [2]float64 // losses of the sides
	parts    [2]float64 // and their weights, the second as far as labels come in time
	home     []float64  // what homes predict
	sum      []float64  // of losses, by member
	scored   []float64
	eligible []bool
	logB     []float64 // by member: logarithm of the exponent of its probabilities
	g2       []float64 // and the sum of squared gradients that moved it
}

// Constants of the mixtures.
const (
	maxNats = 4.0 // log losses are cut there
	// Which mixture is best is judged by the whole loss, so that one that is nearly always surer than
	// the others does not win by what it is wrong about. No loss is larger: see lossOf.
	topNats        = 9.3
	maxUnits       = 4.0 // and absolute errors at so many units
	unitRows       = 500 // memory of the unit of losses
	minProbability = 1e-4
	temperRate     = 0.2
	maxLogB        = 1.6  // exponents from a fifth to five
	topShare       = 1e-8 // which mixture is best hardly ever changes
	balanceRows    = 300  // whether guests help may change: memory of the sides' losses
	// A new guest has even odds against those who have learned beside it; one of the first hour, when
	// nobody has, is believed. Labels that come later than so many rows tell which side was right too
	// late for it to be of use: it counts less by the fourth power.
	firstOdds  = 1000
	timelyRows = 50
	leastOdds  = 1e-6
	maxRows    = 1 << 53 // that a snapshot can have counted
	minScored  = 30      // predictions of a learner that are scored before its word counts,
	// and so many more for each row that labels are late: those under way are much the same
	minScoredPerLate = 5
)

// grid are the mixtures: a rate, in nats of log loss or per unit of error, and the share of fixed
// share.
var grid = []struct{ rate, share float64 }{{0.02, 0}, {0.05, 0.0005}, {0.25, 0.0005}, {1, 0.0005}, {4, 0.0005}, {0.25, 0.01}, {1, 0.01}, {4, 0.01}, {2, 0.05}, {1, 0}, {4, 0}}

// New returns a committee for a schema. For numbers the unit of losses is the mean absolute error
// of the last member. share is that of all mixtures, up to 0.2; 0 lets mixtures of different
// shares find out.
func New(s online.Schema, members []Member, share float64) (*Committee, error) {
	if len(members) == 0 {
		return nil, errors.New("committee: no members")
	}
	if !(share >= 0 && share <= 0.2) {
		return nil, fmt.Errorf("committee: share %v, must be 0 to 0.2", share)
	}
	n := len(members)
	prior := make([]float64, n)
	for k, m := range members {
		if m.Class != nil && s.Classes == 0 || m.Value != nil && s.Classes > 0 {
			return nil, fmt.Errorf("committee: member %q learns another kind of target", m.Name)
		}
		if prior[k] = m.Prior; m.Prior == 0 {
			prior[k] = 1
		}
		if !(prior[k] > 0 && prior[k] <= 1e6) {
			return nil, fmt.Errorf("committee: member %q has prior %v, must be above 0 and at most 1e6", m.Name, m.Prior)
		}
	}
	c := &Committee{
		classes:  s.Classes,
		members:  members,
		weights:  make([]float64, n),
		trust:    make([]float64, len(grid)),
		loss:     make([]float64, n),
		homeLoss: make([]float64, n),
		topLoss:  make([]float64, len(grid)),
		sum:      make([]float64, n),
		scored:   make([]float64, n),
		eligible: make([]bool, n),
		logB:     make([]float64, n),
		g2:       make([]float64, n),
	}
	cut := maxUnits
	if s.Classes > 0 {
		cut = maxNats
	}
	c.prior = prior
	guests := slices.ContainsFunc(members, func(m Member) bool { return m.Guest })
	for _, g := range grid {
		if share > 0 {
			g.share = share
		}
		c.mixes, c.shares = append(c.mixes, mixture.New(n, g.rate*cut, g.share, prior)), append(c.shares, g.share)
		if guests {
			c.homes = append(c.homes, mixture.New(n, g.rate*cut, g.share, prior))
		}
	}
	c.home = make([]float64, len(c.homes)*c.Width())
	if s.Classes > 0 {
		cut = topNats
	}
	c.top = mixture.New(len(grid), cut, topShare, nil)
	c.balance = mixture.NewDuel(balanceRows, c.odds())
	c.weigh()
	return c, nil
}

// Width is how many numbers a prediction has: a probability for each class, or one.
func (c *Committee) Width() int { return max(1, c.classes) }

// Room is how many numbers Predict writes to out: Width for each member, in their order, for each
// mixture, and for each of the two sides.
func (c *Committee) Room() int { return c.RoomBefore() + len(c.sides)*c.Width() }

// RoomBefore is what Room was before there were two sides; see [OneSide].
func (c *Committee) RoomBefore() int { return (len(c.members) + len(c.mixes)) * c.Width() }

// Members returns the members. The slice belongs to the committee.
func (c *Committee) Members() []Member { return c.members }

// Weights returns the weights by member, which sum to 1. The slice belongs to the committee.
func (c *Committee) Weights() []float64 { return c.weights }

// Loss returns a member's mean loss so far: log loss, or the absolute error; NaN before the first.
func (c *Committee) Loss(member int) float64 { return c.sum[member] / c.scored[member] }

// Predict writes all predictions to out, which has Room, and that of the whole to p. Outsiders'
// predictions must be in out already, NaN where they have none. It returns NaN for a number that
// nothing can predict.
func (c *Committee) Predict(p, out, x []float64) {
	w := c.Width()
	for k := range c.members {
		m := &c.members[k]
		o := out[k*w : (k+1)*w]
		switch {
		case m.Class != nil:
			m.Class.Classify(o, x)
			c.temper(k, o)
		case m.Value != nil:
			o[0] = m.Value.Predict(x)
		}
	}
	predicted, mixed, sides := out[:len(c.members)*w], out[len(c.members)*w:c.RoomBefore()], out[c.RoomBefore():]
	c.mix(sides[:w], mixed, predicted, c.mixes, true)
	copy(sides[w:], sides[:w])
	if c.homes != nil {
		c.mix(sides[w:], c.home, predicted, c.homes, false)
	}
	blend(p, sides, c.parts[:], nil)
	if c.classes > 0 && math.IsNaN(p[0]) {
		for i := range p {
			p[i] = 1 / float64(len(p))
		}
	}
}

// mix writes what each of the mixtures predicts to mixed, and what they predict together to p.
func (c *Committee) mix(p, mixed, predicted []float64, mixes []*mixture.FixedShare, guests bool) {
	w := c.Width()
	eligible := c.selectEligible(predicted, guests)
	for k, m := range mixes {
		blend(mixed[k*w:(k+1)*w], predicted, m.Weights(), eligible)
	}
	blend(p, mixed, c.trust, nil)
}

// temper raises a learner's probabilities to its exponent: forests' votes are often surer than
// they are right, or less sure.
func (c *Committee) temper(k int, o []float64) {
	b, sum := exact.Exp(c.logB[k]), 0.0
	for i, p := range o {
		o[i] = exact.Exp(float64(b * exact.Log(max(p, minProbability))))
		sum += o[i]
	}
	for i := range o {
		o[i] /= sum
	}
}

// judge moves a learner's exponent down the gradient of the log loss of what it predicted: with z
// the logarithms of the tempered probabilities p that is Σ p·z − z_y, by the logarithm of the
// exponent.
func (c *Committee) judge(k int, o []float64, y float64) {
	if c.classes == 0 || c.members[k].Class == nil {
		return
	}
	g := -exact.Log(max(o[int(y)], minProbability))
	for _, p := range o {
		if p > 0 {
			g += float64(p * exact.Log(p))
		}
	}
	g = min(max(g, -2), 2)
	c.g2[k] += float64(g * g)
	c.logB[k] = min(max(c.logB[k]-float64(temperRate*g/math.Sqrt(1+c.g2[k])), -maxLogB), maxLogB)
}

// selectEligible decides whose predictions count: outsiders', and those of learners that were
// scored often enough. Where that is nobody all count. Guests count only where they are asked for.
func (c *Committee) selectEligible(predicted []float64, guests bool) []bool {
	any := false
	for k := range c.members {
		m := &c.members[k]
		tried := m.learner() == nil || c.scored[k] >= minScored+float64(minScoredPerLate*c.late)
		c.eligible[k] = tried && (guests || !m.Guest)
		any = any || c.eligible[k] && !math.IsNaN(predicted[k*c.Width()])
	}
	if !any {
		for k := range c.members {
			c.eligible[k] = guests || !c.members[k].Guest
		}
	}
	return c.eligible
}

// blend writes the weighted mean of predictions to p; NaN when there is none. eligible nil means
// all.
func blend(p, predicted, weights []float64, eligible []bool) {
	w, total := len(p), 0.0
	clear(p)
	for k, v := range weights {
		o := predicted[k*w : (k+1)*w]
		if math.IsNaN(o[0]) || v == 0 || eligible != nil && !eligible[k] {
			continue
		}
		total += v
		for i, q := range o { // a running mean: experts who agree are repeated exactly
			p[i] += float64((q - p[i]) * (v / total))
		}
	}
	if total == 0 {
		p[0] = math.NaN()
	}
}

// Learn takes the label of a row and what Predict wrote for it: weights move by what was
// predicted then, and the learners learn. late is how many predictions were made since that still
// wait for their label.
func (c *Committee) Learn(x, out []float64, y, weight, late float64) {
	if y-y != 0 || c.classes > 0 && !(y >= 0 && y < float64(c.classes) && y == math.Floor(y)) {
		return
	}
	c.learned++
	c.late += (max(late, 0) - c.late) / float64(min(c.learned, unitRows))
	c.Score(out, y)
	for k := range c.members {
		switch m := &c.members[k]; {
		case m.Class != nil:
			m.Class.Learn(x, int(y), weight)
		case m.Value != nil:
			m.Value.Learn(x, y, weight)
		}
	}
}

// Score moves the weights as Learn does, without teaching anybody: for members whose predictions
// of rows with known labels come later, such as a new model's. NaN predictions leave their
// member's weight to the others.
func (c *Committee) Score(out []float64, y float64) {
	w, n := c.Width(), len(c.members)
	if c.classes == 0 {
		if last := out[(n-1)*w]; !math.IsNaN(last) {
			c.n = min(c.n+1, unitRows)
			c.spread += (min(math.Abs(y-last), 1e100) - c.spread) / c.n
		}
	}
	for k := range c.members {
		raw, cut := c.lossOf(out[k*w:(k+1)*w], y)
		if c.loss[k] = cut; !math.IsNaN(raw) {
			c.sum[k] += raw
			c.scored[k]++
			c.judge(k, out[k*w:(k+1)*w], y)
		}
	}
	// While labels are on their way weights keep acting on old news: the later labels come, the
	// less each may move them. Log losses, which can be large all at once, need it more.
	calm := math.Sqrt(1 + c.late)
	topCalm := calm
	if c.classes > 0 {
		topCalm = float64(calm * math.Sqrt(calm))
	}
	for k := range c.loss {
		c.loss[k] /= calm
	}
	whole := func(o []float64) float64 {
		raw, cut := c.lossOf(o, y)
		if c.classes > 0 {
			cut = raw / topNats
		}
		return cut
	}
	for k := range c.mixes {
		c.topLoss[k] = whole(out[(n+k)*w:(n+k+1)*w]) / topCalm
		c.mixes[k].Update(c.loss)
	}
	c.top.Update(c.topLoss)
	for k := range c.sides {
		c.sides[k] = whole(out[c.RoomBefore()+k*w : c.RoomBefore()+(k+1)*w])
	}
	if c.homes != nil {
		c.balance.Update(c.sides[0], c.sides[1], c.late)
	}
	for k, m := range c.members {
		if c.homeLoss[k] = c.loss[k]; m.Guest {
			c.homeLoss[k] = math.NaN()
		}
	}
	for _, m := range c.homes {
		m.Update(c.homeLoss)
	}
	c.weigh()
}

// Reset gives the members their first weights back, as a new guest requires. What the learners have
// learned stays, and so does which mixture was best, and the weights of the side without guests.
func (c *Committee) Reset() {
	for _, m := range c.mixes {
		m.Reset(c.prior)
	}
	c.balance.Reset(c.odds())
	c.weigh()
}

// odds are the first weights of the two sides.
func (c *Committee) odds() [2]float64 {
	if c.learned < unitRows {
		return [2]float64{firstOdds, 1}
	}
	return [2]float64{1, 1}
}

// lossOf returns a prediction's loss, and the loss cut and divided so that it lies in [0, 1]; NaN
// for no prediction.
func (c *Committee) lossOf(o []float64, y float64) (raw, cut float64) {
	if math.IsNaN(o[0]) {
		return math.NaN(), math.NaN()
	}
	if c.classes > 0 {
		raw = -exact.Log(max(o[int(y)], 1e-4))
		return raw, min(raw/maxNats, 1)
	}
	raw = min(math.Abs(y-o[0]), 1e100)
	if c.spread > 0 {
		cut = min(raw/c.spread/maxUnits, 1)
	}
	return raw, cut
}

// weigh sums the members' weights through all mixtures, and through both sides. A mixture that
// shares weight expects another expert to be the best soon; where it is so before labels are there
// to show it, what it learns is no longer true, and it is trusted less.
func (c *Committee) weigh() {
	total := 0.0
	for k, v := range c.top.Weights() {
		fickle := 1 + float64(c.late*c.shares[k])
		c.trust[k] = v / float64(fickle*fickle)
		total += c.trust[k]
	}
	clear(c.weights)
	c.parts = [2]float64{1, 0}
	if c.homes != nil {
		b, rows := c.balance.Weights(), float64(c.late/timelyRows)
		rows *= rows
		home := b[1] / (1 + float64(rows*rows))
		c.parts[0] = b[0] / (b[0] + home)
		c.parts[1] = 1 - c.parts[0]
	}
	all := c.parts[0]
	for k, m := range c.mixes {
		c.trust[k] /= total
		for i, v := range m.Weights() {
			c.weights[i] += float64(float64(all*c.trust[k]) * v)
		}
	}
	for k, m := range c.homes {
		sum := 0.0
		for i, v := range m.Weights() {
			if !c.members[i].Guest {
				sum += v
			}
		}
		for i, v := range m.Weights() {
			if !c.members[i].Guest && sum > 0 {
				c.weights[i] += float64(float64((1-all)*c.trust[k]) * float64(v/sum))
			}
		}
	}
}

// Bytes is about how much memory the members and the mixtures take.
func (c *Committee) Bytes() int {
	n := 8 * (len(c.members)*(6+len(c.mixes)+len(c.homes)) + 4*len(c.mixes) + len(c.home))
	for k := range c.members {
		if l := c.members[k].learner(); l != nil {
			n += l.Bytes()
		}
	}
	return n
}

// Save appends the state to a snapshot.
func (c *Committee) Save(w *state.Writer) {
	for _, m := range c.mixes {
		m.Save(w)
	}
	c.top.Save(w)
	for _, m := range c.homes {
		m.Save(w)
	}
	c.balance.Save(w)
	for _, v := range []float64{c.spread, c.n, c.late} {
		w.Float(v)
	}
	w.Int(c.learned)
	w.Floats(c.logB)
	w.Floats(c.g2)
	w.Floats(c.sum)
	w.Floats(c.scored)
	for k := range c.members {
		if l := c.members[k].learner(); l != nil {
			l.Save(w)
		}
	}
}

// Form is how a snapshot was written.
type Form int

// The forms, oldest first.
const (
	OneSide   Form = iota // there were no two sides: both get the same weights
	FixedOdds             // fixed share weighed the sides: the odds are kept
	Today
)

// Load restores it.
func (c *Committee) Load(r *state.Reader) { c.LoadForm(r, Today) }

// LoadForm restores what an earlier version saved.
func (c *Committee) LoadForm(r *state.Reader, form Form) {
	for _, m := range c.mixes {
		m.Load(r)
	}
	c.top.Load(r)
	for k, m := range c.homes {
		if form > OneSide {
			m.Load(r)
		} else {
			m.Reset(c.mixes[k].Weights())
		}
	}
	switch form {
	case Today:
		c.balance.Load(r)
	case FixedOdds:
		var odds [2]float64
		r.FloatsInto(odds[:])
		for k, v := range odds {
			if !(v >= 0 && v <= 1) {
				r.Fail()
			}
			odds[k] = min(max(v, leastOdds), 1)
		}
		c.balance.Reset(odds)
	}
	c.spread, c.n, c.late = r.Float(), r.Float(), r.Float()
	c.learned = r.Int()
	if !(c.spread >= 0 && c.spread <= 1e100 && c.n >= 0 && c.n <= unitRows && c.late >= 0 && c.late <= maxRows) || c.learned < 0 || c.learned > maxRows {
		r.Fail()
	}
	r.FloatsInto(c.logB)
	r.FloatsInto(c.g2)
	for k, b := range c.logB {
		if !(math.Abs(b) <= maxLogB && c.g2[k] >= 0 && c.g2[k] <= 1e290) {
			r.Fail()
		}
	}
	r.FloatsInto(c.sum)
	r.FloatsInto(c.scored)
	for k := range c.members {
		if l := c.members[k].learner(); l != nil {
			l.Load(r)
		}
	}
	c.weigh()
}
