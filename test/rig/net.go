package rig

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats-server/v2/server"
)

// ackWait is how long this broker waits for an acknowledgement before it sends a message again;
// after a crash of the agent that is when the rest arrives. (mosquitto sends at once when the
// client is back.)
const ackWait = 3 * time.Second

// StartBroker runs an MQTT broker on loopback: nats-server's MQTT listener. It returns the
// broker's address.
func StartBroker(dir string) (*server.Server, string, error) {
	port, err := FreePort()
	if err != nil {
		return nil, "", err
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "rig-broker",
		Host:       "127.0.0.1",
		Port:       -1,
		JetStream:  true,
		StoreDir:   filepath.Join(dir, "broker"),
		NoSigs:     true,
		NoLog:      true,
		MQTT:       server.MQTTOpts{Host: "127.0.0.1", Port: port, MaxAckPending: 256, AckWait: ackWait},
	})
	if err != nil {
		return nil, "", err
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, "", errors.New("the MQTT broker does not start")
	}
	return s, fmt.Sprintf("tcp://127.0.0.1:%d", port), nil
}

// Connect opens an MQTT client.
func Connect(broker, id string) (mqtt.Client, error) {
	o := mqtt.NewClientOptions().AddBroker(broker).SetClientID(id).SetOrderMatters(false).SetConnectTimeout(10 * time.Second).SetMaxResumePubInFlight(100)
	c := mqtt.NewClient(o)
	t := c.Connect()
	if !t.WaitTimeout(15*time.Second) || t.Error() != nil {
		return nil, fmt.Errorf("connect to %s: %v", broker, t.Error())
	}
	return c, nil
}

var (
	portMu sync.Mutex // guards given
	given  = map[int]bool{}
)

// FreePort returns a TCP port of loopback that nobody listens on and that was not given out
// before. It lies below the range from which systems take the ports of outgoing connections, so
// that a program which starts again finds it free.
func FreePort() (int, error) {
	portMu.Lock()
	defer portMu.Unlock()
	var last error
	for range 1000 {
		port := 20_000 + rand.IntN(12_000)
		if given[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			last = err
			continue
		}
		given[port] = true
		return port, l.Close()
	}
	return 0, fmt.Errorf("no free port: %w", last)
}

// Proxy forwards TCP connections and can drop them all: the link of a site that is cut off.
type Proxy struct {
	target string
	l      net.Listener
	mu     sync.Mutex // guards cut and conns
	cut    bool
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

// NewProxy forwards a port of loopback to target (host:port).
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, l: l, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr returns host:port to connect to.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

func (p *Proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *Proxy) serve(c net.Conn) {
	defer c.Close()
	if !p.track(c) {
		return
	}
	defer p.forget(c)
	d, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		return
	}
	defer d.Close()
	if !p.track(d) {
		return
	}
	defer p.forget(d)
	done := make(chan struct{}, 2)
	pipe := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src) // ends when either side closes
		dst.Close()
		src.Close()
		done <- struct{}{}
	}
	go pipe(c, d)
	go pipe(d, c)
	<-done
	<-done
}

func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// SetCut drops every connection and refuses new ones, or lets them through again.
func (p *Proxy) SetCut(cut bool) {
	p.mu.Lock()
	p.cut = cut
	if cut {
		for c := range p.conns {
			c.Close()
		}
	}
	p.mu.Unlock()
}

// Close drops everything and stops listening.
func (p *Proxy) Close() {
	p.SetCut(true)
	p.l.Close()
	p.wg.Wait()
}
