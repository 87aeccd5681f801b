package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func password(prompt string) (string, error) {
	if v := os.Getenv("SKERRY_PASSWORD"); v != "" {
		return v, nil
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		fmt.Fprint(os.Stderr, prompt+": ")
		b, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		return string(b), err
	}
	b, err := io.ReadAll(io.LimitReader(os.Stdin, 4096))
	if err == nil && len(b) == 0 {
		err = errors.New("no password: type it, pipe it in, or set SKERRY_PASSWORD")
	}
	return strings.TrimRight(string(b), "\r\n"), err
}

func (r *remote) loginCommand() *cobra.Command {
	var user string
	c := &cobra.Command{
		Use:   "login",
		Short: "Log in and keep the token for the next commands",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			pw, err := password("Password of " + user)
			if err != nil {
				return err
			}
			hub := r.client()
			got, err := hub.Login(c.Context(), user, pw)
			if err != nil {
				return err
			}
			out := session{Hub: hub.URL, Token: got.Token, Expires: got.ExpiresAt}
			if r.caFile != "" {
				if out.CAFile, err = filepath.Abs(r.caFile); err != nil {
					return err
				}
			}
			path, err := sessionPath()
			if err != nil {
				return err
			}
			b, err := json.Marshal(out)
			if err != nil {
				return err
			}
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
				return err
			}
			return r.print(c, out, "Logged in to "+out.Hub+" until "+stamp(out.Expires))
		},
	}
	c.Flags().StringVar(&user, "user", "admin", "user name")
	return c
}
