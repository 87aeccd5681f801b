package source

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// leastSilence is the shortest pause that is worth a word, and how long an input may take to
	// its first reading.
	leastSilence = 45 * time.Second
	// silentGaps is how many of its usual gaps an input may be silent; longestGaps of its longest.
	silentGaps  = 5
	longestGaps = 2
	nearest     = 3 // topics that are named
)

// learn takes the gap before a new reading into what is usual of the input. Arrivals are
// microseconds of the device's clock.
func (st *InputStatus) learn(at int64) {
	st.silent, st.near = 0, nil
	gap := float64(at - st.LastSeen)
	if st.LastSeen == 0 || gap < 0 || gap > float64(24*hour) { // a clock that was set
		return
	}
	if gap == 0 { // of one message
		return
	}
	if st.gap == 0 {
		st.gap = gap
	}
	st.gap += (gap - st.gap) / 10
	st.longest = max(gap, 0.99*st.longest) // what was long once is so for some hundred readings
}

// patience is how long the input may be silent.
func (st *InputStatus) patience() time.Duration {
	if st.Readings > 0 && st.gap == 0 { // of one reading nobody knows when the next is due
		return max(time.Hour, silentGaps*st.usual)
	}
	if st.Readings == 0 && st.usual > 0 {
		return max(leastSilence, silentGaps*st.usual)
	}
	return max(leastSilence, time.Duration(max(silentGaps*st.gap, longestGaps*st.longest))*time.Microsecond)
}

// Expect tells how often readings of a series came before the agent began.
func (in *Inputs) Expect(series string, usual time.Duration) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if st := in.series[series]; st != nil {
		st.usual = usual
	}
}

// labelSilence is how long no label may come where some have: they come when they come.
const labelSilence = 24 * time.Hour

// Deaf notes that readings may have been sent until now that nobody has heard or taken, as while
// nothing can be stored: no input is silent for it. now is microseconds, as Silent's.
func (in *Inputs) Deaf(now int64) {
	in.mu.Lock()
	in.deaf = now
	in.mu.Unlock()
}

// Silent returns the inputs that are silent since the last call: no reading has come for much
// longer than usual, or none at all. since is when the broker was connected, in microseconds as
// now, or the agent began where there is none; late says that the first reading of a series may
// take any time, as that of a label does. It also tells of inputs that get messages and have given
// nothing for a while.
func (in *Inputs) Silent(now, since int64, late func(series string) bool) (silent []string) {
	var fresh []news
	in.mu.Lock()
	in.now = max(in.now, now)
	for _, st := range in.order {
		fresh = append(fresh, in.worse(st)...)
		if strings.Contains(st.Series, idMark) { // the series whose rows they are is as silent
			continue
		}
		began := max(since, st.LastSeen, st.from, in.deaf)
		pause := time.Duration(now-began) * time.Microsecond
		if st.Readings == 0 && (st.barren.n+st.inVain.n > 0 || late(st.Series)) || st.inVain.told || pause < st.patience() || late(st.Series) && pause < labelSilence {
			continue
		}
		if st.silent == 0 {
			silent = append(silent, st.Series)
		}
		st.silent = began
	}
	in.mu.Unlock()
	for i := range fresh {
		in.tell(&fresh[i].st, fresh[i].kind, fresh[i].what)
	}
	return silent
}

// Near tells of inputs that Silent has returned. topics are those that something comes on.
func (in *Inputs) Near(series, topics []string) {
	var told []InputStatus
	in.mu.Lock()
	for _, name := range series {
		if st := in.series[name]; st != nil && st.silent != 0 {
			if st.Readings == 0 {
				st.near = near(st.Topic, topics)
			}
			told = append(told, *st)
		}
	}
	what := make([]string, len(told))
	for i := range told {
		what[i] = in.isSilent(&told[i])
	}
	in.mu.Unlock()
	for i := range told {
		in.tell(&told[i], "input_silent", what[i])
	}
}

// isSilent says what is wrong with a silent input, "" for nothing.
func (in *Inputs) isSilent(st *InputStatus) string {
	if st.silent == 0 {
		return ""
	}
	since := time.UnixMicro(st.silent).UTC().Format(time.DateTime)
	if st.marks > 0 {
		return fmt.Sprintf("no reading of %s has come on %s since %s UTC, but %s to say that there is no value, as NaN or unavailable does: look after the sensor behind the sender", st.of(), st.Topic, since, many(st.marks, "message"))
	}
	if st.inVain.n > 0 {
		return fmt.Sprintf("no reading of %s has come on %s since %s UTC, but %s that could not be read: %s", st.of(), st.Topic, since, many(st.inVain.n, "value"), st.LastRefused)
	}
	if st.Readings > 0 {
		if st.gap == 0 {
			return fmt.Sprintf("no second reading of %s has come on %s since %s UTC: look after the sensor, its power and its connection", st.of(), st.Topic, since)
		}
		usual := time.Duration(st.gap) * time.Microsecond
		return fmt.Sprintf("no reading of %s has come on %s since %s UTC, where one comes every %v: look after the sensor, its power and its connection", st.of(), st.Topic, since, usual.Round(max(time.Millisecond, usual/100)))
	}
	if !in.Broker {
		return fmt.Sprintf("nothing has come by HTTP on %s for %s since the agent began at %s UTC: start its sender, or correct the input's topic; readings are sent to /v1/ingest/<topic>", st.Topic, st.of(), since)
	}
	when := "the broker was connected"
	if st.silent == st.from {
		when = "its task file was read"
	}
	what := fmt.Sprintf("nothing has come on %s for %s since %s at %s UTC: ", st.Topic, st.of(), when, since)
	if len(st.near) > 0 {
		return what + "correct the input's topic, or start its sender; messages do come on " + strings.Join(st.near, ", ")
	}
	return what + "start its sender, or correct the input's topic (skerry-agent topics lists those that something comes on)"
}

// near returns the topics that are most like a filter.
func near(filter string, topics []string) []string {
	topics = slices.DeleteFunc(slices.Clone(topics), func(t string) bool { return OfAgents(t) || strings.HasPrefix(t, "$") })
	slices.SortStableFunc(topics, func(a, b string) int { return cmp.Compare(unlike(filter, a), unlike(filter, b)) })
	topics = topics[:min(len(topics), nearest)]
	for i, t := range topics {
		topics[i] = clip(t)
	}
	return topics
}

// unlike counts the letters in which two texts differ, those that differ in case by a tenth.
func unlike(a, b string) float64 {
	a, b = a[:min(len(a), 256)], b[:min(len(b), 256)]
	row := make([]float64, len(b)+1)
	for j := range row {
		row[j] = float64(j)
	}
	for i := range len(a) {
		corner := row[0]
		row[0]++
		for j := range len(b) {
			cost := 1.0
			switch {
			case a[i] == b[j]:
				cost = 0
			case a[i]|0x20 == b[j]|0x20:
				cost = 0.1
			}
			corner, row[j+1] = row[j+1], min(corner+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
