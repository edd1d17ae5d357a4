package origin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxIdentityLine bounds one line of an identity file, in bytes.
const maxIdentityLine = 64 << 10

// WriteIdentities writes one identity per line as JSON. The file appears whole
// or not at all, replaces an older one, and only its owner can read it: it
// holds access tokens.
func WriteIdentities(path string, ids []Identity) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".identities-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("writing identities to %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing identities to %s: %w", path, err)
			f.Close()
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriter(f)
	encoder := json.NewEncoder(w)
	for _, id := range ids {
		if err := encoder.Encode(id); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// ReadIdentities reads what WriteIdentities wrote. An error names the line that
// is broken, without repeating it.
func ReadIdentities(path string) ([]Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading identities: %w", err)
	}
	defer f.Close()
	ids, err := readIdentities(f)
	if err != nil {
		return nil, fmt.Errorf("reading identities from %s: %w", path, err)
	}
	return ids, nil
}

func readIdentities(r io.Reader) ([]Identity, error) {
	var ids []Identity
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxIdentityLine)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		id, err := parseIdentity(lines.Bytes())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		ids = append(ids, id)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("line %d: it is longer than %d bytes", n+1, maxIdentityLine)
	} else if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, errors.New("the file holds no identity; write one with dashboard seed or demo --tokens")
	}
	return ids, nil
}

func parseIdentity(line []byte) (Identity, error) {
	var id Identity
	if err := json.Unmarshal(line, &id); err != nil {
		// The decoder's own error may quote a token.
		return Identity{}, errors.New("it is not an identity in JSON")
	}
	if err := checkID("userId", id.UserID); err != nil {
		return Identity{}, err
	}
	if id.TelegramID != "" {
		if err := checkID("telegramId", id.TelegramID); err != nil {
			return Identity{}, err
		}
	}
	if err := checkIDs("conversations", id.Conversations); err != nil {
		return Identity{}, err
	}
	if id.Token == "" {
		return Identity{}, errors.New("it has no token")
	}
	return id, nil
}
