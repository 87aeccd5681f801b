package configs

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"skerry.dev/sync/spec"
)

// maxFileBytes bounds a configuration file.
const maxFileBytes = 1 << 20

// Sources defines where the values of a configuration come from.
type Sources struct {
	File    string            // path of the YAML file, "" for none
	Environ []string          // "NAME=value", os.Environ() in a program
	Flags   map[string]string // dotted key to value
}

// Setting is one effective value and where it came from.
type Setting struct {
	Key    string // dotted path
	Value  string // as it would be written in the file; masked when it is a secret
	Origin string // "default", "agent.yaml:12", "env SKERRY_MQTT_BROKER", "flag"
	Env    string // the environment variable that sets it
	// Retired describes why the key has no effect any more, "" for all others. Only a retired key
	// that is set is listed.
	Retired string
	// Instead describes what happens instead of what the value asks for, "" where it has its effect.
	Instead string
}

// LogIneffective logs by name, one line each, what is set and has no effect.
func LogIneffective(log *slog.Logger, settings []Setting) {
	for _, s := range settings {
		switch {
		case s.Retired != "":
			log.Warn("a setting has no effect any more", "key", s.Key, "from", s.Origin, "why", s.Retired)
		case s.Instead != "":
			log.Warn("a setting does not have the effect that it asks for", "key", s.Key, "from", s.Origin, "instead", s.Instead)
		}
	}
}

// config is a whole configuration. A key is declared once, as a field of its struct:
//
//	Every spec.Duration `yaml:"every" env:"SHORT_NAME" default:"1m" check:"1s..24h" secret:"true"`
//
// Its path gives its variable SKERRY_…; env names further ones. A field without a yaml tag is no
// key: programs and tests may set it, the default is its tag's. A section of a file may carry the
// path it had in earlier releases (was:"old.path"), which is then read as well. A key with the tag
// unbuilt is read and checked, and has no effect yet: the tag holds what happens instead of
// whatever differs from the default. check reports what no tag can express.
type config interface{ check(report) }

// report adds a problem of the value at a dotted path.
type report func(path, msg string)

// Agent loads agent.yaml. The settings explain every key, in the order of the file.
func Agent(src Sources) (*AgentConfig, []Setting, error) {
	return load(withDefaults[AgentConfig](), src)
}

// Hub loads hub.yaml.
func Hub(src Sources) (*HubConfig, []Setting, error) {
	c, settings, err := load(withDefaults[HubConfig](), src)
	if err == nil && isPlaceholder(c.Auth.JWTSecret) {
		c.Auth.JWTSecret = ""
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == "auth.jwt_secret" })
		settings[i].Instead = "it is a placeholder that everybody can read: logins are signed by a secret of the hub's own, in data_dir/keys"
	}
	return c, settings, err
}

// ML loads ml_config.yml.
func ML(src Sources) (*MLConfig, []Setting, error) { return load(withDefaults[MLConfig](), src) }

// Monitoring loads monitoring_config.yml.
func Monitoring(src Sources) (*MonitoringConfig, []Setting, error) {
	return load(withDefaults[MonitoringConfig](), src)
}

func load[T config](cfg T, src Sources) (T, []Setting, error) {
	var none T
	leaves := leavesOf("", reflect.ValueOf(cfg).Elem())
	origin := map[string]string{}
	lines := map[string]int{}
	var errs []error
	if src.File != "" {
		errs = append(errs, fromFile(cfg, src.File, origin, lines))
	}
	errs = append(errs, fromEnviron(cfg, leaves, src.Environ, origin))
	errs = append(errs, fromFlags(cfg, leaves, src.Flags, origin))
	byKey := map[string]leaf{}
	for _, l := range leaves {
		byKey[l.key] = l
	}
	unread := map[string]bool{}
	pathsOf(errors.Join(errs...), unread)
	bad := func(path, msg string) {
		if unread[path] {
			return
		}
		key, _, _ := strings.Cut(path, "[") // an element has the line of its list
		e := &spec.Error{Path: path, Line: lines[key], Msg: msg}
		if l := byKey[path]; l.value.IsValid() {
			e.Value = l.text()
		}
		where := src.File
		if o := origin[key]; o != "" && e.Line == 0 {
			where = o
		}
		if where == "" {
			errs = append(errs, e)
			return
		}
		errs = append(errs, fmt.Errorf("%s: %w", where, e))
	}
	// What could not be read is reported as that; the other values are judged all the same.
	for _, l := range leaves {
		checkTag(l, bad)
	}
	cfg.check(bad)
	if err := errors.Join(errs...); err != nil {
		return none, nil, fmt.Errorf("load configuration: %w", err)
	}
	settings := make([]Setting, 0, len(leaves))
	for _, l := range leaves {
		s := Setting{Key: l.key, Value: l.text(), Origin: origin[l.key], Env: l.envs[0], Retired: l.retired}
		if l.unbuilt != "" && !l.isDefault() {
			s.Instead = l.unbuilt
		}
		switch {
		case s.Origin == "" && s.Retired != "":
			continue
		case s.Origin == "":
			s.Origin = "default"
		}
		settings = append(settings, s)
	}
	return cfg, settings, nil
}

func fromFile(cfg any, path string, origin map[string]string, lines map[string]int) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if len(text) > maxFileBytes {
		return fmt.Errorf("read %s: larger than %d bytes", path, maxFileBytes)
	}
	root, err := spec.Document(text)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if root == nil {
		return nil // nothing but comments
	}
	if err := moveSections(root, reflect.TypeOf(cfg).Elem()); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	d := spec.NewDecoder()
	d.Decode(root, cfg)
	note("", root, func(key string, line int) {
		origin[key] = fmt.Sprintf("%s:%d", path, line)
		lines[key] = line
	})
	if err := d.Err(); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// moveSections brings the sections of an earlier release to where they are now, so that the rest of
// the loader knows one place for each key.
func moveSections(root *yaml.Node, t reflect.Type) error {
	for i := range t.NumField() {
		f := t.Field(i)
		was := f.Tag.Get("was")
		if was == "" {
			continue
		}
		parent, key := root, was
		for at, rest, nested := strings.Cut(was, "."); nested && parent != nil; at, rest, nested = strings.Cut(rest, ".") {
			_, parent = child(parent, at)
			key = rest
		}
		if parent == nil {
			continue
		}
		old, value := child(parent, key)
		if value == nil {
			continue
		}
		name := f.Tag.Get("yaml")
		if now, _ := child(root, name); now != nil {
			return &spec.Error{Path: was, Line: old.Line, Msg: fmt.Sprintf("is the same as %s on line %d: keep that one", name, now.Line)}
		}
		drop := slices.Index(parent.Content, old)
		parent.Content = slices.Delete(parent.Content, drop, drop+2)
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name, Line: old.Line}, value)
	}
	return nil
}

// child returns the key of a mapping and its value, nil where it has none.
func child(n *yaml.Node, key string) (name, value *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// note calls f for every key of a mapping, with its dotted path and line.
func note(path string, n *yaml.Node, f func(key string, line int)) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		key := join(path, n.Content[i].Value)
		f(key, n.Content[i].Line)
		note(key, n.Content[i+1], f)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func fromEnviron(cfg any, leaves []leaf, environ []string, origin map[string]string) error {
	var errs []error
	mine := map[string]string{}
	for _, l := range leaves {
		for _, e := range l.envs {
			mine[e] = l.key
		}
	}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		key, ok := mine[name]
		switch {
		case ok && value == "":
			// An empty variable is how a shell or a compose file expresses "not set".
		case ok:
			if err := set(cfg, leaves, key, value); err != nil {
				errs = append(errs, fmt.Errorf("environment %s: %w", name, err))
			}
			origin[key] = "env " + name
		case (strings.HasPrefix(name, "SKERRY_") || strings.HasPrefix(name, "ML_")) && !knownEnv(name):
			errs = append(errs, fmt.Errorf("environment %s: no key has this variable%s", name, nearest(name, allEnvs())))
		}
	}
	return errors.Join(errs...)
}

func fromFlags(cfg any, leaves []leaf, flags map[string]string, origin map[string]string) error {
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(flags)) {
		if err := set(cfg, leaves, k, flags[k]); err != nil {
			errs = append(errs, fmt.Errorf("flag: %w", err))
		}
		origin[k] = "flag"
	}
	return errors.Join(errs...)
}

// set reads a value for one key by the same rules as the file. Lists are separated by commas.
func set(cfg any, leaves []leaf, key, value string) error {
	var at *leaf
	names := make([]string, len(leaves))
	for i := range leaves {
		names[i] = leaves[i].key
		if leaves[i].key == key {
			at = &leaves[i]
		}
	}
	if at == nil {
		return &spec.Error{Path: key, Msg: "unknown key" + nearest(key, names)}
	}
	n := scalar(at.value.Kind(), value)
	if n.ShortTag() == "!!null" {
		// a file may leave a key empty and means its default; whoever names a key here means a value
		return &spec.Error{Path: key, Value: value, Msg: "needs a value: leave it away for the default"}
	}
	parts := strings.Split(key, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		n = mapping(parts[i], n)
	}
	d := spec.NewDecoder()
	d.Decode(n, cfg)
	return d.Err()
}

// leaf is one key of a configuration.
type leaf struct {
	key    string
	envs   []string // the first is SKERRY_…
	secret bool
	check  string
	// why it has no effect any more: configurations of earlier releases are read all the same
	retired string
	// what happens instead of what it asks for beyond its default
	unbuilt string
	field   reflect.StructField
	value   reflect.Value
}

// isDefault reports whether the value is that of the tag.
func (l leaf) isDefault() bool {
	want := reflect.New(l.value.Type()).Elem()
	if text, ok := l.field.Tag.Lookup("default"); ok {
		parse(l.field, text, want)
	}
	if l.value.Kind() == reflect.Slice && l.value.Len() == 0 && want.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(l.value.Interface(), want.Interface())
}

func leavesOf(path string, v reflect.Value) []leaf {
	var out []leaf
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		key := join(path, name)
		if f.Type.Kind() == reflect.Struct {
			below := leavesOf(key, v.Field(i))
			if was := f.Tag.Get("was"); was != "" {
				for j := range below {
					below[j].envs = append(below[j].envs, variable(was+strings.TrimPrefix(below[j].key, key)))
				}
			}
			out = append(out, below...)
			continue
		}
		l := leaf{
			key:    key,
			envs:   []string{variable(key)},
			secret: f.Tag.Get("secret") == "true",
			check:  f.Tag.Get("check"),

			retired: f.Tag.Get("retired"),
			unbuilt: f.Tag.Get("unbuilt"),
			field:   f,
			value:   v.Field(i),
		}
		if e := f.Tag.Get("env"); e != "" {
			l.envs = append(l.envs, strings.Split(e, ",")...)
		}
		out = append(out, l)
	}
	return out
}

// variable is the environment variable of a key.
func variable(key string) string {
	return "SKERRY_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// text writes a value as the file would, with secrets and passwords in URLs masked.
func (l leaf) text() string {
	if l.secret {
		if l.value.IsZero() {
			return ""
		}
		return "********"
	}
	switch v := l.value.Interface().(type) {
	case spec.Duration:
		return shortDuration(v.Std())
	case spec.Bytes:
		return strconv.FormatInt(int64(v), 10)
	case []string:
		masked := make([]string, len(v))
		for i, s := range v {
			masked[i] = Redacted(s)
		}
		return "[" + strings.Join(masked, ", ") + "]"
	case []spec.Duration:
		parts := make([]string, len(v))
		for i, d := range v {
			parts[i] = shortDuration(d.Std())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []int:
		return strings.ReplaceAll(fmt.Sprint(v), " ", ", ")
	case string:
		return Redacted(v)
	default:
		return fmt.Sprint(v)
	}
}

// shortDuration writes 1h and 30s instead of 1h0m0s and 30s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// secretQuery is a parameter of an address that holds a secret.
var secretQuery = regexp.MustCompile(`(?i)([?&][a-z_-]*(?:password|passwd|secret|token|key)=)[^&#]*`)

// Redacted returns an address without what is secret in it: the password before the host, a user
// name of NATS without one (which is a token there), and parameters such as password=. It also
// takes what is no valid address, such as one whose password holds a slash, and then hides rather
// too much. A text that is no address is returned as it is.
func Redacted(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return address
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, _, secret := strings.Cut(rest[:at], ":")
		switch {
		case secret:
			user += ":xxxxx"
		case scheme == "nats" || strings.ContainsAny(user, "/?#"):
			user = "xxxxx"
		}
		rest = user + rest[at:]
	}
	return scheme + "://" + secretQuery.ReplaceAllString(rest, "${1}xxxxx")
}

// otherEnvs are variables that are no configuration: of the command lines, of the kernels and of
// the tests.
var otherEnvs = []string{
	"SKERRY_FIELD_ROUNDS",
	"SKERRY_CONFIG",
	"SKERRY_HUB",
	"SKERRY_TOKEN",
	"SKERRY_PASSWORD",
	"SKERRY_CURRENT_PASSWORD",
	"SKERRY_HUB_DATA",
	"SKERRY_HUB_LISTEN",
	"SKERRY_HUB_NATS_LISTEN",
	"SKERRY_KERNEL",
	"SKERRY_DATA",
	"SKERRY_PYTHON",
	"SKERRY_FULL",
	"SKERRY_SHOTS",
	"SKERRY_TABLES",
}

// allEnvs returns every environment variable of agent and hub: both may run with one environment.
func allEnvs() []string {
	var out []string
	for _, c := range []config{new(AgentConfig), new(HubConfig), new(MLConfig), new(MonitoringConfig)} {
		for _, l := range leavesOf("", reflect.ValueOf(c).Elem()) {
			out = append(out, l.envs...)
		}
	}
	return append(out, otherEnvs...)
}

// serviceLink matches the variables that Kubernetes sets in every container for every service: those
// of a service named skerry-hub look like ours.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func knownEnv(name string) bool {
	if strings.HasPrefix(name, "SKERRY_TEST_") || serviceLink.MatchString(name) {
		return true
	}
	for _, e := range allEnvs() {
		if e == name {
			return true
		}
	}
	return false
}

// nearest suggests the known name that shares the longest beginning and end with the given one.
func nearest(name string, known []string) string {
	best, score := "", 0
	for _, k := range known {
		n := 0
		for n < len(k) && n < len(name) && k[n] == name[n] {
			n++
		}
		m := 0
		for m < len(k)-n && m < len(name)-n && k[len(k)-1-m] == name[len(name)-1-m] {
			m++
		}
		if n+m > score {
			best, score = k, n+m
		}
	}
	if 2*score < len(name) {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// pathsOf adds the paths of the keys that an error is about.
func pathsOf(err error, to map[string]bool) {
	var e *spec.Error
	switch x := err.(type) {
	case interface{ Unwrap() []error }:
		for _, err := range x.Unwrap() {
			pathsOf(err, to)
		}
	case interface{ Unwrap() error }:
		pathsOf(x.Unwrap(), to)
	default:
		if errors.As(err, &e) {
			to[e.Path] = true
		}
	}
}
