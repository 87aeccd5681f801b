package source

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"skerry.dev/sync/spec"
)

// Series is one named series of the device: every input of every task, and every target whose
// labels arrive by message.
type Series struct {
	Name       string
	Topic      string // MQTT topic filter
	Path       string // JSON path; empty: the payload is the bare value
	Unit       string
	Range      *[2]float64
	Categories []string
	Sync       bool     // readings are sent to the hub
	Tasks      []string // names of the tasks that use it
	// IDs says that its values are no readings but [Key] of the ids of the rows of a task, at their
	// times; ByID names the series of ids that its readings, labels, find their times in
	IDs  bool
	ByID string

	time  timeForm // its path is empty for arrival times
	form  form
	unit  *atomic.Pointer[string] // the unit that the first number with one came in
	wrote string                  // number and words as they were declared, for messages
	file  string                  // the first task file that declares it, for messages
}

// Plan is what the device listens to, compiled from its task files. It is immutable and safe for
// concurrent use.
type Plan struct {
	series  []Series
	index   map[string]int
	made    map[string]bool     // what templates have made: template and values
	tmpl    []*spec.Task        // those whose topics capture a level
	filters []string            // every distinct topic filter of the series and templates
	cover   []string            // the filters to subscribe to: none of them is covered by another
	own     map[string][]string // by topic, the tasks that publish their predictions on it
}

// ClashError is returned when a task declares a series otherwise than one before it.
type ClashError struct {
	Series, Task string
	text         string
}

func (e *ClashError) Error() string { return e.text }

// Compile builds the plan of a device. A series may appear in several tasks when they agree on
// topic, path, range, categories and event time; it is read once. A task whose topics capture a
// level is a template: it has no series, and its topics are listened to for what it is to make tasks
// for. The error joins every disagreement and names both files.
func Compile(tasks []*spec.Task) (*Plan, error) {
	p := &Plan{index: map[string]int{}, made: map[string]bool{}}
	var errs []error
	for _, t := range tasks {
		if t.Captures() != nil {
			p.tmpl = append(p.tmpl, t)
			for _, f := range t.CapturedFilters() {
				if !slices.Contains(p.filters, f) {
					p.filters = append(p.filters, f)
				}
			}
			for _, in := range t.SharedInputs() {
				errs = append(errs, p.input(t, in))
			}
			continue
		}
		if t.Template != "" {
			p.made[madeKey(t.Template, t.Values)] = true
		}
		for i := range t.Inputs {
			errs = append(errs, p.input(t, &t.Inputs[i]))
		}
		if t.Target.Topic != "" {
			errs = append(errs, p.add(t, Series{
				Name:       t.Target.Series,
				Topic:      t.Target.Topic,
				Path:       t.Target.Path,
				Categories: t.Target.Categories,
				Range:      t.Target.Range,
				Sync:       t.Sync.Readings != "none",
				ByID:       idSeries(t),
			}, t.Target.Time, t.Target.Number, t.Target.Words))
			if on := slices.IndexFunc(t.Inputs, func(in spec.Input) bool { return in.Series == t.Rows.On }); t.Rows.ID != "" && on >= 0 {
				in := &t.Inputs[on]
				errs = append(errs, p.add(t, Series{Name: idSeries(t), Topic: in.Topic, Path: t.Rows.ID, IDs: true}, in.Time, spec.NumberForm{}, nil))
			}
		}
	}
	errs = append(errs, checkLoops(tasks))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("compile task files: %w", err)
	}
	for i := range p.series {
		if f := p.series[i].Topic; !slices.Contains(p.filters, f) {
			p.filters = append(p.filters, f)
		}
	}
	for _, f := range p.filters {
		if !slices.ContainsFunc(p.filters, func(g string) bool { return g != f && covers(g, f) }) {
			p.cover = append(p.cover, f)
		}
	}
	return p, nil
}

// idSeries names the series of the ids of a task's rows, "" where they have none. No task can name a
// series so.
func idSeries(t *spec.Task) string {
	if t.Rows.ID == "" {
		return ""
	}
	return t.Rows.On + idMark + t.Rows.ID
}

// RowsOf names the series whose readings make the rows that a series of ids names.
func (s *Series) RowsOf() string {
	on, _, _ := strings.Cut(s.Name, idMark)
	return on
}

// idMark stands in the name of a series of ids, and in no other.
const idMark = "#"

// word returns how a value is shown: the name of a category, shortened; "" for a number.
func (s *Series) word(v float64) string {
	if s.IDs {
		return "an id"
	}
	if i := int(v); i >= 0 && i < len(s.Categories) {
		return excerpt([]byte(s.Categories[i]))
	}
	return ""
}

func (p *Plan) input(t *spec.Task, in *spec.Input) error {
	return p.add(t, Series{
		Name:       in.Series,
		Topic:      in.Topic,
		Path:       in.Path,
		Unit:       in.Unit,
		Range:      in.Range,
		Categories: in.Categories,
		Sync:       in.Sync != "none" && t.Sync.Readings != "none",
	}, in.Time, in.Number, in.Words)
}

func (p *Plan) add(t *spec.Task, s Series, tm spec.InputTime, num spec.NumberForm, words map[string]float64) error {
	s.file, s.Tasks = t.Path, []string{t.Name}
	s.form, s.unit = newForm(num, words), new(atomic.Pointer[string])
	if num != (spec.NumberForm{}) || len(words) > 0 {
		s.wrote = fmt.Sprintf("%+v %v", num, words)
	}
	switch {
	case s.ByID != "":
		s.time = timeForm{path: t.Target.ID, id: true}
	case s.Path != "": // a bare value carries no time
		s.time = timeForm{
			path:    cmp.Or(tm.Path, t.Time.Path),
			format:  cmp.Or(tm.Format, t.Time.Format),
			zone:    cmp.Or(tm.Zone, t.Time.Zone, t.Calendar.UTCOffset),
			maxPast: t.Time.MaxPast.Micros(),
		}
		if s.time.path == "" {
			s.time = timeForm{}
		}
		var err error
		if s.time.loc, err = spec.Zone(s.time.zone); err != nil {
			return fmt.Errorf("series %q in %s: time.zone %q: %w", s.Name, s.file, s.time.zone, err)
		}
	}
	if err := s.checkStars(); err != nil {
		return err
	}
	i, known := p.index[s.Name]
	if !known {
		p.index[s.Name] = len(p.series)
		p.series = append(p.series, s)
		return nil
	}
	have := &p.series[i]
	if what, a, b := have.disagreement(&s); what != "" {
		return &ClashError{s.Name, t.Name, fmt.Sprintf("series %q: %s declares %s %s and %s declares %s: give both the same, or rename one of them",
			s.Name, have.file, what, a, s.file, b)}
	}
	if !slices.Contains(have.Tasks, t.Name) {
		have.Tasks = append(have.Tasks, t.Name)
	}
	have.Sync = have.Sync || s.Sync
	if have.Unit == "" {
		have.Unit = s.Unit
	}
	return nil
}

// disagreement returns the first property in which two declarations of one series differ, as both
// were written.
func (s *Series) disagreement(o *Series) (what, a, b string) {
	pairs := [...]struct{ what, a, b string }{
		{"topic", s.Topic, o.Topic},
		{"path", s.Path, o.Path},
		{"rows.on and rows.id", s.ByID, o.ByID},
		{"range", rangeText(s.Range), rangeText(o.Range)},
		{"categories", strings.Join(s.Categories, ","), strings.Join(o.Categories, ",")},
		{"time.path", s.time.path, o.time.path},
		{"time.format", s.time.format, o.time.format},
		{"time.zone", s.time.zone, o.time.zone},
		{"time.max_past", fmt.Sprint(s.time.maxPast), fmt.Sprint(o.time.maxPast)},
		{"number and words", s.wrote, o.wrote},
	}
	for _, p := range pairs {
		if p.a != p.b {
			return p.what, strconv.Quote(p.a), strconv.Quote(p.b)
		}
	}
	if s.Unit != "" && o.Unit != "" && s.Unit != o.Unit {
		return "unit", strconv.Quote(s.Unit), strconv.Quote(o.Unit)
	}
	return "", "", ""
}

func rangeText(r *[2]float64) string {
	if r == nil {
		return "none"
	}
	return fmt.Sprintf("[%g, %g]", r[0], r[1])
}

// checkStars holds the rule for arrays of readings: a path has at most one [*], and value and
// time stand in the same array.
func (s *Series) checkStars() error {
	head, _, starred := strings.Cut(s.Path, "[*]")
	if strings.Count(s.Path, "[*]") > 1 || strings.Count(s.time.path, "[*]") > 1 {
		return fmt.Errorf("series %q in %s: a path has at most one [*]", s.Name, s.file)
	}
	timeHead, _, timeStarred := strings.Cut(s.time.path, "[*]")
	switch {
	case starred && (!timeStarred || timeHead != head):
		return fmt.Errorf("series %q in %s: path %q reads an array, so time.path must stand in it, for example %q, not %q",
			s.Name, s.file, s.Path, head+"[*].ts", s.time.path)
	case !starred && timeStarred:
		return fmt.Errorf("series %q in %s: time.path %q reads an array, path %q does not", s.Name, s.file, s.time.path, s.Path)
	}
	return nil
}

func madeKey(template string, values []string) string {
	return template + "\x00" + strings.Join(values, "\x00")
}

// Sighting is a topic that a template has no task for yet.
type Sighting struct {
	Template *spec.Task
	Values   []string // by Template.Captures()
}

// sightings returns the templates that have no task for a topic.
func (p *Plan) sightings(topic string) (out []Sighting) {
	for _, t := range p.tmpl {
		if strings.HasPrefix(topic, "$") {
			continue
		}
		if values, ok := t.Capture(topic); ok && !p.made[madeKey(t.Name, values)] {
			out = append(out, Sighting{t, values})
		}
	}
	return out
}

// Series returns the device's series; their positions are the indices in [Reading]. The caller
// must not change it.
func (p *Plan) Series() []Series { return p.series }

// Index returns the position of a series by name.
func (p *Plan) Index(name string) (int, bool) {
	i, ok := p.index[name]
	return i, ok
}

// Filters returns the topic filters to subscribe to, without those that another one covers.
func (p *Plan) Filters() []string { return p.cover }

// covers reports whether every topic that matches filter f also matches filter g.
func covers(g, f string) bool {
	gs, fs := strings.Split(g, "/"), strings.Split(f, "/")
	for i, l := range gs {
		if l == "#" {
			return true
		}
		if i >= len(fs) || fs[i] == "#" || (l != "+" && l != fs[i]) {
			return false
		}
	}
	return len(gs) == len(fs)
}

// Match reports whether an MQTT topic matches a filter (MQTT 3.1.1 §4.7). A wildcard at the start
// does not match topics that begin with $.
func Match(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		f, fRest, fMore := strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		l, tRest, tMore := strings.Cut(topic, "/")
		if f != "+" && f != l {
			return false
		}
		if !fMore || !tMore {
			return fMore == tMore || (fMore && fRest == "#")
		}
		filter, topic = fRest, tRest
	}
}

// node is one step of the tree of all paths that are read of a topic's payload.
type node struct {
	fields []edge
	items  []edge // array elements by index
	each   *node  // [*]
	want   []int  // slots that end here
}

type edge struct {
	name  string
	index int
	next  *node
}

// slot is one value to capture: a series, or a time that series share.
type slot struct {
	path    string
	series  int       // -1 for a time
	form    *timeForm // of a time
	time    int       // slot of the series' time, -1 when it has none
	starred bool
}

// topicPlan is what to extract from the payloads of one concrete topic.
type topicPlan struct {
	slots []slot
	root  *node // nil when every series of the topic is a bare value
	bare  []int // series whose value is the whole payload
	fresh []Sighting
}

func (p *Plan) topic(topic string) *topicPlan {
	tp := &topicPlan{}
	own := p.own[topic]
	for i := range p.series {
		s := &p.series[i]
		if !Match(s.Topic, topic) || own != nil && fedBack(s, own) {
			continue
		}
		if s.Path == "" {
			tp.bare = append(tp.bare, i)
			continue
		}
		t := -1
		if s.time.path != "" {
			t = slices.IndexFunc(tp.slots, func(o slot) bool { return o.series < 0 && o.form.same(&s.time) })
			if t < 0 {
				t = tp.insert(slot{path: s.time.path, series: -1, form: &s.time, time: -1})
			}
		}
		tp.insert(slot{path: s.Path, series: i, time: t})
	}
	if own != nil {
		return tp // it may have nothing to read: what is known of it
	}
	tp.fresh = p.sightings(topic)
	if len(tp.slots) == 0 && len(tp.bare) == 0 && len(tp.fresh) == 0 {
		return nil
	}
	return tp
}

func (tp *topicPlan) insert(s slot) int {
	if tp.root == nil {
		tp.root = &node{}
	}
	s.starred = strings.Contains(s.path, "[*]")
	id := len(tp.slots)
	tp.slots = append(tp.slots, s)
	n := tp.root
	for _, st := range splitPath(s.path) {
		n = n.child(st)
	}
	n.want = append(n.want, id)
	return id
}

func (n *node) child(st step) *node {
	switch {
	case st.each:
		if n.each == nil {
			n.each = &node{}
		}
		return n.each
	case st.index >= 0:
		for _, e := range n.items {
			if e.index == st.index {
				return e.next
			}
		}
		n.items = append(n.items, edge{index: st.index, next: &node{}})
		return n.items[len(n.items)-1].next
	default:
		for _, e := range n.fields {
			if e.name == st.name {
				return e.next
			}
		}
		n.fields = append(n.fields, edge{name: st.name, next: &node{}})
		return n.fields[len(n.fields)-1].next
	}
}

type step struct {
	name  string
	index int // -1 for a name
	each  bool
}

// splitPath cuts a path that spec.CheckPath has accepted into its steps.
func splitPath(path string) []step {
	var steps []step
	rest := strings.TrimPrefix(path, "$")
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, "[*]"):
			steps, rest = append(steps, step{index: -1, each: true}), rest[3:]
		case strings.HasPrefix(rest, "['"):
			end := strings.Index(rest, "']")
			steps, rest = append(steps, step{name: rest[2:end], index: -1}), rest[end+2:]
		case strings.HasPrefix(rest, "["):
			end := strings.IndexByte(rest, ']')
			i, _ := strconv.Atoi(rest[1:end])
			steps, rest = append(steps, step{index: i}), rest[end+1:]
		default: // .name
			name := rest[1:]
			if end := strings.IndexAny(name, ".["); end >= 0 {
				name = name[:end]
			}
			steps, rest = append(steps, step{name: name, index: -1}), rest[1+len(name):]
		}
	}
	return steps
}
