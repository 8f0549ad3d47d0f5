package doctor

import (
	"bytes"
	"fmt"
	"io"
	"text/tabwriter"
)

// writeText is the report for people: what there is, what was tried, and last,
// next to the prompt, what it comes to.
func (r *Report) writeText(w io.Writer) error {
	var b bytes.Buffer
	r.writeFacts(&b)
	if len(r.Features) > 0 {
		r.writeFeatures(&b)
	}
	r.writeSelfTest(&b)
	r.writeVerdict(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func (r *Report) writeFacts(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-19s%s\n", name+":", fmt.Sprintf(format, args...))
	}
	row("quoit", "%s", r.Version)
	row("kernel", "%s, %s/%s", orUnknown(r.Kernel), r.OS, r.Arch)
	row("io_uring", "%s", yesNo(r.Error == nil && !r.deadly()))
	if r.OS != "linux" {
		return
	}
	for _, c := range r.Calls {
		row(c.Name, "%s", answerText(c))
	}
	row("sysctl", "kernel.io_uring_disabled %s, kernel.io_uring_group %s", r.Sysctl.Disabled, r.Sysctl.Group)
	row("seccomp", "%s; no_new_privs: %s", r.Seccomp.Mode, r.Seccomp.NoNewPrivs)
	row("user namespace", "%s", r.Namespace)
	for _, c := range r.Capabilities {
		row(c.Name, "%s: %s", yesNo(c.Have), c.Use)
	}
	if r.Locked.Exempt {
		row("locked memory", "RLIMIT_MEMLOCK %s, which does not count with CAP_IPC_LOCK", r.Locked.Soft.size())
	} else {
		row("locked memory", "RLIMIT_MEMLOCK %s, shared with %s", r.Locked.Soft.size(), r.heldBy())
	}
	row("memory", "control group: limit %s, used %s", r.Memory.Limit.size(), r.Memory.Used.size())
	row("descriptors", "RLIMIT_NOFILE %v, %v open here; %d a ring", r.Files.Soft, r.Files.Open, r.Files.PerRing)
	if e := r.Engine; e.Rings > 0 {
		row("an engine here", "%s of %d entries, %s of queues", count(e.Rings, "ring"), e.Entries, Amount(e.Bytes).size())
	}
}

func (r *Report) writeFeatures(w io.Writer) {
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FEATURE\tHAVE\tSINCE\tUSE\tWITHOUT")
	for _, f := range r.Features {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", f.Name, yesNo(f.Have), f.MinKernel, f.Use, f.Without)
	}
	tw.Flush()
}

func (r *Report) writeSelfTest(w io.Writer) {
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SELF-TEST\tSERVED BY\tROUND TRIPS\tBYTES\tMEDIAN\tRESULT")
	for _, t := range r.SelfTest {
		result := "right"
		switch {
		case t.Skipped:
			result = "not tried"
		case t.Error != nil:
			result = t.Error.Text
		}
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d µs\t%s\n", t.Gear, t.Transport, t.RoundTrips, t.Bytes, t.Median, result)
	}
	tw.Flush()
}

func (r *Report) writeVerdict(w io.Writer) {
	fmt.Fprintln(w)
	switch {
	case r.Serves == ServesRing:
		fmt.Fprintln(w, "io_uring is usable: quoit serves tcp and unix sockets over it.")
	case r.Serves == ServesNet && r.env.Off():
		fmt.Fprintln(w, "QUOIT=off: package net serves.")
	case r.Serves == ServesNet:
		fmt.Fprintln(w, "io_uring is not usable: package net serves instead.")
	default:
		fmt.Fprintln(w, "Programs that use quoit do not work here as they are.")
	}
	if r.Error != nil {
		fmt.Fprintf(w, "error:  %s\n", r.Error.Text)
	}
	for _, f := range r.Findings {
		label := "cause: "
		if f.Effect == effectNote {
			label = "note:  "
		}
		fmt.Fprintf(w, "%s %s\nremedy: %s\nsee:    %s\n", label, f.Cause, f.Remedy, f.More)
	}
}
