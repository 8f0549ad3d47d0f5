//go:build linux

package ring

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// runC compiles a C program with args for the compiler, runs it and returns
// its lines.
func runC(t *testing.T, src string, args ...string) []string {
	t.Helper()
	dir := t.TempDir()
	c, exe := filepath.Join(dir, "main.c"), filepath.Join(dir, "main")
	if err := os.WriteFile(c, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cc", append([]string{"-std=gnu11", "-O0", "-w", "-o", exe, c}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%.4000s", err, out)
	}
	out, err := exec.Command(exe).Output()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		lines = append(lines, sc.Text())
	}
	return lines
}

// needC skips without a C compiler or file, which CI has to have.
func needC(t *testing.T, file string) {
	t.Helper()
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("the figures are those of little-endian machines of 64 bits")
	}
	_, err := exec.LookPath("cc")
	if err == nil {
		_, err = os.Stat(file)
	}
	if err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("nothing to compare with in CI:", err)
	}
	t.Skip(err)
}

// systemHeader is what user programs are compiled with.
const systemHeader = "/usr/include/linux/io_uring.h"

// The figures of testdata are those of this machine's C headers, as far as
// these have them: the system's own, and a kernel's if one is installed.
func TestMachineHeaders(t *testing.T) {
	needC(t, systemHeader)
	headers := []string{systemHeader}
	more, _ := filepath.Glob("/usr/src/linux-headers-*/include/uapi/linux/io_uring.h")
	for _, file := range append(headers, more...) {
		t.Run(file, func(t *testing.T) { compareHeader(t, file) })
	}
}

// mayDiffer are names whose figures depend on the header's age.
var mayDiffer = regexp.MustCompile(`_LAST$|resv|pad\d?$`)

func compareHeader(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string]bool{}
	for _, w := range regexp.MustCompile(`\w+`).FindAllString(string(text), -1) {
		words[w] = true
	}
	h := readHeader(t)
	var src strings.Builder
	fmt.Fprintf(&src, "#include <stdio.h>\n#include <stddef.h>\n#include %q\nint main() {\n", file)
	for name := range h.consts {
		if words[name] && !mayDiffer.MatchString(name) {
			fmt.Fprintf(&src, "printf(\"const %[1]s %%llu\\n\", (unsigned long long)(%[1]s));\n", name)
		}
	}
	for name := range h.sizes {
		if words[name] {
			fmt.Fprintf(&src, "printf(\"struct %[1]s %%zu\\n\", sizeof(struct %[1]s));\n", name)
		}
	}
	for name := range h.fields {
		cs, field, _ := strings.Cut(name, ".")
		body := regexp.MustCompile(`(?s)\bstruct ` + cs + ` \{.*?\n\};`).FindString(string(text))
		inBody := regexp.MustCompile(`\b` + field + `\b`).MatchString(body)
		if !inBody || field == "bufs" || mayDiffer.MatchString(field) { // bufs has no size
			continue
		}
		fmt.Fprintf(&src, "printf(\"field %[1]s.%[2]s %%zu %%zu\\n\", offsetof(struct %[1]s, %[2]s), sizeof(((struct %[1]s *)0)->%[2]s));\n", cs, field)
	}
	src.WriteString("}\n")
	n := map[string]int{}
	for _, line := range runC(t, src.String()) {
		f := strings.Fields(line)
		n[f[0]]++
		var want string
		switch f[0] {
		case "const":
			want = strconv.FormatUint(h.consts[f[1]], 10)
		case "struct":
			want = fmt.Sprint(h.sizes[f[1]])
		case "field":
			want = fmt.Sprint(h.fields[f[1]][0], h.fields[f[1]][1])
		}
		got := strings.Join(f[2:], " ")
		if strings.HasPrefix(f[1], "IORING_REGISTER_FILES_SKIP") && got == "18446744073709551614" {
			continue
		}
		if got != want {
			t.Errorf("%s: %s, want %s", f[1], got, want)
		}
	}
	if n["const"] < 100 || n["struct"] < 10 || n["field"] < 50 {
		t.Errorf("only %v compared", n)
	}
	t.Logf("compared %v", n)
}

// Every entry is, byte for byte, the one that liburing makes, as far as the
// installed one has the call. QUOIT_LIBURING names the directory of another
// liburing.h than the system's.
func TestLiburing(t *testing.T) {
	dir := os.Getenv("QUOIT_LIBURING")
	if dir == "" {
		dir = "/usr/include"
	}
	file := filepath.Join(dir, "liburing.h")
	needC(t, file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`io_uring_\w+\(`)
	has := func(c prepCase) bool {
		if strings.Contains(c.c, "FILE_INDEX_ALLOC") && !bytes.Contains(text, []byte("prep_msg_ring_fd_alloc(")) {
			return false // liburing 2.3 adds one to it
		}
		return c.c != "" && !slices.ContainsFunc(call.FindAllString(c.c, -1), func(f string) bool {
			return !bytes.Contains(text, []byte(" "+f))
		})
	}
	a := newPrepArgs()
	var src strings.Builder
	src.WriteString("#define _GNU_SOURCE\n#include <string.h>\n#include <stdio.h>\n#include <fcntl.h>\n#include <liburing.h>\n" +
		"static void show(int i, struct io_uring_sqe *sqe) { sqe->user_data = 0x0102030405060708ULL; printf(\"%d \", i);\n" +
		"for (int k = 0; k < 64; k++) printf(\"%02x\", ((unsigned char *)sqe)[k]); puts(\"\"); }\n" +
		"int main() { struct io_uring_sqe sqes[2], *sqe = sqes;\n")
	cases := a.cases()
	absent := map[string]bool{}
	for i, c := range cases {
		if has(c) {
			fmt.Fprintf(&src, "memset(sqe, 0, 64); %s; show(%d, sqe);\n", c.c, i)
		} else {
			absent[c.name] = true
		}
	}
	src.WriteString("}\n")
	lines := runC(t, src.String(), "-I", dir)
	for _, line := range lines {
		index, text, _ := strings.Cut(line, " ")
		i, err := strconv.Atoi(index)
		if err != nil {
			t.Fatal(err)
		}
		var s SQE
		cases[i].prep(&s)
		raw := unsafe.Slice((*byte)(unsafe.Pointer(&s)), unsafe.Sizeof(s))
		if got := hex.EncodeToString(raw); got != text {
			t.Errorf("%s:\n%s, but liburing\n%s", cases[i].name, got, text)
		}
	}
	runtime.KeepAlive(a)
	if len(lines) == 0 {
		t.Error("nothing compared")
	}
	fmt.Printf("compared %d of %d entries with liburing\n", len(lines), len(cases))
	t.Logf("not in this liburing: %v", absent)
}
