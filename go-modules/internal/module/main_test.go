package module

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/daemon"
)

// patience bounds every wait of a test.
const patience = 60 * time.Second

// TestMain makes the test binary the program: modules and daemons run as processes of their own.
func TestMain(m *testing.M) {
	if find(filepath.Base(os.Args[0])) != nil {
		if os.Getenv(portless) != "" {
			forbidPorts()
		}
		os.Exit(Main(context.Background(), os.Args,
			ansible.Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
	}
	os.Exit(m.Run())
}

// options of one module call.
type options map[string]any

// with returns a copy with some options changed.
func (o options) with(name string, value any) options {
	c := maps.Clone(o)
	c[name] = value
	return c
}

// rig is a small fleet on loopback: a tracker, a seeder and peers, each with its own state and address.
type rig struct {
	t    *testing.T
	dir  string
	port int
	src  string
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.port = ln.Addr().(*net.TCPAddr).Port
	_ = ln.Close()
	r.src = filepath.Join(r.dir, "artifact")
	t.Setenv("GORACE", "atexit_sleep_ms=0 log_path="+filepath.Join(r.dir, "race"))
	t.Cleanup(r.end)
	return r
}

// on is the same fleet for a subtest.
func (r *rig) on(t *testing.T) *rig {
	c := *r
	c.t = t
	return &c
}

// needRoot skips a test that only root can set up, with the reason; make test counts it as skipped, and as root it runs.
func needRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to " + why)
	}
}

// end stops what still runs and fails the test if a daemon's race detector has found something.
func (r *rig) end() {
	dirs, _ := filepath.Glob(filepath.Join(r.dir, "state", "*", "*", "lock"))
	for _, lock := range dirs {
		kind, id, _ := strings.Cut(filepath.Base(filepath.Dir(lock)), "-")
		inst := daemon.Open(filepath.Dir(filepath.Dir(lock)), kind, id)
		if _, err := inst.Stop(context.Background()); err != nil {
			r.t.Errorf("stop %s: %v", lock, err)
		}
	}
	races, _ := filepath.Glob(filepath.Join(r.dir, "race*"))
	for _, race := range races {
		text, _ := os.ReadFile(race)
		r.t.Errorf("data race in a daemon:\n%s", text)
	}
}

// source writes size random bytes as the artifact.
func (r *rig) source(size int) []byte {
	r.t.Helper()
	data := make([]byte, size)
	var seed [32]byte
	copy(seed[:], r.t.Name())
	_, _ = rand.NewChaCha8(seed).Read(data)
	if err := os.WriteFile(r.src, data, 0o640); err != nil {
		r.t.Fatal(err)
	}
	return data
}

// command prepares a module call as Ansible's action plugin makes it: options on stdin. In check mode no port may be opened.
func (r *rig) command(module string, o options) *exec.Cmd {
	r.t.Helper()
	args, err := json.Marshal(o)
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{module, "-"}
	cmd.Stdin = bytes.NewReader(args)
	if o["_ansible_check_mode"] == true {
		cmd.Env = append(os.Environ(), portless+"=1")
	}
	return cmd
}

// call runs a module and returns its result.
func (r *rig) call(module string, o options) options {
	r.t.Helper()
	out, _ := r.command(module, o).Output() // a failure is in the result
	var res options
	if err := json.Unmarshal(out, &res); err != nil {
		r.t.Fatalf("%s printed %q: %v", module, out, err)
	}
	return res
}

// must runs a module that must not fail and must report changed as given.
func (r *rig) must(changed bool, module string, o options) options {
	r.t.Helper()
	res := r.call(module, o)
	if res["failed"] == true || res["changed"] != changed {
		r.t.Fatalf("%s %v: want changed %v, got %v", module, o, changed, res)
	}
	return res
}

// refused runs a module that must fail with a message that holds all the words.
func (r *rig) refused(module string, o options, words ...string) {
	r.t.Helper()
	res := r.call(module, o)
	msg, _ := res["msg"].(string)
	for _, word := range words {
		if res["failed"] != true || !strings.Contains(msg, word) {
			r.t.Errorf("%s %v: want a failure with %q, got %v", module, o, word, res)
		}
	}
}

func (r *rig) state(who string) string { return filepath.Join(r.dir, "state", who) }

func (r *rig) tracker() options {
	return options{"listen": "127.0.0.1", "port": r.port, "state_dir": r.state("tracker"), "token": "s3cret"}
}

func (r *rig) seed() options {
	return options{
		"src": r.src, "tracker": fmt.Sprintf("127.0.0.1:%d", r.port), "token": "s3cret",
		"ip": "127.0.0.2", "state_dir": r.state("seed"),
	}
}

func (r *rig) peer(n int) options {
	return options{
		"torrent": r.src + ".torrent", "dest": filepath.Join(r.dir, fmt.Sprintf("dest%d", n)), "token": "s3cret",
		"ip": fmt.Sprintf("127.0.0.%d", 10+n), "state_dir": r.state(fmt.Sprintf("peer%d", n)), "seed_time": 60,
		"stall_timeout": 30,
	}
}

// up starts tracker and seeder.
func (r *rig) up() {
	r.t.Helper()
	r.must(true, "murder_tracker", r.tracker())
	r.must(true, "murder_seed", r.seed())
}

// arrived demands that a destination holds the bytes.
func (r *rig) arrived(n int, data []byte) {
	r.t.Helper()
	got, err := os.ReadFile(r.peer(n)["dest"].(string))
	if err != nil || !bytes.Equal(got, data) {
		r.t.Errorf("peer %d: the artifact is not what was sent (%d of %d bytes, %v)", n, len(got), len(data), err)
	}
}

// eventually polls until ok returns true.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("did not happen in %s: %s", patience, what)
		}
	}
}

// left lists the state directories that hold more than records, or nothing.
func (r *rig) left() (found []string) {
	dirs, _ := filepath.Glob(filepath.Join(r.dir, "state", "*"))
	for _, dir := range dirs {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != "placed" {
			found = append(found, dir)
		}
	}
	return found
}
