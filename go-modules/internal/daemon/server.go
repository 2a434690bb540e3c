package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const maxMessage = 1 << 20 // bytes

// server serves the socket of a process.
type server struct {
	http   http.Server
	served chan struct{} // closed when Serve has returned
	sock   string
}

// listen makes the socket; only the owner of DIR can reach it.
func listen(dir string) (net.Listener, error) {
	d, path, err := shortPath(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", filepath.Join(dir, sockName), err)
	}
	// Its name for the socket is no good once d is closed.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(filepath.Join(dir, sockName), 0o600); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("close socket to others: %w", err)
	}
	return listener, nil
}

// serve starts to serve p.
func serve(p *Process, listener net.Listener) *server {
	s := &server{served: make(chan struct{}), sock: filepath.Join(p.Dir, sockName)}
	s.http.Handler = p.routes()
	s.http.ReadHeaderTimeout = 10 * time.Second
	s.http.ErrorLog = slog.NewLogLogger(p.Log.Handler(), slog.LevelWarn)
	go func() {
		defer close(s.served)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.end(fmt.Errorf("serve socket: %w", err))
		}
	}()
	return s
}

// close answers what is being asked and removes the socket.
func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushBound)
	defer cancel()
	_ = os.Remove(s.sock) // first, so that nobody new comes
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
	<-s.served
}

func (p *Process) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /config", p.serveConfig)
	mux.HandleFunc("GET /status", p.serveStatus)
	mux.HandleFunc("GET /result", p.serveResult)
	mux.HandleFunc("POST /tell", p.serveTell)
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		p.End()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// serveConfig refuses a daemon that is ending, so that a start waits for its end
// instead of taking it for the one it wants.
func (p *Process) serveConfig(w http.ResponseWriter, _ *http.Request) {
	if p.ctx.Err() != nil {
		http.Error(w, "ending", http.StatusServiceUnavailable)
		return
	}
	p.reply(w, p.order.Public)
}

// serveTell lets the daemon's work answer a message, as soon as it can.
func (p *Process) serveTell(w http.ResponseWriter, r *http.Request) {
	select {
	case <-p.answering:
	case <-p.ctx.Done():
	case <-r.Context().Done():
		return
	}
	p.telling.Lock()
	defer p.telling.Unlock()
	if p.ctx.Err() != nil {
		http.Error(w, "ending", http.StatusServiceUnavailable)
		return
	}
	message, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	var answer any
	if err == nil {
		answer, err = p.answer(message)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.reply(w, answer)
}

func (p *Process) serveStatus(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	status := p.status
	p.mu.Unlock()
	if status == nil {
		status = func() any { return nil } // null leaves the asker's value as it is
	}
	p.reply(w, status())
}

func (p *Process) serveResult(w http.ResponseWriter, r *http.Request) {
	select {
	case <-p.decided:
	case <-r.Context().Done():
		return
	}
	p.mu.Lock()
	o, before := *p.outcome, p.collected
	p.collected = true // first: whoever has the answer may ask at once whether it was collected
	p.mu.Unlock()
	if !p.reply(w, o) {
		p.mu.Lock()
		p.collected = before
		p.mu.Unlock()
	}
}

// reply tells whether the answer could be sent.
func (p *Process) reply(w http.ResponseWriter, v any) bool {
	text, err := json.Marshal(v)
	if err != nil {
		p.Log.Error("answer cannot be encoded", "err", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err = w.Write(append(text, '\n')); err != nil {
		return false
	}
	return http.NewResponseController(w).Flush() == nil
}
