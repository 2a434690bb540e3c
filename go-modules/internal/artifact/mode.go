package artifact

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// modeOf is a parsed mode option: it gives the new permission bits from the present ones.
type modeOf func(current uint32, dir bool) uint32

// parseMode understands what Ansible's copy does: octal ("0644"), symbolic ("u=rw,g+X,o-rwx") and "preserve".
// It returns nil for "" and "preserve": the torrent's own modes.
func parseMode(option, text string) (modeOf, error) {
	if text == "" || text == "preserve" {
		return nil, nil
	}
	if bits, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32); err == nil {
		if bits > 0o7777 {
			return nil, fault(nil, "Option %s is %q, which is more than permission bits (0000 to 7777)", option, text)
		}
		return func(uint32, bool) uint32 { return uint32(bits) }, nil
	}
	var clauses []clause
	for part := range strings.SplitSeq(text, ",") {
		parsed, ok := parseClause(part)
		if !ok {
			return nil, fault(nil, `Option %s is %q, which is no mode; write it like "0644", "u=rw,g=r,o=" or "preserve"`, option, text)
		}
		clauses = append(clauses, parsed...)
	}
	return func(mode uint32, dir bool) uint32 {
		for _, c := range clauses {
			mode = c.apply(mode, dir)
		}
		return mode
	}, nil
}

// clause is one operation of a symbolic mode, as chmod(1) describes it.
type clause struct {
	who   uint32 // 0700, 0070, 0007 or a union
	all   bool   // nobody was named: everybody, as far as the umask allows
	op    byte   // = + -
	perms string
}

func parseClause(text string) (clauses []clause, ok bool) {
	end := strings.IndexAny(text, "=+-")
	if end < 0 {
		return nil, false
	}
	who := uint32(0)
	for _, letter := range text[:end] {
		bits, known := map[rune]uint32{'u': 0o700, 'g': 0o070, 'o': 0o007, 'a': 0o777}[letter]
		if !known {
			return nil, false
		}
		who |= bits
	}
	all := who == 0
	if all {
		who = 0o777
	}
	for text = text[end:]; text != ""; {
		next := strings.IndexAny(text[1:], "=+-")
		perms := text[1:]
		if next >= 0 {
			perms = text[1 : 1+next]
		}
		copies := strings.ContainsAny(perms, "ugo")
		if strings.Trim(perms, "rwxXstugo") != "" || copies && len(perms) > 1 {
			return nil, false
		}
		clauses = append(clauses, clause{who, all, text[0], perms})
		text = text[1+len(perms):]
	}
	return clauses, true
}

func (c clause) apply(mode uint32, dir bool) uint32 {
	bits := c.bits(mode, dir)
	if c.all {
		bits &^= umask()
	}
	switch c.op {
	case '+':
		return mode | bits
	case '-':
		return mode &^ bits
	}
	cleared := c.who
	if !dir { // chmod(1) keeps a directory's set-id bits unless they are named
		cleared |= special(c.who)
	}
	if c.who == 0o777 {
		cleared |= 0o1000
	}
	return mode&^cleared | bits
}

// bits are the permission bits that the clause names for its who.
func (c clause) bits(mode uint32, dir bool) (bits uint32) {
	for _, letter := range c.perms {
		three := uint32(0)
		switch letter {
		case 'r':
			three = 4
		case 'w':
			three = 2
		case 'x':
			three = 1
		case 'X':
			if dir || mode&0o111 != 0 {
				three = 1
			}
		case 'u':
			three = mode >> 6 & 7
		case 'g':
			three = mode >> 3 & 7
		case 'o':
			three = mode & 7
		case 's':
			bits |= special(c.who)
		case 't':
			bits |= 0o1000
		}
		bits |= three * 0o111 & c.who
	}
	return bits
}

// special are the set-user-ID and set-group-ID bits that belong to who.
func special(who uint32) (bits uint32) {
	if who&0o700 != 0 {
		bits |= 0o4000
	}
	if who&0o070 != 0 {
		bits |= 0o2000
	}
	return bits
}

// umask reads the process's umask without changing it, which umask(2) cannot.
func umask() uint32 {
	file, err := os.Open("/proc/self/status")
	if err == nil {
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if text, found := strings.CutPrefix(lines.Text(), "Umask:"); found {
				if bits, err := strconv.ParseUint(strings.TrimSpace(text), 8, 32); err == nil {
					return uint32(bits)
				}
			}
		}
	}
	return 0o022
}
