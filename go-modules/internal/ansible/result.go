package ansible

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Result is what a module says when it is done.
type Result struct {
	Changed  bool
	Failed   bool
	Msg      string
	Warnings []string
	// Diff is shown under --diff: {"before": ..., "after": ...} or a list of them.
	Diff any
	// Values are the module's own return values; they stand beside the keys above.
	Values map[string]any
}

// MarshalJSON flattens Values into the object. Changed, failed and msg of the
// Result win over values of the same names.
func (r Result) MarshalJSON() ([]byte, error) { return json.Marshal(r.flat()) }

func (r Result) flat() map[string]any {
	flat := maps.Clone(r.Values)
	if flat == nil {
		flat = map[string]any{}
	}
	flat["changed"] = r.Changed
	if r.Failed {
		flat["failed"] = true
	}
	if r.Msg != "" {
		flat["msg"] = r.Msg
	}
	if len(r.Warnings) > 0 {
		flat["warnings"] = r.Warnings
	}
	if r.Diff != nil {
		flat["diff"] = r.Diff
	}
	return flat
}

const (
	masked = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
	stars  = "********"
)

// line renders the result of a call as the one line that Ansible reads, with
// the invocation added (unless the task has no_log) and secrets scrubbed.
func (s *Spec) line(r Result, call Call) ([]byte, error) {
	values, texts := r.flat(), map[string]any{}
	for key, value := range values {
		if text, ok := value.(string); ok { // as they are, for a torrent may be megabytes
			texts[key] = text
			delete(values, key)
		}
	}
	encoded, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	flat, err := decodeObject(encoded)
	if err != nil {
		return nil, fmt.Errorf("decode result: %w", err)
	}
	maps.Copy(flat, texts)
	scrub := scrubber(call.secrets)
	for key := range flat {
		flat[key] = scrub(flat[key])
	}
	if !call.NoLog {
		flat["invocation"] = map[string]any{"module_args": s.invocation(call, scrub)}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(flat); err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return text.Bytes(), nil
}

// invocation gives the options in effect. Bulky values are cut: a torrent in
// its base64 form would double the size of the result.
func (s *Spec) invocation(call Call, scrub func(any) any) map[string]any {
	args := map[string]any{}
	for _, o := range s.options {
		value := call.params[o.name]
		switch v := value.(type) {
		case string:
			value = scrub(abbreviate(v, 1024))
		case []string:
			list := make([]any, len(v))
			for i, element := range v {
				list[i] = element
			}
			value = scrub(list)
		}
		if o.secret && value != nil {
			value = masked
		}
		args[o.name] = value
	}
	return args
}

// scrubber returns a function that removes the secrets from all strings of a
// decoded JSON value: a string that is a secret as a whole becomes Ansible's
// words for one, a part of a string becomes stars. Secrets are found in the
// spellings in which errors and URLs show them too.
func scrubber(secrets []string) func(any) any {
	spellings := map[string]bool{}
	for _, secret := range secrets {
		if strings.TrimSpace(secret) == "" {
			continue
		}
		quoted := strconv.Quote(secret)
		for _, spelling := range []string{
			secret, strings.TrimSpace(secret), url.QueryEscape(secret), url.PathEscape(secret), quoted[1 : len(quoted)-1],
		} {
			spellings[spelling] = true
		}
	}
	if len(spellings) == 0 {
		return func(value any) any { return value }
	}
	// Longest first, so that no part of a longer spelling is left over.
	order := slices.SortedFunc(maps.Keys(spellings), func(a, b string) int {
		if d := len(b) - len(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var pairs []string
	for _, spelling := range order {
		pairs = append(pairs, spelling, stars)
	}
	replacer := strings.NewReplacer(pairs...)
	var scrub func(any) any
	scrub = func(value any) any {
		switch v := value.(type) {
		case string:
			if spellings[v] {
				return masked
			}
			return replacer.Replace(v)
		case []any:
			for i := range v {
				v[i] = scrub(v[i])
			}
		case map[string]any:
			for key := range v {
				v[key] = scrub(v[key])
			}
		}
		return value
	}
	return scrub
}
