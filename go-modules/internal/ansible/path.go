package ansible

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strings"
)

// variable is a reference that Python's os.path.expandvars knows.
var variable = regexp.MustCompile(`\$(?:[0-9A-Za-z_]+|\{[^}]*\})`)

func coercePath(raw any) (string, error) {
	text, err := coerceString(raw)
	if err != nil {
		return "", err
	}
	if strings.ContainsRune(text, 0) {
		return "", errors.New("is not a path: it holds a NUL character")
	}
	return expandUser(expandVars(text)), nil
}

func coercePaths(raw any) ([]string, error) {
	list, err := coerceList(raw)
	for i := range list {
		if list[i], err = coercePath(list[i]); err != nil {
			return nil, fmt.Errorf("has an element (number %d) that %w", i+1, err)
		}
		if list[i] == "" {
			return nil, fmt.Errorf("has an element (number %d) that is empty; give it a path, or leave it out", i+1)
		}
	}
	return list, err
}

// expandVars leaves references to unset variables as they are, as Python does.
func expandVars(path string) string {
	return variable.ReplaceAllStringFunc(path, func(reference string) string {
		if value, set := os.LookupEnv(strings.Trim(reference, "${}")); set {
			return value
		}
		return reference
	})
}

// expandUser replaces a leading ~ or ~name by that user's home directory, and
// leaves the path alone when there is no such user.
func expandUser(path string) string {
	if !strings.HasPrefix(path, "~") {
		return path
	}
	name, rest := path[1:], ""
	if slash := strings.IndexByte(path, '/'); slash >= 0 {
		name, rest = path[1:slash], path[slash:]
	}
	home, set := os.LookupEnv("HOME")
	if name != "" || !set {
		account, err := lookup(name)
		if err != nil {
			return path
		}
		home = account.HomeDir
	}
	if expanded := strings.TrimRight(home, "/") + rest; expanded != "" {
		return expanded
	}
	return "/"
}

func lookup(name string) (*user.User, error) {
	if name == "" {
		return user.Current()
	}
	return user.Lookup(name)
}
