//go:build linux

package ring

import (
	"errors"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// noImports leaves imports out, which the constants do not need.
type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("left out") }

// sourceConstants are the values of the constants whose comments have a name
// of the header, by that name. constants knows the flags by their places in
// lists of names; this knows what the Go names stand for.
func sourceConstants(t *testing.T, h header) map[string]uint64 {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: noImports{}, Error: func(error) {}}
	_, _ = conf.Check("ring", fset, files, info) // fails for want of imports
	found := map[string]uint64{}
	word := regexp.MustCompile(`\bIO[A-Z]*_\w+|\bSOCKET_URING_OP_\w+`)
	add := func(spec *ast.ValueSpec, texts ...*ast.CommentGroup) {
		c, ok := info.Defs[spec.Names[0]].(*types.Const)
		if !ok {
			return
		}
		for _, text := range texts {
			for _, name := range word.FindAllString(text.Text(), -1) {
				if _, ok := h.consts[name]; !ok {
					continue
				}
				if goName := spec.Names[0].Name; !sameName(goName, name) {
					t.Errorf("%s is called %s", name, goName)
				}
				v := constant.ToInt(c.Val())
				n, exact := constant.Uint64Val(v)
				if !exact {
					i, _ := constant.Int64Val(v)
					n = uint64(i)
				}
				found[name] = n
			}
		}
	}
	for _, f := range files {
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				spec := spec.(*ast.ValueSpec)
				if add(spec, spec.Comment, spec.Doc); !gen.Lparen.IsValid() {
					add(spec, gen.Doc)
				}
			}
		}
	}
	return found
}

// sameName reports whether a Go constant is called as the header has it.
func sameName(goName, name string) bool {
	if other, ok := otherNames[goName]; ok {
		return name == other
	}
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	for goPrefix, prefix := range map[string]string{"CQE": "ioringcqef", "socketOp": "socketuringop"} {
		if short, ok := strings.CutPrefix(goName, goPrefix); ok {
			return plain(name) == prefix+plain(short)
		}
	}
	return strings.HasSuffix(plain(name), plain(goName))
}

// otherNames are Go constants called otherwise.
var otherNames = map[string]string{
	"probeOpSupported": "IO_URING_OP_SUPPORTED", "memRegionWaitArg": "IORING_MEM_REGION_REG_WAIT_ARG",
	"cloneSrcRegistered": "IORING_REGISTER_SRC_REGISTERED", "cloneDstReplace": "IORING_REGISTER_DST_REPLACE",
	"CloneReplace": "IORING_REGISTER_DST_REPLACE", "cqeTimestampHWShift": "IORING_TIMESTAMP_HW_SHIFT",
	"CQE32Bytes": "IORING_CQE_F_32", "InstallNoCloexec": "IORING_FIXED_FD_NO_CLOEXEC",
	"FileSkip": "IORING_REGISTER_FILES_SKIP",
}

// Each Go constant has the name and the value of the one in its comment, and
// each flag and operation that has a name has a constant.
func TestABISource(t *testing.T) {
	h := readHeader(t)
	found := sourceConstants(t, h)
	for name, got := range found {
		if want := h.consts[name]; got != want {
			t.Errorf("%s = %d, want %d", name, got, want)
		}
	}
	for prefix, names := range map[string][]string{
		"IORING_SETUP_": setupNames[:], "IORING_FEAT_": featureNames[:], "IOSQE_": sqeNames[:],
		"IORING_CQE_F_": cqeNames[:], "IORING_ASYNC_CANCEL_": cancelNames[:],
		"IORING_OP_": opNames[:], "IORING_": registerNames[:],
	} {
		for _, name := range names {
			if _, ok := found[prefix+name]; !ok {
				t.Errorf("no constant is %s", prefix+name)
			}
		}
	}
	t.Logf("%d constants", len(found))
}
