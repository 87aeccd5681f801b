package source

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
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
)

// DecodeError is one problem of a payload.
type DecodeError struct {
	Kind    ErrorKind
	Topic   string
	Path    string // JSON path of the value, "" when the document itself is wrong
	Offset  int    // byte offset of a syntax error
	Value   string // the offending text, at most 60 bytes
	Allowed string // what would be right
}

// Error names the topic, the place, the offending text and what would be right.
func (e *DecodeError) Error() string {
	at := e.Path
	if at == "" {
		at = fmt.Sprintf("at byte %d", e.Offset)
	}
	return fmt.Sprintf("decode payload of topic %q: %s: %q: %s", e.Topic, at, e.Value, e.Allowed)
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
	Series  int   // index into Plan.Series
	Time    int64 // microseconds since the Unix epoch; the arrival time when HasTime is false
	HasTime bool
	Value   float64 // a category is its index; never NaN
}

// Decoded is what a payload held. Its slices belong to the decoder and are valid until the next
// Decode.
type Decoded struct {
	Readings []Reading // sorted by time, those without a time last
	// series that the topic carries and this payload did not, or sent null for
	Missing  int
	Problems []*DecodeError // values that were left out, at most 16
	Known    bool           // whether any series listens to the topic
}

const (
	maxTopics   = 4096 // topics whose plan is kept; above it the cache starts again
	maxProblems = 16
)

// Decoder turns payloads into readings by a plan. It reuses its memory and is not safe for
// concurrent use.
type Decoder struct {
	plan   *Plan
	limit  int
	topics map[string]*topicPlan
	scan   scanner
	out    Decoded
	times  [][]int64 // by slot, by element; noTime or badTime
	seen   []bool    // by slot
}

const (
	noTime  = math.MinInt64
	badTime = math.MinInt64 + 1
)

// NewDecoder returns a decoder for payloads of at most limit bytes.
func NewDecoder(p *Plan, limit int) *Decoder {
	return &Decoder{plan: p, limit: limit, topics: map[string]*topicPlan{}}
}

// Decode reads one payload. The error is a *DecodeError when the document as a whole is refused;
// single wrong values are in Problems.
func (d *Decoder) Decode(topic string, payload []byte) (*Decoded, error) {
	d.out = Decoded{Readings: d.out.Readings[:0], Problems: d.out.Problems[:0]}
	tp, cached := d.topics[topic]
	if !cached {
		if len(d.topics) >= maxTopics {
			clear(d.topics)
		}
		tp = d.plan.topic(topic)
		d.topics[strings.Clone(topic)] = tp
	}
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
		if err := d.scan.scan(payload, tp.root); err != nil {
			err.Topic = topic
			return &d.out, err
		}
		d.resolve(topic, tp)
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

func (d *Decoder) problem(e *DecodeError) {
	if len(d.out.Problems) < maxProblems {
		d.out.Problems = append(d.out.Problems, e)
	}
}

// resolve pairs the captured values with their times.
func (d *Decoder) resolve(topic string, tp *topicPlan) {
	for len(d.times) < len(tp.slots) {
		d.times = append(d.times, nil)
		d.seen = append(d.seen, false)
	}
	for i := range tp.slots {
		d.times[i], d.seen[i] = d.times[i][:0], false
	}
	for i := range d.scan.captures {
		c := &d.scan.captures[i]
		s := &tp.slots[c.slot]
		if s.series >= 0 || c.kind == valueNull {
			continue
		}
		at := 0
		if s.starred {
			at = c.elem
		}
		for len(d.times[c.slot]) <= at {
			d.times[c.slot] = append(d.times[c.slot], noTime)
		}
		t, err := parseTime(s.format, c.kind, c.raw)
		if err != nil {
			err.Topic, err.Path = topic, s.path
			d.problem(err)
			t = badTime
		}
		d.times[c.slot][at] = t
	}
	for i := range d.scan.captures {
		c := &d.scan.captures[i]
		s := &tp.slots[c.slot]
		if s.series < 0 || c.kind == valueNull {
			continue
		}
		d.seen[c.slot] = true
		r := Reading{Series: s.series}
		if s.time >= 0 {
			at := 0
			if s.starred {
				at = c.elem
			}
			if ts := d.times[s.time]; at < len(ts) && ts[at] != noTime {
				if r.Time, r.HasTime = ts[at], true; r.Time == badTime {
					continue // an arrival time would be a lie: the sender did give a time
				}
			}
		}
		v, err := parseValue(&d.plan.series[s.series], c.kind, c.raw)
		if err != nil {
			err.Topic, err.Path = topic, s.path
			d.problem(err)
			continue
		}
		r.Value = v
		d.out.Readings = append(d.out.Readings, r)
	}
	for i := range tp.slots {
		if tp.slots[i].series >= 0 && !d.seen[i] {
			d.out.Missing++
		}
	}
}

// bare reads a payload that is the value itself: a number, true, false, or one of the categories,
// quoted or not.
func (d *Decoder) bare(topic string, series int, payload []byte) {
	s := &d.plan.series[series]
	raw := bytes.Trim(payload, " \t\r\n\x00")
	kind := valueString
	switch {
	case len(raw) == 0 || string(raw) == "null":
		d.out.Missing++
		return
	case !utf8.Valid(raw):
		d.problem(&DecodeError{
			Kind:    ErrUTF8,
			Topic:   topic,
			Path:    "payload",
			Value:   excerpt(raw),
			Allowed: "text must be valid UTF-8",
		})
		return
	case raw[0] == '{' || raw[0] == '[':
		d.problem(&DecodeError{Kind: ErrType, Topic: topic, Path: "payload", Value: excerpt(raw),
			Allowed: fmt.Sprintf("series %q expects a bare value: give the input a path such as $.value to read JSON", s.Name)})
		return
	case string(raw) == "true" || string(raw) == "false":
		kind = valueBool
	case notFinite(raw):
		d.problem(&DecodeError{
			Kind:    ErrNotFinite,
			Topic:   topic,
			Path:    "payload",
			Value:   excerpt(raw),
			Allowed: "must be a finite number: send nothing when there is no value",
		})
		return
	case raw[0] == '"' && len(raw) >= 2 && raw[len(raw)-1] == '"':
		raw = raw[1 : len(raw)-1]
	default:
		num := scanner{b: raw, elem: -1}
		if (raw[0] == '-' || (raw[0] >= '0' && raw[0] <= '9')) && num.number() && num.i == len(raw) {
			kind = valueNumber
		}
	}
	v, err := parseValue(s, kind, raw)
	if err != nil {
		err.Topic, err.Path = topic, "payload"
		d.problem(err)
		return
	}
	d.out.Readings = append(d.out.Readings, Reading{Series: series, Value: v})
}

func parseValue(s *Series, kind valueKind, raw []byte) (float64, *DecodeError) {
	if len(s.Categories) > 0 {
		if kind == valueObject || kind == valueArray {
			return 0, &DecodeError{
				Kind:    ErrType,
				Value:   excerpt(raw),
				Allowed: "must be one of the categories " + list(s.Categories) + ", not " + kind.String(),
			}
		}
		for i, c := range s.Categories {
			if c == string(raw) {
				return float64(i), nil
			}
		}
		return 0, &DecodeError{
			Kind:    ErrCategory,
			Value:   excerpt(raw),
			Allowed: "must be one of the categories " + list(s.Categories),
		}
	}
	switch kind {
	case valueNumber:
		v, ok := parseNumber(raw)
		if !ok {
			return 0, &DecodeError{
				Kind:    ErrRange,
				Value:   excerpt(raw),
				Allowed: "must fit a 64-bit float, up to ±1.8e308",
			}
		}
		return v, nil
	case valueBool:
		if raw[0] == 't' {
			return 1, nil
		}
		return 0, nil
	case valueString:
		if num := (scanner{b: raw}); len(raw) > 0 && (raw[0] == '-' || (raw[0] >= '0' && raw[0] <= '9')) && num.number() && num.i == len(raw) {
			return 0, &DecodeError{
				Kind:    ErrType,
				Value:   excerpt(raw),
				Allowed: "is a number in quotes: send it without quotes",
			}
		}
		return 0, &DecodeError{
			Kind:    ErrType,
			Value:   excerpt(raw),
			Allowed: "must be a number, true or false; for text give the input its categories",
		}
	}
	return 0, &DecodeError{
		Kind:    ErrType,
		Value:   excerpt(raw),
		Allowed: "must be a number, true or false, not " + kind.String(),
	}
}

func list(words []string) string {
	if len(words) > 20 {
		return strings.Join(words[:20], ", ") + ", …"
	}
	return strings.Join(words, ", ")
}

// minTime and maxTime bound event times to the years 1970 to 9999.
const (
	minTime = 0
	maxTime = 253402300799999999
)

// parseTime reads an event time in microseconds.
func parseTime(format string, kind valueKind, raw []byte) (int64, *DecodeError) {
	bad := func(allowed string) (int64, *DecodeError) {
		return 0, &DecodeError{Kind: ErrTime, Value: excerpt(raw), Allowed: allowed}
	}
	if format == "rfc3339" {
		if kind != valueString {
			return bad("time.format is rfc3339, so it must be a string such as \"2026-05-01T12:00:00Z\", not " + kind.String())
		}
		var t time.Time
		if err := t.UnmarshalText(raw); err != nil {
			return bad("must be a time such as 2026-05-01T12:00:00Z or 2026-05-01T14:00:00.5+02:00 (RFC 3339)")
		}
		us := t.UnixMicro()
		if us < minTime || us > maxTime {
			return bad("must be in the years 1970 to 9999")
		}
		return us, nil
	}
	scale := 1.0 // unix_us
	switch format {
	case "unix":
		scale = 1e6
	case "unix_ms":
		scale = 1e3
	}
	if kind != valueNumber {
		return bad("time.format is " + format + ", so it must be a number, not " + kind.String())
	}
	v, ok := parseNumber(raw)
	v = math.Round(v * scale)
	if !ok || v < minTime || v >= maxTime+1 { // maxTime itself is no float64: as one it is the next year
		return bad("as " + format + " it lies outside the years 1970 to 9999: check time.format (unix, unix_ms, unix_us)")
	}
	return int64(v), nil
}
