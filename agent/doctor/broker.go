package doctor

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"skerry.dev/agent/source"
	"skerry.dev/configs"
)

// probeMessages are published to find the broker's limits: more than mosquitto's default queue of
// 1000 behind its window of 20.
const probeMessages = 1200

// BrokerLimits is what a broker does for one client that does not acknowledge.
type BrokerLimits struct {
	// QoS 1 messages delivered before the first acknowledgement, at most the number probed
	Window  int
	Kept    int // of the messages published meanwhile, delivered in the end
	Probed  int
	TookAll bool // nothing was dropped
}

func broker(ctx context.Context, o Options) []Result {
	if o.Broker == "" {
		return []Result{{"broker", OK, "none configured: readings come by HTTP only, POST /v1/ingest/<topic>", ""}}
	}
	limits, err := ProbeBroker(ctx, o)
	if err != nil {
		action := advice(err, brokerKeys)
		if strings.Contains(err.Error(), "subscri") {
			action = "let this user subscribe and publish (access rules of the broker)"
		}
		return []Result{{"broker", Fail, fmt.Sprintf("%s: %v", configs.Redacted(o.Broker), err), action}}
	}
	out := []Result{{"broker", OK, configs.Redacted(o.Broker) + " takes connection, subscription and messages", ""}}
	detail := fmt.Sprintf("%d messages in flight before the first acknowledgement", limits.Window)
	switch {
	case limits.Window >= limits.Probed:
		out = append(out, Result{"broker window", OK, fmt.Sprintf("at least %d messages in flight", limits.Window), ""})
	case limits.Window < o.CommitAcks:
		out = append(out, Result{"broker window", Warn, fmt.Sprintf("%s, the agent collects %d", detail, o.CommitAcks),
			"raise max_inflight_messages of the broker, or lower cache.commit_acks: otherwise every commit waits for cache.commit_interval"})
	default:
		out = append(out, Result{"broker window", OK, detail, ""})
	}
	if limits.TookAll {
		return append(out, Result{"broker queue", OK, fmt.Sprintf("at least %d messages are kept for a client that is away", limits.Probed), ""})
	}
	return append(out, Result{"broker queue", Warn, fmt.Sprintf("of %d messages %d were kept, the rest was dropped silently", limits.Probed, limits.Kept),
		"raise max_queued_messages of the broker (mosquitto: max_queued_messages 100000): a burst or a restart of the agent loses readings otherwise"})
}

// ProbeBroker connects, subscribes to a topic of its own without acknowledging, publishes to it
// and counts what arrives.
func ProbeBroker(ctx context.Context, o Options) (BrokerLimits, error) {
	limits := BrokerLimits{Probed: probeMessages}
	device := o.Device
	if device == "" {
		device = "doctor"
	}
	suffix := strings.ToLower(rand.Text()[:12])
	topic := "skerry/" + device + "/doctor/" + suffix
	client := func(id string, clean bool) *mqtt.ClientOptions {
		return mqtt.NewClientOptions().AddBroker(o.Broker).SetClientID(id).SetUsername(o.Username).SetPassword(o.Password).SetCleanSession(clean).SetCustomOpenConnectionFn(source.Opener(o.Broker, o.TLS, 5*time.Second)).
			SetProtocolVersion(4).SetAutoReconnect(false).SetConnectTimeout(5 * time.Second).SetWriteTimeout(5 * time.Second).SetAutoAckDisabled(true)
	}
	var mu sync.Mutex // guards what the handler counts
	var held []mqtt.Message
	received, acking := 0, false
	last := time.Now()
	readerOpts := client("skerry-doctor-r-"+suffix, false).SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		mu.Lock()
		received++
		last = time.Now()
		ack := acking
		if !ack {
			held = append(held, m)
		}
		mu.Unlock()
		if ack {
			m.Ack()
		}
	})
	reader := mqtt.NewClient(readerOpts)
	if err := wait(ctx, reader.Connect()); err != nil {
		return limits, fmt.Errorf("connect: %w", err)
	}
	defer func() { // a clean session of the same name removes what the broker keeps for it
		reader.Disconnect(0)
		end := mqtt.NewClient(client("skerry-doctor-r-"+suffix, true))
		if end.Connect().WaitTimeout(2 * time.Second) {
			end.Disconnect(0)
		}
	}()
	sub := reader.Subscribe(topic, 1, nil)
	if err := wait(ctx, sub); err != nil {
		return limits, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	if code := sub.(*mqtt.SubscribeToken).Result()[topic]; code > 2 {
		return limits, fmt.Errorf("subscription to %s is refused", topic)
	}
	writer := mqtt.NewClient(client("skerry-doctor-w-"+suffix, true))
	if err := wait(ctx, writer.Connect()); err != nil {
		return limits, fmt.Errorf("connect: %w", err)
	}
	defer writer.Disconnect(0)
	tokens := make([]mqtt.Token, probeMessages)
	for i := range tokens {
		tokens[i] = writer.Publish(topic, 1, false, "probe")
	}
	for _, t := range tokens {
		if err := wait(ctx, t); err != nil {
			return limits, fmt.Errorf("publish to %s: %w", topic, err)
		}
	}
	quiet := func() {
		for ctx.Err() == nil {
			mu.Lock()
			since, all := time.Since(last), received >= probeMessages
			mu.Unlock()
			if all || since > 300*time.Millisecond {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	mu.Lock()
	last = time.Now()
	mu.Unlock()
	quiet()
	mu.Lock()
	limits.Window = received
	if received == 0 {
		mu.Unlock()
		return limits, fmt.Errorf("a message published to %s does not come back: is the subscription or the publication forbidden?", topic)
	}
	waiting := held
	held, acking, last = nil, true, time.Now()
	mu.Unlock()
	for _, m := range waiting {
		m.Ack()
	}
	quiet()
	mu.Lock()
	defer mu.Unlock()
	limits.Kept, limits.TookAll = received, received >= probeMessages
	return limits, ctx.Err()
}

func wait(ctx context.Context, t mqtt.Token) error {
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}
