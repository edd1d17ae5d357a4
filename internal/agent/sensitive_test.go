package agent

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// forbidden are names of what must never be cached (R7).
var forbidden = regexp.MustCompile(`(?i)passw|passphrase|secret|api_?key|private_?key|access_?token|refresh_?token|card_?(number|no)|cvv|cvc|iban|pin_?code|(^|_)ssn`)

// offending returns the paths of the fields of a type that look like them.
func offending(t reflect.Type, path string, seen map[reflect.Type]bool) (found []string) {
	if seen[t] {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return offending(t.Elem(), path, seen)
	case reflect.Struct:
		for field := range t.Fields() {
			at := path + "." + field.Name
			if forbidden.MatchString(field.Name) || forbidden.MatchString(field.Tag.Get("json")) {
				found = append(found, at)
			}
			found = append(found, offending(field.Type, at, seen)...)
		}
	}
	return found
}

// cachedTypes returns the type of every view that the agent has.
func cachedTypes() map[string]reflect.Type {
	types := make(map[string]reflect.Type)
	for field := range reflect.TypeFor[Agent]().Fields() {
		if get, ok := field.Type.MethodByName("Get"); ok && strings.HasPrefix(field.Type.Name(), "Typed[") {
			types[field.Name] = get.Type.Out(0)
		}
	}
	return types
}

func TestNothingThatMustNotBeCachedIs(t *testing.T) {
	types := cachedTypes()
	if len(types) != 7 {
		t.Fatalf("the agent's views are %v, 7 were expected: is one not looked at?", types)
	}
	for name, cached := range types {
		for _, field := range offending(cached, cached.String(), make(map[reflect.Type]bool)) {
			t.Errorf("%s would cache %s", name, field)
		}
	}
}

func TestForbiddenFieldsAreFound(t *testing.T) {
	type inner struct {
		CardNumber string
		Token      string `json:"accessToken"`
		Harmless   string `json:"passengers"`
	}
	type outer struct {
		Name  string
		Inner []*inner
	}
	found := offending(reflect.TypeFor[map[string]outer](), "outer", make(map[reflect.Type]bool))
	if want := "outer.Inner.CardNumber outer.Inner.Token"; strings.Join(found, " ") != want {
		t.Errorf("found %v, want %s", found, want)
	}
}
