package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/hub/client"
)

// remote is a hub that is administered over its REST API.
type remote struct {
	url    string
	caFile string // of the authority that signed the hub's certificate
	json   bool
	http   *http.Client // by caFile; nil: the system's authorities
}

// session is what login leaves for the next command.
type session struct {
	Hub     string `json:"hub"`
	Token   string `json:"token"`
	Expires int64  `json:"expires_at"`
	CAFile  string `json:"ca_file,omitempty"`
}

// trust reads the authority of --ca-file, or the one that the login was made with.
func (r *remote) trust() error {
	file := r.caFile
	if file == "" {
		file = r.session().CAFile
	}
	if file == "" {
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil && r.caFile == "" {
		return nil // many commands need no hub; those that do report what the certificate lacks
	}
	if err != nil {
		return fmt.Errorf("--ca-file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("--ca-file: %s holds no certificate in PEM form", file)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	r.http = &http.Client{Transport: t}
	return nil
}

func sessionPath() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "skerry", "hub-session.json"), err
}

func (r *remote) session() (s session) {
	if path, err := sessionPath(); err == nil {
		if b, err := os.ReadFile(path); err == nil {
			_ = json.Unmarshal(b, &s) // a damaged session is no session
		}
	}
	if v := os.Getenv("SKERRY_TOKEN"); v != "" {
		s.Token = v
	}
	switch {
	case r.url != "":
		if s.Hub != r.url && os.Getenv("SKERRY_TOKEN") == "" {
			s.Token, s.CAFile = "", "" // a token is for the hub that gave it
		}
		s.Hub = r.url
	case os.Getenv("SKERRY_HUB") != "":
		if s.Hub != os.Getenv("SKERRY_HUB") && os.Getenv("SKERRY_TOKEN") == "" {
			s.Token, s.CAFile = "", ""
		}
		s.Hub = os.Getenv("SKERRY_HUB")
	case s.Hub == "":
		s.Hub = "http://127.0.0.1:8000"
	}
	s.Hub = strings.TrimSuffix(s.Hub, "/")
	return s
}

// client calls the hub of the session.
func (r *remote) client() *client.Client {
	s := r.session()
	c := client.New(s.Hub, s.Token)
	c.HTTP = r.http
	return c
}

// hint is what the user can do about an error, "" when nothing better than the error is known.
func hint(err error) string {
	if h, ok := errors.AsType[*hintError](err); ok {
		return h.hint
	}
	if errors.Is(err, client.ErrNoModel) {
		return "give a digest, its first digits (six or more), task@version or task@champion; list them with: skerry-hub model list"
	}
	if e, ok := errors.AsType[*client.Error](err); ok && e.Code == "unauthorized" {
		return "log in with: skerry-hub login --hub " + e.Hub + ", or set SKERRY_TOKEN"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the hub's certificate is signed by an authority that this machine does not know: give its certificate by --ca-file <file.pem>; login keeps it for the next commands"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the hub's certificate is for another name: use one of its names in --hub"
	}
	if e, ok := errors.AsType[*client.Unreachable](err); ok {
		return "is the hub running at " + e.Hub + "? choose another with --hub"
	}
	return ""
}

func group(use, short string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(sub...)
	return c
}

// names offers the names of a listing to the shell. A hub that does not answer offers nothing.
func (r *remote) names(list func(context.Context, *client.Client) ([]string, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		names, _ := list(ctx, r.client()) // as described above
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// mapped is a listing by one of its fields.
func mapped[T any](items []T, err error, name func(T) string) ([]string, error) {
	out := make([]string, len(items))
	for i, x := range items {
		out[i] = name(x)
	}
	return out, err
}
