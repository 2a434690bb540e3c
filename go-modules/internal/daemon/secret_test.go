package daemon

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type inner struct{ Token Secret }

type nested struct {
	inner
	Name   string
	Empty  Secret
	Ptr    *inner
	List   []Secret
	Map    map[string]Secret
	Since  time.Time
	hidden Secret
}

func TestRedact(t *testing.T) {
	const value = Secret("s3cret")
	hash := Secret("sha256:" + digest("s3cret"))
	now := time.Now().Round(0)
	in := nested{inner{value}, "n", "", &inner{value}, []Secret{value}, map[string]Secret{"k": value}, now, value}
	want := nested{inner{hash}, "n", "", &inner{hash}, []Secret{hash}, map[string]Secret{"k": hash}, now, ""}
	got, err := Redact(in)
	if err != nil {
		t.Fatal(err)
	}
	got.Since, want.Since = time.Time{}, time.Time{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
	if in.Token != value || in.Ptr.Token != value || in.Map["k"] != value {
		t.Error("the original was changed")
	}
	if general, err := Redact[any](in); err != nil || general.(nested).Token != hash {
		t.Errorf("as an interface: %v, %v", general, err)
	}
	if nothing, err := Redact[any](nil); err != nil || nothing != nil {
		t.Errorf("nil: %v, %v", nothing, err)
	}
	if _, err := Redact(func() {}); err == nil {
		t.Error("a function is accepted")
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[B-H]{3,9}`).Draw(t, "value")
		w := work{Token: Secret(value)}
		if text := fmt.Sprintf("%v %+v %#v %s %q %x", w, w, w, w.Token, w.Token, w.Token); strings.Contains(text, value) {
			t.Fatalf("%s shows %s", text, value)
		}
		redacted, err := Redact(w)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := json.Marshal(redacted); err != nil || strings.Contains(string(text), value) {
			t.Fatalf("%s shows %s, %v", text, value, err)
		}
		again, err := Redact(w)
		if err != nil || again != redacted {
			t.Fatalf("%v differs from %v, %v", again, redacted, err)
		}
	})
}
