package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Process is the daemon as its own work sees it. Its methods may be called from
// any goroutine.
type Process struct {
	Dir   string         // the instance's directory, 0700; the work may keep files in it
	Log   *slog.Logger   // the log file
	Level *slog.LevelVar // of Log; Info at first

	ctx     context.Context
	end     context.CancelCauseFunc
	order   order
	reports *os.File // the readiness pipe; nil when started by hand

	mu        sync.Mutex
	ready     bool
	status    func() any
	answering chan struct{} // closed when there is answer
	telling   sync.Mutex    // held while answer runs
	answer    func(message []byte) (any, error)
	outcome   *outcome
	collected bool
	decided   chan struct{} // closed when outcome is set
	idle      *time.Timer
	idleAfter time.Duration
}

// errAbandoned is the cause of an end before anybody could learn of the daemon.
var errAbandoned = errors.New("the process that started it is gone")

// Config decodes the configuration that was given to Instance.Start into v.
func (p *Process) Config(v any) error {
	if err := json.Unmarshal(p.order.Config, v); err != nil {
		return fmt.Errorf("decode configuration: %w", err)
	}
	return nil
}

// Ready tells the starter that the daemon serves now; Instance.Start returns.
// When the starter is gone the daemon ends: nobody knows that it runs.
func (p *Process) Ready() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready {
		return
	}
	if p.reports != nil {
		if err := json.NewEncoder(p.reports).Encode(report{Ready: true}); err != nil {
			p.end(errAbandoned)
			return
		}
		_ = p.reports.Close()
	}
	p.ready = true
}

// SetStatus sets the function whose value, as JSON, answers GET /status. It is
// called from other goroutines and must not block.
func (p *Process) SetStatus(status func() any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

// SetAnswer sets, once, the function that answers Instance.Tell. Messages come one at a time, and none after End.
func (p *Process) SetAnswer(answer func(message []byte) (any, error)) {
	p.answer = answer
	close(p.answering)
}

// End ends the daemon as Instance.Stop does.
func (p *Process) End() { p.end(ErrStopped) }

// SetResult says that the work the caller waits for is done; the daemon may go
// on. The first result counts. It is kept on disk until it is collected.
func (p *Process) SetResult(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		p.settle(outcome{Error: fmt.Sprintf("encode result: %v", err)}, true)
		return
	}
	p.settle(outcome{Result: text}, true)
}

// SetError says that the work the caller waits for has failed; Instance.Wait
// returns the error. An error that ends the work may simply be returned instead.
func (p *Process) SetError(err error) {
	p.settle(outcome{Error: err.Error()}, true)
}

// settle fixes the outcome unless there is one.
func (p *Process) settle(o outcome, keep bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outcome != nil {
		return
	}
	p.outcome = &o
	if keep {
		if err := writeOutcome(p.Dir, o); err != nil {
			p.Log.Error("result is not kept on disk", "err", err)
		}
	}
	close(p.decided)
}

// writeOutcome puts result.json in place in one step.
func writeOutcome(dir string, o outcome) error {
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	path := filepath.Join(dir, resultName)
	if err := os.WriteFile(path+".tmp", text, 0o600); err != nil {
		_ = os.Remove(path + ".tmp") // a full disk leaves an empty file
		return fmt.Errorf("write result: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("rename result: %w", err)
	}
	return nil
}

// ExpireAfter ends the daemon, with the cause ErrIdle, when Active was not called
// for that long. Zero or less: never.
func (p *Process) ExpireAfter(idle time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle != nil {
		p.idle.Stop()
		p.idle = nil
	}
	if idle > 0 {
		p.idleAfter = idle
		p.idle = time.AfterFunc(idle, func() { p.end(ErrIdle) })
	}
}

// Active puts off the expiry.
func (p *Process) Active() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle != nil {
		p.idle.Reset(p.idleAfter)
	}
}
