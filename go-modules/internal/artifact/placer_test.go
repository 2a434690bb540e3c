package artifact

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// placerVariable makes the test binary a process that deploys the versions a and b below its directory in turn, for ever. Of the kind
// rollback it deploys b and goes back.
const placerVariable = "MURDER_TEST_PLACER"

// deployForEver is that process. It prints a line after each deploy.
func deployForEver() error {
	kind, top, _ := strings.Cut(os.Getenv(placerVariable), ":")
	for i := 0; ; i++ {
		name := []string{"a", "b"}[i%2]
		if kind == "rollback" {
			name = "b"
		}
		if kind == "rollback" && i%2 == 1 {
			if _, err := RollBack(context.Background(), top+"/dest", "", false); err != nil {
				return err
			}
			fmt.Println("rolled back")
			continue
		}
		torrent, source, err := Build(context.Background(), sourceOf(kind, top, name), BuildOptions{PieceLength: MinPieceLength})
		if err != nil {
			return err
		}
		p, err := NewPlan(torrent, options(kind, top))
		if err != nil {
			return err
		}
		if err := place(kind, p, torrent, source, i == 2); err != nil {
			return err
		}
		if kind == "links" {
			if err := relinkAgain(p); err != nil {
				return err
			}
		}
		fmt.Println(name)
	}
}

// relinkAgain makes a hard link a file of its own, and then a link again as a run does that finds all in place.
func relinkAgain(p *Plan) error {
	path := p.Dest + "/" + killLink
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path+".new", data, 0o644)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		_, _, err = p.Attributes(true)
	}
	return err
}

// sourceOf is the path of a version.
func sourceOf(kind, top, name string) string {
	src := filepath.Join(top, name, "app")
	switch kind {
	case "file", "saved file":
		src += "/f0"
	case "unpack":
		src += ".tar"
	}
	return src
}

func options(kind, top string) PlaceOptions {
	o := PlaceOptions{Dest: top + "/dest", Mode: "u=rw,go=r"}
	switch kind {
	case "keep", "rollback":
		o.Keep = 1
	case "unpack":
		o.Unpack, o.StateDir = true, top+"/state"
	case "backup", "saved file":
		o.Backup = true
	case "partial":
		o.PartialDir = top + "/partial"
	case "delete":
		o.Delete = true
	}
	return o
}

// renaming is renameat2 where nothing can be exchanged: a filesystem says EINVAL, a kernel that has no such call ENOSYS.
func renaming(errno error) func(int, string, int, string, uint) error {
	return func(fromDir int, from string, toDir int, to string, flags uint) error {
		if flags != 0 {
			return errno
		}
		return unix.Renameat(fromDir, from, toDir, to)
	}
}

var cannotExchange = renaming(unix.EINVAL)

// everyRename are the ways of a kernel and its filesystems.
var everyRename = []func(int, string, int, string, uint) error{renameat2, cannotExchange, renaming(unix.ENOSYS)}

// diesBetween is cannotExchange whose process is killed when it is about to give the new tree its name.
func diesBetween(fromDir int, from string, toDir int, to string, flags uint) error {
	if flags == 0 && strings.HasPrefix(from, finalPrefix) {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	return cannotExchange(fromDir, from, toDir, to, flags)
}

// place does with a version what the module does, and remembers it in all the files that the module does.
func place(kind string, p *Plan, torrent *Torrent, source *Source, dies bool) error {
	top := filepath.Dir(p.wanted)
	if _, err := torrent.WriteFile(top + "/app.torrent"); err != nil {
		return err
	}
	if err := deployed(kind, p, torrent, source, dies); err != nil {
		return err
	}
	return OpenRecords(top + "/state").Save(p.Placed())
}

func deployed(kind string, p *Plan, torrent *Torrent, source *Source, dies bool) error {
	complete, err := p.Complete(context.Background())
	if err != nil {
		return err
	}
	if complete {
		if _, err := Forget(context.Background(), p.asked.Dest, p.asked.PartialDir, false); err != nil {
			return err
		}
		if _, _, err := p.Attributes(true); err != nil {
			return err
		}
		_, err := p.Activate(context.Background(), true)
		return err
	}
	store, _, err := p.OpenStaging(context.Background())
	if err != nil {
		return err
	}
	defer store.Close()
	if kind == "two steps" {
		p.staging.renameat2 = map[bool]func(int, string, int, string, uint) error{false: cannotExchange, true: diesBetween}[dies]
	}
	from, err := source.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	for i := range torrent.NumPieces() {
		piece := make([]byte, torrent.PieceSize(i))
		if _, err := from.ReadAt(piece, int64(i)*torrent.PieceLength); err != nil {
			return err
		}
		if _, err := store.WriteAt(piece, int64(i)*torrent.PieceLength); err != nil {
			return err
		}
	}
	if p.unpack != nil {
		if err := p.Unpack(context.Background(), store); err != nil {
			return err
		}
	}
	if err := p.Place(context.Background()); err != nil {
		return err
	}
	return p.Remember()
}
