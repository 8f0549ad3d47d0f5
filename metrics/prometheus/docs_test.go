package prometheus

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quoit-go/quoit"
)

// docs/operations.md has each name, of Prometheus and of the JSON, and no others.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "## The names")
	table, _, _ = strings.Cut(table, "## Alerts")
	var names []string
	for _, d := range allDescs {
		name := regexp.MustCompile(`fqName: "([^"]*)"`).FindStringSubmatch(d.String())[1]
		names = append(names, name)
		if !strings.Contains(table, "`"+name+"`") {
			t.Errorf("docs/operations.md has no %s", name)
		}
	}
	for _, m := range regexp.MustCompile("`(quoit_[a-z_]*)`").FindAllStringSubmatch(table, -1) {
		if !slices.Contains(names, m[1]) {
			t.Errorf("docs/operations.md has %s, which is no metric", m[1])
		}
	}
	for typ, prefix := range map[reflect.Type]string{
		reflect.TypeFor[quoit.Stats]():         "",
		reflect.TypeFor[quoit.ListenerStats](): "listening[].",
		reflect.TypeFor[quoit.SteeringStats](): "steering[].",
	} {
		for _, f := range reflect.VisibleFields(typ) {
			key := prefix + f.Tag.Get("json")
			isList := f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct
			if !isList && f.Name != "Addr" && !strings.Contains(table, "`"+key+"`") {
				t.Errorf("docs/operations.md has no %s", key)
			}
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[quoit.RingStats]()) {
		if _, both := reflect.TypeFor[quoit.Stats]().FieldByName(f.Name); !both && !strings.Contains(table, "`rings[]."+f.Tag.Get("json")+"`") {
			t.Errorf("docs/operations.md has no %s of a ring", f.Name)
		}
	}
}
