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
	future   int   // readings from the future, those of the last hour and before without a pause
	futureAt int64 // arrival of the newest of them
	ahead    int64 // microseconds that it is ahead of the device's clock
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
		for _, why := range [...]string{st.merged(), in.fromFuture(st)} {
			if why != "" {
				out = append(out, why)
			}
		}
	}
	return out
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

// note counts what a payload held. It returns the inputs that a second topic feeds, once each.
func (in *Inputs) note(p *Plan, tp *topicPlan, topic string, out *Decoded, how arrived) (merged []InputStatus) {
	in.mu.Lock()
	defer in.mu.Unlock()
	states := in.of(p)
	for i := range out.Readings {
		r := &out.Readings[i]
		st := states[r.Series]
		st.Readings++
		if how.retained && !r.HasTime {
			st.Retained++
		}
		st.LastSeen, st.LastTime, st.LastValue = how.at, r.Time, r.Value
		if len(st.Topics) < maxInputTopics && !slices.Contains(st.Topics, topic) {
			if st.Topics = append(slices.Clip(st.Topics), strings.Clone(topic)); len(st.Topics) == 2 {
				merged = append(merged, *st)
			}
		}
		if r.Forgiven != 0 {
			in.forgive(st, r.Forgiven)
		}
	}
	for _, s := range out.Marked {
		in.forgive(states[s], ForgivenMark)
	}
	for _, e := range out.Problems {
		if i, ok := p.index[e.Series]; ok && e.Series != "" {
			states[i].Refused++
			states[i].LastRefused = e.Error()
		} else if tp != nil { // the document or its time: it concerns all that stand in it
			tp.each(func(i int) { states[i].LastRefused = e.Error() })
		}
	}
	return merged
}

// refuse notes that a payload as a whole could not be read.
func (in *Inputs) refuse(p *Plan, tp *topicPlan, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	states := in.of(p)
	tp.each(func(i int) {
		states[i].Refused++
		states[i].LastRefused = err.Error()
	})
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
