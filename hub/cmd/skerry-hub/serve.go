package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"skerry.dev/compute/ensemble"
	"skerry.dev/configs"
	"skerry.dev/hub/rollout"
	"skerry.dev/hub/server"
	"skerry.dev/hub/training"
	"skerry.dev/hub/web"
)

// serveFlags are the options of serve and init: flags win over the environment, that over the file.
type serveFlags struct {
	config       string
	passwordFile string
	opts         server.Options
}

// keyFlag is a flag that sets a key of a configuration.
type keyFlag struct{ name, key, usage string }

func bindKeys(c *cobra.Command, flags []keyFlag) {
	for _, f := range flags {
		c.Flags().String(f.name, "", f.usage)
	}
}

// changedKeys returns the keys that the command line sets, and their values as text.
func changedKeys(c *cobra.Command, flags []keyFlag) map[string]string {
	out := map[string]string{}
	for _, f := range flags {
		if l := c.Flags().Lookup(f.name); l != nil && l.Changed {
			out[f.key] = l.Value.String()
		}
	}
	return out
}

// hubFlags are the flags of hub.yaml.
var hubFlags = []keyFlag{
	{"data", "data_dir", "directory of everything that is not elsewhere (default skerry-hub-data)"},
	{"listen", "listen", "address of the REST API and the web UI (default 127.0.0.1:8000)"},
	{"nats-listen", "nats_listen", "address for devices (default 127.0.0.1:4222)"},
	{"advertise-nats", "nats_urls", "addresses that devices receive, separated by commas (default: the address listened on)"},
	{"tls-cert", "tls_cert", "PEM certificate for the API and for devices"},
	{"tls-key", "tls_key", "PEM key of --tls-cert"},
	{"log-level", "log.level", "debug, info, warn or error (default info)"},
	{"log-format", "log.format", "text or json (default text)"},
	{"compact-every", "lake.compact_every", "how often the lake looks for chunks to move (default 1m)"},
	{"compact-age", "lake.compact_age", "how long a chunk may wait before it is moved to the lake (default 15m)"},
}

// threadFlags are those of hub.yaml that only serve has.
var threadFlags = []keyFlag{{"train-threads", "training.threads", "threads of one model selection (default 2)"}}

func (f *serveFlags) bind(c *cobra.Command) {
	c.Flags().StringVar(&f.config, "config", "", "hub.yaml; see configs/hub.yaml for every key")
	c.Flags().StringVar(&f.passwordFile, "admin-password-file", "", "file with the password of the user admin, used on the first start only")
	c.Flags().BoolVar(&f.opts.Adopt, "adopt", false, "let this database take over a lake and artifacts that belong to another; once, deletes nothing")
	c.Flags().BoolVar(&f.opts.NewKeys, "new-keys", false, "make new keys where those of a used data folder are lost for good; once, deletes nothing, every device must be enrolled again")
	bindKeys(c, hubFlags)
}

func (f *serveFlags) finish(c *cobra.Command) error {
	hub, settings, err := configs.Hub(configs.Sources{
		File:    f.config,
		Environ: os.Environ(),
		Flags:   changedKeys(c, slices.Concat(hubFlags, threadFlags)),
	})
	if err != nil {
		return err
	}
	ensemble.SetCompile(hub.Inference.Compile)
	w := c.ErrOrStderr()
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToLower(hub.Log.Level))); err != nil {
		return fmt.Errorf("log.level %q: must be debug, info, warn or error", hub.Log.Level)
	}
	o := &slog.HandlerOptions{Level: level}
	log := slog.New(slog.NewTextHandler(w, o))
	if hub.Log.Format == "json" {
		log = slog.New(slog.NewJSONHandler(w, o))
	}
	configs.LogIneffective(log, settings)
	f.opts.Config, f.opts.Version, f.opts.Inspect, f.opts.Log = *hub, configs.ProgramVersion(), inspectArtifact, log
	if f.passwordFile != "" {
		b, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return fmt.Errorf("read --admin-password-file: %w", err)
		}
		f.opts.AdminPassword = strings.TrimSpace(string(b))
	}
	return nil
}

func (f *serveFlags) open(c *cobra.Command) (*server.Hub, error) {
	h, err := server.Open(c.Context(), f.opts)
	if err != nil {
		return nil, err
	}
	if h.NewAdminPassword != "" && f.passwordFile == "" {
		done := "Created the user admin."
		if f.opts.ResetAdmin {
			done = "The user admin has a new password, and its logins have ended."
		}
		fmt.Fprintf(c.OutOrStdout(), "%s The password is shown this once:\n\n    %s\n\n", done, h.NewAdminPassword)
	}
	return h, nil
}

func serveCommand() *cobra.Command {
	f, learn := new(serveFlags), new(learnFlags)
	c := &cobra.Command{Use: "serve", Short: "Run the hub", Args: cobra.NoArgs,
		Long: "Run the hub until it is interrupted. A fresh data directory is set up first.\n\nFlags win over the environment, that over --config (hub.yaml), --ml-config (ml_config.yml) and --monitoring-config (monitoring_config.yml). Every key of hub.yaml has a variable SKERRY_<KEY>; the short ones are\nDATABASE_URL (postgres://… instead of SQLite), MODEL_STORAGE_PATH (s3://… or a folder), JWT_SECRET, RATE_LIMIT_ENABLED, ENABLE_AUTO_RETRAINING, ENABLE_JIT_COMPILATION, ML_ENVIRONMENT, ML_WORKERS, ML_LOG_LEVEL.",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.finish(c); err != nil {
				return err
			}
			keepPrivate()
			signal.Ignore(syscall.SIGHUP) // of logrotate, a service manager, a terminal that is closed
			policy, gates, err := learn.load(c, &f.opts.Config, f.opts.Log)
			if err != nil {
				return err
			}
			h, err := f.open(c)
			if err != nil {
				return err
			}
			h.Learn(policy, gates)
			h.Infer()
			web.Routes(h.API.Mux())
			err = h.Run(c.Context())
			return errors.Join(err, h.Close())
		}}
	f.bind(c)
	bindKeys(c, threadFlags)
	learn.bind(c)
	return c
}

func initCommand() *cobra.Command {
	f := new(serveFlags)
	c := &cobra.Command{Use: "init", Short: "Set up a data directory and the first user", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.finish(c); err != nil {
				return err
			}
			// nothing is served
			f.opts.Config.Listen, f.opts.Config.NATSListen = "127.0.0.1:0", "127.0.0.1:-1"
			h, err := f.open(c)
			if err != nil {
				return err
			}
			if h.NewAdminPassword == "" {
				err = fmt.Errorf("%s is already set up; if the password of admin is lost, stop the hub and give admin a new one by --reset-admin", f.opts.Config.DataDir)
			}
			return errors.Join(err, h.Close())
		}}
	f.bind(c)
	c.Flags().BoolVar(&f.opts.ResetAdmin, "reset-admin", false, "give the user admin its role and a new password, while the hub is stopped")
	return c
}

// openapiCommand opens a whole hub in a temporary directory, so that the document has every route.
func openapiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "openapi",
		Short: "Print the OpenAPI document of this version",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "skerry-openapi-*")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			h, err := server.Open(c.Context(), server.Options{
				Config:  configs.HubConfig{DataDir: dir, Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:-1"},
				Version: configs.ProgramVersion(),
			})
			if err != nil {
				return err
			}
			h.Learn(training.Policy{}, rollout.Spec{})
			web.Routes(h.API.Mux())
			e := json.NewEncoder(c.OutOrStdout())
			e.SetIndent("", "  ")
			return errors.Join(e.Encode(h.API.Huma().OpenAPI()), h.Close())
		},
	}
}
