package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// remote is a hub that is administered over its REST API.
type remote struct {
	url  string
	json bool
}

// session is what login leaves for the next command.
type session struct {
	Hub     string `json:"hub"`
	Token   string `json:"token"`
	Expires int64  `json:"expires_at"`
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
			s.Token = "" // a token is for the hub that gave it
		}
		s.Hub = r.url
	case os.Getenv("SKERRY_HUB") != "":
		if s.Hub != os.Getenv("SKERRY_HUB") && os.Getenv("SKERRY_TOKEN") == "" {
			s.Token = ""
		}
		s.Hub = os.Getenv("SKERRY_HUB")
	case s.Hub == "":
		s.Hub = "http://127.0.0.1:8000"
	}
	s.Hub = strings.TrimSuffix(s.Hub, "/")
	return s
}

// open sends a request and returns the body of a successful answer.
func (r *remote) open(ctx context.Context, method, path string, body io.Reader, contentType string) (io.ReadCloser, error) {
	s := r.session()
	req, err := http.NewRequestWithContext(ctx, method, s.Hub+path, body)
	if err != nil {
		return nil, err
	}
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, &hintError{err, "is the hub running at " + s.Hub + "? choose another with --hub"}
	}
	if res.StatusCode < 300 {
		return res.Body, nil
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var e struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(b, &e) != nil || e.Error.Message == "" {
		e.Error.Message = res.Status
	}
	err = fmt.Errorf("%s (%d %s)", e.Error.Message, res.StatusCode, e.Error.Code)
	if res.StatusCode == http.StatusUnauthorized && path != "/v1/login" {
		return nil, &hintError{err, "log in with: skerry-hub login --hub " + s.Hub + ", or set SKERRY_TOKEN"}
	}
	return nil, err
}

// call sends JSON and decodes JSON; in and out may be nil.
func (r *remote) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	contentType := ""
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body, contentType = bytes.NewReader(b), "application/json"
	}
	return r.send(ctx, method, path, body, contentType, out)
}

// send sends a body and decodes JSON; out may be nil.
func (r *remote) send(ctx context.Context, method, path string, body io.Reader, contentType string, out any) error {
	rc, err := r.open(ctx, method, path, body, contentType)
	if err != nil {
		return err
	}
	defer rc.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(rc).Decode(out); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	return nil
}

type object = map[string]any

// column is a column of a table: its title and how a row fills it.
type column struct {
	title string
	value func(object) string
}

func field(title, key string) column {
	return column{title, func(o object) string { return text(o[key]) }}
}

func stamp(title, key string) column {
	return column{title, func(o object) string {
		us, _ := o[key].(json.Number)
		n, _ := us.Int64()
		if n == 0 {
			return "-"
		}
		return time.UnixMicro(n).Local().Format("2006-01-02 15:04:05")
	}}
}

func text(v any) string {
	switch x := v.(type) {
	case nil:
		return "-"
	case string:
		if x == "" {
			return "-"
		}
		return x
	case bool:
		if x {
			return "yes"
		}
		return "no"
	case json.Number:
		return x.String()
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}

// list prints a listing as a table or as JSON.
func (r *remote) list(c *cobra.Command, path string, cols ...column) error {
	rc, err := r.open(c.Context(), "GET", path, nil, "")
	if err != nil {
		return err
	}
	defer rc.Close()
	if r.json {
		return pretty(c.OutOrStdout(), rc)
	}
	var out struct{ Items []object }
	d := json.NewDecoder(rc)
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	for i, col := range cols {
		fmt.Fprint(w, strings.Repeat("\t", min(i, 1)), col.title)
	}
	fmt.Fprintln(w)
	for _, o := range out.Items {
		for i, col := range cols {
			fmt.Fprint(w, strings.Repeat("\t", min(i, 1)), col.value(o))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// show prints one object as indented JSON: it is complete, and people read it as well.
func (r *remote) show(c *cobra.Command, path string) error {
	rc, err := r.open(c.Context(), "GET", path, nil, "")
	if err != nil {
		return err
	}
	defer rc.Close()
	return pretty(c.OutOrStdout(), rc)
}

func pretty(w io.Writer, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := json.Indent(&buf, b, "", "  "); err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	buf.WriteByte('\n')
	_, err = buf.WriteTo(w)
	return err
}

// print shows a value that the caller also has as text.
func (r *remote) print(c *cobra.Command, v any, plain string) error {
	if !r.json {
		_, err := fmt.Fprintln(c.OutOrStdout(), plain)
		return err
	}
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}

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
			var out session
			if err := r.call(c.Context(), "POST", "/v1/login", object{"user": user, "password": pw}, &out); err != nil {
				return err
			}
			out.Hub = r.session().Hub
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
			return r.print(c, out, "Logged in to "+out.Hub+" until "+time.UnixMicro(out.Expires).Local().Format(time.DateTime))
		},
	}
	c.Flags().StringVar(&user, "user", "admin", "user name")
	return c
}

func group(use, short string, sub ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short}
	c.AddCommand(sub...)
	return c
}

func (r *remote) userCommand() *cobra.Command {
	var role string
	add := &cobra.Command{
		Use:   "add <name>",
		Short: "Create a user; the password is asked for",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			pw, err := password("Password of " + args[0])
			if err != nil {
				return err
			}
			if err := r.call(c.Context(), "POST", "/v1/users", object{"name": args[0], "role": role, "password": pw}, nil); err != nil {
				return err
			}
			return r.print(c, object{"name": args[0], "role": role}, "Created user "+args[0]+" with role "+role)
		},
	}
	add.Flags().StringVar(&role, "role", "viewer", "viewer, operator, engineer or admin")
	passwd := &cobra.Command{
		Use:   "passwd <name>",
		Short: "Set a user's password",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			pw, err := password("New password of " + args[0])
			if err != nil {
				return err
			}
			in := object{"password": pw}
			var me struct{ Name string }
			if err := r.call(c.Context(), "GET", "/v1/me", nil, &me); err != nil {
				return err
			}
			if me.Name == "user/"+args[0] {
				current := os.Getenv("SKERRY_CURRENT_PASSWORD")
				if current == "" {
					if current, err = password("Current password"); err != nil {
						return err
					}
				}
				in["current"] = current
			}
			return r.call(c.Context(), "PUT", "/v1/users/"+url.PathEscape(args[0])+"/password", in, nil)
		},
	}
	return group("user", "People who may log in", add, passwd,
		&cobra.Command{
			Use:   "list",
			Short: "List users",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return r.list(c, "/v1/users", field("NAME", "name"), field("ROLE", "role"), stamp("CREATED", "created_at"))
			},
		},
		&cobra.Command{
			Use:   "remove <name>",
			Short: "Remove a user",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.call(c.Context(), "DELETE", "/v1/users/"+url.PathEscape(args[0]), nil, nil)
			},
		})
}

func (r *remote) tokenCommand() *cobra.Command {
	var site, cohort, role string
	var minutes, days int
	device := &cobra.Command{
		Use:   "device <name>",
		Short: "Create a one-time token that enrols a device",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in := object{"device": args[0], "site": site}
			if cohort != "" {
				in["cohort"] = cohort
			}
			if minutes > 0 {
				in["minutes"] = minutes
			}
			var out object
			if err := r.call(c.Context(), "POST", "/v1/enroll-tokens", in, &out); err != nil {
				return err
			}
			return r.print(c, out, fmt.Sprint(out["token"]))
		},
	}
	device.Flags().StringVar(&site, "site", "default", "site of the device")
	device.Flags().StringVar(&cohort, "cohort", "", "cohort of the device")
	device.Flags().IntVar(&minutes, "minutes", 0, "life of the token in minutes (default an hour)")
	apiToken := &cobra.Command{
		Use:   "api <name>",
		Short: "Create an API token for a program",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in := object{"name": args[0], "role": role}
			if days > 0 {
				in["days"] = days
			}
			var out object
			if err := r.call(c.Context(), "POST", "/v1/tokens", in, &out); err != nil {
				return err
			}
			return r.print(c, out, fmt.Sprint(out["token"]))
		},
	}
	apiToken.Flags().StringVar(&role, "role", "viewer", "viewer, operator, engineer or admin")
	apiToken.Flags().IntVar(&days, "days", 0, "life of the token in days (default a year)")
	return group("token", "Tokens of devices and programs", device, apiToken,
		&cobra.Command{
			Use:   "list",
			Short: "List API tokens",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return r.list(c, "/v1/tokens", field("ID", "id"), field("NAME", "name"), field("ROLE", "role"), stamp("EXPIRES", "expires_at"), stamp("REVOKED", "revoked_at"))
			},
		},
		&cobra.Command{
			Use:   "list-devices",
			Short: "List enrolment tokens",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return r.list(c, "/v1/enroll-tokens", field("ID", "id"), field("DEVICE", "device"), field("SITE", "site"), stamp("EXPIRES", "expires_at"), stamp("USED", "used_at"))
			},
		},
		&cobra.Command{
			Use:   "revoke <id>",
			Short: "Revoke an API token",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.call(c.Context(), "DELETE", "/v1/tokens/"+url.PathEscape(args[0]), nil, nil)
			},
		})
}

func (r *remote) deviceCommand() *cobra.Command {
	outbox := column{"PENDING", func(o object) string {
		if b, ok := o["outbox"].(object); ok {
			return text(b["pending_records"])
		}
		return "-"
	}}
	return group("device", "Devices of the fleet",
		&cobra.Command{
			Use:   "list",
			Short: "List devices",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return r.list(c, "/v1/devices?limit=1000", field("DEVICE", "name"), field("SITE", "site"), field("COHORT", "cohort"), field("CLASS", "class"), field("VERSION", "version"),
					field("LINK", "connected"), field("HEALTH", "health"), outbox, field("SUSPECT", "suspect"), stamp("SEEN", "seen_at"))
			},
		},
		&cobra.Command{
			Use:               "show <name>",
			Short:             "Everything about a device",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.complete("/v1/devices", "name"),
			RunE: func(c *cobra.Command, args []string) error {
				return r.show(c, "/v1/devices/"+url.PathEscape(args[0]))
			},
		},
		&cobra.Command{
			Use:   "revoke <name>",
			Short: "Void a device's credential and close its connection",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.call(c.Context(), "POST", "/v1/devices/"+url.PathEscape(args[0])+"/revoke", nil, nil)
			},
		},
		&cobra.Command{
			Use:   "clear-suspect <name>",
			Short: "Decide that a suspect device is the only one of its name",
			Args:  cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				return r.call(c.Context(), "POST", "/v1/devices/"+url.PathEscape(args[0])+"/clear-suspect", nil, nil)
			},
		})
}

func (r *remote) modelCommand() *cobra.Command {
	var task, reason string
	list := &cobra.Command{
		Use:   "list",
		Short: "List models",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return r.list(c, "/v1/models?limit=1000&task="+url.QueryEscape(task), field("MODEL", "name"), field("STATE", "state"), field("KIND", "kind"), field("BYTES", "size"),
				field("DIGEST", "digest"), stamp("CREATED", "created_at"))
		},
	}
	list.Flags().StringVar(&task, "task", "", "models of one task")
	tomb := &cobra.Command{
		Use:               "tombstone <digest | task@version>",
		Short:             "Forbid a model everywhere, for good",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: r.complete("/v1/models", "name"),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := r.model(c.Context(), args[0])
			if err != nil {
				return err
			}
			return r.call(c.Context(), "POST", "/v1/models/"+m.Digest+"/tombstone", object{"reason": reason}, nil)
		},
	}
	tomb.Flags().StringVar(&reason, "reason", "", "why")
	_ = tomb.MarkFlagRequired("reason") // the flag exists
	return group("model", "Models of the registry", list, tomb,
		&cobra.Command{
			Use:               "show <digest | task@version>",
			Short:             "A model and what it came from",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.complete("/v1/models", "name"),
			RunE: func(c *cobra.Command, args []string) error {
				m, err := r.model(c.Context(), args[0])
				if err != nil {
					return err
				}
				return r.show(c, "/v1/models/"+m.Digest+"/lineage")
			},
		})
}

func (r *remote) taskCommand() *cobra.Command {
	return group("task", "Tasks that devices run",
		&cobra.Command{
			Use:   "list",
			Short: "List tasks",
			Args:  cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return r.list(c, "/v1/tasks", field("TASK", "name"), field("KIND", "kind"), stamp("FIRST SEEN", "first_seen"), stamp("LAST SEEN", "last_seen"))
			},
		},
		&cobra.Command{
			Use:               "show <name>",
			Short:             "A task, who runs it, its drifts and models",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: r.complete("/v1/tasks", "name"),
			RunE: func(c *cobra.Command, args []string) error {
				return r.show(c, "/v1/tasks/"+url.PathEscape(args[0]))
			},
		})
}

func (r *remote) dataCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check <device>",
		Short: "Did every reading arrive exactly once",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var out struct {
				Device     string `json:"device"`
				Readings   int64  `json:"readings"`
				Distinct   int64  `json:"distinct"`
				Duplicates int64  `json:"duplicates"`
				Conflicts  int64  `json:"conflicts"`
				Series     object `json:"series"`
			}
			if err := r.call(c.Context(), "GET", "/v1/lake/check?device="+url.QueryEscape(args[0]), nil, &out); err != nil {
				return err
			}
			if err := r.print(c, out, fmt.Sprintf("%s: %d readings, %d distinct, %d duplicates, %d series", out.Device, out.Readings, out.Distinct, out.Duplicates, len(out.Series))); err != nil {
				return err
			}
			if out.Duplicates > 0 {
				return fmt.Errorf("%d readings arrived more than once", out.Duplicates)
			}
			return nil
		},
	}
	var series []string
	var format, file string
	var from, to string
	var limit int
	export := &cobra.Command{
		Use:   "export <device>",
		Short: "Write a device's readings",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			q := url.Values{"device": {args[0]}, "format": {format}, "limit": {fmt.Sprint(limit)}}
			if len(series) > 0 {
				q.Set("series", strings.Join(series, ","))
			}
			for key, v := range map[string]string{"from": from, "to": to} {
				if v == "" {
					continue
				}
				t, err := time.Parse(time.RFC3339, v)
				if err != nil {
					return fmt.Errorf("--%s %q: must be a time such as 2026-01-31T12:00:00Z", key, v)
				}
				q.Set(key, fmt.Sprint(t.UnixMicro()))
			}
			rc, err := r.open(c.Context(), "GET", "/v1/lake/readings?"+q.Encode(), nil, "")
			if err != nil {
				return err
			}
			defer rc.Close()
			w := c.OutOrStdout()
			if file != "" {
				f, err := os.Create(file)
				if err != nil {
					return err
				}
				_, err = io.Copy(f, rc)
				return errors.Join(err, f.Close())
			}
			_, err = io.Copy(w, rc)
			return err
		},
	}
	f := export.Flags()
	f.StringSliceVar(&series, "series", nil, "series to write (default all)")
	f.StringVar(&format, "format", "csv", "csv or json")
	f.StringVar(&from, "from", "", "first event time, RFC 3339")
	f.StringVar(&to, "to", "", "last event time, RFC 3339")
	f.IntVar(&limit, "limit", 1_000_000, "most readings to write")
	f.StringVarP(&file, "output", "o", "", "file to write (default standard output)")
	return group("data", "What the fleet has sent", check, export)
}
