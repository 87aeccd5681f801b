package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/nats-io/nats-server/v2/server"
)

// ackWait is how long this broker waits for an acknowledgement before it sends a message again; after a crash of the agent that is when the rest
// arrives. (mosquitto sends at once when the client is back.)
const ackWait = 3 * time.Second

// startBroker runs an MQTT broker on loopback: nats-server's MQTT listener.
func startBroker(dir string) (*server.Server, string, error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	s, err := server.NewServer(&server.Options{ServerName: "demo-broker", Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: filepath.Join(dir, "broker"), NoSigs: true, NoLog: true,
		MQTT: server.MQTTOpts{Host: "127.0.0.1", Port: port, MaxAckPending: 256, AckWait: ackWait}})
	if err != nil {
		return nil, "", err
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, "", errors.New("the demonstration's MQTT broker does not start")
	}
	return s, fmt.Sprintf("tcp://127.0.0.1:%d", port), nil
}

// connect opens an MQTT client of the driver.
func connect(broker, id string) (mqtt.Client, error) {
	o := mqtt.NewClientOptions().AddBroker(broker).SetClientID(id).SetOrderMatters(false).SetConnectTimeout(10 * time.Second).SetMaxResumePubInFlight(100)
	c := mqtt.NewClient(o)
	t := c.Connect()
	if !t.WaitTimeout(15*time.Second) || t.Error() != nil {
		return nil, fmt.Errorf("connect to %s: %v", broker, t.Error())
	}
	return c, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// proxy forwards TCP connections and can drop them all: the link of a site that is cut off.
type proxy struct {
	target string
	l      net.Listener
	mu     sync.Mutex // guards cut and conns
	cut    bool
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{target: target, l: l, conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c) })
	}
}

func (p *proxy) serve(c net.Conn) {
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

func (p *proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) forget(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// setCut drops every connection and refuses new ones, or lets them through again.
func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	p.cut = cut
	if cut {
		for c := range p.conns {
			c.Close()
		}
	}
	p.mu.Unlock()
}

func (p *proxy) close() {
	p.setCut(true)
	p.l.Close()
	p.wg.Wait()
}
