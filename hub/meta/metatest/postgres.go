package metatest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

var errMissing = errors.New("PostgreSQL is not installed: apt-get install postgresql, or set SKERRY_TEST_POSTGRES to the URL of a server whose user may create databases")

var (
	pid   = os.Getpid()
	count atomic.Int64 // databases made
)

// server returns the URL of the server's first database.
var server = sync.OnceValues(func() (string, error) {
	if u := os.Getenv("SKERRY_TEST_POSTGRES"); u != "" {
		return u, nil
	}
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	return start(bin)
})

// binaries returns the folder of initdb and postgres. The newest of Debian's versions is taken.
func binaries() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if _, err := os.Stat(filepath.Join(dirs[i], "initdb")); err == nil {
			return dirs[i], nil
		}
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errMissing
	}
	path, err = filepath.EvalSymlinks(path)
	return filepath.Dir(path), err
}

// script runs the server for as long as its standard input is open, so that it ends with the test
// process also when that is killed.
const script = `
"$1/postgres" -D "$2/data" -k "" -h 127.0.0.1 -p "$3" -F -c max_connections=200 >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$2"
`

// start makes a cluster in a temporary directory and starts a server on it.
func start(bin string) (string, error) {
	// not t.TempDir, whose parents are closed to other users
	dir, err := os.MkdirTemp("", "skerry-postgres-*")
	if err != nil {
		return "", err
	}
	attr, err := unprivileged(dir)
	if err != nil {
		return "", err
	}
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(name, args...)
		c.SysProcAttr, c.Dir, c.Env = attr, dir, []string{"HOME=" + dir, "LC_ALL=C", "PATH=/usr/bin:/bin"}
		return c
	}
	init := command(filepath.Join(bin, "initdb"), "-D", dir+"/data", "-U", "skerry", "--auth=trust", "-E", "UTF8", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return "", err
	}
	run := command("sh", "-c", script, "sh", bin, dir, fmt.Sprint(port))
	stdin, err := run.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := run.Start(); err != nil {
		return "", err
	}
	input = stdin
	url := fmt.Sprintf("postgres://skerry@127.0.0.1:%d/postgres?sslmode=disable", port)
	if err := answers(url, 20*time.Second); err != nil {
		log, _ := os.ReadFile(dir + "/log")
		return "", errors.Join(fmt.Errorf("PostgreSQL does not start: %w: %s", err, log), input.Close(), run.Wait())
	}
	return url, nil
}

// input is the server's standard input. Nothing closes it but the end of the process.
var input io.WriteCloser

// answers waits until the server takes connections.
func answers(url string, within time.Duration) error {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
