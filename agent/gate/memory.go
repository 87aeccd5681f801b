package gate

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// What a gate knows of accepted readings: the newest of a series in memory, all before them in
// pages that lie in a store. A page holds the readings from its own start up to the start of the
// next, so that one look-up tells whether a reading was there before, however old it is. The first
// page of a series starts at the beginning of time; once it was dropped for room, what is older
// than the rest is not known any more.
const (
	newestMax  = 96 // readings of a series in memory at most
	newestPage = 64 // of them go into a page together
	pageMax    = 256
	// different values of one series and one time that are known: a sender that gives ever new
	// ones must not make pages large
	sameTimeMax = 16
	dropEvery   = 16 // pages made between two looks at how many there are, at most
	// DefaultPages are the pages kept of a series where New is not told: some 100,000 readings.
	DefaultPages = 2000
)

// Past finds stored pages. It is called by the goroutine of the gate alone.
type Past interface {
	// Page returns the stored page of the series with the greatest start at or before t; nil when
	// there is none.
	Page(series uint32, t int64) (start int64, data []byte, err error)
	// Starts returns the starts of the series' stored pages in order.
	Starts(series uint32) ([]int64, error)
}

// Page is what has to be stored of a page. Without Data the page is to be deleted.
type Page struct {
	Series uint32
	Start  int64
	Data   []byte
}

// entry is a reading as far as it can be repeated.
type entry struct {
	time  int64
	value uint64 // its bits
}

func compareTimes(a, b entry) int { return cmp.Compare(a.time, b.time) }

// page is one that is not stored as it is now.
type page struct {
	entries []entry // in order of time; none when the page is to be deleted
	// the generation it was handed out with to be stored; 0 while it was not
	given uint64
}

// unsaved are the pages of a series that are not stored yet, in order of their starts.
type unsaved struct {
	starts []int64
	pages  []*page
}

// at returns the page with the greatest start at or before t.
func (u *unsaved) at(t int64) (start int64, p *page) {
	i, ok := slices.BinarySearch(u.starts, t)
	if !ok {
		i--
	}
	if i < 0 {
		return 0, nil
	}
	return u.starts[i], u.pages[i]
}

func (u *unsaved) put(start int64, entries []entry) {
	i, ok := slices.BinarySearch(u.starts, start)
	if !ok {
		u.starts = slices.Insert(u.starts, i, start)
		u.pages = slices.Insert(u.pages, i, &page{})
	}
	u.pages[i].entries, u.pages[i].given = entries, 0
}

// insert adds an entry in order of time. known reports that it was there, or that so many of its
// time are that it is not kept.
func insert(entries []entry, e entry) (_ []entry, known bool) {
	i, _ := slices.BinarySearchFunc(entries, e, compareTimes)
	for k := i; k < len(entries) && entries[k].time == e.time; k++ {
		if entries[k] == e || k-i+1 >= sameTimeMax {
			return entries, true
		}
	}
	return slices.Insert(entries, i, e), false
}

// find looks for readings of the time of e among entries.
func find(entries []entry, e entry) (same, other bool) {
	i, _ := slices.BinarySearchFunc(entries, e, compareTimes)
	for ; i < len(entries) && entries[i].time == e.time; i++ {
		if entries[i] == e {
			return true, false
		}
		other = true
	}
	return false, other
}

// remember keeps an accepted reading.
func (g *Gate) remember(series uint32, s *seen, e entry) {
	if x := g.ids[series]; x != nil {
		x.put(e.value, e.time)
	}
	if e.time <= s.floor {
		g.rememberOld(series, s, e)
		return
	}
	s.newestEntries, _ = insert(s.newestEntries, e)
	if len(s.newestEntries) <= newestMax {
		return
	}
	n := newestPage
	for n < len(s.newestEntries) && s.newestEntries[n].time == s.newestEntries[n-1].time {
		n++ // one time lies in one page
	}
	old := s.newestEntries[:n]
	start := old[0].time
	if s.floor == math.MinInt64 {
		start = math.MinInt64
	}
	s.floor = old[n-1].time
	s.unsaved.put(start, slices.Clone(old))
	s.newestEntries = append(s.newestEntries[:0], s.newestEntries[n:]...)
	g.drop(series, s)
}

// rememberOld keeps a reading that is older than those in memory, in its page. Older than every
// page it is not kept.
func (g *Gate) rememberOld(series uint32, s *seen, e entry) {
	start, entries, ok := g.page(series, s, e.time)
	if !ok {
		return
	}
	entries, known := insert(entries, e)
	if known {
		return
	}
	if len(entries) > pageMax {
		n := len(entries) / 2
		for n < len(entries) && entries[n].time == entries[n-1].time {
			n++
		}
		if n < len(entries) {
			s.unsaved.put(entries[n].time, slices.Clone(entries[n:]))
			entries = slices.Clip(entries[:n])
			defer g.drop(series, s)
		}
	}
	s.unsaved.put(start, entries)
}

// page returns the readings of the page that t falls in; ok is false where none is known.
func (g *Gate) page(series uint32, s *seen, t int64) (start int64, entries []entry, ok bool) {
	mine, p := s.unsaved.at(t)
	if p != nil && mine == t { // a stored one cannot be nearer
		return mine, p.entries, len(p.entries) > 0
	}
	if g.past != nil {
		start, data, err := g.past.Page(series, t)
		switch {
		case err != nil:
			g.fail(err)
		case data != nil && (p == nil || start > mine):
			entries, err := decodePage(data)
			if err != nil {
				g.fail(err)
				return 0, nil, false
			}
			return start, entries, true
		}
	}
	if p == nil {
		return 0, nil, false
	}
	return mine, p.entries, len(p.entries) > 0
}

// Keep sets how many pages are kept of a series from now on, at least 4.
func (g *Gate) Keep(pages int) { g.pages = max(pages, 4) }

// drop deletes the oldest pages of a series that has too many, now and then.
func (g *Gate) drop(series uint32, s *seen) {
	if s.made++; s.made < min(dropEvery, max(g.pages/4, 1)) {
		return
	}
	s.made = 0
	all := g.starts(series, s)
	for i := 0; i < len(all)-g.pages; i++ {
		s.unsaved.put(all[i], nil)
	}
}

// starts returns the starts of a series' pages in order, none where they cannot be read.
func (g *Gate) starts(series uint32, s *seen) []int64 {
	var all []int64
	if g.past != nil {
		stored, err := g.past.Starts(series)
		if err != nil {
			g.fail(err)
			return nil
		}
		all = stored
	}
	all = append(slices.Clone(all), s.unsaved.starts...)
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(start int64) bool {
		i, ok := slices.BinarySearch(s.unsaved.starts, start)
		return ok && len(s.unsaved.pages[i].entries) == 0
	})
}

// fail keeps the first problem of the store for TakePages. A reading whose page cannot be read is
// taken for new: the hub drops what it has twice.
func (g *Gate) fail(err error) {
	if g.failed == nil {
		g.failed = err
	}
}

// TakePages returns the pages that changed since the last call, to be stored with what the gate
// has admitted; generation names them. stored is the newest generation that was stored: its pages
// are read from the store from now on. The error is a problem of reading pages since the last call.
func (g *Gate) TakePages(stored uint64) (pages []Page, generation uint64, err error) {
	g.generation++
	for series, s := range g.series {
		kept := 0
		for i, p := range s.unsaved.pages {
			if p.given != 0 && p.given <= stored {
				continue
			}
			if p.given == 0 {
				p.given = g.generation
				pages = append(pages, Page{series, s.unsaved.starts[i], encodePage(p.entries)})
			}
			s.unsaved.pages[kept], s.unsaved.starts[kept] = p, s.unsaved.starts[i]
			kept++
		}
		clear(s.unsaved.pages[kept:])
		s.unsaved.pages, s.unsaved.starts = s.unsaved.pages[:kept], s.unsaved.starts[:kept]
	}
	slices.SortFunc(pages, func(a, b Page) int {
		return cmp.Or(cmp.Compare(a.Series, b.Series), cmp.Compare(a.Start, b.Start))
	})
	err, g.failed = g.failed, nil
	return pages, g.generation, err
}

// encodePage writes entries as the number of them, then the change of each time's change and the
// value's bits. None gives nil.
func encodePage(entries []entry) []byte {
	if len(entries) == 0 {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(len(entries)))
	var last, step int64
	for _, e := range entries {
		b = binary.AppendVarint(b, e.time-last-step)
		last, step = e.time, e.time-last
		b = binary.LittleEndian.AppendUint64(b, e.value)
	}
	return b
}

func decodePage(b []byte) ([]entry, error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)/9) {
		return nil, errPage
	}
	b = b[k:]
	entries := make([]entry, 0, n+1)
	var last, step int64
	for range n {
		v, k := binary.Varint(b)
		if k <= 0 || len(b) < k+8 {
			return nil, errPage
		}
		t := last + step + v
		last, step = t, t-last
		entries = append(entries, entry{t, binary.LittleEndian.Uint64(b[k:])})
		b = b[k+8:]
	}
	if len(b) != 0 || !slices.IsSortedFunc(entries, compareTimes) {
		return nil, errPage
	}
	return entries, nil
}
