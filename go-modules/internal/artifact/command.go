package artifact

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrValidate is the kind of failure of a command that says that a staged artifact is not right.
var ErrValidate = errors.New("validation failed")

// parseCommand splits the option validate into words as a POSIX shell does, without any expansion. The program has to be
// there, and one of the words has to have the place of the path, %s.
func parseCommand(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	if !strings.Contains(text, "%s") {
		return nil, fault(nil, "Option validate must contain %%s, which becomes the path of what is to be validated: %s", text)
	}
	words, err := splitWords(text)
	if err != nil {
		return nil, fault(err, "Option validate cannot be understood: %s in %s", err, text)
	}
	if len(words) == 0 || strings.Contains(words[0], "%s") {
		return words, nil // it runs the artifact itself
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		return nil, fault(err, "Command %s of option validate cannot be run on this host: %s", show(words[0]), errors.Unwrap(err))
	}
	return words, nil
}

// splitWords undoes the quoting of a shell: '...' literally, "..." with backslashes, and backslashes outside.
func splitWords(text string) (words []string, err error) {
	var word strings.Builder
	begun := false // "" is a word too
	quote := rune(0)
	escaped := false
	for _, r := range text {
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune(`"\$`+"`", r) {
				word.WriteRune('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, begun = true, true
		case r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, begun = r, true
		case strings.ContainsRune(" \t\r\n", r):
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	switch {
	case quote != 0:
		return nil, errors.New("a quotation mark is not closed")
	case escaped:
		return nil, errors.New("nothing comes after the last backslash")
	case begun:
		words = append(words, word.String())
	}
	return words, nil
}

// mostOutput is how much of what a command says goes into a message, in bytes of each stream.
const mostOutput = 2000

// validate runs the command on what is staged at path.
func (p *Plan) validate(ctx context.Context, path string) error {
	if p.command == nil {
		return nil
	}
	words := make([]string, len(p.command))
	for i, word := range p.command {
		words[i] = strings.ReplaceAll(word, "%s", path)
	}
	var stdout, stderr strings.Builder
	run := func() error {
		stdout.Reset()
		stderr.Reset()
		command := exec.CommandContext(ctx, words[0], words[1:]...)
		command.Stdout, command.Stderr = &stdout, &stderr
		// A shell's children end with it when the time is over.
		command.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
		command.Cancel = func() error { return unix.Kill(-command.Process.Pid, unix.SIGKILL) }
		command.WaitDelay = 5 * time.Second // for what it has left in the background
		return command.Run()
	}
	err := run()
	// The artifact itself is run, and an upload that began before it was whole still has it open for writing.
	for wait := time.Millisecond; errors.Is(err, unix.ETXTBSY) && wait < 5*time.Second; wait *= 2 {
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		err = run()
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return fault(cause, "Validation of %s was interrupted: %s", show(p.Dest), cause)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return fault(ErrValidate, "Validation of %s failed, and what was there before stays: %s; rc %d%s%s", show(p.Dest),
			strings.Join(words, " "), exit.ExitCode(), said("stderr", stderr.String()), said("stdout", stdout.String()))
	default:
		return fault(ErrValidate, "Validation of %s failed, and what was there before stays: %s cannot be run: %s", show(p.Dest),
			show(words[0]), err)
	}
}

func said(stream, text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	if len(text) > mostOutput {
		text = text[:mostOutput] + " ..."
	}
	return fmt.Sprintf(", %s: %s", stream, text)
}

// check compares a staged file with the checksum that the user expects.
func (p *Plan) check(ctx context.Context, path string) error {
	if p.asked.Checksum == "" {
		return nil
	}
	sum, err := Checksum(ctx, path)
	if err == nil && sum != p.asked.Checksum {
		err = p.torrent.differs(p.asked.Checksum, sum)
	}
	return err
}
