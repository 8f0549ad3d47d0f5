//go:build linux && (amd64 || arm64)

package doctor

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quoit-go/quoit/internal/testenv"
	"github.com/quoit-go/quoit/internal/testenv/enginetest"
)

const fragmentFile = "../../../../docs/seccomp-io_uring.json"

// profile is a container's seccomp profile, as far as a filter is made of it.
type profile struct {
	DefaultAction   string `json:"defaultAction"`
	DefaultErrnoRet uint32 `json:"defaultErrnoRet"`
	Syscalls        []rule `json:"syscalls"`
}

type rule struct {
	Names    []string `json:"names"`
	Action   string   `json:"action"`
	ErrnoRet uint32   `json:"errnoRet"`
	Includes struct {
		Caps []string `json:"caps"`
	} `json:"includes"`
}

func readProfile(t *testing.T, name string) (p profile) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// base is the profile that docs/containers.md has the fragment added to: in
// place of the container runtimes', which another file can be named for.
func base(t *testing.T) profile {
	t.Helper()
	if name := os.Getenv("QUOIT_TEST_PROFILE"); name != "" {
		return readProfile(t, name)
	}
	return readProfile(t, "testdata/base.json")
}

// filter is what p does in a container without capabilities. Conditions on
// arguments count as met.
func (p profile) filter(t *testing.T) filter {
	t.Helper()
	numbers := systemCalls(t)
	action := func(name string, errno uint32) uint32 {
		switch name {
		case "SCMP_ACT_ALLOW":
			return unix.SECCOMP_RET_ALLOW
		case "SCMP_ACT_ERRNO":
			return unix.SECCOMP_RET_ERRNO | max(errno, uint32(unix.EPERM))
		}
		t.Fatalf("action %q", name)
		return 0
	}
	f := filter{Actions: map[uint32]uint32{}, Others: action(p.DefaultAction, p.DefaultErrnoRet)}
	for _, r := range p.Syscalls {
		if len(r.Includes.Caps) > 0 {
			continue
		}
		for _, name := range r.Names {
			if nr, ok := numbers[name]; ok { // some are another architecture's
				f.Actions[nr] = action(r.Action, r.ErrnoRet)
			}
		}
	}
	return f
}

// systemCalls has the numbers of all system calls, as package x/sys/unix does.
func systemCalls(t *testing.T) map[string]uint32 {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+runtime.GOARCH+".go"))
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]uint32{}
	for _, m := range regexp.MustCompile(`(?m)^\s*SYS_(\w+)\s*=\s*(\d+)$`).FindAllStringSubmatch(string(b), -1) {
		nr, err := strconv.ParseUint(m[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		numbers[strings.ToLower(m[1])] = uint32(nr)
	}
	if len(numbers) < 300 || numbers["io_uring_setup"] != unix.SYS_IO_URING_SETUP {
		t.Fatalf("%d system calls found", len(numbers))
	}
	return numbers
}

// What docs/containers.md adds to a profile is what io_uring needs: with it the
// ring serves, without any of its calls package net does.
func TestProfile(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil { // which knows where the runtimes' sources are
		t.Skip(err)
	}
	enginetest.NeedRing(t)
	fragment := readProfile(t, fragmentFile)
	if fragment.DefaultAction != "" || len(fragment.Syscalls) != 1 {
		t.Fatalf("%s: %+v, want rules to add to others", fragmentFile, fragment)
	}
	needed := fragment.Syscalls[0].Names
	type variant struct {
		name   string
		names  []string
		status int
		want   []string
	}
	variants := []variant{
		{"as it is", needed, exitRing, []string{served, "seccomp:           filter; no_new_privs: yes\n", "io_uring_register: refused by E"}},
		{"base alone", nil, exitNet, []string{servedNet, see(seccompRefuses), "io_uring_setup by E", "io_uring_enter by E"}},
	}
	for _, name := range needed {
		rest := slices.DeleteFunc(slices.Clone(needed), func(s string) bool { return s == name })
		variants = append(variants, variant{"without " + name, rest, exitNet, []string{servedNet, see(seccompRefuses), "refuses " + name + " by E"}})
	}
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			testenv.Watch(t, 2*testenv.Bound)
			p := base(t)
			p.Syscalls = append(p.Syscalls, rule{Names: v.names, Action: fragment.Syscalls[0].Action})
			b, err := json.Marshal(p.filter(t))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "filter.json")
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
			out, status := run(t, "filter="+file)
			checkReport(t, out, status, v.status, v.want...)
		})
	}
}

// The command in docs/containers.md makes one profile of the two.
func TestProfileCommand(t *testing.T) {
	const command = `jq -s '.[0].syscalls += .[1].syscalls | .[0]' default.json seccomp-io_uring.json > quoit.json`
	doc, err := os.ReadFile("../../../../docs/containers.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), command) {
		t.Fatalf("docs/containers.md does not have %s", command)
	}
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("no jq")
	}
	dir := t.TempDir()
	for name, from := range map[string]string{"default.json": "testdata/base.json", "seccomp-io_uring.json": fragmentFile} {
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := readProfile(t, "testdata/base.json")
	want.Syscalls = append(want.Syscalls, readProfile(t, fragmentFile).Syscalls...)
	if got := readProfile(t, filepath.Join(dir, "quoit.json")); !reflect.DeepEqual(got, want) {
		t.Errorf("got %s", fmt.Sprint(got))
	}
}

// systemd's usual set of calls has io_uring's among them.
func TestProfileSystemd(t *testing.T) {
	out, err := exec.Command("systemd-analyze", "syscall-filter", "@system-service", "@aio").Output()
	if err != nil {
		t.Skip("no systemd-analyze: ", err)
	}
	for _, want := range []string{"    @aio\n", "    io_uring_setup\n", "    io_uring_enter\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
