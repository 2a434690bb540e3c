package artifact

import (
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Path is a path as JSON can carry it: to Linux a path is bytes, to JSON a text is UTF-8. A byte that is part of no character
// becomes NUL, which no path has, and two hexadecimal digits; any other path is written as it is.
type Path string

// MarshalText is encoding.TextMarshaler's.
func (p Path) MarshalText() ([]byte, error) {
	var text []byte
	for rest := string(p); rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		if r == utf8.RuneError && n == 1 {
			text = fmt.Appendf(text, "\x00%02x", rest[0])
		} else {
			text = append(text, rest[:n]...)
		}
		rest = rest[n:]
	}
	return text, nil
}

// UnmarshalText is encoding.TextUnmarshaler's.
func (p *Path) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "\x00")
	path := parts[0]
	for _, part := range parts[1:] {
		bytes, err := hex.DecodeString(part[:min(2, len(part))])
		if err != nil || len(bytes) != 1 {
			return fmt.Errorf("path %q has no two hexadecimal digits behind NUL", text)
		}
		path += string(bytes) + part[2:]
	}
	*p = Path(path)
	return nil
}
