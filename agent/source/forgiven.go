package source

import "math/bits"

// Forgiven is a set of what a reading was read in spite of. It costs no reading; it is counted for
// each input, so that the owner of a sender sees what it does.
type Forgiven uint32

// What is forgiven, of the value itself first, then of the document it stands in.
const (
	ForgivenQuotes    Forgiven = 1 << iota // a number in quotes
	ForgivenForm                           // +5, 05, .5, 5. or −5
	ForgivenUnit                           // a unit behind the number
	ForgivenComma                          // a decimal comma that can be nothing else
	ForgivenGroups                         // thousands in groups
	ForgivenWord                           // on, off, open and the like as 1 and 0
	ForgivenMark                           // unavailable, n/a and the like as a missing value
	ForgivenCase                           // a category in other letters or with spaces
	ForgivenTime                           // a time not quite as RFC 3339
	ForgivenTwice                          // a local time that the end of daylight saving repeats
	ForgivenGap                            // a local time that the begin of daylight saving leaves out
	ForgivenNUL                            // NULs behind the payload
	ForgivenEncoding                       // a byte order mark, UTF-16, or ISO 8859-1
	ForgivenEscape                         // control characters and unknown escapes in text
	ForgivenSyntax                         // missing quotes and commas, words that are no JSON
	ForgivenNotFinite                      // NaN or infinity beside the value
	ForgivenDuplicate                      // a key twice with the same value
	ForgivenDepth                          // something nested too deeply beside the value
	ForgivenNested                         // JSON inside a string
	ForgivenTrailing                       // rubbish behind the document
	ForgivenShared                         // a row's time that another row, with another id, has
)

var forgivenNames = [...]string{
	"quoted_number", "number_form", "unit", "decimal_comma", "digit_groups", "word", "missing_word", "category_case",
	"time_form", "repeated_local_time", "skipped_local_time", "trailing_nul", "encoding", "escape", "syntax", "not_finite",
	"duplicate_key", "depth", "json_in_string", "trailing_text", "shared_time",
}

// Names lists what is in the set, as metrics and status name it.
func (f Forgiven) Names() []string {
	var names []string
	for ; f != 0; f &= f - 1 {
		names = append(names, forgivenNames[bits.TrailingZeros32(uint32(f))])
	}
	return names
}
