package artifact

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// PlaceOptions say where an artifact goes and what it looks like there, in the words of Ansible's copy. All but Dest may be
// left at their zero values.
type PlaceOptions struct {
	Dest          string // the file, or its directory with "/" at the end; for a tree the directory that it becomes
	Owner, Group  string // name or number
	Mode          string // of files: octal, symbolic, or "preserve" for the modes that the torrent carries
	DirectoryMode string // of directories, likewise
	Attributes    string // file flags as chattr(1) takes them: "i", "+d", "-A"

	// Parts of the SELinux context; "_default" is what the policy says. Without SELinux they mean nothing.
	SEUser, SERole, SEType, SELevel string

	Backup       bool   // keep what was at Dest beside it, see Plan.Backup
	Validate     string // command that must succeed on the staged artifact, which it finds in the place of %s
	Checksum     string // SHA-1 that a single file must have
	UnsafeWrites bool   // write into a file that cannot be replaced by a rename
	PartialDir   string // directory for unfinished data, "" for the directory of Dest
	Keep         int    // old releases to keep; Dest is a symlink to the current one then. 0 means that Dest is the artifact
	Delete       bool   // of a tree at Dest nothing stays that the artifact does not have

	Unpack        bool   // the artifact is an archive, and Dest becomes the directory of what is in it
	UnpackDevices bool   // devices and named pipes in it are made, not refused
	StateDir      string // where it is remembered what was unpacked; nothing is with ""

	Reuse []string `json:",omitempty"` // files and directories of this host that may hold parts of the artifact
}

// options parses what can be judged without a look at the destination.
func (p *Plan) options(o PlaceOptions) (err error) {
	if p.uid, err = lookUpUser(o.Owner); err != nil {
		return err
	}
	if p.gid, err = lookUpGroup(o.Group); err != nil {
		return err
	}
	if p.mode, err = parseMode("mode", o.Mode); err != nil {
		return err
	}
	if p.dirMode, err = parseMode("directory_mode", o.DirectoryMode); err != nil {
		return err
	}
	if p.flags, err = parseFlags(o.Attributes); err != nil {
		return err
	}
	if p.context, err = newContext(o); err != nil {
		return err
	}
	if p.command, err = parseCommand(o.Validate); err != nil {
		return err
	}
	if p.asked.Checksum, err = p.torrent.expect(o.Checksum); err != nil {
		return err
	}
	return checkOwner(p.uid, p.gid)
}

// expect refuses a checksum that is none, or is known beforehand to be of another file, and returns it in lower case.
func (t *Torrent) expect(checksum string) (string, error) {
	if checksum == "" {
		return "", nil
	}
	want := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(checksum), "sha1:"))
	if sum, err := hex.DecodeString(want); err != nil || len(sum) != 20 {
		return "", fault(nil, "Option checksum is %q, which is no SHA-1; give 40 hexadecimal digits, as sha1sum(1) prints them", checksum)
	}
	if !t.Single {
		return "", fault(nil, "Option checksum is for a single file, but %s is a directory; leave it out, for every piece is verified anyway",
			show(t.Name))
	}
	if sum := t.Checksum(); sum != "" && sum != want {
		return "", t.differs(want, sum)
	}
	return want, nil
}

func (t *Torrent) differs(want, got string) error {
	return fault(ErrChecksum, "The checksum of %s is %s, but %s is expected; look at the source, or correct the option checksum",
		show(t.Name), got, want)
}

// destination is where the artifact itself goes: Dest, or with keep a release that Dest will lead to.
func (p *Plan) destination(o PlaceOptions) (string, error) {
	if o.Keep == 0 {
		return resolve(p.torrent, o.Dest)
	}
	path, err := clean(p.torrent, o.Dest)
	if err != nil {
		return "", err
	}
	if p.link, err = openReleases(path); err != nil {
		return "", err
	}
	p.linked = p.link.current != ""
	return p.link.path(releaseName(p.torrent)), nil
}

// locate notes the paths that follow from the destination and the option partial_dir.
func (p *Plan) locate(dest, partial string) {
	p.Dest, p.dir, p.base = dest, filepath.Dir(dest), filepath.Base(dest)
	if p.home = p.dir; partial != "" {
		p.home = filepath.Clean(partial)
	}
}

// checkHome looks at the directory that unfinished data is to lie in, when that is not the destination's own.
func (p *Plan) checkHome() error {
	if p.home == p.dir {
		return nil
	}
	home, err := os.Stat(p.home)
	switch {
	case !filepath.IsAbs(p.home):
		return fault(nil, "Option partial_dir is %s; give an absolute path", show(p.home))
	case errors.Is(err, fs.ErrNotExist):
		return fault(err, "Directory %s of option partial_dir does not exist; create it first", show(p.home))
	case err != nil:
		return because(err, "Directory %s of option partial_dir cannot be used", show(p.home))
	case !home.IsDir():
		return fault(unix.ENOTDIR, "Option partial_dir is %s, which is a %s; give a directory", show(p.home), kindOf(home.Mode()))
	}
	for _, tree := range []string{p.Dest, p.Target()} {
		if !p.torrent.Single && within(p.home, tree) {
			return fault(nil, "Directory %s of option partial_dir lies inside the destination %s and would go with it; "+
				"choose a directory beside it", show(p.home), show(tree))
		}
	}
	if !p.unsafe() && !p.sameFilesystem() {
		return fault(unix.EXDEV, "Directory %s of option partial_dir is on another filesystem than %s, so the artifact could not be put in place "+
			"by a rename; choose a directory on %s", show(p.home), show(p.Dest), show(mountPoint(p.dir)))
	}
	if p.readOnly == nil {
		p.readOnly = writable(p.home)
	}
	return nil
}

// within says whether a directory is a tree or lies somewhere in it, wherever links lead.
func within(dir, tree string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	tree, err = filepath.EvalSymlinks(tree)
	return err == nil && (dir == tree || beneath(dir, tree))
}

// unsafe says whether Dest may be written to in place.
func (p *Plan) unsafe() bool { return p.asked.UnsafeWrites && p.torrent.Single && p.link == nil }

// sameFilesystem says whether a rename can go from the staging to the destination.
func (p *Plan) sameFilesystem() bool { return sameMount(existing(p.home), existing(p.dir)) }

func sameMount(a, b string) bool { return sameDevice(a, b) && mountPoint(a) == mountPoint(b) }

func sameDevice(a, b string) bool {
	var one, other unix.Stat_t
	if unix.Stat(a, &one) != nil || unix.Stat(b, &other) != nil {
		return true // whatever it is, it is said by who meets it
	}
	return one.Dev == other.Dev
}

// existing is the path, or the nearest directory above it that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || path == "/" {
			return path
		}
		path = filepath.Dir(path)
	}
}

// Exists says whether there was anything at the destination, be it the artifact or not, when the plan was made.
func (p *Plan) Exists() bool {
	if p.link != nil {
		return p.linked
	}
	return p.exists
}

// Target is the path that the user has asked for: Dest, or with keep the link to it.
func (p *Plan) Target() string {
	if p.link != nil {
		return p.link.link
	}
	return p.Dest
}

// Backup is where Place has put what was at Dest, "" when there was nothing or nobody wanted it.
func (p *Plan) Backup() string { return p.backup }
