package source

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/configs"
)

// Bounds of what Discover keeps.
const (
	maxFound      = 2000 // topics
	maxSample     = 4096 // bytes of a payload
	maxFoundPaths = 200  // paths of a payload
)

// Found is a topic that messages came on.
type Found struct {
	Topic    string      `json:"topic"`
	Messages int         `json:"messages"`
	Retained bool        `json:"retained"` // only a retained message came: nothing new was published
	Sample   string      `json:"sample"`   // the newest payload, cut at 4096 bytes
	Values   []FoundPath `json:"values"`
}

// FoundPath is a value of a payload.
type FoundPath struct {
	Path  string `json:"path"`            // "" for a bare value
	Kind  string `json:"kind"`            // number, time, word, text, boolean, null
	Value string `json:"value"`           // as it was sent
	Local bool   `json:"local,omitempty"` // a time that says no zone
}

// Discover listens at a broker for a time, with a session of its own that ends with it, and returns
// the topics that messages came on, by name. more is how many topics there were beyond the bound.
func Discover(ctx context.Context, o configs.AgentMQTT, certificates *tls.Config, filters []string, wait time.Duration) (found []Found, more int, err error) {
	var mu sync.Mutex
	topics := map[string]*Found{}
	refused := map[string]bool{}
	opts := mqtt.NewClientOptions().AddBroker(o.Broker).SetClientID("skerry-topics-" + strings.ToLower(rand.Text()[:12])).SetUsername(o.Username).SetPassword(o.Password).
		SetCleanSession(true).SetProtocolVersion(4).SetAutoReconnect(false).SetConnectTimeout(10 * time.Second).SetCustomOpenConnectionFn(Opener(o.Broker, certificates, 10*time.Second))
	opts.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		mu.Lock()
		defer mu.Unlock()
		f := topics[m.Topic()]
		if f == nil {
			if len(topics) >= maxFound {
				refused[m.Topic()] = len(refused) < maxFound
				return
			}
			f = &Found{Topic: m.Topic(), Retained: true}
			topics[f.Topic] = f
		}
		f.Messages++
		f.Retained = f.Retained && m.Retained()
		b := m.Payload()
		f.Sample = strings.ToValidUTF8(string(b[:min(len(b), maxSample)]), "?")
		f.Values = paths(b)
	})
	cli := mqtt.NewClient(opts)
	if token := cli.Connect(); token.WaitTimeout(10*time.Second) && token.Error() != nil {
		return nil, 0, fmt.Errorf("connect to %s: %w", configs.Redacted(o.Broker), token.Error())
	} else if !cli.IsConnected() {
		return nil, 0, fmt.Errorf("connect to %s: no answer", configs.Redacted(o.Broker))
	}
	defer cli.Disconnect(100)
	subs := map[string]byte{}
	for _, f := range filters {
		subs[f] = 0
	}
	token := cli.SubscribeMultiple(subs, nil)
	if !token.WaitTimeout(10 * time.Second) {
		return nil, 0, fmt.Errorf("subscribe to %s: no answer", strings.Join(filters, ", "))
	}
	if err := token.Error(); err != nil {
		return nil, 0, fmt.Errorf("subscribe to %s: %w", strings.Join(filters, ", "), err)
	}
	for f, code := range token.(*mqtt.SubscribeToken).Result() {
		if code > 2 {
			return nil, 0, fmt.Errorf("the broker refuses the subscription %s: check its access rules for this user", f)
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
	mu.Lock()
	defer mu.Unlock()
	for _, f := range topics {
		found = append(found, *f)
	}
	slices.SortFunc(found, func(a, b Found) int { return strings.Compare(a.Topic, b.Topic) })
	return found, len(refused), nil
}

// OfAgents reports whether agents publish on a topic, as far as its name tells: predictions, and
// whether they are online.
func OfAgents(topic string) bool { return strings.HasPrefix(topic, "skerry/") }

// paths lists the values of a payload.
func paths(b []byte) (out []FoundPath) {
	b = trim(b)
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if len(b) == 0 || (b[0] != '{' && b[0] != '[') || d.Decode(&v) != nil {
		return []FoundPath{leaf("", string(bytes.Trim(b, `"`)))}
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if len(out) >= maxFoundPaths || strings.Count(path, ".")+strings.Count(path, "[") > maxDepth {
			return
		}
		switch v := v.(type) {
		case map[string]any:
			keys := make([]string, 0, len(v))
			for k := range v {
				keys = append(keys, k)
			}
			sort.Strings(keys)
			for _, k := range keys {
				walk(path+pathStep(k), v[k])
			}
		case []any:
			for i := range min(len(v), 3) {
				walk(fmt.Sprintf("%s[%d]", path, i), v[i])
			}
		case string:
			out = append(out, leaf(path, v))
		case nil:
			out = append(out, FoundPath{Path: path, Kind: "null", Value: "null"})
		case bool:
			out = append(out, FoundPath{Path: path, Kind: "boolean", Value: fmt.Sprint(v)})
		case json.Number:
			out = append(out, leaf(path, v.String()))
		}
	}
	walk("$", v)
	return out
}

// pathStep writes a key as a step of a path.
func pathStep(key string) string {
	plain := key != "" && key[0] != '-'
	for _, c := range key {
		plain = plain && (c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}
	if plain {
		return "." + key
	}
	return "['" + key + "']"
}

// leaf describes a text or a number by what the decoder would make of it.
func leaf(path, s string) FoundPath {
	p := FoundPath{Path: path, Kind: "text", Value: excerpt([]byte(s))}
	t, zoned := timeForm{loc: time.UTC}, timeForm{}
	f := form{}
	v, err := f.read([]byte(s))
	_, _, noTime := t.parse(valueBare, []byte(s), 0)
	switch {
	case noTime == nil && path != "" && (err != nil || v.value > 1e9):
		p.Kind = "time"
		_, _, bad := zoned.parse(valueBare, []byte(s), 0)
		p.Local = bad != nil
	case err != nil:
	case v.missing:
		p.Kind = "missing"
	case v.forgiven&ForgivenWord != 0:
		p.Kind = "word"
	default:
		p.Kind = "number"
	}
	return p
}
