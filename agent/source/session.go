package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"skerry.dev/sync/identity"
)

// session is what the broker keeps for this client: its subscriptions outlive the process, and a
// later one with other task files must know which to give up. It is in a file, which names the
// broker and the client that it is about; an empty path keeps it for the process alone.
type session struct {
	path     string
	mu       sync.Mutex // guards what follows against KeepSession; only set changes Filters
	unsaved  bool       // the file lacks the newest filters
	Broker   string     `json:"broker"`
	ClientID string     `json:"client_id"`
	Filters  []string   `json:"filters"`
}

// openSession reads what was subscribed to before. Another broker or client has another session.
func openSession(path, broker, clientID string) (*session, error) {
	s := &session{path: path, Broker: broker, ClientID: clientID}
	if path == "" {
		return s, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	var old session
	if err == nil {
		err = json.Unmarshal(b, &old)
	}
	if err != nil {
		return s, fmt.Errorf("read the subscriptions of the session: %s: %w: those that no task needs any more may stay", path, err)
	}
	if old.Broker == broker && old.ClientID == clientID {
		s.Filters = old.Filters
	}
	return s, nil
}

// set makes filters those of the session. A failure costs the next process its knowledge only, and
// not even that where a later [session.write] succeeds before.
func (s *session) set(filters []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.Filters, filters) {
		s.Filters, s.unsaved = slices.Clone(filters), s.path != ""
	}
	return s.write()
}

// write stores what the file lacks. s.mu is held.
func (s *session) write() error {
	if !s.unsaved {
		return nil
	}
	b, err := json.Marshal(s)
	if err == nil {
		err = identity.WriteFile(s.path, append(b, '\n'))
	}
	s.unsaved = err != nil
	return err
}

// KeepSession writes the file of the session where that could not be written when the subscriptions
// changed, and returns its path then, else "".
func (c *Client) KeepSession() (path string, err error) {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if !c.session.unsaved {
		return "", nil
	}
	return c.session.path, c.session.write()
}

// A connection that the broker ends within shortLife counts as taken over when it happens
// takeovers times in a row: with two clients of one id each throws the other out.
const takeovers = 3

// shortLife is how long a connection must stand to be taken for one of its own: longer than the
// other client waits before it comes again.
func (c *Client) shortLife() time.Duration { return 2 * c.opts.MaxBackoff.Std() }

// ended notes how long a connection stood, and returns how many in a row were cut short.
func (c *Client) ended(stood time.Duration) int {
	if stood > c.shortLife() {
		c.short = 0
		c.taken.Store(nil)
	}
	c.short++
	if c.short < takeovers {
		return c.short
	}
	what := fmt.Sprintf("the broker ends the connection soon after each start, %d times now: most likely another client has the same client id %q, and each throws the other out: give every box a client id of its own (mqtt.client_id, or its host name), or stop the copy",
		c.short, c.opts.ClientID)
	if c.taken.Swap(&what) == nil {
		c.opts.Inputs.tell(&InputStatus{}, "client_id_twice", what)
	}
	return c.short
}

// TakenOver says that another client seems to have this one's id, "" when it does not.
func (c *Client) TakenOver() string {
	if p := c.taken.Load(); p != nil && time.Since(time.Unix(0, c.since.Load())) < c.shortLife() {
		return *p
	}
	return ""
}
