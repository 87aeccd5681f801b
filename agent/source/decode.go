package source

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrorKind describes what is wrong with a payload. It is the label of the error metric.
type ErrorKind string

// The kinds of decode errors.
const (
	ErrSyntax       ErrorKind = "syntax"
	ErrType         ErrorKind = "type"
	ErrDuplicateKey ErrorKind = "duplicate_key"
	ErrUTF8         ErrorKind = "utf8"
	ErrRange        ErrorKind = "number_range"
	ErrNotFinite    ErrorKind = "not_finite"
	ErrDepth        ErrorKind = "depth"
	ErrCategory     ErrorKind = "category"
	ErrTime         ErrorKind = "time"
	ErrSize         ErrorKind = "size"
	ErrID           ErrorKind = "id"
)

// DecodeError is one problem of a payload.
type DecodeError struct {
	Kind    ErrorKind
	Topic   string
	Path    string // JSON path of the value, "" when the document itself is wrong
	Offset  int    // byte offset of a syntax error
	Value   string // the offending text, at most 60 bytes
	Allowed string // what would be right
	Series  string // the series that it concerns, "" when it is the document
}

// Error names the topic, the place, the offending text and what would be right.
func (e *DecodeError) Error() string {
	at := e.Path
	if at == "" {
		at = fmt.Sprintf("at byte %d", e.Offset)
	}
	return fmt.Sprintf("decode payload of topic %q: %s: %q: %s", clip(e.Topic), at, e.Value, e.Allowed)
}

// clip bounds the name of a topic, of which MQTT allows 65,535 bytes, for messages and as a key.
func clip(topic string) string {
	if len(topic) <= maxTopicName {
		return topic
	}
	return topic[:maxTopicName] + "…"
}

func excerpt(b []byte) string {
	const limit = 60
	if len(b) <= limit {
		return strings.ToValidUTF8(string(b), "?")
	}
	cut := limit
	for cut > limit-utf8.UTFMax && !utf8.RuneStart(b[cut]) {
		cut--
	}
	return strings.ToValidUTF8(string(b[:cut]), "?") + "…"
}

// Reading is one value of one series.
type Reading struct {
	Series   int   // index into Plan.Series
	Time     int64 // microseconds since the Unix epoch; the arrival time when HasTime is false
	HasTime  bool
	Forgiven Forgiven // what it was read in spite of
	Elem     int32    // which element of an array of readings it stood in, 0 outside of one
	Value    float64  // a category is its index; never NaN
	// of a label whose time is that of the row with this id, which is to be looked up; HasTime is
	// false then
	ID string
}

// Decoded is what a payload held. Its slices belong to the decoder and are valid until the next
// Decode.
type Decoded struct {
	Readings []Reading // sorted by time, those without a time of their own last
	// series that the topic carries and this payload did not, or sent null for
	Missing  int
	Absent   []int             // which series these are
	Untimed  []int             // series whose value is lost since its time or id cannot be read
	Refused  []int             // series whose value was refused, once for each value
	Marked   []int             // series for which it had a word that says missing
	Problems []*DecodeError    // what is wrong with values that were left out, the first 16
	More     map[ErrorKind]int // how many there were beyond these
	Known    bool              // whether any series listens to the topic
}

const (
	// topics whose plan is kept, and the bytes of their names; above it the cache starts again
	maxTopics, maxTopicBytes = 4096, 1 << 20
	maxProblems              = 16
)

// Decoder turns payloads into readings by a plan. It reuses its memory and is not safe for
// concurrent use.
type Decoder struct {
	// Now is the device's clock in microseconds, 0 while it is not trusted. It tells how old a
	// time is, and which of two equal local times is meant.
	Now int64

	plan   *Plan
	limit  int
	topics map[string]*topicPlan
	names  int // bytes of the topics' names
	scan   scanner
	out    Decoded
	slots  []slotState
}

// slotState is what a payload held for one slot.
type slotState struct {
	seen   bool
	last   int      // capture of the newest element, -1 before the first
	times  []moment // of a time, by element
	twice  bool     // refused: it came twice with different values
	repeat Forgiven
}

type moment struct {
	us       int64 // or noTime, badTime
	id       string
	forgiven Forgiven
}

const (
	noTime  = math.MinInt64
	badTime = math.MinInt64 + 1
)

// NewDecoder returns a decoder for payloads of at most limit bytes.
func NewDecoder(p *Plan, limit int) *Decoder {
	return &Decoder{plan: p, limit: limit, topics: map[string]*topicPlan{}}
}

// Decode reads one payload. The error is a *DecodeError when nothing of the document could be read;
// single wrong values, and where a document ends early, are in Problems.
func (d *Decoder) Decode(topic string, payload []byte) (*Decoded, error) {
	d.out = Decoded{Readings: d.out.Readings[:0], Problems: d.out.Problems[:0], Marked: d.out.Marked[:0], Absent: d.out.Absent[:0], Untimed: d.out.Untimed[:0], Refused: d.out.Refused[:0]}
	tp := d.of(topic)
	if tp == nil {
		return &d.out, nil
	}
	d.out.Known = true
	if len(payload) > d.limit {
		return &d.out, &DecodeError{Kind: ErrSize, Topic: topic, Value: fmt.Sprintf("%d bytes", len(payload)),
			Allowed: fmt.Sprintf("a payload has at most %d bytes (mqtt.max_payload)", d.limit)}
	}
	for _, s := range tp.bare {
		d.bare(topic, s, payload)
	}
	if tp.root != nil {
		if len(bytes.Trim(payload, " \t\r\n\x00")) == 0 { // how a retained message is removed
			for i := range tp.slots {
				if s := tp.slots[i].series; s >= 0 {
					d.out.Missing++
					d.out.Absent = append(d.out.Absent, s)
				}
			}
			return &d.out, nil
		}
		d.scan.scan(payload, tp.root)
		d.resolve(topic, tp)
		if err := d.broken(topic); err != nil {
			err.Topic = topic
			return &d.out, err
		}
	}
	if byTime := func(a, b Reading) int {
		switch {
		case a.HasTime != b.HasTime && a.HasTime:
			return -1
		case a.HasTime != b.HasTime:
			return 1
		case a.Time < b.Time:
			return -1
		case a.Time > b.Time:
			return 1
		}
		return 0
	}; !slices.IsSortedFunc(d.out.Readings, byTime) {
		slices.SortStableFunc(d.out.Readings, byTime)
	}
	return &d.out, nil
}

// of returns what is read of a topic, nil for nothing.
func (d *Decoder) of(topic string) *topicPlan {
	tp, cached := d.topics[topic]
	if !cached {
		if len(d.topics) >= maxTopics || d.names > maxTopicBytes {
			clear(d.topics)
			d.names = 0
		}
		tp = d.plan.topic(topic)
		d.names += len(topic)
		d.topics[strings.Clone(topic)] = tp
	}
	return tp
}

// broken returns what is wrong with the document when nothing of it was read; beside readings it
// becomes one of the problems.
func (d *Decoder) broken(topic string) *DecodeError {
	err := d.scan.fail
	if err != nil {
		err.Topic = topic
	}
	switch {
	case len(d.out.Readings) > 0 && err != nil:
		d.problem(err)
		return nil
	case len(d.out.Readings) > 0 || len(d.out.Problems) > 0 || len(d.out.Marked) > 0:
		return nil
	case err == nil:
		err = d.scan.flaw
	}
	return err
}

func (d *Decoder) problem(e *DecodeError) {
	if i, ok := d.plan.index[e.Series]; ok && e.Series != "" {
		d.out.Refused = append(d.out.Refused, i)
	}
	if len(d.out.Problems) < maxProblems {
		d.out.Problems = append(d.out.Problems, e)
		return
	}
	if d.out.More == nil {
		d.out.More = map[ErrorKind]int{}
	}
	d.out.More[e.Kind]++
}

// resolve pairs the captured values with their times.
func (d *Decoder) resolve(topic string, tp *topicPlan) {
	for len(d.slots) < len(tp.slots) {
		d.slots = append(d.slots, slotState{})
	}
	for i := range tp.slots {
		d.slots[i] = slotState{last: -1, times: d.slots[i].times[:0]}
	}
	d.duplicates(topic, tp)
	for i := range d.scan.captures {
		c := &d.scan.captures[i]
		s, st := &tp.slots[c.slot], &d.slots[c.slot]
		if s.series >= 0 || c.kind == valueNull || s.form.id && isNoID(c.raw) {
			continue
		}
		at := 0
		if s.starred {
			at = max(c.elem, 0)
		}
		for len(st.times) <= at {
			st.times = append(st.times, moment{us: noTime})
		}
		if st.twice {
			st.times[at].us = badTime
			continue
		}
		var m moment
		var err *DecodeError
		if s.form.id {
			m.id, err = idOf(c.kind, c.raw)
		} else {
			m.us, m.forgiven, err = s.form.parse(c.kind, c.raw, d.Now)
		}
		if err != nil {
			err.Topic, err.Path = topic, s.form.path
			d.problem(err)
			m.us = badTime
		}
		st.times[at] = m
	}
	for i := range d.scan.captures {
		c := &d.scan.captures[i]
		s, st := &tp.slots[c.slot], &d.slots[c.slot]
		if s.series < 0 || c.kind == valueNull {
			continue
		}
		st.seen = true
		if st.twice || st.repeat != 0 && i != st.last {
			continue
		}
		of := &d.plan.series[s.series]
		r := Reading{Series: s.series, Forgiven: d.scan.forgiven | st.repeat, Elem: int32(max(c.elem, 0))}
		if s.time >= 0 {
			at := 0
			if s.starred {
				at = max(c.elem, 0)
			}
			switch ts := d.slots[s.time].times; {
			case at < len(ts) && ts[at].us == badTime:
				// an arrival time would be a lie: the sender did give a time
				d.out.Untimed = append(d.out.Untimed, s.series)
				continue
			case at < len(ts) && ts[at].us != noTime:
				r.Time, r.HasTime, r.ID = ts[at].us, ts[at].id == "", ts[at].id
				r.Forgiven |= ts[at].forgiven
			case tp.slots[s.time].form.id:
				d.problem(&DecodeError{Kind: ErrID, Topic: topic, Path: s.path, Value: excerpt(c.raw), Series: of.Name,
					Allowed: "a label needs the id of its row, which should stand at " + tp.slots[s.time].path + " (target.id)"})
				continue
			case d.scan.fail != nil:
				// and so it would be when the time may stand in what is lost
				d.out.Untimed = append(d.out.Untimed, s.series)
				continue
			}
		}
		v, err := of.value(c.kind, c.raw)
		if err != nil {
			err.Topic, err.Path, err.Series = topic, s.path, of.Name
			d.problem(err)
			continue
		}
		d.take(r, v)
	}
	for i := range tp.slots {
		if s := tp.slots[i].series; s >= 0 && !d.slots[i].seen {
			d.out.Missing++
			d.out.Absent = append(d.out.Absent, s)
		}
	}
}

// duplicates finds values that a document gives twice. Equal ones are one; of different ones
// nobody knows which is right.
func (d *Decoder) duplicates(topic string, tp *topicPlan) {
	caps := d.scan.captures
	for i := range caps {
		s, st := &tp.slots[caps[i].slot], &d.slots[caps[i].slot]
		if st.last >= 0 && (!s.starred || caps[i].elem <= caps[st.last].elem) {
			if !s.starred && caps[i].kind == caps[st.last].kind && bytes.Equal(caps[i].raw, caps[st.last].raw) {
				st.repeat = ForgivenDuplicate
			} else if !st.twice {
				st.twice = true
				e := &DecodeError{Kind: ErrDuplicateKey, Topic: topic, Path: s.path, Value: excerpt(caps[i].raw), Allowed: "a key may appear once in an object, and comes again with another value"}
				if s.series >= 0 {
					e.Series = d.plan.series[s.series].Name
				}
				d.problem(e)
			}
		}
		st.last = i
	}
}

// take adds a reading with the value that its text says.
func (d *Decoder) take(r Reading, v text) {
	if v.missing {
		d.out.Missing++
		d.out.Marked = append(d.out.Marked, r.Series)
		return
	}
	r.Value, r.Forgiven = v.value, r.Forgiven|v.forgiven
	d.out.Readings = append(d.out.Readings, r)
}

// bare reads a payload that is the value itself: a number, true, false, or one of the categories,
// quoted or not.
func (d *Decoder) bare(topic string, series int, payload []byte) {
	s := &d.plan.series[series]
	r := Reading{Series: series}
	d.scan.forgiven = 0
	raw := trim(d.scan.plain(payload))
	r.Forgiven = d.scan.forgiven
	kind := valueBare
	switch {
	case len(raw) == 0 || string(raw) == "null":
		d.out.Missing++
		d.out.Absent = append(d.out.Absent, series)
		return
	case raw[0] == '{' || raw[0] == '[':
		d.problem(&DecodeError{Kind: ErrType, Topic: topic, Path: "payload", Value: excerpt(raw), Series: s.Name,
			Allowed: fmt.Sprintf("series %q expects a bare value: give the input a path such as $.value to read JSON", s.Name)})
		return
	case string(raw) == "true" || string(raw) == "false":
		kind = valueBool
	case (raw[0] == '"' || raw[0] == '\'') && len(raw) >= 2 && raw[len(raw)-1] == raw[0]:
		kind, raw = valueString, raw[1:len(raw)-1]
	case s.form.decimal != ',' && isNumber(raw):
		kind = valueNumber
	case !utf8.Valid(raw):
		raw = d.scan.latin1(0, raw)
		r.Forgiven |= ForgivenEncoding
	}
	v, err := s.value(kind, raw)
	if err != nil {
		err.Topic, err.Path, err.Series = topic, "payload", s.Name
		d.problem(err)
		return
	}
	d.take(r, v)
}

// value reads the text of a value: as one of the categories of the series, or as a number.
func (s *Series) value(kind valueKind, raw []byte) (text, *DecodeError) {
	if s.IDs {
		if isNoID(raw) {
			return text{missing: true}, nil
		}
		id, err := idOf(kind, raw)
		if err != nil {
			return text{}, err
		}
		return text{value: math.Float64frombits(Key(id))}, nil
	}
	if kind == valueObject || kind == valueArray {
		want := "a number, true or false"
		if len(s.Categories) > 0 {
			want = "one of the categories " + list(s.Categories)
		}
		return text{}, &DecodeError{Kind: ErrType, Value: excerpt(raw), Allowed: "must be " + want + ", not " + kind.String()}
	}
	if len(s.Categories) > 0 {
		return s.category(raw)
	}
	if kind == valueNumber {
		v, ok := parseNumber(raw)
		if !ok {
			return text{}, outOfRange(raw)
		}
		return text{value: s.form.meant(v)}, nil
	}
	if kind == valueBool && s.form.words == nil {
		if s.measured() {
			return text{}, s.noQuantity(raw)
		}
		v := 0.0
		if raw[0] == 't' {
			v = 1
		}
		return text{value: v}, nil
	}
	t, err := s.form.read(raw)
	if err != nil {
		return t, err
	}
	if t.forgiven&ForgivenWord != 0 && s.measured() {
		return text{}, s.noQuantity(raw)
	}
	switch kind {
	case valueBool:
		t.forgiven = 0
	case valueString:
		if t.forgiven&(ForgivenWord|ForgivenMark) == 0 && s.form.words == nil {
			t.forgiven |= ForgivenQuotes
		}
	}
	if t.unit == "" {
		return t, nil
	}
	if s.Unit != "" {
		if !sameUnit(s.Unit, t.unit) {
			return text{}, &DecodeError{Kind: ErrType, Value: excerpt(raw), Allowed: fmt.Sprintf("comes in %s, with %s as the input's unit: a number in another unit would be wrong by a factor; where it is the same by another name, write the sender's (unit: %q)", t.unit, s.Unit, t.unit)}
		}
		return t, nil
	}
	if first := s.unit.Load(); first == nil {
		s.unit.CompareAndSwap(nil, &t.unit)
	} else if !sameUnit(*first, t.unit) && !usual(*first) && usual(t.unit) {
		s.unit.Store(&t.unit) // the first was a word of a start or a test
	} else if !sameUnit(*first, t.unit) {
		return text{}, &DecodeError{Kind: ErrType, Value: excerpt(raw), Allowed: fmt.Sprintf("comes in %s, with %s before: a number in another unit would be wrong by a factor; name the input's unit", t.unit, *first)}
	}
	return t, nil
}

// measured reports whether the series has a unit, in which a word such as off is no 0: senders write
// false or offline where they have no value.
func (s *Series) measured() bool {
	switch strings.ToLower(s.Unit) {
	case "", "1", "-", "bool", "boolean":
		return false
	}
	return true
}

func (s *Series) noQuantity(raw []byte) *DecodeError {
	w := excerpt(raw)
	return &DecodeError{Kind: ErrType, Value: w, Allowed: fmt.Sprintf("is a word, and no number of %s, the input's unit: say which it is, as in words: {%s: 0}, or let the sender leave the value out", s.Unit, strings.Trim(w, `"`))}
}

// category finds the category that a text names: itself, else the only one that differs in case
// and spaces alone, else the only one that is the same number.
func (s *Series) category(raw []byte) (text, *DecodeError) {
	for i, c := range s.Categories {
		if c == string(raw) {
			return text{value: float64(i)}, nil
		}
	}
	found, b := -1, string(trim(raw))
	for i, c := range s.Categories {
		if strings.EqualFold(strings.TrimSpace(c), b) {
			if found >= 0 {
				found = -1
				break
			}
			found = i
		}
	}
	if found >= 0 {
		return text{value: float64(found), forgiven: ForgivenCase}, nil
	}
	if v, err := strconv.ParseFloat(b, 64); err == nil {
		same := func(c string) bool {
			n, err := strconv.ParseFloat(strings.TrimSpace(c), 64)
			return err == nil && n == v
		}
		first := slices.IndexFunc(s.Categories, same)
		if first >= 0 && !slices.ContainsFunc(s.Categories[first+1:], same) {
			return text{value: float64(first), forgiven: ForgivenForm}, nil
		}
	}
	if low := strings.ToLower(b); marks[low] {
		return text{missing: true, forgiven: ForgivenMark}, nil
	}
	return text{}, &DecodeError{Kind: ErrCategory, Value: excerpt(raw), Allowed: "must be one of the categories " + list(s.Categories)}
}

func list(words []string) string {
	if len(words) > 20 {
		return strings.Join(words[:20], ", ") + ", …"
	}
	return strings.Join(words, ", ")
}
