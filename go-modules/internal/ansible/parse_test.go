package ansible

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

type options struct {
	state, dest, torrent, content, src, token, mode string
	port                                            int
	limit                                           int64
	force                                           bool
	allow                                           []string
}

func testSpec() (*Spec, *options) {
	o := &options{}
	s := NewSpec("murder_test", "for tests")
	s.Choice(&o.state, "state", "present", "state", "present", "started", "stopped")
	s.Path(&o.dest, "dest", "", "destination").Required().Alias("path")
	s.Path(&o.torrent, "torrent", "", "torrent")
	s.String(&o.content, "torrent_content", "", "torrent in base64")
	s.Path(&o.src, "src", "", "source")
	s.String(&o.token, "token", "", "token").Secret()
	s.Mode(&o.mode, "mode", "mode")
	s.Int(&o.port, "port", 8998, "port").Range(1, 65535)
	s.Size(&o.limit, "upload_limit", 0, "limit").Range(0, math.MaxInt64)
	s.Bool(&o.force, "force", false, "force")
	s.List(&o.allow, "allow", []string{"any"}, "networks")
	s.MutuallyExclusive("torrent", "torrent_content")
	s.RequiredIf("state", "started", "src")
	s.RequiredOneOfIf("state", "present", "torrent", "torrent_content")
	return s, o
}

func TestParse(t *testing.T) {
	s, o := testSpec()
	call, err := s.Parse([]byte(`{"path": "/srv/a", "torrent": "/tmp/a.torrent", "torrent_content": null, "mode": 420,
		"upload_limit": "10M", "allow": "10.0.0.0/8,192.168.0.0/16", "force": "yes", "port": "9000",
		"_ansible_check_mode": true, "_ansible_diff": true, "_ansible_no_log": false, "_ansible_verbosity": 2,
		"_ansible_module_name": "corvus.murder.murder_test", "_ansible_version": "2.19.14", "_ansible_tmpdir": null,
		"_ansible_something_new": {"a": [1]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := options{
		state: "present", dest: "/srv/a", torrent: "/tmp/a.torrent", mode: "0644",
		port: 9000, limit: 10 << 20, force: true, allow: []string{"10.0.0.0/8", "192.168.0.0/16"},
	}
	if !reflect.DeepEqual(*o, want) {
		t.Errorf("got %+v, want %+v", *o, want)
	}
	given := map[string]bool{"dest": true, "torrent": true, "mode": true, "upload_limit": true, "allow": true, "force": true, "port": true}
	if !reflect.DeepEqual(call.Given, given) {
		t.Errorf("given %v, want %v", call.Given, given)
	}
	if !call.Check || !call.Diff || call.NoLog || call.Verbosity != 2 || call.TmpDir != "" ||
		call.Module != "corvus.murder.murder_test" || call.AnsibleVersion != "2.19.14" || call.Async != nil {
		t.Errorf("call is %+v", call)
	}
}

func TestParseTwiceStartsFromDefaults(t *testing.T) {
	s, o := testSpec()
	if _, err := s.Parse([]byte(`{"dest": "/a", "torrent": "/t", "port": 1, "allow": ["x"]}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Parse([]byte(`{"dest": "/b", "torrent": "/t"}`)); err != nil {
		t.Fatal(err)
	}
	if o.port != 8998 || o.dest != "/b" || !reflect.DeepEqual(o.allow, []string{"any"}) {
		t.Errorf("the second call has values of the first: %+v", *o)
	}
}

func TestParseFaults(t *testing.T) {
	t.Setenv("MURDER_NOTHING", "")
	for name, row := range map[string]struct {
		args string
		want []string
	}{
		"missing":         {`{"torrent": "/t"}`, []string{"Option dest is required"}},
		"null is missing": {`{"torrent": "/t", "dest": null}`, []string{"Option dest is required"}},
		"unknown":         {`{"dest": "/a", "src": "/s", "torrent": "/t", "sorc": "/t"}`, []string{"Unknown option sorc; did you mean src?"}},
		"unknown and so missing": {
			`{"dest": "/a", "torent": "/t"}`, []string{"Unknown option torent; did you mean torrent?", "One of the options torrent"},
		},
		"unknown, swapped": {
			`{"dest": "/a", "torrent": "/t", "tokne": "s3cret"}`, []string{"Unknown option tokne; did you mean token?"},
		},
		"unknown, hyphen": {
			`{"dest": "/a", "torrent": "/t", "Upload-Limit": 1}`, []string{"Unknown option Upload-Limit; did you mean upload_limit?"},
		},
		"unknown, nothing near": {
			`{"dest": "/a", "torrent": "/t", "xyzzyxyzzy": 1}`,
			[]string{"Unknown option xyzzyxyzzy; murder_test knows state, dest, torrent, torrent_content, src, token, mode, port, upload_limit, force, allow"},
		},
		"unknown, internal": {`{"dest": "/a", "torrent": "/t", "_murder_x": 1}`, []string{"Unknown option _murder_x"}},
		"type":              {`{"dest": "/a", "torrent": "/t", "port": "abc"}`, []string{`Option port: "abc" is not a whole number`}},
		"type of alias":     {`{"path": ["/a"], "torrent": "/t"}`, []string{`Option path: ["/a"] is not a string`}},
		"range":             {`{"dest": "/a", "torrent": "/t", "port": 70000}`, []string{"Option port: 70000 is out of range; give 1 to 65535"}},
		"choice":            {`{"dest": "/a", "state": "gone"}`, []string{`Option state: "gone" is not one of present, started, stopped`}},
		"exclusive":         {`{"dest": "/a", "torrent": "/t", "torrent_content": "eA=="}`, []string{"Options torrent, torrent_content exclude each other"}},
		"one of, if":        {`{"dest": "/a"}`, []string{"One of the options torrent, torrent_content is required when state is present"}},
		"required if":       {`{"dest": "/a", "state": "started"}`, []string{"Option src is required when state is started"}},
		"empty path":        {`{"path": "", "torrent": "/t"}`, []string{`Option path: "" is empty; give it a value`}},
		"empty by variable": {`{"dest": "$MURDER_NOTHING", "torrent": "/t"}`, []string{`Option dest: "$MURDER_NOTHING" is empty; give it a value`}},
		"empty, not absent": {`{"dest": "/a", "torrent": ""}`, []string{`Option torrent: "" is empty; give it a value, or leave it out`}},
		"empty, required if": {
			`{"dest": "/a", "state": "started", "src": ""}`, []string{`Option src: "" is empty; give it a value, or leave it out`},
		},
		"empty secret": {
			`{"dest": "/a", "torrent": "/t", "token": ""}`, []string{"Option token: the value is empty; give it a value, or leave it out"},
		},
		"both names": {`{"dest": "/a", "path": "/b", "torrent": "/t"}`, []string{"Options dest, path are names of one option"}},
		"secret": {
			`{"dest": "/a", "torrent": "/t", "token": ["s3cret"]}`, []string{"Option token: the value is not a string"},
		},
		"several": {
			`{"prot": 1, "state": "started", "port": 0, "upload_limit": "10Mb"}`,
			[]string{"Unknown option prot; did you mean port?", "Option dest is required", "Option port: 0 is out of range", `Option upload_limit: "10Mb" is not a size`, "Option src is required"},
		},
		"async": {`{"dest": "/a", "torrent": "/t", "_murder_async": {"jid": "../x"}}`, []string{`Argument _murder_async: jid "../x" is not a plain file name`}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := testSpec()
			_, err := s.Parse([]byte(row.args))
			faults, ok := err.(Faults)
			if !ok {
				t.Fatalf("got %v, want faults", err)
			}
			for _, want := range row.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if len(faults) != len(row.want) {
				t.Errorf("%d faults, want %d: %q", len(faults), len(row.want), faults)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q shows a secret", err)
			}
		})
	}
}

func TestParseNoObject(t *testing.T) {
	for _, args := range []string{"", "null", "[]", `"a"`, "{", "state=present dest=/a", `{"dest": "/a"} x`, "\x7fELF"} {
		s, _ := testSpec()
		if _, err := s.Parse([]byte(args)); err == nil || !strings.Contains(err.Error(), "not a JSON object of options") {
			t.Errorf("%q: got %v", args, err)
		}
	}
}

func TestParseAsync(t *testing.T) {
	t.Setenv("HOME", "/home/ada")
	s, _ := testSpec()
	call, err := s.Parse([]byte(`{"dest": "/a", "torrent": "/t", "_murder_async": {"jid": "j1.22", "dir": "~/.ansible_async", "limit": "600"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Async{JID: "j1.22", Dir: "/home/ada/.ansible_async", Limit: 10 * time.Minute}
	if *call.Async != want {
		t.Errorf("got %+v, want %+v", *call.Async, want)
	}
	for _, bad := range []string{
		`5`, `{}`, `{"jid": ".x", "dir": "/a", "limit": 1}`, `{"jid": "x", "dir": "", "limit": 1}`,
		`{"jid": "x", "limit": 1}`, `{"jid": "x", "dir": "/a", "limit": 0}`, `{"jid": "a/b", "dir": "/a", "limit": 1}`,
	} {
		if _, err := s.Parse([]byte(`{"dest": "/a", "torrent": "/t", "_murder_async": ` + bad + `}`)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestDescribe(t *testing.T) {
	s, _ := testSpec()
	var got struct {
		Module  string
		Options map[string]map[string]any
	}
	if err := json.Unmarshal(s.Describe(), &got); err != nil {
		t.Fatal(err)
	}
	none := []any{}
	for name, want := range map[string]map[string]any{
		"dest":  {"type": "path", "required": true, "default": nil, "choices": none, "no_log": false, "aliases": []any{"path"}},
		"state": {"type": "str", "required": false, "default": "present", "choices": []any{"present", "started", "stopped"}, "no_log": false, "aliases": none},
		"token": {"type": "str", "required": false, "default": nil, "choices": none, "no_log": true, "aliases": none},
		"port":  {"type": "int", "required": false, "default": 8998.0, "choices": none, "no_log": false, "aliases": none},
		"allow": {"type": "list", "elements": "str", "required": false, "default": []any{"any"}, "choices": none, "no_log": false, "aliases": none},
		"mode":  {"type": "raw", "required": false, "default": nil, "choices": none, "no_log": false, "aliases": none},
		"force": {"type": "bool", "required": false, "default": false, "choices": none, "no_log": false, "aliases": none},

		"upload_limit": {"type": "bytes", "required": false, "default": 0.0, "choices": none, "no_log": false, "aliases": none},
	} {
		if !reflect.DeepEqual(got.Options[name], want) {
			t.Errorf("%s: got %v, want %v", name, got.Options[name], want)
		}
	}
	if got.Module != "murder_test" || len(got.Options) != 11 {
		t.Errorf("got %s with %d options", got.Module, len(got.Options))
	}
}

func TestWrongDeclarationsPanic(t *testing.T) {
	for name, declare := range map[string]func(*Spec){
		"twice":        func(s *Spec) { s.String(new(string), "src", "", "") },
		"alias twice":  func(s *Spec) { s.String(new(string), "new", "", "").Alias("port") },
		"unknown rule": func(s *Spec) { s.RequiredOneOf("src", "nothing") },
		"alias rule":   func(s *Spec) { s.MutuallyExclusive("path", "src") },
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := testSpec()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			declare(s)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"dest": "/a", "torrent": "/t", "port": 1}`))
	f.Add([]byte(`{"dest": ["/a"], "mode": 420, "allow": [1, null], "upload_limit": "1.5G", "unknown": {}}`))
	f.Add([]byte(`{"_murder_async": {"jid": "j", "dir": "/x", "limit": 1}, "_ansible_verbosity": "3"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, o := testSpec()
		call, err := s.Parse(data)
		if err == nil && (o.dest == "" || o.port < 1 || o.port > 65535 || o.limit < 0) {
			t.Errorf("%q is accepted as %+v", data, *o)
		}
		if _, err := s.line(Result{Msg: "done"}, call); err != nil {
			t.Errorf("%q: %v", data, err)
		}
	})
}
