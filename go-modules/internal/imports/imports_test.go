package imports

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "corvus.murder"

func TestImports(t *testing.T) {
	found := imported(t, "../..")
	for _, rule := range Rules {
		paths, there := found[rule.Package]
		if !there {
			t.Errorf("Rule for %s, which is no package; remove it", rule.Package)
			continue
		}
		delete(found, rule.Package)
		for _, p := range paths {
			if fault := rule.fault(p); fault != "" {
				t.Errorf("%s imports %s: %s (%s)", rule.Package, p, fault, rule.Why)
			}
		}
	}
	for name := range found {
		t.Errorf("Package %s has no rule; say in Rules what it may import and why", name)
	}
}

func TestFault(t *testing.T) {
	rule := Rule{Internal: []string{"internal/a"}, Foreign: []string{"example.org/m"}, Never: []string{"net"}}
	for imported, allowed := range map[string]bool{
		"fmt": true, "network": true, "net": false, "net/http": false,
		module + "/internal/a": true, module + "/internal/a/b": false, module + "/internal/c": false,
		"example.org/m": true, "example.org/m/sub": true, "example.org/more": false,
	} {
		if fault := rule.fault(imported); (fault == "") != allowed {
			t.Errorf("import of %s: allowed should be %v, fault is %q", imported, allowed, fault)
		}
	}
}

// fault tells what is wrong with importing p, or nothing.
func (r Rule) fault(p string) string {
	under := func(parents []string) bool {
		return slices.ContainsFunc(parents, func(parent string) bool {
			return p == parent || strings.HasPrefix(p, parent+"/")
		})
	}
	first, _, _ := strings.Cut(p, "/")
	switch {
	case first == module:
		if !slices.Contains(r.Internal, strings.TrimPrefix(p, module+"/")) {
			return "not among the internal packages it may import"
		}
	case strings.Contains(first, "."):
		if !under(r.Foreign) {
			return "not among the foreign modules it may import"
		}
	case under(r.Never):
		return "not allowed here"
	}
	return ""
}

// imported returns what the files of each package import, tests excepted.
func imported(t *testing.T, root string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "testdata" {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		paths := found[path.Dir(name)]
		for _, spec := range file.Imports {
			paths = append(paths, strings.Trim(spec.Path.Value, `"`))
		}
		found[path.Dir(name)] = paths
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
