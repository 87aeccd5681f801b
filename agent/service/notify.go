package service

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Notifier reports to systemd that the program is ready and that its loop turns (sd_notify(3): one
// datagram per message). Without a NOTIFY_SOCKET every method does nothing. Safe for concurrent
// use.
type Notifier struct {
	socket string
	every  time.Duration // how often Beat sends, half of the watchdog's time

	mu   sync.Mutex // guards last
	last time.Time
}

// NewNotifier reads NOTIFY_SOCKET and WATCHDOG_USEC from the environment.
func NewNotifier() *Notifier {
	n := &Notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	if us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
		if pid := os.Getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
			n.every = time.Duration(us) * time.Microsecond / 2
		}
	}
	return n
}

// Ready records that the program has started.
func (n *Notifier) Ready() error { return n.Send("READY=1") }

// Stopping records that the program ends.
func (n *Notifier) Stopping() error { return n.Send("STOPPING=1") }

// Status sets the line that systemctl status shows.
func (n *Notifier) Status(text string) error {
	return n.Send("STATUS=" + strings.ReplaceAll(text, "\n", " "))
}

// Beat feeds the watchdog. The loop that predicts calls it in every round, however short; it
// sends at most twice per watchdog time. A timer must not call it: a loop that hangs has to be
// noticed.
func (n *Notifier) Beat(now time.Time) error {
	if n.every == 0 {
		return nil
	}
	n.mu.Lock()
	due := now.Sub(n.last) >= n.every
	if due {
		n.last = now
	}
	n.mu.Unlock()
	if !due {
		return nil
	}
	return n.Send("WATCHDOG=1")
}

// Send sends one message.
func (n *Notifier) Send(state string) error {
	if n.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{
		Name: n.socket,
		Net:  "unixgram",
	}) // a name that starts with @ is abstract
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
