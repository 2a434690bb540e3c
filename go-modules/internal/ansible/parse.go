package ansible

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// asyncKey is the argument in which our action plugins describe an async job.
const asyncKey = "_murder_async"

// Faults are all the things that are wrong with the options of one call.
type Faults []string

// Error joins the faults into one message.
func (f Faults) Error() string { return strings.Join(f, "; ") }

// Parse reads an argument file, a JSON object of options, into the variables of
// the Spec; options that are not given or null get their defaults, and those
// that are given empty text are faults. Keys of Ansible itself (_ansible_*) go
// into the Call as far as they are known. The error is of type Faults when
// options are wrong; the Call is filled as far as possible even then.
func (s *Spec) Parse(data []byte) (Call, error) {
	for _, o := range s.options {
		o.reset()
	}
	call := Call{Given: map[string]bool{}, params: map[string]any{}}
	args, err := decodeObject(data)
	if err != nil {
		return call, err
	}
	call.secrets = s.secretValues(args)
	var faults Faults
	faults = append(faults, call.readInternal(args)...)
	faults = append(faults, s.assign(args, &call)...)
	for _, r := range s.rules {
		if fault := r(call.Given); fault != "" {
			faults = append(faults, fault)
		}
	}
	for _, o := range s.options {
		call.params[o.name] = o.value
	}
	if len(faults) > 0 {
		return call, faults
	}
	return call, nil
}

// decodeObject decodes exactly one JSON object and keeps numbers as written.
func decodeObject(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var args map[string]any
	if err := decoder.Decode(&args); err != nil {
		return nil, fmt.Errorf("the arguments are not a JSON object of options: %w", err)
	}
	if args == nil {
		return nil, errors.New("the arguments are not a JSON object of options: they are null")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the arguments are not a JSON object of options: text follows the object")
	}
	return args, nil
}

// assign coerces the given options into their variables.
func (s *Spec) assign(args map[string]any, call *Call) Faults {
	var faults Faults
	for _, key := range slices.Sorted(maps.Keys(args)) {
		if s.names[key] == nil && !strings.HasPrefix(key, "_ansible_") && key != asyncKey {
			faults = append(faults, s.unknown(key))
		}
	}
	for _, o := range s.options {
		var keys []string
		for _, key := range append([]string{o.name}, o.aliases...) {
			if args[key] != nil {
				keys = append(keys, key)
			}
		}
		switch {
		case len(keys) > 1:
			faults = append(faults, fmt.Sprintf("Options %s are names of one option; give only one of them", strings.Join(keys, ", ")))
		case len(keys) == 1:
			call.Given[o.name] = true
			if err := o.set(args[keys[0]]); err != nil {
				faults = append(faults, fmt.Sprintf("Option %s: %s %s", keys[0], o.show(args[keys[0]]), err))
			}
		case o.required:
			faults = append(faults, fmt.Sprintf("Option %s is required", o.name))
		}
	}
	return faults
}

// show renders a refused value for a message, short and without secrets.
func (o *Option) show(raw any) string {
	if o.secret {
		return "the value"
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(raw); err != nil {
		return "the value"
	}
	return abbreviate(strings.TrimSpace(text.String()), 80)
}

// readInternal reads the keys that Ansible and our action plugins add.
func (c *Call) readInternal(args map[string]any) Faults {
	flag := func(key string) bool {
		on, err := coerceBool(args[key])
		return err == nil && on
	}
	text := func(key string) string {
		value, _ := args[key].(string)
		return value
	}
	c.Check = flag("_ansible_check_mode")
	c.Diff = flag("_ansible_diff")
	c.NoLog = flag("_ansible_no_log")
	c.Module = text("_ansible_module_name")
	c.AnsibleVersion = text("_ansible_version")
	c.TmpDir = text("_ansible_tmpdir")
	if n, err := coerceInt(args["_ansible_verbosity"]); err == nil {
		c.Verbosity = n
	}
	if args[asyncKey] == nil {
		return nil
	}
	job, err := parseAsync(args[asyncKey])
	if err != nil {
		return Faults{fmt.Sprintf("Argument %s: %v", asyncKey, err)}
	}
	c.Async = job
	return nil
}

// secretValues collects what was given for no_log options, whatever its type.
func (s *Spec) secretValues(args map[string]any) []string {
	var values []string
	var collect func(raw any)
	collect = func(raw any) {
		switch v := raw.(type) {
		case string:
			values = append(values, v)
		case json.Number:
			values = append(values, v.String())
		case []any:
			for _, element := range v {
				collect(element)
			}
		case map[string]any:
			for _, element := range v {
				collect(element)
			}
		}
	}
	for key, raw := range args {
		if o := s.names[key]; o != nil && o.secret {
			collect(raw)
		}
	}
	return values
}
