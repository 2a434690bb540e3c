package artifact

import (
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// defaults are the contexts that the SELinux policy has for paths. The program matchpathcon knows them; it reads the whole policy
// each time, so it is asked for a block of the artifact's paths at once. Methods are for many goroutines.
type defaults struct {
	program   string
	dir, real string // the directory of Dest, and what it is without symlinks

	plan   *Plan
	mu     sync.Mutex
	sorted *Torrent           // whose blocks these are: what is in an archive is not known from the beginning
	blocks map[query][]string // the block that a path is in
	known  map[query]string
}

// query is a path and the kind of file that is to be there, in matchpathcon's word.
type query struct{ kind, path string }

var kinds = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "dir", unix.S_IFLNK: "lnk_file",
	unix.S_IFIFO: "pipe", unix.S_IFCHR: "chr_file", unix.S_IFBLK: "blk_file",
}

// newDefaults returns nil on a host without the program. Who is no administrator may lack its directory in PATH.
func newDefaults(p *Plan) *defaults {
	for _, name := range []string{"matchpathcon", "/usr/sbin/matchpathcon", "/sbin/matchpathcon"} {
		program, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		d := &defaults{program: program, dir: p.dir, real: p.dir, plan: p, known: map[query]string{}}
		if real, err := filepath.EvalSymlinks(p.dir); err == nil {
			d.real = real
		}
		return d
	}
	return nil
}

// blocks sorts the artifact's entries into such as are asked for together: of one kind, and no more than a command line holds.
func (p *Plan) blocks() map[query][]string {
	const most = 300 // of 4 KiB at worst; the kernel takes 2 MiB
	paths := map[string][]string{"dir": {p.Dest}}
	for i := range p.torrent.Dirs {
		paths["dir"] = append(paths["dir"], filepath.Join(p.Dest, p.torrent.Dirs[i].Path))
	}
	for i := range p.torrent.Files {
		kind := "file"
		switch file := &p.torrent.Files[i]; {
		case file.Symlink() != "":
			kind = "lnk_file"
		case !file.regular():
			continue
		}
		paths[kind] = append(paths[kind], filepath.Join(p.Dest, p.torrent.Files[i].Path))
	}
	blocks := map[query][]string{}
	for kind, all := range paths {
		for block := range slices.Chunk(all, most) {
			for _, path := range block {
				blocks[query{kind, path}] = block
			}
		}
	}
	return blocks
}

// of is the policy's context for a file of this mode at path, "" when it has none.
func (d *defaults) of(path string, mode uint32) (string, error) {
	if d == nil {
		return "", nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	q := query{kinds[mode&unix.S_IFMT], path}
	if _, known := d.known[q]; !known {
		if d.sorted != d.plan.torrent {
			d.sorted, d.blocks = d.plan.torrent, d.plan.blocks()
		}
		block := d.blocks[q]
		if block == nil {
			block = []string{path}
		}
		if err := d.ask(q.kind, block); err != nil {
			return "", err
		}
	}
	return d.known[q], nil
}

func (d *defaults) ask(kind string, paths []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	args := []string{"-n", "-N", "-m", kind}
	for _, path := range paths {
		if rel, beneath := strings.CutPrefix(path, d.dir); beneath {
			path = filepath.Join(d.real, rel)
		}
		args = append(args, path)
	}
	out, err := exec.CommandContext(ctx, d.program, args...).Output()
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(paths) {
		return fault(nil, "%s gave %d lines for %d paths", d.program, len(lines), len(paths))
	}
	for i, line := range lines {
		if line == "<<none>>" {
			line = ""
		}
		d.known[query{kind, paths[i]}] = line
	}
	return nil
}
