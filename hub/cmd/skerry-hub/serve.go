package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"skerry.dev/hub/api"
	"skerry.dev/hub/server"
	"skerry.dev/hub/web"
)

// serveFlags are the options of serve and init. Flags win over the environment.
type serveFlags struct {
	opts         server.Options
	passwordFile string
	logLevel     string
	logFormat    string
}

func (f *serveFlags) bind(c *cobra.Command) {
	env := func(names ...string) string {
		for _, n := range names {
			if v := os.Getenv(n); v != "" {
				return v
			}
		}
		return ""
	}
	or := func(v, d string) string {
		if v == "" {
			return d
		}
		return v
	}
	fl := c.Flags()
	fl.StringVar(&f.opts.DataDir, "data", or(env("SKERRY_HUB_DATA"), "skerry-hub-data"), "directory of everything that is not elsewhere")
	fl.StringVar(&f.opts.Listen, "listen", or(env("SKERRY_HUB_LISTEN"), "127.0.0.1:8000"), "address of the REST API")
	fl.StringVar(&f.opts.NATSListen, "nats-listen", or(env("SKERRY_HUB_NATS_LISTEN"), "127.0.0.1:4222"), "address for devices")
	fl.StringSliceVar(&f.opts.AdvertiseNATS, "advertise-nats", nil, "URLs that devices are told (default: the address listened on)")
	fl.StringVar(&f.opts.TLSCert, "tls-cert", "", "PEM certificate for devices' connections")
	fl.StringVar(&f.opts.TLSKey, "tls-key", "", "PEM key of --tls-cert")
	fl.StringVar(&f.passwordFile, "admin-password-file", "", "file with the password of the user admin, used on the first start only")
	fl.StringVar(&f.logLevel, "log-level", or(env("ML_LOG_LEVEL"), "info"), "debug, info, warn or error")
	fl.StringVar(&f.logFormat, "log-format", "text", "text or json")
	fl.DurationVar(&f.opts.CompactEvery, "compact-every", 0, "how often the lake looks for chunks to move (default 1m)")
	fl.DurationVar(&f.opts.CompactAge, "compact-age", 0, "how long a chunk may wait before it is moved to the lake (default 15m)")
	f.opts.DatabaseURL = env("DATABASE_URL")
	f.opts.BlobURL = env("MODEL_STORAGE_PATH")
	f.opts.JWTSecret = env("JWT_SECRET")
}

func (f *serveFlags) finish(w io.Writer) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToLower(f.logLevel))); err != nil {
		return fmt.Errorf("--log-level %q: must be debug, info, warn or error", f.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "json":
		f.opts.Log = slog.New(slog.NewJSONHandler(w, o))
	case "text":
		f.opts.Log = slog.New(slog.NewTextHandler(w, o))
	default:
		return fmt.Errorf("--log-format %q: must be text or json", f.logFormat)
	}
	if f.passwordFile != "" {
		b, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return fmt.Errorf("read --admin-password-file: %w", err)
		}
		f.opts.AdminPassword = strings.TrimSpace(string(b))
	}
	f.opts.Version = programVersion()
	f.opts.Inspect = inspectArtifact
	return nil
}

func (f *serveFlags) open(c *cobra.Command) (*server.Hub, error) {
	if err := f.finish(c.ErrOrStderr()); err != nil {
		return nil, err
	}
	h, err := server.Open(c.Context(), f.opts)
	if err != nil {
		return nil, err
	}
	if h.NewAdminPassword != "" && f.passwordFile == "" {
		fmt.Fprintf(c.OutOrStdout(), "Created the user admin. Its password is shown this once:\n\n    %s\n\n", h.NewAdminPassword)
	}
	return h, nil
}

func serveCommand() *cobra.Command {
	f, learn := new(serveFlags), new(learnFlags)
	c := &cobra.Command{Use: "serve", Short: "Run the hub", Args: cobra.NoArgs,
		Long: "Run the hub until it is interrupted. A fresh data directory is set up first.\n\nEnvironment: DATABASE_URL (postgres://… instead of SQLite), MODEL_STORAGE_PATH (s3://… or a folder), JWT_SECRET, ML_LOG_LEVEL.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := learn.finish(); err != nil {
				return err
			}
			h, err := f.open(c)
			if err != nil {
				return err
			}
			h.Learn(learn.policy, learn.rollout)
			h.Infer()
			web.Routes(h.API)
			err = h.Run(c.Context())
			return errors.Join(err, h.Close())
		}}
	f.bind(c)
	learn.bind(c)
	return c
}

func initCommand() *cobra.Command {
	f := new(serveFlags)
	c := &cobra.Command{Use: "init", Short: "Set up a data directory and the first user", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.opts.Listen, f.opts.NATSListen = "127.0.0.1:0", "127.0.0.1:-1" // nothing is served
			h, err := f.open(c)
			if err != nil {
				return err
			}
			if h.NewAdminPassword == "" {
				err = fmt.Errorf("%s is already set up", f.opts.DataDir)
			}
			return errors.Join(err, h.Close())
		}}
	f.bind(c)
	return c
}

func openapiCommand() *cobra.Command {
	return &cobra.Command{Use: "openapi", Short: "Print the OpenAPI document of this version", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		dir, err := os.MkdirTemp("", "skerry-openapi-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s, err := api.New(api.Parts{}, api.Options{Version: programVersion(), KeyDir: filepath.Join(dir, "keys")})
		if err != nil {
			return err
		}
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(s.Huma().OpenAPI())
	}}
}
