package selection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"skerry.dev/compute/artifact"
)

const (
	defaultTrials = 9
	defaultBudget = 60 * time.Second
	firstRows     = 12_000 // rows a candidate is first tried on
	finalists     = 2      // candidates that see all folds; all of a small table do
	// a search by time ends before it when so many trials in a row gained less than leastGain
	stale     = 40
	leastGain = 0.002
)

// search holds a run's progress.
type search struct {
	p        Problem
	o        Options
	t        *table
	columns  *design // every feature worth trying
	dist     int64   // between rows, microseconds
	started  time.Time
	deadline time.Time // zero for none
	board    []trial
	baseline []float64 // loss of the baseline on each fold
}

// trial is a candidate and how it did.
type trial struct {
	Entry
	config
	rounds int // of the last fold
	rows   int // it was trained on there
}

// Run learns. It returns ErrTooFewRows when there is too little to learn from, and ctx's error
// when ctx ends first.
func Run(ctx context.Context, p Problem, o Options) (*Result, error) {
	p.defaults()
	if err := p.check(); err != nil {
		return nil, err
	}
	s := &search{p: p, o: o, started: time.Now()}
	if err := s.options(); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("select model for %q: %w", p.Task, err)
	}
	if err := s.search(ctx); err != nil {
		return nil, fmt.Errorf("select model for %q: %w", p.Task, err)
	}
	r, err := s.finish(ctx)
	if err != nil {
		return nil, fmt.Errorf("select model for %q: %w", p.Task, err)
	}
	return r, nil
}

func (s *search) options() error {
	o := &s.o
	if o.TimeBudget == 0 && o.Trials == 0 {
		o.TimeBudget = defaultBudget
	}
	if o.Trials == 0 {
		o.Trials = defaultTrials
	}
	if o.Threads == 0 {
		o.Threads = 2
	}
	if o.TimeBudget > 0 {
		// the other half is for the refit and the interval
		s.deadline = s.started.Add(o.TimeBudget / 2)
	}
	if o.Learners == nil {
		o.Learners = Learners()
	}
	for _, name := range o.Learners {
		if learnerOf(name) == nil {
			return fmt.Errorf("selection: learner %q: must be of %v", name, Learners())
		}
	}
	return nil
}

func (s *search) progress(stage string, done int) {
	if s.o.Progress == nil {
		return
	}
	p := Progress{Stage: stage, Done: done, Trials: s.o.Trials, Best: math.NaN()}
	for i := range s.board {
		if e := &s.board[i].Entry; !(e.Relative >= p.Best) {
			p.Best, p.Learner = e.Relative, e.Learner
		}
	}
	s.o.Progress(p)
}

// prepare builds the table.
func (s *search) prepare(ctx context.Context) error {
	s.progress("features", 0)
	rows := s.p.places()
	least, leastFold := minRows, 20
	if s.p.fewAllowed() {
		least, leastFold = fewestRows, fewestRows/4
	}
	if len(rows) < least {
		return fmt.Errorf("%w: %d, need %d", ErrTooFewRows, len(rows), least)
	}
	at, holdout := s.p.split(rows, s.p.Holdout)
	if at < least/2 || holdout >= len(rows) {
		return fmt.Errorf("%w: %d before the holdout of %d%s", ErrTooFewRows, at, len(rows)-holdout, s.p.gap())
	}
	s.dist = s.p.rowDistance()
	s.columns = candidates(&s.p, s.dist)
	d, err := prune(ctx, &s.p, s.columns, rows[:at], maxFeatures, s.dist, s.o.Threads)
	if err != nil {
		return err
	}
	s.t, err = newTable(&s.p, d, rows, at, holdout, s.o.Threads)
	if err != nil {
		return err
	}
	for _, w := range s.t.windows() {
		if w.train < leastFold || w.from >= w.to {
			return fmt.Errorf("%w: a fold trains on %d and is scored on %d%s", ErrTooFewRows, w.train, w.to-w.from, s.p.gap())
		}
		loss, err := s.t.loss(s.t.baseline(w.train), s.t.raw, w.from, w.to)
		if err != nil {
			return err
		}
		s.baseline = append(s.baseline, max(loss, 1e-300))
	}
	return nil
}

// gap says why a forecast has fewer rows to train on than there are before those it is scored on, ""
// for other problems.
func (p *Problem) gap() string {
	if p.HorizonUS <= 0 {
		return ""
	}
	return fmt.Sprintf("; rows whose label lies up to the horizon of %v ahead, within what is scored, are left out: give more rows or a shorter horizon", time.Duration(p.HorizonUS)*time.Microsecond)
}

// configs lists the candidates in the order in which they are tried: what won on similar data,
// the learners' own first choices in turn, then random ones.
func (s *search) configs() []config {
	var out []config
	seen := map[string]bool{}
	add := func(c config) {
		if key := c.key(); !seen[key] && len(out) < s.o.Trials && slices.Contains(s.o.Learners, c.learner) && learnerOf(c.learner) != nil {
			seen[key] = true
			out = append(out, c)
		}
	}
	for _, c := range nearest(s.o.Prior, metaFeatures(s.t)) {
		add(c)
	}
	for k := range 3 {
		for _, name := range s.o.Learners {
			if l := learnerOf(name); k < len(l.first) {
				add(config{name, l.first[k]})
			}
		}
	}
	rng := rand.New(rand.NewPCG(s.p.Seed, 0x73656c))
	for misses := 0; len(out) < s.o.Trials && misses < 1000; misses++ {
		// Boosting has the most to gain from its settings: every second draw is one.
		name := s.o.Learners[rng.IntN(len(s.o.Learners))]
		if slices.Contains(s.o.Learners, "gbdt") && rng.IntN(2) == 0 {
			name = "gbdt"
		}
		if l := learnerOf(name); l.draw != nil {
			add(config{name, l.draw(rng)})
		}
	}
	return out
}

func (s *search) late() bool { return !s.deadline.IsZero() && time.Now().After(s.deadline) }

// search tries every candidate on a thin sample, then the best few on all rows of both folds.
func (s *search) search(ctx context.Context) error {
	folds := s.t.windows()
	last := folds[len(folds)-1]
	best, since := math.Inf(1), 0
	for i, c := range s.configs() {
		if i > 0 && (s.late() || !s.deadline.IsZero() && since >= stale) {
			break
		}
		t := trial{config: c}
		t.Learner, t.Params = c.learner, c.params
		if err := s.try(ctx, &t, last, len(folds)-1, max(1, last.train/firstRows)); err != nil {
			return err
		}
		t.Score, t.Folds = t.Relative*s.baseline[len(folds)-1], 1
		s.board = append(s.board, t)
		if since++; t.Relative < best*(1-leastGain) && !t.OverBudget {
			best, since = t.Relative, 0
		}
		s.progress("search", i+1)
	}
	s.rank()
	var final []int
	for i := range s.board {
		if (len(final) < finalists || s.p.small(s.t.search)) && !s.board[i].OverBudget {
			final = append(final, i)
		}
	}
	if len(final) == 0 {
		final = []int{0}
	}
	for k, i := range final {
		if k > 0 && s.late() {
			break
		}
		t := &s.board[i]
		sum := 0.0
		for f, w := range folds {
			if err := s.try(ctx, t, w, f, 1); err != nil {
				return err
			}
			sum += t.Relative
		}
		t.Relative, t.Folds = sum/float64(len(folds)), len(folds)
		t.Score = t.Relative * s.baseline[len(folds)-1]
		s.progress("search", len(s.board))
	}
	s.rank()
	return nil
}

// rank sorts the board: within the budget first, then by how much was seen of it, then by score.
func (s *search) rank() {
	slices.SortStableFunc(s.board, func(a, b trial) int {
		if a.OverBudget != b.OverBudget {
			if a.OverBudget {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.Folds, a.Folds), cmp.Compare(nanLast(a.Relative), nanLast(b.Relative)))
	})
}

func nanLast(v float64) float64 {
	if math.IsNaN(v) {
		return math.Inf(1)
	}
	return v
}

// try trains a candidate on one fold, every step-th row of it, and notes its loss relative to the
// baseline's. A candidate that cannot be trained is noted as infinitely bad.
func (s *search) try(ctx context.Context, t *trial, w window, fold, step int) error {
	from := time.Now()
	l := learnerOf(t.config.learner)
	j := job{
		config: t.config,
		train:  rowRange(0, w.train, step),
		valid:  rowRange(w.from, w.to, step),
		bytes:  s.share(artifact.Point),
		seed:   s.p.Seed,
	}
	v, err := s.view(ctx, l, w.train)
	if err != nil {
		return err
	}
	m, rounds, err := l.fit(ctx, s.t, v, j)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		t.Relative = math.Inf(1)
		return nil
	}
	scored := time.Now()
	loss, err := s.t.loss(m, v, w.from, w.to)
	if err != nil {
		return err
	}
	t.LatencyUS = time.Since(scored).Seconds() * 1e6 * float64(s.o.Threads) / float64(w.to-w.from)
	t.Relative, t.rounds, t.rows = loss/s.baseline[fold], rounds, len(j.train)
	t.Bytes = int64(size(m))
	t.OverBudget = t.Bytes > s.share(artifact.Point) || (s.p.BudgetLatency > 0 && cost(v.pipe, m) > s.p.BudgetLatency)
	t.Seconds += time.Since(from).Seconds()
	return nil
}

// view returns the rows for a learner that learns from rows[:train]. The first that requires the
// dense view has its extras chosen.
func (s *search) view(ctx context.Context, l *learner, train int) (*view, error) {
	if l.scaled && !s.t.chosen {
		if err := s.t.chooseExtras(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.t.learnFrom(train); err != nil {
		return nil, err
	}
	return s.t.view(l.scaled)
}

// share is how many of the artifact's bytes a model may take; what surrounds the models takes
// little.
func (s *search) share(role artifact.Role) int64 {
	room := s.p.BudgetBytes*9/10 - 64<<10
	if s.p.Kind == artifact.KindClassification {
		return max(room, 16<<10)
	}
	if role == artifact.Point {
		return max(room/2, 16<<10)
	}
	return max(room/4, 8<<10)
}
