package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// connectionKeys are the keys of the configuration that a connection depends on.
type connectionKeys struct {
	what    string // "broker"
	address string // "mqtt.broker"
	caFile  string // "mqtt.ca_file"
	login   string // "mqtt.username and mqtt.password"
}

var (
	brokerKeys = connectionKeys{"broker", "mqtt.broker", "mqtt.ca_file", "mqtt.username and mqtt.password"}
	hubKeys    = connectionKeys{"hub", "hub.url", "hub.ca_file", "the enrolment"}
)

// advice returns what to do about a connection that failed. Each cause has its own: what helps
// against one is a waste of time with another.
func advice(err error, k connectionKeys) string {
	var name *net.DNSError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var timeout net.Error
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword):
		return "the " + k.what + " refuses user or password: correct " + k.login
	case errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return "the " + k.what + " does not let this user in: correct " + k.login + ", or its access rules (mosquitto refuses clients without a user unless allow_anonymous is true)"
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return "the " + k.what + " refuses the client id: set mqtt.client_id to one that it takes"
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return "the " + k.what + " runs and takes no clients now: look at its log"
	case errors.Is(err, packets.ErrorRefusedBadProtocolVersion):
		return "the " + k.what + " does not speak MQTT 3.1.1: enable it there"
	case errors.As(err, &name):
		if name.IsTimeout || name.IsTemporary {
			return "the name server does not answer: check the network and /etc/resolv.conf, or use an IP address in " + k.address
		}
		return "there is no host " + name.Name + ": correct the name in " + k.address + ", or let the name server know it"
	case errors.As(err, &authority):
		return "the certificate is signed by an authority that this box does not know: put its certificate (PEM) into " + k.caFile
	case errors.As(err, &host):
		return "the certificate is for another name: use one of its names in " + k.address + ", or give the " + k.what + " a certificate for this one"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has ended or has not begun: renew it, or set this box's clock"
	case errors.As(err, &invalid):
		return "the certificate may not be used for this: give the " + k.what + " one for servers"
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return "there is no TLS at this port: use the port for TLS, or an address without it (tcp://, http://) in " + k.address
	case errors.As(err, &alert):
		return "the " + k.what + " breaks TLS off (" + alert.Error() + "): it may want a client certificate (mqtt.cert_file, mqtt.key_file)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start the " + k.what + ", or correct host and port in " + k.address
	case errors.Is(err, os.ErrNotExist):
		return "there is no such socket: start the " + k.what + ", or correct " + k.address
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to this host: check network, route and address (" + k.address + ")"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "the " + k.what + " does not answer: a firewall may drop the packets, or another address than " + k.address + " is right"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the " + k.what + " closes the connection at once: it may want TLS here (tls://, https://), or be another service"
	}
	return "check " + k.address + ", that the " + k.what + " runs, and " + k.login
}
