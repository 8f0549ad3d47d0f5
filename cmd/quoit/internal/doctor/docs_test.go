package doctor

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quoit-go/quoit"
)

const root = "../../../../"

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(root + "docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whom doctor sends to a section finds it there, and no section is about what
// doctor cannot find.
func TestDocsFindings(t *testing.T) {
	doc := readDoc(t, "troubleshooting.md")
	var anchors []string
	for _, m := range regexp.MustCompile(`(?m)^<a id="([^"]+)"></a>\n\*\*`).FindAllStringSubmatch(doc, -1) {
		anchors = append(anchors, m[1])
	}
	slices.Sort(anchors)
	if want := slices.Sorted(maps.Keys(findings)); !slices.Equal(anchors, want) {
		t.Errorf("sections %q, findings %q", anchors, want)
	}
	if !strings.HasSuffix(docs, "/docs/troubleshooting.md#") {
		t.Errorf("findings lead to %s", docs)
	}
}

func TestDocsKeys(t *testing.T) {
	_, doc, _ := strings.Cut(readDoc(t, "troubleshooting.md"), "\n## quoit doctor for programs\n")
	all := keys(reflect.TypeFor[Report]())
	if len(all) < 50 {
		t.Fatalf("only %d keys found", len(all))
	}
	for _, key := range all {
		if !strings.Contains(doc, "`"+key+"`") {
			t.Errorf("no %q", key)
		}
	}
}

// keys are the JSON keys of a type and of what it holds.
func keys(typ reflect.Type) (out []string) {
	switch typ.Kind() {
	case reflect.Slice, reflect.Pointer:
		return keys(typ.Elem())
	case reflect.Struct:
		for f := range typ.Fields() {
			if name := f.Tag.Get("json"); name != "" {
				out = append(out, name)
				out = append(out, keys(f.Type)...)
			}
		}
	}
	return out
}

// Each message that New and its like return has its line.
func TestDocsMessages(t *testing.T) {
	doc := readDoc(t, "troubleshooting.md")
	for _, cfg := range []quoit.Config{
		{Rings: 300}, {Entries: 4}, {Gear: 7}, {BusyPoll: 5 * time.Millisecond}, {Affinity: []int{5000}},
	} {
		_, err := quoit.New(&cfg)
		if err == nil || !strings.Contains(doc, "`"+err.Error()+"`") {
			t.Errorf("no %v", err)
		}
	}
	if text := quoit.ErrEngineClosed.Error(); !strings.Contains(doc, text) {
		t.Errorf("no %q", text)
	}
	made := regexp.MustCompile(`(?:UnsupportedError|MissingError)\{\s*(?:Feature:\s*)?(?:fmt\.Sprintf\()?"([^"%]+)`)
	features := map[string]bool{}
	for _, dir := range []string{"", "engine/", "engine/steering/"} {
		files, err := filepath.Glob(root + dir + "*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range made.FindAllStringSubmatch(string(b), -1) {
				features[m[1]] = true
			}
		}
	}
	if len(features) < 6 {
		t.Errorf("only %v found", features)
	}
	for f := range features {
		if !strings.Contains(doc, ": "+f) {
			t.Errorf("no message about %q", f)
		}
	}
}
