package config

import (
	"strconv"
	"strings"
	"time"
)

// variableError says what is wrong with a variable and what is expected. It
// never contains the variable's value.
type variableError struct{ name, problem string }

func (e *variableError) Error() string { return e.name + ": " + e.problem }

// reader reads variables and collects what is wrong with them.
type reader struct {
	env  func(string) (string, bool)
	errs []error
}

// get returns the variable without surrounding blanks, "" when it is not set.
func (r *reader) get(name string) string {
	v, _ := r.env(name)
	return strings.TrimSpace(v)
}

func (r *reader) fail(name, problem string) {
	r.errs = append(r.errs, &variableError{name, problem})
}

func (r *reader) duration(name string, unset, lowest, highest time.Duration, expected string) time.Duration {
	v := r.get(name)
	if v == "" {
		return unset
	}
	d, err := time.ParseDuration(v)
	switch {
	case err != nil:
		r.fail(name, "is no duration; expected "+expected)
	case d < lowest || d > highest:
		r.fail(name, "is out of range; expected "+expected)
	}
	return d
}

func (r *reader) boolean(name string, unset bool) bool {
	v := r.get(name)
	if v == "" {
		return unset
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		r.fail(name, "is neither yes nor no; expected true or false")
	}
	return b
}

// visible reports whether s has only ASCII characters that leave a mark.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}
