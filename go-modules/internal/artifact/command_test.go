package artifact

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSplitWords(t *testing.T) {
	for _, c := range []struct {
		text, error string
		want        []string
	}{
		{"visudo -cf %s", "", []string{"visudo", "-cf", "%s"}},
		{`  a  "b c" 'd "e'  `, "", []string{"a", "b c", `d "e`}},
		{`a\ b "c\"d" "e\f" 'g\h' ""`, "", []string{"a b", `c"d`, `e\f`, `g\h`, ""}},
		{`pre"mid dle"post`, "", []string{"premid dlepost"}},
		{"", "", nil},
		{`a "b`, "a quotation mark is not closed", nil},
		{`a \`, "nothing comes after the last backslash", nil},
	} {
		got, err := splitWords(c.text)
		if c.error != "" {
			wantError(t, err, c.error)
		} else if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q is %q (%v), want %q", c.text, got, err, c.want)
		}
	}
}

func FuzzSplitWords(f *testing.F) {
	for _, seed := range []string{"a b", `"a" 'b'`, `\`, `a\"`, "'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words, err := splitWords(text)
		if err != nil {
			return
		}
		var quoted []string // the same words again
		for _, word := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(word, "'", `'\''`)+"'")
		}
		again, err := splitWords(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(words, again) {
			t.Errorf("%q is %q, and quoted again %q (%v)", text, words, again, err)
		}
	})
}

func TestCommandsThatAreRefused(t *testing.T) {
	torrent, _ := build(t, tree{"f": "x"}.write(t, t.TempDir()))
	for text, want := range map[string]string{
		"true":             "Option validate must contain %s, which becomes the path of what is to be validated: true",
		`true "%s`:         `Option validate cannot be understood: a quotation mark is not closed in true "%s`,
		"no-such-check %s": "Command no-such-check of option validate cannot be run on this host: executable file not found in $PATH",
	} {
		_, err := NewPlan(torrent, PlaceOptions{Dest: t.TempDir() + "/dest", Validate: text})
		wantError(t, err, want)
	}
}

// TestValidate: a command that says no leaves the old artifact and what was downloaded; one that says yes has seen the new one
// with its mode.
func TestValidate(t *testing.T) {
	for _, single := range []bool{true, false} {
		top := t.TempDir()
		src := tree{"f": script("#!/bin/sh\necho new\n")}.write(t, top+"/src")
		tree{"dest/f": "old"}.write(t, top)
		dest, inside := top+"/dest", "/f"
		if single {
			src, dest, inside = src+"/f", dest+"/f", ""
		}
		torrent, source := build(t, src)
		p := plan(t, torrent, PlaceOptions{Dest: dest, Validate: `sh -c "echo out; echo err >&2; grep -q other $0" %s` + inside})
		transfer(t, torrent, source, p)
		err := p.Place(t.Context())
		wantError(t, err, "Validation of "+dest+" failed, and what was there before stays: sh -c ", "; rc 1, stderr: err, stdout: out")
		if !errors.Is(err, ErrValidate) {
			t.Errorf("%v is not ErrValidate", err)
		}
		if read(t, top+"/dest/f") != "old" {
			t.Error("the old artifact is gone")
		}
		must(t, p.Release())
		// It is resumed, and judged by its mode and by running it.
		p = plan(t, torrent, PlaceOptions{Dest: dest, Mode: "u=rwx,go=", Validate: `sh -c "test $(ls -l $0 | cut -c1-10) = -rwx------ && test $($0) = new" %s` + inside})
		store, resumed, err := p.OpenStaging(t.Context())
		must(t, err)
		defer store.Close()
		if !resumed {
			t.Error("what was downloaded is gone")
		}
		must(t, p.Place(t.Context()))
		if !strings.Contains(read(t, top+"/dest/f"), "new") {
			t.Error("not placed")
		}
		noStaging(t, top)
	}
}

// TestValidateIsBounded: when its time is over the command ends, and with it what it has started, and the old artifact stays.
func TestValidateIsBounded(t *testing.T) {
	top := t.TempDir()
	tree{"src": "new", "dest": "old"}.write(t, top)
	torrent, source := build(t, top+"/src")
	pipe, end := pipeAt(t, top+"/pipe")
	p := plan(t, torrent, PlaceOptions{
		Dest: top + "/dest", Validate: "sh -c 'exec 3>" + top + "/pipe; sleep 600 & echo begun >&3; wait' %s",
	})
	transfer(t, torrent, source, p)
	ctx, cancel := context.WithCancelCause(t.Context())
	placed := make(chan error, 1)
	go func() { placed <- p.Place(ctx) }()
	begun := make([]byte, len("begun\n"))
	_, err := io.ReadFull(pipe, begun)
	must(t, err)
	must(t, end.Close())
	cause := errors.New("it takes too long")
	cancel(cause)
	if _, err := io.Copy(io.Discard, pipe); err != nil {
		t.Fatalf("a process of the command is left: %v", err)
	}
	err = <-placed
	wantError(t, err, "Validation of "+top+"/dest was interrupted: it takes too long")
	if !errors.Is(err, cause) || errors.Is(err, ErrValidate) || read(t, top+"/dest") != "old" {
		t.Errorf("%v is of another kind, or the old artifact is gone", err)
	}
}

// pipeAt makes a named pipe, which is read to its end when end is closed and no process has it open for writing any more.
func pipeAt(t *testing.T, path string) (pipe, end *os.File) {
	t.Helper()
	must(t, unix.Mkfifo(path, 0o600))
	pipe, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	t.Cleanup(func() { pipe.Close() })
	end, err = os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	t.Cleanup(func() { end.Close() })
	must(t, pipe.SetReadDeadline(time.Now().Add(patience)))
	return pipe, end
}

func TestExpectedChecksum(t *testing.T) {
	top := t.TempDir()
	tree{"src": "new", "dest": "old"}.write(t, top)
	torrent, source := build(t, top+"/src")
	sum, err := Checksum(t.Context(), top+"/src")
	must(t, err)
	other := strings.Repeat("0", 40)
	all, _ := build(t, tree{"f": "x"}.write(t, t.TempDir()))
	for _, c := range []struct {
		torrent        *Torrent
		checksum, want string
	}{
		{torrent, other, "The checksum of src is " + sum + ", but " + other + " is expected"},
		{torrent, "md5:abc", `Option checksum is "md5:abc", which is no SHA-1; give 40 hexadecimal digits`},
		{all, sum, "Option checksum is for a single file, but "},
	} {
		_, err := NewPlan(c.torrent, PlaceOptions{Dest: top + "/dest", Checksum: c.checksum})
		wantError(t, err, c.want)
	}
	// A torrent that does not tell, or lies: only the content does.
	for _, c := range []struct {
		expected string
		ok       bool
	}{{other, false}, {"sha1:" + strings.ToUpper(sum), true}} {
		quiet := *torrent
		quiet.whole = nil
		p := plan(t, &quiet, PlaceOptions{Dest: top + "/dest", Checksum: c.expected})
		transfer(t, &quiet, source, p)
		err := p.Place(t.Context())
		if got := read(t, top+"/dest"); (err == nil) != c.ok || (got == "new") != c.ok {
			t.Errorf("%s: %v, and the destination is %q", c.expected, err, got)
		}
		if !c.ok && !errors.Is(err, ErrChecksum) {
			t.Errorf("%v is not ErrChecksum", err)
		}
		must(t, p.Discard())
	}
	if _, err := os.Stat(top + "/dest"); err != nil {
		t.Error(err)
	}
}
