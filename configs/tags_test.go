package configs

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"skerry.dev/sync/spec"
)

// TestVariables gives every environment variable to one key: of one program it sets one value, and
// where agent and hub share a variable they mean the same key.
func TestVariables(t *testing.T) {
	shared := map[string]string{}
	for program, files := range map[string][]any{
		"agent": {new(AgentConfig)},
		"hub":   {new(HubConfig), new(MLConfig), new(MonitoringConfig)},
	} {
		own := map[string]string{}
		for _, c := range files {
			for _, l := range leavesOf("", reflect.ValueOf(c).Elem()) {
				for _, e := range l.envs {
					if other, ok := own[e]; ok {
						t.Errorf("%s: %s sets %s and %s", program, e, other, l.key)
					}
					if other, ok := shared[e]; ok && other != l.key {
						t.Errorf("%s sets %s of one program and %s of the other", e, other, l.key)
					}
					own[e] = l.key
				}
			}
		}
		maps.Copy(shared, own)
	}
	if len(shared) < 60 {
		t.Errorf("%d variables, want those of every key", len(shared))
	}
}

// sample has a field for each kind of tag.
type sample struct {
	Every  spec.Duration `yaml:"every" default:"1m" check:"1s..30d"`
	Size   spec.Bytes    `yaml:"size" default:"4MiB" check:"0|1KiB..1GiB"`
	Count  int           `yaml:"count" default:"3" check:"1..1000000"`
	Share  float64       `yaml:"share" default:"0.15" check:"0.001..10"`
	Kind   string        `yaml:"kind" default:"text" check:"text|json|none"`
	List   []string      `yaml:"list" default:"a, b" check:"a|b"`
	On     bool          `yaml:"on" default:"true"`
	Free   string        `yaml:"free"`
	Hidden int           `default:"7"`
	Below  struct {
		Word string `yaml:"word" default:"x" check:"x"`
	} `yaml:"below"`
}

func (*sample) check(report) {}

// TestTags gives values of each kind to tags; the texts are what people meet.
func TestTags(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"every", "1s", ""},
		{"every", "30d", ""},
		{"every", "999ms", "must be 1s to 720h"},
		{"every", "31d", "must be 1s to 720h"},
		{"size", "0", ""},
		{"size", "1KiB", ""},
		{"size", "1023", "must be 1024 to 1073741824 bytes"},
		{"size", "2GiB", "must be 1024 to 1073741824 bytes"},
		{"count", "1", ""},
		{"count", "0", "must be 1 to 1e+06"},
		{"share", "0.001", ""},
		{"share", ".nan", "must be 0.001 to 10"},
		{"kind", "json", ""},
		{"kind", "xml", "must be text, json or none"},
		{"list", "b", ""},
		{"list", "a,c", "each must be a or b"},
		{"list", ",", "name at least one of a, b"},
		{"below.word", "y", "must be x"},
		{"free", "anything", ""},
		{"hidden", "8", "unknown key"},
	} {
		_, _, err := load(withDefaults[sample](), Sources{Flags: map[string]string{tt.key: tt.value}})
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.key)) {
			t.Errorf("%s=%s: %v, want %q", tt.key, tt.value, err, tt.want)
		}
	}
}

// TestFillDefaults completes what a program makes by hand.
func TestFillDefaults(t *testing.T) {
	want := sample{
		Every:  spec.Duration(time.Minute),
		Size:   4 << 20,
		Count:  3,
		Share:  0.15,
		Kind:   "text",
		List:   []string{"a", "b"},
		On:     true,
		Hidden: 7,
	}
	want.Below.Word = "x"
	if got := *withDefaults[sample](); !reflect.DeepEqual(got, want) {
		t.Errorf("withDefaults = %+v, want %+v", got, want)
	}
	part := sample{Count: 9, List: []string{"b"}}
	FillDefaults(&part)
	if part.Count != 9 || !slices.Equal(part.List, []string{"b"}) || part.Every != want.Every || part.Below.Word != "x" {
		t.Errorf("FillDefaults = %+v, want what was set and the other defaults", part)
	}
	if part.On {
		t.Error("FillDefaults turns a boolean on: false may be meant")
	}
}

// TestBadTag is a mistake of the program that no start survives.
func TestBadTag(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.Contains(v.(string), "soon") {
			t.Errorf("a default that cannot be read: %v, want a panic that names it", v)
		}
	}()
	withDefaults[struct {
		Every spec.Duration `yaml:"every" default:"soon"`
	}]()
}
