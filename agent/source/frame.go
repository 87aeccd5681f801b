package source

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// The MQTT client allocates whatever length a packet's header claims, up to 256 MB. frameConn
// reads the packet framing beside it: a PUBLISH longer than limit is passed on cut to limit, so
// that the decoder can refuse and acknowledge it instead of receiving it again for ever; any
// other packet of that length ends the connection.
type frameConn struct {
	net.Conn
	r     *bufio.Reader
	limit int
	head  []byte // rewritten fixed header that still has to be handed on
	left  int    // bytes of the current packet to hand on
	skip  int    // bytes of it to drop after that
}

var errPacketTooLong = errors.New("broker sent a packet longer than any this client expects")

const packetPublish = 3

func (c *frameConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.head) == 0 && c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.r.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// next drops the rest of a packet that was cut and reads the next fixed header.
func (c *frameConn) next() error {
	for c.skip > 0 {
		n, err := c.r.Discard(min(c.skip, 64<<10))
		c.skip -= n
		if err != nil {
			return err
		}
	}
	kind, err := c.r.ReadByte()
	if err != nil {
		return err
	}
	length, shift := 0, 0
	for {
		b, err := c.r.ReadByte()
		if err != nil {
			return err
		}
		length |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
		if shift += 7; shift > 21 {
			return errors.New("broker sent a packet length of more than four bytes")
		}
	}
	c.left = length
	if length > c.limit {
		if kind>>4 != packetPublish {
			return errPacketTooLong
		}
		c.left, c.skip = c.limit, length-c.limit
	}
	c.head = append(c.head[:0], kind)
	for l := c.left; ; {
		b := byte(l & 0x7f)
		if l >>= 7; l > 0 {
			c.head = append(c.head, b|0x80)
			continue
		}
		c.head = append(c.head, b)
		return nil
	}
}

// Opener returns what opens connections to a broker's address, for every client of the agent: its
// own, doctor's and that of topic discovery.
func Opener(broker string, certificates *tls.Config, timeout time.Duration) mqtt.OpenConnectionFunc {
	return func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		u, err := url.Parse(broker)
		if err != nil {
			return nil, err
		}
		return dialBroker(u, certificates, timeout, 1<<28)
	}
}

// dialBroker opens the transport of a broker URL: tcp://, mqtt://, tls://, ssl://, mqtts://,
// ws://, wss:// or unix://.
func dialBroker(u *url.URL, tlsConf *tls.Config, timeout time.Duration, limit int) (net.Conn, error) {
	d := &net.Dialer{Timeout: timeout}
	host := func(port string) string {
		if u.Port() != "" {
			port = u.Port()
		}
		return net.JoinHostPort(u.Hostname(), port)
	}
	var conn net.Conn
	var err error
	switch u.Scheme {
	case "tcp", "mqtt":
		conn, err = d.Dial("tcp", host("1883"))
	case "tls", "ssl", "mqtts":
		if tlsConf == nil {
			tlsConf = &tls.Config{}
		}
		conf := tlsConf.Clone()
		if conf.ServerName == "" {
			conf.ServerName = u.Hostname()
		}
		conn, err = tls.DialWithDialer(d, "tcp", host("8883"), conf)
	case "ws", "wss":
		at := *u
		at.User = nil // user and password are MQTT's
		if at.Path == "" {
			at.Path = "/mqtt" // where brokers serve it
		}
		conn, err = mqtt.NewWebsocket(at.String(), tlsConf, timeout, nil, nil)
	case "unix":
		conn, err = d.Dial("unix", u.Path)
	default:
		return nil, schemeError(u.Scheme)
	}
	if err != nil {
		return nil, err
	}
	return &frameConn{Conn: conn, r: bufio.NewReaderSize(conn, 16<<10), limit: limit}, nil
}

func schemeError(scheme string) error {
	return fmt.Errorf("broker address: scheme %q: must be tcp, mqtt, tls, ssl, mqtts, ws, wss or unix", scheme)
}

// noStore keeps nothing. paho's stores would hand a message that is not yet acknowledged to the
// handler again after a reconnect, beside the broker's own redelivery; the PUBACK of the second
// copy could then confirm a different message that reuses the packet id.
type noStore struct{}

func (noStore) Open()                  {}
func (noStore) Put(string, mqttPacket) {}
func (noStore) Get(string) mqttPacket  { return nil }
func (noStore) All() []string          { return nil }
func (noStore) Del(string)             {}
func (noStore) Close()                 {}
func (noStore) Reset()                 {}

var _ mqtt.Store = noStore{}
