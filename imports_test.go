package ogcache_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/oglab/ogcache/internal/families"
)

const module = "github.com/oglab/ogcache"

// mayImport says which of this module's packages a package may import outside
// its tests. Imports point down. A new package needs a line here.
var mayImport = map[string][]string{
	"internal/families":     {},
	"internal/telemetry":    {"internal/families", "internal/instrumented"},
	"internal/config":       {"internal/families"},
	"internal/instrumented": {"internal/families"},
	"internal/origin":       {"internal/families"},
	"internal/scenarios":    {"internal/families"},
	"internal/views":        {"internal/families"},
	"internal/keyspace":     {"internal/families"},
	"internal/outbox":       {"internal/families", "internal/origin"},
	"internal/agent":        {"internal/families", "internal/instrumented", "internal/origin"},
	"internal/checklist":    {"internal/families", "internal/instrumented", "internal/origin"},
	"internal/lab": {
		"internal/families", "internal/instrumented", "internal/origin", "internal/agent", "internal/scenarios",
	},
	"internal/web": {
		"internal/families", "internal/instrumented", "internal/origin", "internal/agent", "internal/checklist",
		"internal/keyspace", "internal/views",
	},
	"internal/testenv": {}, // only tests import it, so it is on no list
	"xk6-ogcache": {
		"internal/families", "internal/config", "internal/instrumented", "internal/origin", "internal/agent",
		"internal/scenarios", "internal/lab",
	},
	".": {"xk6-ogcache"},
	"cmd/dashboard": {
		"internal/families", "internal/telemetry", "internal/config", "internal/instrumented", "internal/origin",
		"internal/scenarios", "internal/keyspace", "internal/outbox", "internal/agent", "internal/checklist",
		"internal/lab", "internal/views", "internal/web",
	},
	"cmd/loadgen": {
		"internal/families", "internal/telemetry", "internal/config", "internal/instrumented", "internal/origin",
		"internal/scenarios", "internal/agent", "internal/lab", "xk6-ogcache",
	},
}

// neverReaches says what must not be part of a package, however indirectly.
var neverReaches = []struct {
	pkg, why string
	imports  *regexp.Regexp
}{
	{"internal/families", "it needs nothing but the standard library", regexp.MustCompile(`^[^/]+\.[^/]+/`)},
	{"internal/views", "views know neither Redis nor Prometheus", regexp.MustCompile(`^github\.com/(redis|prometheus)/`)},
	{"cmd/dashboard", "k6 would put the dashboard under the AGPL", regexp.MustCompile(`^go\.k6\.io/k6/`)},
}

// goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports, Deps   []string
}

// name returns the path below the module's root.
func (p goPackage) name() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports,Deps", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var packages []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("reading the output of go list: %v", err)
		}
		packages = append(packages, p)
	}
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range listPackages(t) {
		allowed, known := mayImport[p.name()]
		if !known {
			t.Errorf("%s: add it to mayImport with what lies below it", p.name())
			continue
		}
		for _, path := range p.Imports {
			below, own := strings.CutPrefix(path, module+"/")
			if own && !slices.Contains(allowed, below) {
				t.Errorf("%s imports %s, which does not lie below it: mayImport allows %q", p.name(), below, allowed)
			}
		}
	}
}

func TestMayImportHasNoCycle(t *testing.T) {
	var visit func(pkg string, above []string)
	visit = func(pkg string, above []string) {
		if slices.Contains(above, pkg) {
			t.Fatalf("mayImport allows a cycle: %s", strings.Join(append(above, pkg), " → "))
		}
		for _, below := range mayImport[pkg] {
			if _, known := mayImport[below]; !known {
				t.Errorf("mayImport of %s names %s, which has no line of its own", pkg, below)
			}
			visit(below, append(slices.Clone(above), pkg))
		}
	}
	for pkg := range mayImport {
		visit(pkg, nil)
	}
}

func TestPackagesStayFreeOf(t *testing.T) {
	packages := map[string]goPackage{}
	for _, p := range listPackages(t) {
		packages[p.name()] = p
	}
	for _, rule := range neverReaches {
		p, exists := packages[rule.pkg]
		if !exists {
			t.Errorf("there is a rule for %s but no such package", rule.pkg)
			continue
		}
		for _, path := range p.Deps {
			if rule.imports.MatchString(path) && !strings.HasPrefix(path, "vendor/") {
				t.Errorf("%s depends on %s: %s", rule.pkg, path, rule.why)
			}
		}
	}
}

// TestOnlyFamiliesSpellsKeys finds string literals that hold the start of a
// key. "menu: not found" is a message, "menu:items" and "menu:" are keys.
func TestOnlyFamiliesSpellsKeys(t *testing.T) {
	var prefixes []string
	for _, f := range families.All() {
		prefixes = append(prefixes, regexp.QuoteMeta(f.Prefix))
	}
	key := regexp.MustCompile(`(?:^|[^\pL\pN_:])(` + strings.Join(prefixes, "|") + `)(?:\S|$)`)
	for _, p := range listPackages(t) {
		if p.name() == "internal/families" {
			continue
		}
		for _, file := range p.GoFiles {
			for _, literal := range stringLiterals(t, filepath.Join(p.Dir, file)) {
				if m := key.FindStringSubmatch(literal.text); m != nil {
					t.Errorf("%s/%s:%d spells the key prefix %q: only families may, build the key or take the prefix from a family",
						p.name(), file, literal.line, m[1])
				}
			}
		}
	}
}

type stringLiteral struct {
	text string
	line int
}

func stringLiterals(t *testing.T, path string) []stringLiteral {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []stringLiteral
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			text, err := strconv.Unquote(l.Value)
			if err != nil {
				t.Fatalf("%s: %v", files.Position(l.Pos()), err)
			}
			found = append(found, stringLiteral{text, files.Position(l.Pos()).Line})
		}
		return true
	})
	return found
}
