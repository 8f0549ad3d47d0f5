package main

import (
	"os"
	"strings"
	"testing"

	"github.com/quoit-go/quoit"
	"github.com/quoit-go/quoit/cmd/quoit/internal/doctor"
)

// TestMain is also the command that doctor starts for its trials.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == doctor.TrialCommand {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestRunArguments(t *testing.T) {
	tests := []struct {
		name           string
		args           []string
		code           int
		stdout, stderr string // parts that must be there; "" wants silence
	}{
		{"none", nil, exitUsage, "", "usage: quoit"},
		{"unknown", []string{"docter"}, exitUsage, "", `unknown command "docter"`},
		{"flag", []string{"-v"}, exitUsage, "", `unknown command "-v"`},
		{"extra", []string{"doctor", "now"}, exitUsage, "", `takes no arguments, got ["now"]`},
		{"extra version", []string{"version", "x"}, exitUsage, "", "usage: quoit"},
		{"help", []string{"help"}, exitOK, "usage: quoit", ""},
		{"-h", []string{"-h"}, exitOK, "usage: quoit", ""},
		{"version", []string{"version"}, exitOK, "quoit ", ""},
		{"doctor's help", []string{"doctor", "-h"}, exitOK, "usage: quoit doctor", ""},
		{"no trial", []string{doctor.TrialCommand, "nothing"}, exitUnusable, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if code := run(tt.args, &stdout, &stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			check := func(stream, got, want string) {
				if want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("%s = %q, want %q in it", stream, got, want)
				}
			}
			check("stdout", stdout.String(), tt.stdout)
			check("stderr", stderr.String(), tt.stderr)
		})
	}
}

// TestDoctorHere holds doctor to what an engine really gets on this machine.
func TestDoctorHere(t *testing.T) {
	var out, stderr strings.Builder
	code := run([]string{"doctor"}, &out, &stderr)
	t.Logf("\n%s%s", out.String(), stderr.String())
	transport := quoit.Default().Stats().Transport
	if want := map[string]int{"io_uring": exitOK, "net": exitUnusable}[transport]; code != want {
		t.Errorf("exit code %d with transport %q", code, transport)
	}
	if os.Getenv("QUOIT_TEST_REQUIRE") == "1" && transport != "io_uring" {
		t.Errorf("QUOIT_TEST_REQUIRE=1 and transport %q", transport)
	}
	if code == exitUnusable && !strings.Contains(out.String(), "\nerror:  ") {
		t.Error("no reason given")
	}
}
