package artifact

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// queries is how many others are told who holds a claim; those after them are told only that it is held.
const queries = 128

// claim makes sure that no other process is writing to Dest, wherever its staging lies. It is an abstract socket, called by the inode
// of Dest's directory and the name in it: it leaves nothing beside the destination, goes with its process, and the kernel
// tells who holds it. Where there are no sockets, the lock of the staging has to do; then it is nil.
func (p *Plan) claim(parent *root) (*os.File, error) {
	address, err := p.claimName(parent)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil
	}
	err = unix.Bind(fd, address)
	if err == nil {
		err = unix.Listen(fd, queries)
	}
	if err == nil {
		return os.NewFile(uintptr(fd), address.Name), nil
	}
	unix.Close(fd)
	if !errors.Is(err, unix.EADDRINUSE) {
		return nil, nil
	}
	holder, err := holderOf(address)
	switch {
	case err != nil: // it is just being taken or given up
		return nil, fault(ErrBusy, "Destination %s is being written to by another deploy; wait until it ends, or stop it", show(p.Dest))
	case holder.Uid != 0 && int(holder.Uid) != os.Geteuid():
		return nil, nil // strangers cannot keep anybody from deploying
	}
	return nil, fault(ErrBusy, "Destination %s is being written to by another deploy (pid %d); wait until it ends, or stop it", show(p.Dest), holder.Pid)
}

func (p *Plan) claimName(parent *root) (*unix.SockaddrUnix, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(parent.fd(), &stat); err != nil {
		return nil, because(err, "Destination directory %s cannot be used", show(p.dir))
	}
	sum := sha1.Sum([]byte(p.base))
	return &unix.SockaddrUnix{Name: fmt.Sprintf("@corvus.murder/%d/%d/%s", stat.Dev, stat.Ino, hex.EncodeToString(sum[:]))}, nil
}

// holderOf asks the kernel who listens at an address.
func holderOf(address unix.Sockaddr) (*unix.Ucred, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, address); err != nil {
		return nil, err
	}
	return unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
}
