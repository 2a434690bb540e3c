package ansible

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestResultJSON(t *testing.T) {
	for _, row := range []struct {
		result Result
		want   string
	}{
		{Result{}, `{"changed":false}`},
		{Result{Changed: true, Values: map[string]any{"port": 1, "changed": false}}, `{"changed":true,"port":1}`},
		{Result{Failed: true, Msg: "Source x not found"}, `{"changed":false,"failed":true,"msg":"Source x not found"}`},
		{
			Result{Warnings: []string{"w"}, Diff: map[string]any{"before": "a", "after": "b"}},
			`{"changed":false,"diff":{"after":"b","before":"a"},"warnings":["w"]}`,
		},
	} {
		if got, err := json.Marshal(row.result); err != nil || string(got) != row.want {
			t.Errorf("got %s, %v, want %s", got, err, row.want)
		}
	}
	values := map[string]any{"a": 1}
	if _, err := json.Marshal(Result{Values: values}); err != nil || len(values) != 1 {
		t.Errorf("marshalling changed the values to %v, %v", values, err)
	}
}

func TestLine(t *testing.T) {
	s, _ := testSpec()
	call, err := s.Parse([]byte(`{"dest": "/a<b>", "torrent_content": "` + strings.Repeat("A", 5000) + `", "token": "a b&c", "allow": ["a b&c"]}`))
	if err != nil {
		t.Fatal(err)
	}
	line, err := s.line(Result{Msg: `no "a b&c" here`, Values: map[string]any{
		"announce_url": "http://h:8998/announce?token=a+b%26c",
		"token":        "a b&c", "port": 8998, "big": int64(math.MaxInt64),
		"status": struct{ Peers []string }{[]string{"xa b&cx"}},
	}}, call)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(line), "\n") != 1 || !strings.HasSuffix(string(line), "}\n") || !strings.Contains(string(line), "/a<b>") {
		t.Errorf("not one plain line: %s", line)
	}
	got, err := decodeObject(line)
	if err != nil {
		t.Fatal(err)
	}
	args := got["invocation"].(map[string]any)["module_args"].(map[string]any)
	delete(got, "invocation")
	want := map[string]any{
		"changed": false, "msg": `no "********" here`, "announce_url": "http://h:8998/announce?token=********",
		"token": masked, "port": num("8998"), "big": num("9223372036854775807"),
		"status": map[string]any{"Peers": []any{"x********x"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, want := range map[string]any{
		"token": masked, "dest": "/a<b>", "port": num("8998"), "torrent": nil, "allow": []any{masked}, "state": "present",
	} {
		if !reflect.DeepEqual(args[name], want) {
			t.Errorf("module_args.%s is %v, want %v", name, args[name], want)
		}
	}
	if text := args["torrent_content"].(string); len(text) > 1100 || !strings.HasSuffix(text, "... (5000 bytes)") {
		t.Errorf("torrent_content was not cut: %d bytes", len(text))
	}
}

func TestLineUnderNoLog(t *testing.T) {
	s, _ := testSpec()
	call, err := s.Parse([]byte(`{"dest": "/a", "torrent": "/t", "_ansible_no_log": true}`))
	if err != nil {
		t.Fatal(err)
	}
	line, err := s.line(Result{}, call)
	if err != nil || strings.Contains(string(line), "invocation") {
		t.Errorf("got %s, %v", line, err)
	}
}

func TestScrubLeavesNoSecret(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Capitals only, so that the stars and Ansible's words for a secret cannot hold one by accident.
		secrets := rapid.SliceOfN(rapid.StringMatching(`[B-H]{1,6}`), 1, 4).Draw(t, "secrets")
		parts := rapid.SliceOf(rapid.OneOf(rapid.SampledFrom(secrets), rapid.StringMatching(`[a-z /]{0,3}`))).Draw(t, "parts")
		text := scrubber(secrets)(strings.Join(parts, "-")).(string)
		if text == masked {
			return
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Fatalf("%q still holds %q", text, secret)
			}
		}
	})
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"open /x: no such file": "Open /x: no such file", "Source x": "Source x", "/x is bad": "/x is bad", "": "",
		"murder_peer ended": "murder_peer ended", "älter": "Älter", "interrupted: it": "Interrupted: it",
	} {
		if got := sentence(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
