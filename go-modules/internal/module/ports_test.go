package module

import (
	"fmt"
	"net"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// portless makes the test binary a program, if it is one, that the kernel kills when it or a child opens a port.
const portless = "MURDER_TEST_PORTLESS"

// forbidPorts has the kernel kill this process, and each that it starts, when it listens. Bind alone opens no tcp port; it is what gives a
// connection that goes out its own address, and Go tries what the kernel can with it.
func forbidPorts() {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_LISTEN, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if err == nil {
		_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
		if errno != 0 {
			err = errno
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ports cannot be forbidden:", err)
		os.Exit(1)
	}
}

// TestCheckModeOpensNoPort: where the kernel forbids to open any port, check mode predicts what it predicts elsewhere (all tests of check
// mode run so, see command), the same where every port that the options name is taken, and the same calls without it cannot succeed.
func TestCheckModeOpensNoPort(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	taken, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	check := func(module string, o, onTaken options) {
		t.Helper()
		for _, o := range []options{o, onTaken} {
			r.must(true, module, o.with("_ansible_check_mode", true))
		}
		cmd := r.command(module, o)
		cmd.Env = append(os.Environ(), portless+"=1")
		if out, err := cmd.Output(); err == nil {
			t.Errorf("%s opens a port and was not hindered: %s", module, out)
		}
	}
	check("murder_tracker", r.tracker(), r.tracker().with("port", port))
	r.must(true, "murder_tracker", r.tracker())
	check("murder_seed", r.seed(), r.seed().with("port_range", fmt.Sprint(port)))
	seeded := r.must(true, "murder_seed", r.seed())
	for _, peer := range []options{r.peer(1), r.peer(1).with("state", "started"), r.byInfohash(1, seeded["infohash"])} {
		check("murder_peer", peer, peer.with("port_range", fmt.Sprint(port)))
	}
}
