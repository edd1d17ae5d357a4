package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// recordNames returns the names of the variables that Load reads.
func recordNames(t *testing.T) []string {
	t.Helper()
	var names []string
	if _, err := Load(func(name string) (string, bool) {
		names = append(names, name)
		return "", false
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

const example = "../../.env.example"

func TestExampleNamesEveryVariable(t *testing.T) {
	content, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^([A-Z_]+)=`).FindAllStringSubmatch(string(content), -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	if want := recordNames(t); !slices.Equal(names, want) {
		t.Errorf(".env.example has\n%v, Load reads\n%v", names, want)
	}
}

func TestExampleAsItIsGivesTheDefaults(t *testing.T) {
	env, err := LoadDotEnv(example, vars{}.env)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(env)
	if err != nil {
		t.Fatal(err)
	}
	if want := load(t, vars{}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDotEnv(t *testing.T) {
	path := write(t, "# comment\nPORT=1\r\nexport OGCACHE_LOG_FORMAT=json\nDATABASE_URL='postgres://u:p$x#y@h/d' # why\nREDIS_URL=redis://h\nOGCACHE_REDIS_CA_FILE=\"a\nb\"\n")
	env, err := LoadDotEnv(path, vars{"PORT": "2", "REDIS_URL": ""}.env)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range (vars{
		"PORT": "2", "OGCACHE_LOG_FORMAT": "json", "DATABASE_URL": "postgres://u:p$x#y@h/d", "REDIS_URL": "", "OGCACHE_REDIS_CA_FILE": "a\nb",
	}) {
		if got, ok := env(name); got != want || !ok {
			t.Errorf("%s is %q (set: %v), want %q", name, got, ok, want)
		}
	}
	if _, ok := env("SUPABASE_URL"); ok {
		t.Error("a variable that neither has is set")
	}
}

func TestNoDotEnv(t *testing.T) {
	env, err := LoadDotEnv(filepath.Join(t.TempDir(), ".env"), vars{"PORT": "2"}.env)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := env("PORT"); got != "2" || !ok {
		t.Errorf("PORT is %q (set: %v), want 2", got, ok)
	}
}

func TestBrokenDotEnv(t *testing.T) {
	for content, where := range map[string]string{
		"PORT=1\nX-" + marker + "=1\n":                ":2: ",
		"A=\"x\ny\"\n\n# c\nB='" + marker + "\nC=1\n": ":5: ",
		marker:                       ":1: ",
		"A=1\n" + marker + "\nB=2\n": ":2: ",
		"A=1\n=" + marker:            ":2: ",
		"A=" + marker + strings.Repeat("#", maxDotEnv): ": larger than ",
	} {
		path := write(t, content)
		env, err := LoadDotEnv(path, vars{}.env)
		if err == nil || !strings.HasPrefix(err.Error(), path+where) || env != nil {
			t.Errorf("%.60q: got error %v, want %s%s…", content, err, path, where)
		} else if leaks(err.Error()) {
			t.Errorf("the error shows the content: %v", err)
		}
	}
	dir := t.TempDir()
	if _, err := LoadDotEnv(dir, vars{}.env); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
}

func FuzzDotEnv(f *testing.F) {
	f.Add("A=1\nB='2'\n")
	f.Add("export A=\"x\ny\" # c\r\nB: ${A}\n")
	f.Add("A='\n-\n")
	f.Fuzz(func(t *testing.T, content string) {
		if _, ok := parseDotEnv([]byte(content)); ok {
			return
		}
		if line := brokenLine([]byte(content)); line < 1 || line > strings.Count(content, "\n")+2 {
			t.Errorf("line %d of %q", line, content)
		}
	})
}
