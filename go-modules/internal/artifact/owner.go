package artifact

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// keep stands for an owner or group that is not asked for.
const keep = -1

// lookUpID is the id of a user or group, given by number or name; keep for "".
func lookUpID(option, database, name string, find func(string) (string, error)) (int, error) {
	if name == "" {
		return keep, nil
	}
	if id, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(id), nil
	}
	text, err := find(name)
	if err != nil {
		// Without cgo the standard library reads /etc/passwd and /etc/group only; getent asks LDAP and the like too.
		if text = getent(database, name, 2); text == "" {
			return keep, fault(err, "%s %q does not exist on this host; create it first or give a number", option, name)
		}
	}
	return strconv.Atoi(text)
}

func lookUpUser(name string) (int, error) {
	return lookUpID("Owner", "passwd", name, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
}

func lookUpGroup(name string) (int, error) {
	return lookUpID("Group", "group", name, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
}

// getent returns a field of an entry of the name service; "" when there is none, or no getent.
func getent(database, key string, field int) string {
	if strings.HasPrefix(key, "-") {
		return "" // it would be an option
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "getent", database, key).Output()
	if err != nil {
		return ""
	}
	fields := strings.Split(strings.TrimSpace(string(out)), ":")
	if len(fields) <= field {
		return ""
	}
	return fields[field]
}

// userName and groupName give the name of an id, or the number where it has none.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	if name := getent("passwd", id, 0); name != "" {
		return name
	}
	return id
}

func groupName(gid int) string {
	id := strconv.Itoa(gid)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	if name := getent("group", id, 0); name != "" {
		return name
	}
	return id
}

// checkOwner says beforehand when this process may not give files away.
func checkOwner(uid, gid int) error {
	if mayChown() {
		return nil
	}
	if uid != keep && uid != os.Geteuid() {
		return fault(unix.EPERM, "Owner %s cannot be set by user %s; run with become, or leave owner out",
			userName(uid), userName(os.Geteuid()))
	}
	groups, err := os.Getgroups()
	if err != nil {
		return because(err, "The groups of this process cannot be read")
	}
	if gid != keep && gid != os.Getegid() && !slices.Contains(groups, gid) {
		return fault(unix.EPERM, "Group %s cannot be set by user %s, who is not in it; run with become, or leave group out",
			groupName(gid), userName(os.Geteuid()))
	}
	return nil
}

func mayChown() bool { return capable(unix.CAP_CHOWN) }

// capable says whether the process holds a capability.
func capable(capability uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return os.Geteuid() == 0
	}
	return data[0].Effective&(1<<capability) != 0
}

// chown gives a file away; unless it must, as far as this user may.
func chown(at int, name string, o owner, must bool) error {
	err := unix.Fchownat(at, name, o.uid, o.gid, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.EPERM) && !must {
		if err = unix.Fchownat(at, name, keep, o.gid, unix.AT_SYMLINK_NOFOLLOW); errors.Is(err, unix.EPERM) {
			return nil
		}
	}
	return err
}
