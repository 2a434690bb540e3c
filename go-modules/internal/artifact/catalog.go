package artifact

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// catalog is what a scan found, in order.
type catalog struct {
	entries []entry
	special []entry             // what no torrent can carry
	linked  map[identity]string // paths of files with more than one name
	size    int64               // bytes of the stream
}

// identity is what hard links of one file have in common.
type identity struct{ device, inode uint64 }

// add appends all that a scan found in a directory and below it.
func (c *catalog) add(batches []*batch) error {
	for _, b := range batches {
		for i := range b.found {
			c.append(&b.found[i].entry)
			if err := c.add(b.found[i].below); err != nil {
				return err
			}
		}
		if b.err != nil {
			return b.err
		}
	}
	return nil
}

func (c *catalog) append(e *entry) {
	switch e.mode & unix.S_IFMT {
	case unix.S_IFREG:
		if file := (identity{e.device, e.inode}); e.linked {
			if first, met := c.linked[file]; met {
				e.hardlink = first
			} else {
				c.linked[file] = e.path
			}
		}
	case unix.S_IFDIR, unix.S_IFLNK:
	default:
		c.special = append(c.special, *e)
		return
	}
	e.offset = c.size
	c.size += e.bytes()
	c.entries = append(c.entries, *e)
}

// refuseSpecial names the pipes, sockets and devices of a source.
func (c *catalog) refuseSpecial(r *root) error {
	if len(c.special) == 0 {
		return nil
	}
	const most = 5
	var others []string
	for i, e := range c.special[1:] {
		if i == most {
			others = append(others, fmt.Sprintf("%d more", len(c.special)-1-most))
			break
		}
		others = append(others, fmt.Sprintf("%s (%s)", show(r.join(e.path)), kindOf(fileMode(e.mode))))
	}
	also := ""
	if len(others) > 0 {
		also = ", nor can " + strings.Join(others, ", ")
	}
	first := &c.special[0]
	return fault(nil, "Source %s is a %s and cannot be deployed%s; remove it, exclude it, or leave out all such files with special: skip",
		show(r.join(first.path)), kindOf(fileMode(first.mode)), also)
}
