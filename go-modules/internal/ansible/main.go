package ansible

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// maxArgs bounds the argument file, in bytes. The torrent of 500 GB in pieces of
// 1 MiB takes 14 MB in base64.
const maxArgs = 256 << 20

// Main is the main function of a module. argv is its name and its arguments: an
// argument file (- for stdin), --spec, --version, --help, or nothing, which
// prints the usage. It prints one line of JSON on Stdout and returns the exit
// status: 0, 1 when the module failed, 2 for a wrong command line.
func Main(ctx context.Context, argv []string, streams Streams, version string, m Module) int {
	argument := ""
	if len(argv) == 2 {
		argument = argv[1]
	}
	switch {
	case len(argv) < 2, argument == "--help", argument == "-h":
		return say(streams, m.Spec.usage(version))
	case argument == "--version":
		return say(streams, m.Spec.module+" "+version+"\n")
	case argument == "--spec":
		return say(streams, string(m.Spec.Describe())+"\n")
	case argument == superviseFlag:
		ctx, stop := signalled(ctx)
		defer stop()
		return supervise(ctx, streams, m.Spec)
	case len(argv) > 2, strings.HasPrefix(argument, "--"):
		fmt.Fprintf(streams.Stderr, "%s: wrong arguments: %s\n%s",
			m.Spec.module, strings.Join(argv[1:], " "), m.Spec.usage(version))
		return 2
	}
	ctx, stop := signalled(ctx)
	defer stop()
	if f, ok := streams.Stdout.(*os.File); ok {
		var release context.CancelFunc
		ctx, release = HangUp(ctx, f)
		defer release()
	}
	return m.invoke(ctx, streams, argument)
}

// invoke runs the module with the options of an argument file.
func (m Module) invoke(ctx context.Context, streams Streams, file string) int {
	data, err := readArgs(file, streams.Stdin)
	if err != nil {
		return m.finish(streams, Result{}, Call{}, err)
	}
	call, err := m.Spec.Parse(data)
	if err != nil {
		return m.finish(streams, Result{}, call, err)
	}
	if call.Async != nil {
		started, err := call.Async.start(ctx, m.Spec.module, data)
		return m.finish(streams, started, call, err)
	}
	result, err := m.run(ctx, call)
	return m.finish(streams, result, call, err)
}

// run turns a panic of the module into a failed result, and says why the
// context ended when that made the module fail.
func (m Module) run(ctx context.Context, call Call) (result Result, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			result = Result{Values: map[string]any{"exception": string(debug.Stack())}}
			err = fmt.Errorf("internal error: %v; please report it with the text of exception", fault)
		}
	}()
	result, err = m.Run(ctx, call)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		if errors.Is(err, cause) || errors.Is(err, context.Canceled) {
			err = fmt.Errorf("interrupted: %w", cause)
		} else {
			err = fmt.Errorf("interrupted (%w): %w", cause, err)
		}
	}
	return result, err
}

// finish prints the result line.
func (m Module) finish(streams Streams, result Result, call Call, err error) int {
	if err != nil {
		result.Failed, result.Msg = true, sentence(err.Error())
	}
	line, err := m.Spec.line(result, call)
	if err != nil {
		// Only a value that JSON cannot hold gets here; the result must still be JSON.
		result = Result{Failed: true, Changed: result.Changed, Msg: sentence(err.Error())}
		line, err = m.Spec.line(result, call)
	}
	if err == nil {
		_, err = streams.Stdout.Write(line)
	}
	if err != nil {
		fmt.Fprintf(streams.Stderr, "%s: write result: %v\n", m.Spec.module, err)
		return 1
	}
	if result.Failed {
		return 1
	}
	return 0
}

// readArgs reads the argument file; - is stdin.
func readArgs(file string, stdin io.Reader) ([]byte, error) {
	source := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("argument file %s cannot be read: %w; give the path of a JSON file of options", file, errors.Unwrap(err))
		}
		defer f.Close()
		source = f
	}
	data, err := io.ReadAll(io.LimitReader(source, maxArgs+1))
	if err != nil {
		return nil, fmt.Errorf("arguments cannot be read from %s: %w", file, err)
	}
	if len(data) > maxArgs {
		return nil, fmt.Errorf("the arguments in %s are longer than %d MiB", file, maxArgs>>20)
	}
	return data, nil
}

// signalled returns a context that ends on SIGINT, SIGTERM and SIGHUP, the
// last unless it was ignored from the start (nohup). A closed stdout no longer
// kills the program while it cleans up.
func signalled(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	caught := make(chan os.Signal, 1)
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	signal.Notify(caught, signals...)
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case s := <-caught:
			cancel(fmt.Errorf("got the signal %q", s))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(caught)
		signal.Stop(pipe)
		cancel(context.Canceled)
		<-done
	}
}

// sentence makes an error's text a message to users: it begins with a capital,
// unless the first word is a name such as a path or murder_peer.
func sentence(text string) string {
	word, _, _ := strings.Cut(text, " ")
	name := func(r rune) bool { return !unicode.IsLetter(r) }
	if word = strings.TrimRight(word, ",:;"); word == "" || strings.ContainsFunc(word, name) {
		return text
	}
	first, width := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[width:]
}
