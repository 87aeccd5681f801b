package source

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Inputs is what has arrived for every series, by whatever way: the one place that status, metrics
// and doctor read it from. Its memory is bounded by the series of the plan. It is safe for
// concurrent use.
type Inputs struct {
	// Event is called with what an owner should know of an input at once, without locks. It may be
	// set before the first message; nil: it is only logged and shown.
	Event func(kind, task string, detail map[string]any)
	// Offset returns by how much the device's clock is behind the hub's, as far as it is known.
	Offset func() (time.Duration, bool)

	forgiven *prometheus.CounterVec

	mu     sync.Mutex
	series map[string]*InputStatus
	plan   *Plan
	order  []*InputStatus // by the plan's series
}

// InputStatus is what has arrived for one series since the agent started.
type InputStatus struct {
	Series   string   `json:"series"`
	Topic    string   `json:"topic"`
	Path     string   `json:"path,omitempty"`
	Tasks    []string `json:"tasks"`
	Readings uint64   `json:"readings"`
	Refused  uint64   `json:"refused"`
	// messages on its topics that carried no value for it
	Missing uint64 `json:"missing"`
	// readings without a time of their own that the broker had kept: they are new only when their
	// value is
	Retained    uint64  `json:"retained"`
	Future      uint64  `json:"future"`                 // readings too far ahead of the device's clock to be used
	LastSeen    int64   `json:"last_seen_us,omitempty"` // arrival of the newest reading, microseconds
	LastTime    int64   `json:"last_time_us,omitempty"` // its event time
	LastValue   float64 `json:"last_value"`             // a category is its index
	LastRefused string  `json:"last_refused,omitempty"` // why a value was refused
	// readings by what they were read in spite of
	Forgiven map[string]uint64 `json:"forgiven,omitempty"`

	// topics that its readings came on, in the order in which they were seen, at most 8
	Topics []string `json:"topics,omitempty"`

	counters [len(forgivenNames)]uint64
	barren   int    // messages on its topics since one gave a reading, or was refused with a reason
	holds    string // what the messages hold instead
	inVain   int    // values refused since one was read
	future   int    // readings from the future, those of the last hour and before without a pause
	futureAt int64  // arrival of the newest of them
	ahead    int64  // microseconds that it is ahead of the device's clock

	gap, longest float64  // usual and longest of its gaps, microseconds
	silent       int64    // since when it is silent, 0 when it is not
	near         []string // topics like its own that something comes on
}

// sureFuture is how many readings from the future are worth a word.
const sureFuture = 3

const minute, hour = 60_000000, 3600_000000 // microseconds

// Ahead notes that a reading is not used because it is too far ahead of the device's clock, by
// that many microseconds.
func (in *Inputs) Ahead(series string, arrival, ahead int64) {
	in.mu.Lock()
	st := in.series[series]
	if st == nil {
		in.mu.Unlock()
		return
	}
	st.Future++
	if st.future++; arrival-st.futureAt > hour {
		st.future = 1
	}
	st.futureAt, st.ahead = arrival, ahead
	c := *st
	in.mu.Unlock()
	if c.future == sureFuture {
		in.tell("readings_from_the_future", &c, in.fromFuture(&c))
	}
}

// fromFuture says what is wrong with an input whose readings are too far ahead, "" for nothing.
func (in *Inputs) fromFuture(st *InputStatus) string {
	if st.future < sureFuture || st.LastSeen-st.futureAt > minute {
		return ""
	}
	why := "set this device's clock or the sender's, whichever is wrong"
	if in.Offset != nil {
		switch off, known := in.Offset(); {
		case known && off > time.Minute:
			why = fmt.Sprintf("this device's clock is %s behind the hub's: set it, or let NTP do so", off.Round(time.Second))
		case known:
			why = "this device's clock is that of the hub, so the sender's is wrong: set it, or raise time.max_future"
		}
	}
	return fmt.Sprintf("readings of the series %s of task %s are not used: they lie %s ahead of this device's clock, beyond time.max_future: %s",
		st.Series, strings.Join(st.Tasks, ", "), (time.Duration(st.ahead) * time.Microsecond).Round(time.Second), why)
}

// maxInputTopics bounds the topics that are named of an input.
const maxInputTopics = 8

// merged says what is wrong with an input whose readings come from several topics, "" for nothing.
func (st *InputStatus) merged() string {
	if len(st.Topics) < 2 {
		return ""
	}
	return fmt.Sprintf("several topics feed the series %s of task %s: %s mix in one model: name one of them, or capture the level, topic: %s, for a task of each",
		st.Series, strings.Join(st.Tasks, ", "), strings.Join(st.Topics, " and "), captureForm(st.Topic, st.Topics[0], st.Topics[1]))
}

// captureForm writes a filter with the level captured in which two topics differ.
func captureForm(filter, a, b string) string {
	fs, as, bs := strings.Split(filter, "/"), strings.Split(a, "/"), strings.Split(b, "/")
	for i := range min(len(as), len(bs)) {
		if as[i] == bs[i] {
			continue
		}
		switch {
		case i < len(fs) && fs[i] == "+":
			fs[i] = "{name}"
			return strings.Join(fs, "/")
		case len(as) == len(bs):
			as[i] = "{name}"
			return strings.Join(as, "/")
		}
		break
	}
	return filter + " with {name} for the level in which they differ"
}

// Reasons says what is wrong with inputs and what to do.
func (in *Inputs) Reasons() (out []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, st := range in.order {
		for _, w := range in.wrong(st) {
			out = append(out, w.what)
		}
	}
	return out
}

// sureBarren is how many messages without a reading are worth a word.
const sureBarren = 10

// finding is something that is wrong with an input.
type finding struct{ kind, what string }

// wrong lists what is wrong with an input.
func (in *Inputs) wrong(st *InputStatus) (out []finding) {
	of := fmt.Sprintf("the series %s of task %s", st.Series, strings.Join(st.Tasks, ", "))
	if why := st.merged(); why != "" {
		out = append(out, finding{"topics_merged", why})
	}
	if why := in.fromFuture(st); why != "" {
		out = append(out, finding{"readings_from_the_future", why})
	}
	if st.barren >= sureBarren && st.Readings == 0 { // a key that comes seldom has had one
		out = append(out, finding{"input_without_values", fmt.Sprintf("%d messages on %s have held nothing for %s at the path %s; they hold %s: correct the input's path", st.barren, st.Topic, of, st.Path, st.holds)})
	}
	if why := st.isSilent(); why != "" {
		out = append(out, finding{"input_silent", why})
	}
	if st.inVain >= sureBarren {
		out = append(out, finding{"input_refused", fmt.Sprintf("the newest %d values of %s were refused: %s", st.inVain, of, st.LastRefused)})
	}
	return out
}

// holds lists the paths of a payload, for those who look for the right one.
func holds(payload []byte) string {
	var parts []string
	all := paths(payload)
	for _, p := range all[:min(len(all), 12)] {
		if p.Path == "" {
			p.Path = "no JSON"
		}
		parts = append(parts, fmt.Sprintf("%s (%s %s)", p.Path, p.Kind, p.Value))
	}
	if len(all) > 12 {
		parts = append(parts, fmt.Sprintf("and %d more", len(all)-12))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// tell passes an event on. It must be called without locks.
func (in *Inputs) tell(kind string, st *InputStatus, what string) {
	if in.Event != nil {
		task := ""
		if len(st.Tasks) > 0 {
			task = st.Tasks[0]
		}
		in.Event(kind, task, map[string]any{"series": st.Series, "topic": st.Topic, "what": what})
	}
}

// NewInputs returns an empty account; reg may be nil.
func NewInputs(reg prometheus.Registerer) *Inputs {
	return &Inputs{
		series: map[string]*InputStatus{},
		forgiven: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "skerry_source_forgiven_total",
			Help: "Readings by what they were read in spite of, by series and kind.",
		}, []string{"series", "kind"})),
	}
}

// of returns the states by the plan's series. in.mu is held.
func (in *Inputs) of(p *Plan) []*InputStatus {
	if in.plan == p {
		return in.order
	}
	in.plan, in.order = p, nil
	for i := range p.series {
		s := &p.series[i]
		st := in.series[s.Name]
		if st == nil || st.Topic != s.Topic || st.Path != s.Path {
			st = &InputStatus{Series: s.Name, Topic: s.Topic, Path: s.Path}
			in.series[s.Name] = st
		}
		st.Tasks = s.Tasks
		in.order = append(in.order, st)
	}
	for name := range in.series {
		if _, ok := p.index[name]; !ok {
			delete(in.series, name)
		}
	}
	return in.order
}

// note counts what a payload held. It returns the inputs with which something is newly wrong.
func (in *Inputs) note(p *Plan, topic string, payload []byte, out *Decoded, how arrived) (told []InputStatus) {
	in.mu.Lock()
	defer in.mu.Unlock()
	states := in.of(p)
	for i := range out.Readings {
		r := &out.Readings[i]
		st := states[r.Series]
		st.Readings++
		st.barren, st.inVain = 0, 0
		if how.retained && !r.HasTime {
			st.Retained++
		}
		st.learn(how.at)
		st.LastSeen, st.LastTime, st.LastValue = how.at, r.Time, r.Value
		if len(st.Topics) < maxInputTopics && !slices.Contains(st.Topics, topic) {
			if st.Topics = append(slices.Clip(st.Topics), strings.Clone(topic)); len(st.Topics) == 2 {
				told = append(told, *st)
			}
		}
		if r.Forgiven != 0 {
			in.forgive(st, r.Forgiven)
		}
	}
	for _, s := range out.Absent {
		st := states[s]
		st.Missing++
		if st.barren++; st.barren == sureBarren && st.Readings == 0 {
			st.holds = holds(payload)
			told = append(told, *st)
		}
	}
	for _, s := range out.Marked {
		states[s].barren = 0
		in.forgive(states[s], ForgivenMark)
	}
	for _, e := range out.Problems {
		if i, ok := p.index[e.Series]; ok && e.Series != "" {
			if states[i].refuse(e) {
				told = append(told, *states[i])
			}
			continue
		}
		for _, s := range out.Untimed { // the document or its time
			states[s].LastRefused = e.Error()
		}
	}
	for _, s := range out.Untimed {
		if states[s].refuse(nil) {
			told = append(told, *states[s])
		}
	}
	return told
}

// refuse counts a refused value. It reports whether this makes it worth a word.
func (st *InputStatus) refuse(err error) bool {
	st.Refused++
	if err != nil {
		st.LastRefused = err.Error()
	}
	st.inVain++
	return st.inVain == sureBarren
}

// refuse notes that a payload as a whole could not be read, and returns as note does.
func (in *Inputs) refuse(p *Plan, tp *topicPlan, err error) (told []InputStatus) {
	in.mu.Lock()
	defer in.mu.Unlock()
	states := in.of(p)
	tp.each(func(i int) {
		if states[i].refuse(err) {
			told = append(told, *states[i])
		}
	})
	return told
}

func (in *Inputs) forgive(st *InputStatus, f Forgiven) {
	for i := range forgivenNames {
		if f&(1<<i) != 0 {
			st.counters[i]++
			in.forgiven.WithLabelValues(st.Series, forgivenNames[i]).Inc()
		}
	}
}

// Status returns the state of every series of the plan, by name.
func (in *Inputs) Status() []InputStatus {
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make([]InputStatus, 0, len(in.series))
	for _, st := range in.series {
		c := *st
		for i, n := range st.counters {
			if n > 0 {
				if c.Forgiven == nil {
					c.Forgiven = map[string]uint64{}
				}
				c.Forgiven[forgivenNames[i]] = n
			}
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b InputStatus) int { return strings.Compare(a.Series, b.Series) })
	return out
}

// Use makes p the plan whose series are shown.
func (in *Inputs) Use(p *Plan) {
	in.mu.Lock()
	in.of(p)
	in.mu.Unlock()
}

// each calls f with every series that reads the topic.
func (tp *topicPlan) each(f func(series int)) {
	for _, i := range tp.bare {
		f(i)
	}
	for i := range tp.slots {
		if s := tp.slots[i].series; s >= 0 {
			f(s)
		}
	}
}
