package origin

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestIdentitiesSurviveAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	// An older file that others could read is replaced, not written into.
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	ids := NewMemory(Population{Users: 20, Seed: 1}).Identities()
	ids[3].TelegramID, ids[4].Conversations = "", nil
	if err := WriteIdentities(path, ids); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v", info.Mode())
	}
	read, err := ReadIdentities(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, ids) {
		t.Errorf("got  %+v\nwant %+v", read, ids)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(content, []byte("\n")); lines != len(ids) {
		t.Errorf("%d lines for %d identities", lines, len(ids))
	}
}

func TestWriteIdentitiesLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "taken")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	// A file cannot take a directory's place.
	if err := WriteIdentities(target, []Identity{{UserID: "u", Token: "t"}}); err == nil || !strings.Contains(err.Error(), target) {
		t.Errorf("error is %v", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 {
		t.Errorf("%d files, want only the directory", len(files))
	}
	if err := WriteIdentities(filepath.Join(dir, "missing", "tokens"), nil); err == nil {
		t.Error("wrote into a directory that does not exist")
	}
}

func TestReadIdentitiesNamesTheLine(t *testing.T) {
	const good = `{"userId":"u1","telegramId":"1","conversations":["c"],"token":"secret-a"}` + "\n"
	cases := map[string]struct{ content, says string }{
		"empty file":       {"", "no identity"},
		"blank lines only": {"\n \n", "no identity"},
		"not JSON":         {good + "\n" + "secret-b\n", "line 3: it is not an identity"},
		"cut off":          {good + `{"userId":"u2","token":"secr`, "line 2: it is not an identity"},
		"wrong type":       {`{"userId":5,"token":"secret-b"}`, "line 1: it is not an identity"},
		"no user":          {good + `{"token":"secret-b"}`, "line 2: invalid input: userId"},
		"bad user":         {`{"userId":"a b","token":"secret-b"}`, "line 1: invalid input: userId"},
		"bad telegram id":  {`{"userId":"a","telegramId":"?","token":"secret-b"}`, "line 1: invalid input: telegramId"},
		"bad conversation": {`{"userId":"a","conversations":[""],"token":"secret-b"}`, "line 1: invalid input: conversations"},
		"no token":         {good + good + `{"userId":"a"}`, "line 3: it has no token"},
		"long line":        {good + strings.Repeat("x", maxIdentityLine+1), "line 2: it is longer"},
	}
	for name, c := range cases {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		ids, err := ReadIdentities(path)
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error is %v, want one that says %q", name, err, c.says)
		} else if strings.Contains(err.Error(), "secr") {
			t.Errorf("%s: the error shows a token: %v", name, err)
		}
		if ids != nil {
			t.Errorf("%s: some identities came all the same", name)
		}
	}
	if _, err := ReadIdentities(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func FuzzReadIdentities(f *testing.F) {
	f.Add([]byte(`{"userId":"u1","telegramId":"1","conversations":["c"],"token":"t"}` + "\n"))
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"userId":"u1","conversations":null,"token":"t"}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		ids, err := readIdentities(bytes.NewReader(content))
		if err != nil {
			if ids != nil {
				t.Error("identities beside an error")
			}
			return
		}
		path := filepath.Join(t.TempDir(), "tokens")
		if err := WriteIdentities(path, ids); err != nil {
			t.Fatal(err)
		}
		again, err := ReadIdentities(path)
		if err != nil || len(again) != len(ids) {
			t.Fatalf("written and read again: %d of %d, error %v", len(again), len(ids), err)
		}
		for _, id := range ids {
			if checkID("", id.UserID) != nil || id.Token == "" {
				t.Errorf("accepted %+v", id)
			}
		}
	})
}
