package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Decoder fills structs from YAML nodes strictly and collects every problem: unknown keys (with a
// suggestion), duplicate keys and values of the wrong type. The configuration package uses it
// too, so that every file people write is read by one rule.
type Decoder struct {
	errs []error
	more int // problems beyond maxProblems
}

// maxProblems is how many problems of a document are told: a file of junk has tens of thousands.
const maxProblems = 50

// NewDecoder returns a decoder without problems.
func NewDecoder() *Decoder { return new(Decoder) }

// Add records a problem.
func (d *Decoder) Add(e *Error) {
	if len(d.errs) == maxProblems {
		d.more++
		return
	}
	d.errs = append(d.errs, e)
}

// forget drops problems behind the first n that are about a value which one of these is about, too:
// what could not be read is not also missing or out of range.
func (d *Decoder) forget(n int) {
	under := func(a, b string) bool { return a == b || strings.HasPrefix(a, b+".") || strings.HasPrefix(a, b+"[") }
	kept := d.errs[:min(n, len(d.errs))]
	for _, err := range d.errs[len(kept):] {
		e, ok := err.(*Error)
		if !ok || !slices.ContainsFunc(d.errs[:n], func(first error) bool {
			f, ok := first.(*Error)
			return ok && (under(e.Path, f.Path) || under(f.Path, e.Path))
		}) {
			kept = append(kept, err)
		}
	}
	d.errs = kept
}

// Err joins the problems recorded, nil when there are none; of very many it counts the later ones.
func (d *Decoder) Err() error {
	if d.more == 0 {
		return errors.Join(d.errs...)
	}
	return errors.Join(append(slices.Clone(d.errs), fmt.Errorf("and %d problems more", d.more))...)
}

// Decode fills the struct that into points to from a mapping node. Keys match the yaml tags.
func (d *Decoder) Decode(n *yaml.Node, into any) { d.mapping("", n, reflect.ValueOf(into).Elem()) }

// Value sets one settable value from a node; path names it in errors.
func (d *Decoder) Value(path string, n *yaml.Node, v reflect.Value) { d.value(path, n, v) }

// Document parses a text that holds one YAML document and returns its top node, nil for nothing but
// comments. A second document is an error: it would be ignored.
func Document(text []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var first yaml.Node
	if err := d.Decode(&first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, syntax(text, err)
	}
	for {
		var more yaml.Node
		if err := d.Decode(&more); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, syntax(text, err)
		}
		if len(more.Content) > 0 && more.Content[0].Tag != "!!null" {
			return nil, fmt.Errorf("line %d: a second document begins before this line (---): put everything into one", more.Content[0].Line)
		}
	}
	if len(first.Content) == 0 {
		return nil, nil
	}
	return first.Content[0], nil
}

// maxLooked is how many bytes are read at most to find the line of an error.
const maxLooked = 1 << 20

// yamlLine is what the parser says of the place of an error: of where it began to be read, and often
// the line before.
var yamlLine = regexp.MustCompile(`^yaml: (line \d+: )?`)

// syntax names the line of what is no YAML, and what helps most often. It is the line behind the
// longest beginning of the text that is YAML.
func syntax(text []byte, err error) error {
	e := &Error{Path: "no YAML", Msg: yamlLine.ReplaceAllString(err.Error(), "")}
	lines := bytes.SplitAfter(text, []byte("\n"))
	rest, looked := len(text), 0
	for n := len(lines); n > 0 && looked < maxLooked; n-- {
		rest -= len(lines[n-1])
		looked += rest
		d := yaml.NewDecoder(bytes.NewReader(text[:rest]))
		var err error
		for err == nil {
			err = d.Decode(new(yaml.Node))
		}
		if !errors.Is(err, io.EOF) {
			continue
		}
		e.Line, e.Value = n, strings.ToValidUTF8(string(bytes.TrimSpace(lines[n-1])), "?")
		if bytes.Contains(lines[n-1], []byte("\t")) {
			e.Msg += "; indent by spaces: YAML takes no tabs"
		} else {
			e.Msg += `; a text that holds any of [ ] { } , # & * : ! | > ' " % @ stands in quotes, such as path: "$.rows[*].t"`
		}
		return e
	}
	return err
}

func (d *Decoder) mapping(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.Add(&Error{Path: path, Line: n.Line, Value: n.Value, Msg: "must be a mapping (key: value)"})
		return
	}
	fields := map[string]reflect.Value{}
	var known []string
	for i := range v.NumField() {
		key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if key != "" && key != "-" {
			fields[key] = v.Field(i)
			known = append(known, key)
		}
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, val := n.Content[i], n.Content[i+1]
		at := k.Value
		if path != "" {
			at = path + "." + k.Value
		}
		if line, dup := seen[k.Value]; dup {
			d.Add(&Error{
				Path: at,
				Line: k.Line,
				Msg:  fmt.Sprintf("duplicate key, first on line %d: remove one", line),
			})
			continue
		}
		seen[k.Value] = k.Line
		f, ok := fields[k.Value]
		if !ok {
			if len(d.errs) == maxProblems { // of very many, none is worth a suggestion
				d.more++
				continue
			}
			d.Add(&Error{Path: at, Line: k.Line, Msg: "unknown key" + Suggest(k.Value, known)})
			continue
		}
		d.value(at, val, f)
	}
}

var unmarshaler = reflect.TypeFor[yaml.Unmarshaler]()

func (d *Decoder) value(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if reflect.PointerTo(v.Type()).Implements(unmarshaler) {
		if err := v.Addr().Interface().(yaml.Unmarshaler).UnmarshalYAML(n); err != nil {
			d.Add(&Error{Path: path, Line: n.Line, Msg: err.Error()})
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(path, n, v)
	case reflect.Pointer:
		if n.Tag == "!!null" {
			return
		}
		p := reflect.New(v.Type().Elem())
		d.value(path, n, p.Elem())
		v.Set(p)
	case reflect.Slice, reflect.Array:
		if n.Kind != yaml.SequenceNode {
			d.Add(&Error{Path: path, Line: n.Line, Value: n.Value, Msg: "must be a list"})
			return
		}
		if v.Kind() == reflect.Array && len(n.Content) != v.Len() {
			d.Add(&Error{
				Path: path,
				Line: n.Line,
				Msg:  fmt.Sprintf("must have %d elements, has %d", v.Len(), len(n.Content)),
			})
			return
		}
		if v.Kind() == reflect.Slice {
			v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		}
		for i, c := range n.Content {
			d.value(fmt.Sprintf("%s[%d]", path, i), c, v.Index(i))
		}
	case reflect.Map:
		if n.Kind != yaml.MappingNode {
			d.Add(&Error{Path: path, Line: n.Line, Value: n.Value, Msg: "must be a mapping (key: value)"})
			return
		}
		v.Set(reflect.MakeMap(v.Type()))
		for i := 0; i+1 < len(n.Content); i += 2 {
			e := reflect.New(v.Type().Elem()).Elem()
			d.value(path+"."+n.Content[i].Value, n.Content[i+1], e)
			v.SetMapIndex(reflect.ValueOf(n.Content[i].Value).Convert(v.Type().Key()), e)
		}
	default:
		if n.Kind != yaml.ScalarNode {
			d.Add(&Error{Path: path, Line: n.Line, Msg: "must be a single value, not a list or mapping"})
			return
		}
		if v.CanInt() || v.CanUint() || v.CanFloat() {
			n = Decimal(n)
		}
		if err := n.Decode(v.Addr().Interface()); err != nil || v.CanInt() && !isWhole(n) {
			d.Add(&Error{Path: path, Line: n.Line, Value: n.Value, Msg: "must be " + kindName(v.Kind())})
		}
	}
}

// leadingZeros is a number that YAML 1.1 reads as octal, or refuses for its eights and nines.
var leadingZeros = regexp.MustCompile(`^([-+]?)0[0-9_]*[1-9_][0-9_]*$`)

// Decimal returns a number as people mean it: 010 is ten. Octal numbers are written 0o10.
func Decimal(n *yaml.Node) *yaml.Node {
	m := leadingZeros.FindStringSubmatch(n.Value)
	if n.Kind != yaml.ScalarNode || n.Style != 0 || m == nil {
		return n
	}
	ten := *n
	ten.Value = m[1] + strings.TrimLeft(n.Value[len(m[1]):], "0_")
	ten.Tag = ""
	return &ten
}

// isWhole reports whether a number that is decoded into an integer is one: the YAML package cuts a
// fraction off.
func isWhole(n *yaml.Node) bool {
	if n.ShortTag() != "!!float" {
		return true
	}
	var f float64
	return n.Decode(&f) == nil && f == math.Trunc(f) && !math.IsInf(f, 0)
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "text"
	default:
		return "a whole number"
	}
}

// Suggest ends a message about an unknown key: with the known one that is spelled most like it,
// else with all of them.
func Suggest(key string, known []string) string {
	best, dist := "", len(key)/2+1
	for _, k := range known {
		if len(key) > 2*len(k) { // more than half of it would have to go
			continue
		}
		if n := editDistance(key, k); n < dist {
			best, dist = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf(": did you mean %q?", best)
	}
	sort.Strings(known)
	return ": known keys are " + strings.Join(known, ", ")
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// nodeAt returns the node of a dotted path of keys, nil where it is not there.
func nodeAt(n *yaml.Node, path string) *yaml.Node {
	for key := range strings.SplitSeq(path, ".") {
		var child *yaml.Node
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				child = n.Content[i+1]
			}
		}
		if child == nil {
			return nil
		}
		n = child
	}
	return n
}

// lineOf finds the line of a dotted path such as "inputs[2].range", or of its nearest parent.
func lineOf(n *yaml.Node, path string) int {
	line := n.Line
	for part := range strings.SplitSeq(path, ".") {
		key, rest, _ := strings.Cut(part, "[")
		var child *yaml.Node
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				child, line = n.Content[i+1], n.Content[i].Line
			}
		}
		if child == nil {
			return line
		}
		n = child
		if idx, err := strconv.Atoi(strings.TrimSuffix(rest, "]")); err == nil && n.Kind == yaml.SequenceNode && idx < len(n.Content) {
			n = n.Content[idx]
			line = n.Line
		}
	}
	return line
}
