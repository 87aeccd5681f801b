package source

import (
	"fmt"
	"maps"
	"math"
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
	// Broker tells that readings come from a broker; they may come by HTTP alone.
	Broker bool

	forgiven *prometheus.CounterVec

	mu     sync.Mutex
	series map[string]*InputStatus
	plan   *Plan
	order  []*InputStatus       // by the plan's series
	told   map[string]time.Time // when Event was called last, by series and kind
	now    int64                // of the newest arrival or look, microseconds
	deaf   int64                // when readings may have been missed last, microseconds
}

// InputWell is the kind of the event that an input with something wrong gives readings again.
const InputWell = "input_well"

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
	Retained  uint64  `json:"retained"`
	Future    uint64  `json:"future"`                 // readings too far ahead of the device's clock to be used
	NoRow     uint64  `json:"no_row,omitempty"`       // labels whose id no row has had
	Outside   uint64  `json:"outside,omitempty"`      // readings out of the declared range, which are missing
	Clashed   uint64  `json:"clashed,omitempty"`      // readings of a time that another value has; the first counts
	LastSeen  int64   `json:"last_seen_us,omitempty"` // arrival of the newest reading, microseconds
	LastTime  int64   `json:"last_time_us,omitempty"` // its event time
	LastValue float64 `json:"last_value"`             // a category is its index
	LastText  string  `json:"last_text,omitempty"`    // of a category its name
	// usual time between two readings in seconds, 0 before there are two
	EveryS      float64 `json:"every_s,omitempty"`
	LastRefused string  `json:"last_refused,omitempty"` // why a value was refused
	// readings by what they were read in spite of
	Forgiven map[string]uint64 `json:"forgiven,omitempty"`

	// topics that its readings came on, in the order in which they were seen, at most 8
	Topics []string `json:"topics,omitempty"`
	// what is wrong and what to do
	Wrong []string `json:"wrong,omitempty"`

	from     int64 // when it came with another plan, microseconds; 0: with the first
	counters [len(forgivenNames)]uint64
	barren   run    // messages on its topics since one gave a reading, or was refused with a reason
	holds    string // what the messages hold instead
	beside   bool   // the newest of them gave readings of other series
	inVain   run    // values refused since one was read
	marks    int    // messages since a reading that say that there is no value
	future   int    // readings from the future, those of the last hour and before without a pause
	futureAt int64  // arrival of the newest of them
	ahead    int64  // microseconds that it is ahead of the device's clock
	strays   run    // labels since one that found its row by its id
	strayID  string // the id of the newest of them
	matched  bool   // whether any did
	outside  run    // readings out of the range since one within
	bounds   string // the range
	clashes  int    // readings of a time that another value has, without a pause
	clashAt  int64  // arrival of the newest of them

	bunch  run     // readings without a time since one that came no sooner than usual
	normal float64 // the usual gap when it began, microseconds

	gap, longest float64       // usual and longest of its gaps, microseconds
	usual        time.Duration // between two readings before the agent began, 0 unknown
	silent       int64         // since when it is silent, 0 when it is not
	near         []string      // topics like its own that something comes on
}

// run counts what came in a row.
type run struct {
	n     int
	since int64 // arrival of the first, microseconds
	told  bool
}

func (r *run) add(at int64) {
	if r.n++; r.n == 1 {
		r.since = at
	}
}

// sure reports whether it is worth a word by now: ten in a row are, three in half a minute, and of
// an input that has never given a reading the first after a while.
func (r *run) sure(now int64, never bool) bool {
	age := time.Duration(now-r.since) * time.Microsecond
	return r.n >= sureBarren || r.n >= 3 && age >= 30*time.Second || never && r.n >= 1 && age >= leastSilence
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
		in.tell(&c, "readings_from_the_future", in.fromFuture(&c))
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

// maxInputTopics bounds the topics that are named of an input, maxTopicName each in bytes.
const maxInputTopics, maxTopicName = 8, 256

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

// maxReasons is how many inputs with something wrong health names.
const maxReasons = 50

// Reasons says what is wrong with inputs and what to do.
func (in *Inputs) Reasons() (out []string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	more := 0
	for _, st := range in.order {
		if wrong := in.wrong(st); len(out) < maxReasons {
			out = append(out, wrong...)
		} else if len(wrong) > 0 {
			more++
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("and %d more series have something wrong: skerry-agent status lists each", more))
	}
	return out
}

// sureBarren is how many messages without a reading are worth a word.
const sureBarren = 10

// wrong lists what is wrong with an input.
func (in *Inputs) wrong(st *InputStatus) (out []string) {
	for _, why := range []string{st.merged(), in.fromFuture(st), in.withoutValues(st), in.isSilent(st), in.refused(st), in.stray(st), in.outOfRange(st), in.clash(st)} {
		if why != "" {
			out = append(out, why)
		}
	}
	return out
}

// of names an input.
func (st *InputStatus) of() string {
	if on, path, ok := strings.Cut(st.Series, idMark); ok {
		return fmt.Sprintf("the id (rows.id: %s) of the rows of series %s of task %s", path, on, strings.Join(st.Tasks, ", "))
	}
	return fmt.Sprintf("the series %s of task %s", st.Series, strings.Join(st.Tasks, ", "))
}

// ByID notes whether a label found its row by its id.
func (in *Inputs) ByID(series, id string, found bool, arrival int64) {
	in.mu.Lock()
	st := in.series[series]
	if st == nil || found {
		if st != nil {
			st.strays, st.matched = run{}, true
		}
		in.mu.Unlock()
		return
	}
	in.now = max(in.now, arrival)
	st.NoRow++
	st.strays.add(arrival)
	st.strayID = excerpt([]byte(id))
	why := in.stray(st)
	tell := why != "" && !st.strays.told
	st.strays.told = st.strays.told || tell
	c := *st
	in.mu.Unlock()
	if tell {
		in.tell(&c, "labels_unmatched", why)
	}
}

// sureBunch is how many readings in a bunch are worth a word.
const sureBunch = 10

// bunched notes a reading without a time of its own that comes much sooner than usual, as those do
// that a broker or gateway has kept while the link was down, and says so of the tenth, "" else: the
// time of their arrival is not theirs.
func (st *InputStatus) bunched(r *Reading, how arrived) string {
	if st.bunch.n == 0 {
		st.normal = st.gap
	}
	gap := float64(how.at - st.LastSeen)
	if r.HasTime || r.ID != "" || how.retained || st.LastSeen == 0 || st.normal < 1e6 || gap < 0 || gap > st.normal/20 {
		st.bunch = run{}
		return ""
	}
	if st.bunch.add(how.at); st.bunch.n != sureBunch {
		return ""
	}
	return fmt.Sprintf("%d readings of %s came within %s, where one comes every %s: a backlog of the broker or a gateway; they carry no time of their own and got that of their arrival, in rows and at the hub: let the sender add one, and name it by time.path",
		sureBunch, st.of(), (time.Duration(how.at-st.bunch.since) * time.Microsecond).Round(time.Millisecond), (time.Duration(st.normal) * time.Microsecond).Round(time.Second))
}

// Forgive notes what a reading was used in spite of, besides what its payload showed.
func (in *Inputs) Forgive(series string, f Forgiven) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if st := in.series[series]; st != nil {
		in.forgive(st, f)
	}
}

// outOfRange says what is wrong with an input whose readings lie out of its range, "" for nothing.
func (in *Inputs) outOfRange(st *InputStatus) string {
	if !st.outside.sure(in.now, st.Outside == st.Readings) {
		return ""
	}
	return fmt.Sprintf("%s in a row of %s out of its range %s, the newest is %.6g: out of range counts as missing: correct the input's range, or look after the sensor", many(st.outside.n, "reading"), st.of(), st.bounds, st.LastValue)
}

// sureClash is how many readings of a time that another has are worth a word; corrections are fewer.
const sureClash, clashPause = 10, 10 * minute

// Clash notes that a reading is not used because another value came before for its time.
func (in *Inputs) Clash(series string, arrival int64) {
	in.mu.Lock()
	st := in.series[series]
	if st == nil {
		in.mu.Unlock()
		return
	}
	st.Clashed++
	if st.clashes++; arrival-st.clashAt > clashPause {
		st.clashes = 1
	}
	st.clashAt = arrival
	c := *st
	in.mu.Unlock()
	if c.clashes == sureClash {
		in.tell(&c, "readings_of_one_time", in.clash(&c))
	}
}

// clash says what is wrong with an input whose readings have times that others have, "" for nothing.
func (in *Inputs) clash(st *InputStatus) string {
	if st.clashes < sureClash || st.LastSeen-st.clashAt > clashPause {
		return ""
	}
	return fmt.Sprintf("%s of %s came for a time that had another value, and of each time the first alone counts in rows: let the sender write finer times (milliseconds, where several come in a second), or no time, so that a reading has that of its arrival", many(st.clashes, "reading"), st.of())
}

// stray says what is wrong with labels whose ids no row has had, "" for nothing.
func (in *Inputs) stray(st *InputStatus) string {
	if !st.strays.sure(in.now, !st.matched) {
		return ""
	}
	rows := "rows.id"
	if i, ok := in.plan.index[st.Series]; ok {
		if on, path, ok := strings.Cut(in.plan.series[i].ByID, idMark); ok {
			rows = fmt.Sprintf("%s of the messages of series %s (rows.id)", path, on)
		}
	}
	return fmt.Sprintf("%s in a row of %s could not be used, since no row is known with the id; the newest is %q: the id of a label (target.id) is the one at %s, and that message comes before the label", many(st.strays.n, "label"), st.of(), st.strayID, rows)
}

// withoutValues says what is wrong with an input whose messages hold no value for it, "" for
// nothing.
func (in *Inputs) withoutValues(st *InputStatus) string {
	if st.Readings > 0 || !st.barren.sure(in.now, !st.beside) { // a key that comes seldom has had one
		return ""
	}
	if st.holds == "" || st.Path == "" {
		return fmt.Sprintf("%s on %s for %s: empty, or null: look after the sender; an empty message is how one that the broker keeps is removed", many(st.barren.n, "message"), st.Topic, st.of())
	}
	have, they := "have", "they hold"
	if st.barren.n == 1 {
		have, they = "has", "it holds"
	}
	what := "the input's path"
	if strings.Contains(st.Series, idMark) {
		what = "rows.id"
	}
	return fmt.Sprintf("%s on %s %s held nothing for %s at the path %s; %s %s: correct %s", many(st.barren.n, "message"), st.Topic, have, st.of(), st.Path, they, st.holds, what)
}

// many is a number of things in words.
func many(n int, thing string) string {
	if n == 1 {
		return "one " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// refused says what is wrong with an input whose values are all refused, "" for nothing.
func (in *Inputs) refused(st *InputStatus) string {
	if !st.inVain.sure(in.now, st.Readings == 0) {
		return ""
	}
	if st.inVain.n == 1 {
		return fmt.Sprintf("the newest value of %s was refused: %s", st.of(), st.LastRefused)
	}
	return fmt.Sprintf("the newest %d values of %s were refused: %s", st.inVain.n, st.of(), st.LastRefused)
}

// worse returns what is newly wrong with an input that does get messages. in.mu is held.
func (in *Inputs) worse(st *InputStatus) (fresh []news) {
	if why := in.withoutValues(st); why != "" && !st.barren.told {
		st.barren.told = true
		fresh = append(fresh, news{*st, "input_without_values", why})
	}
	if why := in.refused(st); why != "" && !st.inVain.told {
		st.inVain.told = true
		fresh = append(fresh, news{*st, "input_refused", why})
	}
	return fresh
}

// holds lists the paths of a payload, for those who look for the right one; "" for an empty one.
func holds(payload []byte) string {
	if len(trim(payload)) == 0 {
		return ""
	}
	var parts []string
	all := paths(payload)
	for _, p := range all[:min(len(all), 12)] {
		switch {
		case p.Path == "":
			p.Path = "no JSON"
		case secret(p.Path):
			p.Value = "not shown"
		}
		parts = append(parts, fmt.Sprintf("%s (%s %s)", excerpt([]byte(p.Path)), p.Kind, p.Value))
	}
	if len(all) > 12 {
		parts = append(parts, fmt.Sprintf("and %d more", len(all)-12))
	}
	return strings.Join(parts, ", ")
}

// secret reports whether a path looks like that of a password: what it holds goes into no log.
func secret(path string) bool {
	path = strings.ToLower(path)
	return slices.ContainsFunc([]string{"passw", "pwd", "psk", "secret", "token", "apikey", "api_key", "credential"}, func(s string) bool { return strings.Contains(path, s) })
}

// tellAgain is how long an input that goes wrong, comes right and goes wrong is worth no further
// event.
const tellAgain = time.Hour

// tell passes an event on, unless the same was told of the input shortly before. It must be called
// without locks.
func (in *Inputs) tell(st *InputStatus, kind, what string) {
	in.mu.Lock()
	key := st.Series + "\x00" + kind
	again := time.Since(in.told[key]) < tellAgain
	if !again {
		in.told[key] = time.Now()
	}
	in.mu.Unlock()
	if in.Event == nil || again {
		return
	}
	task := ""
	if len(st.Tasks) > 0 {
		task = st.Tasks[0]
	}
	in.Event(kind, task, map[string]any{"series": st.Series, "topic": st.Topic, "what": what})
}

// NewInputs returns an empty account; reg may be nil.
func NewInputs(reg prometheus.Registerer) *Inputs {
	return &Inputs{
		series: map[string]*InputStatus{},
		told:   map[string]time.Time{},
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
	from := int64(0)
	if in.plan != nil {
		from = time.Now().UnixMicro()
	}
	in.plan, in.order = p, nil
	for i := range p.series {
		s := &p.series[i]
		st := in.series[s.Name]
		if st == nil || st.Topic != s.Topic || st.Path != s.Path {
			st = &InputStatus{Series: s.Name, Topic: s.Topic, Path: s.Path, from: from}
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
	maps.DeleteFunc(in.told, func(key string, _ time.Time) bool {
		name, _, _ := strings.Cut(key, "\x00")
		_, ok := p.index[name]
		return !ok && name != ""
	})
	return in.order
}

// news is what an owner should hear of an input.
type news struct {
	st         InputStatus
	kind, what string
}

// note counts what a payload held. It returns what is newly wrong with inputs, and right again.
func (in *Inputs) note(p *Plan, topic string, payload []byte, out *Decoded, how arrived) (fresh []news) {
	in.mu.Lock()
	defer in.mu.Unlock()
	states := in.of(p)
	in.now = max(in.now, how.at)
	tell := func(st *InputStatus, kind, what string) { fresh = append(fresh, news{*st, kind, what}) }
	for _, e := range out.Problems {
		if i, ok := p.index[e.Series]; ok && e.Series != "" {
			states[i].LastRefused = e.Error()
			continue
		}
		for _, s := range out.Untimed { // the document or its time
			states[s].LastRefused = e.Error()
		}
	}
	lost := [...][]int{out.Refused, out.Untimed}
	for _, series := range lost {
		for _, s := range series {
			states[s].Refused++
			states[s].inVain.add(how.at)
		}
	}
	for i := range out.Readings {
		r := &out.Readings[i]
		st := states[r.Series]
		if st.silent != 0 || st.inVain.told || st.barren.told {
			tell(st, InputWell, fmt.Sprintf("readings of %s come on %s and are read", st.of(), clip(topic)))
		}
		st.Readings++
		st.barren, st.inVain, st.marks = run{}, run{}, 0
		if how.retained && !r.HasTime && r.ID == "" {
			st.Retained++
		}
		if why := st.bunched(r, how); why != "" {
			tell(st, "readings_bunched", why)
		}
		st.learn(how.at)
		st.LastSeen, st.LastTime, st.LastValue, st.LastText = how.at, r.Time, r.Value, p.series[r.Series].word(r.Value)
		if p.series[r.Series].IDs { // the series whose rows they are has the same topic
			continue
		}
		if name := clip(topic); len(st.Topics) < maxInputTopics && !slices.Contains(st.Topics, name) {
			if st.Topics = append(slices.Clip(st.Topics), strings.Clone(name)); len(st.Topics) == 2 {
				tell(st, "topics_merged", st.merged())
			}
		}
		if rg := p.series[r.Series].Range; rg == nil || r.Value >= rg[0] && r.Value <= rg[1] {
			if st.outside.told {
				tell(st, InputWell, fmt.Sprintf("readings of %s lie within the range again", st.of()))
			}
			st.outside = run{}
		} else {
			st.Outside++
			st.bounds = rangeText(rg)
			st.outside.add(how.at)
			if why := in.outOfRange(st); why != "" && !st.outside.told {
				st.outside.told = true
				tell(st, "input_out_of_range", why)
			}
		}
		if r.Forgiven != 0 {
			in.forgive(st, r.Forgiven)
		}
	}
	for _, s := range out.Absent {
		st := states[s]
		st.Missing++
		st.beside = len(out.Readings) > 0
		if st.barren.add(how.at); st.Readings == 0 && (st.barren.n == 1 || st.barren.n == sureBarren) {
			st.holds = holds(payload)
		}
	}
	for _, s := range out.Marked {
		states[s].barren = run{}
		states[s].marks++
		in.forgive(states[s], ForgivenMark)
	}
	for _, series := range append(lost[:], out.Absent) {
		for _, s := range series {
			fresh = append(fresh, in.worse(states[s])...)
		}
	}
	return fresh
}

// refuse notes that a payload as a whole could not be read, and returns as note does.
func (in *Inputs) refuse(p *Plan, tp *topicPlan, err error, at int64) (fresh []news) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.now = max(in.now, at)
	states := in.of(p)
	tp.each(func(i int) {
		if p.series[i].IDs {
			return
		}
		st := states[i]
		st.Refused++
		st.LastRefused = err.Error()
		st.inVain.add(at)
		fresh = append(fresh, in.worse(st)...)
	})
	return fresh
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
		if strings.Contains(st.Series, idMark) && len(in.wrong(st)) == 0 {
			continue
		}
		c.EveryS, c.Wrong = math.Round(st.gap/1e3)/1e3, in.wrong(st)
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
