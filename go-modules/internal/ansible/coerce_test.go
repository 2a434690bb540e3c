package ansible

import (
	"encoding/json"
	"fmt"
	"os/user"
	"reflect"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// num spells a JSON number.
func num(s string) json.Number { return json.Number(s) }

// check runs one coercion over a table; a nil want means that it is refused.
func check[T any](t *testing.T, coerce func(any) (T, error), table []struct{ raw, want any }) {
	t.Helper()
	for _, row := range table {
		got, err := coerce(row.raw)
		switch {
		case row.want == nil && err == nil:
			t.Errorf("%T %v: got %v, want an error", row.raw, row.raw, got)
		case row.want != nil && err != nil:
			t.Errorf("%T %v: %v", row.raw, row.raw, err)
		case row.want != nil && !reflect.DeepEqual(any(got), row.want):
			t.Errorf("%T %v: got %#v, want %#v", row.raw, row.raw, got, row.want)
		}
	}
}

func TestCoerceBool(t *testing.T) {
	check(t, coerceBool, []struct{ raw, want any }{
		{"yes", true}, {"Yes", true}, {" TRUE ", true}, {"y", true}, {"t", true}, {"on", true}, {"1", true},
		{"no", false}, {"off", false}, {"F", false}, {"0", false}, {"n", false}, {"false", false},
		{true, true}, {false, false}, {num("1"), true}, {num("0"), false}, {num("1.0"), true},
		{"", nil}, {"2", nil}, {"ja", nil}, {num("2"), nil}, {[]any{}, nil}, {map[string]any{}, nil},
	})
}

func TestCoerceInt(t *testing.T) {
	check(t, coerceInt, []struct{ raw, want any }{
		{"5", 5}, {" 5 ", 5}, {"-5", -5}, {"+5", 5}, {"5.0", 5}, {"1e3", 1000}, {"0644", 644}, {"5.", 5},
		{num("5"), 5}, {num("5.0"), 5}, {num("9223372036854775807"), 9223372036854775807},
		{"", nil}, {"5.5", nil}, {"abc", nil}, {"0x10", nil}, {"inf", nil}, {"NaN", nil}, {"1e999999999", nil},
		{"5 s", nil}, {num("5.5"), nil}, {num("1e300"), nil}, {true, nil}, {[]any{num("5")}, nil},
	})
}

func TestCoerceSize(t *testing.T) {
	check(t, coerceSize, []struct{ raw, want any }{
		{"10M", int64(10 << 20)}, {"10m", int64(10 << 20)}, {"10 MB", int64(10 << 20)}, {"10megabyte", int64(10 << 20)},
		{"64KiB", int64(64 << 10)}, {"64kiB", int64(64 << 10)}, {"1.5G", int64(3 << 29)}, {".5K", int64(512)},
		{"1024", int64(1024)}, {num("1024"), int64(1024)}, {"1.5", int64(2)}, {"0.5", int64(0)}, {"2B", int64(2)}, {"2b", int64(2)},
		{"7E", int64(7 << 60)}, {"9223372036854775807", int64(9223372036854775807)}, {num("1.5"), int64(2)},
		{"", nil}, {"-1", nil}, {"10Mb", nil}, {"10Kib", nil}, {"10 parsecs", nil}, {"M", nil}, {"8E", nil}, {"1Y", nil},
		{"9223372036854775808", nil}, {"1e3", nil}, {true, nil}, {[]any{}, nil}, {"10BiB", nil}, {"1BB", nil},
	})
}

func TestCoerceSizeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<40).Draw(t, "n")
		if got, err := coerceSize(strconv.FormatInt(n, 10)); err != nil || got != n {
			t.Fatalf("%d came back as %d, %v", n, got, err)
		}
		shift := rapid.IntRange(0, 2).Draw(t, "unit")
		text := fmt.Sprintf("%d%s", n, []string{"K", "MiB", "B"}[shift])
		if got, err := coerceSize(text); err != nil || got != n<<[]int{10, 20, 0}[shift] {
			t.Fatalf("%s became %d, %v", text, got, err)
		}
	})
}

func TestCoerceList(t *testing.T) {
	check(t, coerceList, []struct{ raw, want any }{
		{"a,b", []string{"a", "b"}}, {"a, b ,c", []string{"a", "b", "c"}}, {"a", []string{"a"}}, {"", []string{}},
		{"a,,b", []string{"a", "", "b"}}, {num("5"), []string{"5"}},
		{[]any{"a,b", num("1"), true}, []string{"a,b", "1", "True"}}, {[]any{}, []string{}},
		{true, nil}, {map[string]any{"a": "b"}, nil}, {[]any{[]any{"a"}}, nil}, {[]any{nil}, nil},
	})
}

func TestCoercePaths(t *testing.T) {
	t.Setenv("HOME", "/home/ada")
	check(t, coercePaths, []struct{ raw, want any }{
		{"~/old, /srv/a", []string{"/home/ada/old", "/srv/a"}}, {[]any{"$HOME/x"}, []string{"/home/ada/x"}}, {"", []string{}},
		{true, nil}, {[]any{"/a\x00b"}, nil}, {[]any{"/a", ""}, nil}, {"/a,", nil}, {[]any{" "}, []string{" "}},
	})
}

func TestCoerceMode(t *testing.T) {
	check(t, coerceMode, []struct{ raw, want any }{
		{"0644", "0644"}, {"644", "0644"}, {"0o755", "0755"}, {"7", "0007"}, {"4755", "4755"},
		{num("420"), "0644"}, {num("493"), "0755"}, {num("0"), "0000"},
		{"preserve", "preserve"}, {"u=rw,g=r", "u=rw,g=r"}, {"a+X", "a+X"}, {"+x", "+x"}, {"u=rwx,go=", "u=rwx,go="},
		{"g=u", "g=u"}, {"u+s,o-t", "u+s,o-t"}, {" 0644 ", "0644"},
		{"", nil}, {"0888", nil}, {"10000", nil}, {"u=z", nil}, {"u", nil}, {"u=rw,", nil}, {"-1", nil},
		{num("-1"), nil}, {num("4096"), nil}, {num("6.5"), nil}, {true, nil}, {[]any{}, nil}, {"Preserve", nil},
	})
}

func TestCoerceString(t *testing.T) {
	check(t, coerceString, []struct{ raw, want any }{
		{"a", "a"}, {" a ", " a "}, {"", ""}, {num("5"), "5"}, {num("1.50"), "1.50"}, {true, "True"}, {false, "False"},
		{[]any{"a"}, nil}, {map[string]any{}, nil},
	})
}

func TestCoercePath(t *testing.T) {
	t.Setenv("HOME", "/home/ada/")
	t.Setenv("MURDER_DIR", "srv")
	root, err := user.Lookup("root")
	if err != nil {
		t.Fatal(err)
	}
	check(t, coercePath, []struct{ raw, want any }{
		{"/a/b", "/a/b"}, {"a b", "a b"}, {"", ""}, {"~", "/home/ada"}, {"~/x", "/home/ada/x"}, {"~root/x", root.HomeDir + "/x"},
		{"~nobody-of-that-name/x", "~nobody-of-that-name/x"}, {"/x~", "/x~"},
		{"/$MURDER_DIR/a", "/srv/a"}, {"/${MURDER_DIR}x", "/srvx"}, {"/$MURDER_UNSET/a", "/$MURDER_UNSET/a"}, {"/a$", "/a$"},
		{"/${MURDER_DIR", "/${MURDER_DIR"}, {"a\x00b", nil}, {[]any{}, nil},
	})
	t.Setenv("HOME", "/")
	check(t, coercePath, []struct{ raw, want any }{{"~", "/"}, {"~/x", "/x"}})
}

func FuzzCoerce(f *testing.F) {
	for _, text := range []string{"10M", "0644", "u=rw,g=r", "a,b", "yes", "5.0", "~/$X", "1e99", "\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := coerceSize(text); err == nil && n < 0 {
			t.Errorf("size %q is negative: %d", text, n)
		}
		if mode, err := coerceMode(text); err == nil {
			if again, err := coerceMode(mode); err != nil || again != mode {
				t.Errorf("mode %q became %q, then %q, %v", text, mode, again, err)
			}
		}
		if n, err := coerceInt(text); err == nil {
			if again, err := coerceInt(num(strconv.Itoa(n))); err != nil || again != n {
				t.Errorf("int %q became %d, then %d, %v", text, n, again, err)
			}
		}
		if _, err := coerceList(text); err != nil {
			t.Errorf("list %q: %v", text, err)
		}
		_, _ = coerceBool(text)
		_, _ = coercePath(text)
	})
}
