//go:build !linux

package doctor

import "encoding/json"

// gather has nothing to ask: io_uring is Linux's.
func (r *Report) gather() {
	r.Sysctl = Sysctl{Disabled: absent, Group: absent}
	r.Namespace = unknownNamespace
	r.Seccomp = Seccomp{Mode: modeUnknown, NoNewPrivs: "unknown"}
	r.Locked = Locked{Soft: unknown, Hard: unknown}
	r.Memory = Memory{Limit: unknown, Used: unknown}
	r.Files = Files{Soft: unknown, Hard: unknown, Open: unknown, PerRing: filesPerRing}
}

// outliveReader does nothing: that signal is not every system's.
func outliveReader() {}

func tryCall(name string) Call { return Call{Name: name, Answer: notTried} }

// trial takes the step in this process: nothing can end it.
func trial(step string, result any) error {
	got, err := perform(step)
	if err != nil {
		return err
	}
	b, err := json.Marshal(got)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, result)
}
