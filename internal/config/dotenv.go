package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"github.com/joho/godotenv"
)

const maxDotEnv = 64 << 10

// LoadDotEnv returns env with the variables of the file at path behind it: a
// variable that env has, even an empty one, wins. A file that does not exist
// adds nothing. Errors name the file and the line, never the content.
func LoadDotEnv(path string, env func(string) (string, bool)) (func(string) (string, bool), error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return env, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the environment file: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxDotEnv+1))
	if err != nil {
		return nil, fmt.Errorf("reading the environment file: %w", err)
	}
	if len(content) > maxDotEnv {
		return nil, fmt.Errorf("%s: larger than %d bytes; expected lines of NAME=value", path, maxDotEnv)
	}
	// godotenv's own error quotes the content, secrets included.
	vars, ok := parseDotEnv(content)
	if !ok {
		return nil, fmt.Errorf("%s:%d: cannot be read from here on; expected NAME=value, with quotes closed", path, brokenLine(content))
	}
	return func(name string) (string, bool) {
		if v, ok := env(name); ok {
			return v, true
		}
		v, ok := vars[name]
		return v, ok
	}, nil
}

// parseDotEnv also refuses a line without "=", which godotenv would join with
// the name on the next line.
func parseDotEnv(content []byte) (map[string]string, bool) {
	vars, err := godotenv.UnmarshalBytes(content)
	if err != nil {
		return nil, false
	}
	for name := range vars {
		if name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
			return nil, false
		}
	}
	return vars, true
}

// brokenLine returns the number of the line on which the first statement that
// cannot be parsed begins. A quoted value may span lines, so a statement ends
// at the first line that makes it whole.
func brokenLine(content []byte) int {
	line, start, end := 1, 0, 0
	for n := 1; end < len(content); n++ {
		next := bytes.IndexByte(content[end:], '\n') + 1
		if next == 0 {
			next = len(content) - end
		}
		end += next
		if _, ok := parseDotEnv(content[start:end]); ok {
			line, start = n+1, end
		}
	}
	return line
}
