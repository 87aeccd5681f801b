package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"skerry.dev/configs"
	"skerry.dev/sync/identity"
)

func newEnrollCommand() *cobra.Command {
	var hub, token, caFile string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "enroll --hub <address> --token <token>",
		Short: "Bind this device to a hub with a one-time token",
		Long: `Bind this device to a hub with a one-time token.

The device's key is made here and stays here; the hub learns the public half. Repeating the command with the same key and token is safe:
an answer that was lost is given again. "--token -" reads the token from standard input, so that it does not show in the list of processes.

At another hub than before the device forgets whom it trusted and which documents it had accepted; models that are installed go on predicting until the new hub says otherwise.`,
		Example: "  skerry-agent enroll --hub https://hub.example:8000 --token -",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(cmd)
			if err != nil {
				return err
			}
			if hub == "" {
				hub = cfg.Hub.URL
			}
			if hub == "" {
				return errors.New("name the hub: --hub https://hub.example:8000 (or hub.url)")
			}
			if token, err = readToken(cmd, token); err != nil {
				return err
			}
			if caFile != "" {
				if cfg.Hub.CAFile, err = filepath.Abs(caFile); err != nil {
					return err
				}
			}
			client, err := cfg.Hub.Client(15 * time.Second)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			// none, or one that cannot be read, is no hub
			before, _ := identity.Open(cfg.IdentityDir(), identity.Options{})
			id, err := identity.Enroll(ctx, cfg.IdentityDir(), hub, token, identity.Options{
				HTTP:    client,
				Version: configs.ProgramVersion(),
				Log:     slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)),
			})
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
				return fmt.Errorf("no hub answered at %s within %s: %w: correct --hub (the address of the REST API, port 8000 unless the hub says otherwise), or wait longer by --timeout; nothing was changed", hub, timeout, err)
			}
			if err != nil {
				return err
			}
			if err := forgetHub(cfg, before, id); err != nil {
				return err
			}
			if err := giveToOwner(cfg.StateDir, cfg.IdentityDir()); err != nil {
				return fmt.Errorf("give the key to the service's user: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "enrolled as %s at %s; restart the agent to connect\n", id.Device(), id.Site())
			return err
		},
	}
	cmd.Flags().StringVar(&hub, "hub", "", "address of the hub (default hub.url)")
	cmd.Flags().StringVar(&caFile, "ca-file", "", "PEM file of the authority that signed the hub's certificate (default hub.ca_file, which the running agent needs as well)")
	cmd.Flags().StringVar(&token, "token", "", `one-time token made at the hub, "-" reads it from standard input`)
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to go on trying when the hub does not answer")
	_ = cmd.MarkFlagRequired("token") // the flag is there: it was added above
	return cmd
}

// forgetHub removes what another hub vouched for: its root of trust refuses the documents of the
// new hub, and so do floors from its count of generations. Floors that cannot be read go as well;
// enrolling again is the way to replace them.
func forgetHub(cfg *configs.AgentConfig, before, now *identity.Identity) error {
	text, err := os.ReadFile(cfg.FloorPath())
	damaged := err == nil && !json.Valid(text)
	moved := before == nil || !bytes.Equal(before.TUFRoot(), now.TUFRoot())
	if moved {
		if err := os.RemoveAll(cfg.TrustDir()); err != nil {
			return fmt.Errorf("forget the trust of the hub before: %w", err)
		}
	}
	if moved || damaged {
		if err := os.Remove(cfg.FloorPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget the generations of the hub before: %w", err)
		}
	}
	return nil
}

func readToken(cmd *cobra.Command, token string) (string, error) {
	if token == "-" {
		line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
		if line == "" && err != nil {
			return "", fmt.Errorf("read token from standard input: %w", err)
		}
		token = line
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", errors.New("the token is empty")
	}
	return token, nil
}

// giveToOwner makes what root created in the state directory the property of the directory's
// owner: the service's user could not read it otherwise.
func giveToOwner(stateDir, dir string) error {
	uid, gid, ok := ownerOf(stateDir)
	if !ok || os.Geteuid() != 0 || uid == 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	errs := []error{os.Lchown(dir, uid, gid)}
	for _, e := range entries {
		errs = append(errs, os.Lchown(dir+string(os.PathSeparator)+e.Name(), uid, gid))
	}
	return errors.Join(errs...)
}
