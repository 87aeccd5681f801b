package tabular

import (
	"slices"
	"strings"
	"testing"
)

// TestComments: lines in front that begin with # are comments, such as those of InfluxDB, but for a
// last one that names the columns, as numpy writes it.
func TestComments(t *testing.T) {
	for _, tt := range []struct {
		name, text, header, note string
		line                     int // of the first row
	}{
		{"two", "# of a logger\n# in UTC\na,b\n1,2\n", "a,b", "2 lines before the header", 4},
		{"one", "# of a logger\na,b\n1,2\n", "a,b", "line 1 begins with #", 3},
		{"one of one column", "# in UTC\na\n1\n", "a", "line 1 begins with #", 3},
		{"numpy", "# a, b\n1, 2\n3, 4\n", "# a,b", "", 2},
		{"numpy, one column", "# a\n1.5\n2.5\n", "# a", "", 2},
		{"numpy below a comment", "# run 7\n# a;b\n-1;2\n3;4\n", "# a;b", "line 1 begins with #", 3},
		{"InfluxDB", "#group,false,true\n#datatype,long,double\n#default,_result,\n,table,_value\n,0,1.5\n,0,2.5\n", ",table,_value", "3 lines before the header", 5},
		{"as many fields", "#datatype,double\nt,v\n1,2\n", "t,v", "line 1 begins with #", 3},
		{"nothing else", "#a,b\n#1,2\n", "#a,b", "", 2},
	} {
		var notes []string
		r, err := Open(strings.NewReader(tt.text), Options{Note: func(s string) { notes = append(notes, s) }})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var names []string
		for _, f := range r.Fields() {
			names = append(names, strings.TrimSpace(f.Name))
		}
		sep := ","
		if strings.Contains(tt.header, ";") {
			sep = ";"
		}
		want := slices.DeleteFunc(strings.Split(tt.header, sep), func(s string) bool { return s == "" }) // a first column without a name is left out
		if !slices.Equal(names, want) {
			t.Errorf("%s: columns %q, want %q", tt.name, names, want)
		}
		if _, err := r.Next(); err != nil || r.Line() != tt.line {
			t.Errorf("%s: first row in line %d, %v, want %d", tt.name, r.Line(), err, tt.line)
		}
		said := slices.DeleteFunc(notes, func(s string) bool { return !strings.Contains(s, "#") })
		if (tt.note == "") != (len(said) == 0) || len(said) > 0 && !strings.HasPrefix(said[0], tt.note) {
			t.Errorf("%s: notes %q, want %q", tt.name, said, tt.note)
		}
	}
}
