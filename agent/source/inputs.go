package source

import (
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Inputs is what has arrived for every series, by whatever way: the one place that status, metrics
// and doctor read it from. Its memory is bounded by the series of the plan. It is safe for
// concurrent use.
type Inputs struct {
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
	Missing     uint64  `json:"missing"`
	LastSeen    int64   `json:"last_seen_us,omitempty"` // arrival of the newest reading, microseconds
	LastTime    int64   `json:"last_time_us,omitempty"` // its event time
	LastValue   float64 `json:"last_value"`             // a category is its index
	LastRefused string  `json:"last_refused,omitempty"` // why a value was refused
	// readings by what they were read in spite of
	Forgiven map[string]uint64 `json:"forgiven,omitempty"`

	counters [len(forgivenNames)]uint64
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

// note counts what a payload held.
func (in *Inputs) note(p *Plan, tp *topicPlan, out *Decoded, arrival int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	states := in.of(p)
	for i := range out.Readings {
		r := &out.Readings[i]
		st := states[r.Series]
		st.Readings++
		st.LastSeen, st.LastTime, st.LastValue = arrival, r.Time, r.Value
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
