package wire

import (
	"encoding/hex"
	"fmt"
)

// Class is the kind of a record and its priority: a smaller class is more important. It never
// changes meaning.
type Class uint8

// The classes in order of priority. A record is never dropped while one of a larger class remains.
const (
	ClassAlarm Class = iota + 1
	ClassEvent
	ClassLabel
	ClassReading
	ClassPrediction
	ClassHost
)

// Classes lists every class, most important first.
var Classes = [...]Class{ClassAlarm, ClassEvent, ClassLabel, ClassReading, ClassPrediction, ClassHost}

var classNames = [...]string{"", "alarm", "event", "label", "reading", "prediction", "host"}

// String returns the class's name as it appears in files, metrics and messages.
func (c Class) String() string {
	if c.Valid() {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// Valid reports whether c is one of the known classes.
func (c Class) Valid() bool { return c >= ClassAlarm && c <= ClassHost }

// ParseClass is the inverse of String.
func ParseClass(s string) (Class, error) {
	for _, c := range Classes {
		if classNames[c] == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("class %q: must be one of %v", s, classNames[1:])
}

// MarshalText writes the class's name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the class's name.
func (c *Class) UnmarshalText(b []byte) (err error) { *c, err = ParseClass(string(b)); return err }

// Run identifies one start of the agent process: 128 random bits, stored before the first hello.
type Run [16]byte

// String returns the run as 32 lower-case hexadecimal digits.
func (r Run) String() string { return hex.EncodeToString(r[:]) }

// MarshalText writes the hexadecimal form.
func (r Run) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the hexadecimal form.
func (r *Run) UnmarshalText(b []byte) error {
	p, err := ParseRun(string(b))
	if err == nil {
		*r = p
	}
	return err
}

// ParseRun reads the hexadecimal form of a run.
func ParseRun(s string) (r Run, err error) {
	if len(s) != 2*len(r) {
		return r, fmt.Errorf("run %q: must be %d hexadecimal digits", s, 2*len(r))
	}
	if _, err := hex.Decode(r[:], []byte(s)); err != nil {
		return r, fmt.Errorf("run %q: %w", s, err)
	}
	return r, nil
}

// Flags describe a reading beyond its value.
type Flags uint32

const (
	// FlagFirst marks the first reading of a message: readings up to the next one so marked were
	// offered to the engine together, so that a replay sees the same batches.
	FlagFirst Flags = 1 << iota
	// FlagLate marks a reading behind the watermark; it was stored and did not change any row.
	FlagLate
	// FlagFuture marks a reading further ahead of the clock than max_future; it did not move the
	// watermark.
	FlagFuture
	// FlagRange marks a value outside the declared range; the engine saw it as missing.
	FlagRange
	// FlagConflict marks a reading that repeats a (series, event time) with another value.
	FlagConflict
	// FlagArrival marks an event time that is the time of arrival because the payload had none.
	FlagArrival
	// FlagDup marks a message the broker delivered with MQTT's DUP flag.
	FlagDup
	// FlagNoClock marks an event or arrival time taken while the device's clock was not trusted.
	FlagNoClock
	// FlagNotFinite marks a NaN or infinite value; the engine saw it as missing.
	FlagNotFinite
	// FlagStuck marks a value that has not changed for far longer than the series ever stood
	// still before.
	FlagStuck
	// FlagSpike marks a value much farther from those before it than any was.
	FlagSpike
)

// Masks of flags that decide what an engine sees of a reading.
const (
	// Blocked are the flags of readings that are stored and shown to no engine.
	Blocked = FlagFuture | FlagConflict
	// Missing are the flags of readings that engines see as missing.
	Missing = FlagRange | FlagNotFinite
)

// Reading is one value of one series at one event time (microseconds since the Unix epoch, UTC).
// Mono is when its message arrived, nanoseconds since the base that the run's newest clock mark
// before it names (spec.Mark); without one, since the run started, at acceptance.
type Reading struct {
	Series string
	Time   int64
	Value  float64
	Mono   int64
	Flags  Flags
}

// Label is a matured prediction: what was predicted for Row, and what turned out to be true at At
// (both microseconds of event time). Champion and Candidate are the raw models' predictions of
// the target (NaN where there was none).
type Label struct {
	Task                   string
	Row, At                int64
	Truth                  float64
	Predicted              float64
	Lower, Upper           float64
	Persistence            float64
	Champion, Candidate    float64
	ChampionID, ShadowID   string // artifact digests, "" where there was none
	BaselineLo, BaselineHi float64

	// The rest is of a task of more than two classes, where the numbers above are those of classes
	// and NaN as bounds. Of two classes they are the probability of the second.
	Classes  int     // how many; else 0
	Chance   float64 // probability that what was published gave the truth
	ChanceOf Chances
	SetSize  int  // classes that were published as possible
	Covered  bool // the truth was among them
}

// Chances are the probabilities that others than what was published gave the truth, NaN where there
// was none.
type Chances struct{ Champion, Candidate, Baseline float64 }

// Prediction is what the task predicted at row time Row about instant For. Model is the champion's
// digest or "" while the task runs on its baselines.
type Prediction struct {
	Task         string
	Row, For     int64
	Value        float64
	Lower, Upper float64
	Model        string

	// Of a task of more than two classes, whose Value is the number of the most probable: the
	// probability of each, and whether the truth may be that one.
	Chances []float32
	Set     []bool
}

// Event is something that happened: drift, model changes, damage, trouble. Detail is a JSON object.
// It serves the alarm class as well.
type Event struct {
	Time   int64
	Kind   string
	Task   string
	Detail string
}

// Host is one sample of host telemetry, for example ("cpu_percent", 12.5).
type Host struct {
	Time   int64
	Metric string
	Value  float64
}

// Records is the content of one chunk: exactly the slice that belongs to the chunk's class is
// non-empty.
type Records struct {
	Readings    []Reading
	Labels      []Label
	Predictions []Prediction
	Events      []Event
	Hosts       []Host
}

// Len returns the number of records of the class.
func (r *Records) Len(c Class) int {
	switch c {
	case ClassReading:
		return len(r.Readings)
	case ClassLabel:
		return len(r.Labels)
	case ClassPrediction:
		return len(r.Predictions)
	case ClassHost:
		return len(r.Hosts)
	default:
		return len(r.Events)
	}
}

// fixedBytes is about what one record of any class holds beside its texts.
const fixedBytes = 128

// Size returns about how many bytes of memory the records hold: a fixed part of each, and every text
// as often as it is used.
func (r *Records) Size() int {
	n := fixedBytes * (len(r.Readings) + len(r.Labels) + len(r.Predictions) + len(r.Events) + len(r.Hosts))
	for i := range r.Readings {
		n += len(r.Readings[i].Series)
	}
	for i := range r.Labels {
		l := &r.Labels[i]
		n += len(l.Task) + len(l.ChampionID) + len(l.ShadowID)
	}
	for i := range r.Predictions {
		n += len(r.Predictions[i].Task) + len(r.Predictions[i].Model) + 5*len(r.Predictions[i].Chances)
	}
	for i := range r.Events {
		e := &r.Events[i]
		n += len(e.Kind) + len(e.Task) + len(e.Detail)
	}
	for i := range r.Hosts {
		n += len(r.Hosts[i].Metric)
	}
	return n
}

// MaxClasses is the most classes of a prediction.
const MaxClasses = 256

// Split parts the records of a class from those of more than two classes, which programs before
// them cannot read.
func (r *Records) Split(c Class) (plain, many Records) {
	plain = *r
	switch c {
	case ClassLabel:
		plain.Labels, many.Labels = parted(r.Labels, func(l *Label) bool { return l.Classes > 0 })
	case ClassPrediction:
		plain.Predictions, many.Predictions = parted(r.Predictions, func(p *Prediction) bool { return len(p.Chances) > 0 })
	}
	return plain, many
}

func parted[T any](all []T, many func(*T) bool) (a, b []T) {
	n := 0
	for i := range all {
		if many(&all[i]) {
			n++
		}
	}
	if n == 0 {
		return all, nil
	}
	for i := range all {
		if many(&all[i]) {
			b = append(b, all[i])
		} else {
			a = append(a, all[i])
		}
	}
	return a, b
}

// version is the format of a chunk of these records of a class.
func (r *Records) version(c Class) byte {
	if _, many := r.Split(c); many.Len(c) > 0 {
		return classesVersion
	}
	return formatVersion
}
