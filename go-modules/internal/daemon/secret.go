package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
)

// Secret is a string of a configuration that the daemon gets, but that nothing
// gives back: Instance.Config and Redact put its SHA-256 in its place, and
// printing or logging it shows stars. string(s) is the value.
type Secret string

// String hides the value from fmt and slog.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "********"
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// Redact copies a configuration through JSON with every Secret in it replaced by
// "sha256:" and the hex digest of its value (an empty one stays empty). The copy
// of what is wanted can be compared with what Instance.Config gives. Secrets must
// stand in fields of that type: what an interface holds has lost its type.
func Redact[T any](config T) (T, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return *new(T), fmt.Errorf("encode configuration: %w", err)
	}
	fresh := reflect.New(reflect.TypeFor[T]())
	if kind := reflect.TypeFor[T]().Kind(); kind == reflect.Interface && reflect.ValueOf(config).IsValid() {
		fresh = reflect.New(reflect.TypeOf(config)) // keeps the type that has the Secrets
	}
	if err := json.Unmarshal(text, fresh.Interface()); err != nil {
		return *new(T), fmt.Errorf("decode configuration: %w", err)
	}
	redact(fresh.Elem())
	copied, _ := fresh.Elem().Interface().(T)
	return copied, nil
}

// redact replaces the Secrets in an addressable value.
func redact(v reflect.Value) {
	if v.Type() == reflect.TypeFor[Secret]() {
		if v.CanSet() && v.String() != "" {
			v.SetString("sha256:" + digest(v.String()))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			redact(v.Elem())
		}
	case reflect.Struct:
		for n := range v.NumField() {
			if field := v.Type().Field(n); field.IsExported() || field.Anonymous {
				redact(v.Field(n))
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return // millions of bytes, perhaps
		}
		for n := range v.Len() {
			redact(v.Index(n))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem() // values of a map cannot be set in place
			value.Set(v.MapIndex(key))
			redact(value)
			v.SetMapIndex(key, value)
		}
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
