//go:build linux

package programs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// noWorkspace is for programs whose go.work names modules that the proxy does not
// have with theirs.
const noWorkspace = "GOWORK=off"

// A module is one as the module proxy has it.
type module struct {
	path, version string
	dir           string // where its repository has it, for replace directives between modules
}

func (m module) String() string { return m.path + "@" + m.version }

// checkout lays p's modules out as their repository does, and returns the
// directory of the first.
func (p *program) checkout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, m := range p.modules {
		dir, err := m.download()
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(root, m.dir)
		if err := os.MkdirAll(to, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(root, p.modules[0].dir)
}

// download returns m's directory in the module cache.
func (m module) download() (string, error) {
	out, err := command{dir: os.TempDir(), env: []string{noWorkspace}, bound: 5 * time.Minute}.run("go", "mod", "download", "-json", m.String())
	var v struct{ Dir, Error string }
	if jerr := json.Unmarshal(out, &v); jerr == nil && v.Error != "" {
		return "", fmt.Errorf("%v: %s", m, v.Error)
	}
	if err != nil {
		return "", err
	}
	return v.Dir, nil
}
