package module

import (
	"encoding/json"
	"reflect"
	"testing"

	"corvus.murder/internal/artifact"
)

// TestResultOfAnyName: a daemon's result reaches the module as it was, whatever the artifact is called.
func TestResultOfAnyName(t *testing.T) {
	want := peerResult{Dest: "/srv/caf\xe9.tar", Place: artifact.Path("/srv/\u00e9/\xff\ufffd"), Port: 1}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got peerResult
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v became %s and then %+v, %v", want, text, got, err)
	}
	values := map[string]any{}
	got.fill(values)
	if values["dest"] != "/srv/caf\xe9.tar" {
		t.Errorf("the values are %v", values)
	}
}
